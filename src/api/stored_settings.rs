//! What the router keeps in the store for itself: the base URL that was served last, and the
//! key of its cursors.

use super::StartError;
use crate::secret::{self, SealKey};
use crate::store::{Change, Store};

/// The name under which the store keeps the base URL for commands without a server.
const BASE_URL: &str = "base-url";
/// The name under which it keeps the key of cursors, so that they outlive a restart. The key
/// opens cursors and nothing else.
const CURSOR_KEY: &str = "cursor-key";

/// The base URL to use, and the URL served before, if it differs. A URL that is served is kept in
/// the store.
pub(super) fn base_url(
    store: &Store,
    served: Option<String>,
) -> Result<(String, Option<String>), StartError> {
    let kept = kept(store, BASE_URL)?;
    let Some(served) = served else {
        return Ok((kept.unwrap_or_default(), None));
    };
    if kept.as_ref() == Some(&served) {
        return Ok((served, None));
    }
    keep(store, BASE_URL, &served)?;
    Ok((served, kept))
}

/// The key of cursors, which is made if there is none.
pub(super) fn cursor_key(store: &Store) -> Result<SealKey, StartError> {
    if let Some(key) = kept(store, CURSOR_KEY)?.as_deref().and_then(secret::unhex) {
        return Ok(SealKey::new(key));
    }
    let key = SealKey::new(secret::random());
    keep(store, CURSOR_KEY, &secret::hex(key.reveal()))?;
    Ok(key)
}

fn kept(store: &Store, name: &str) -> Result<Option<String>, StartError> {
    let snapshot = store.snapshot();
    let snapshot = snapshot.map_err(|_| StartError::Read("the store is not open".to_owned()))?;
    Ok(snapshot.setting(name)?)
}

fn keep(store: &Store, name: &'static str, value: &str) -> Result<(), StartError> {
    store
        .commit(Change::none().setting(name, value))
        .map_err(StartError::Write)
}
