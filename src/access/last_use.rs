//! The last use of a token: when, from where, and by which User-Agent. Each request records it in
//! memory, since a read must not cost a sync, and it is written to the store from time to time.
//!
//! ```text
//! {"at": 1795465800000, "from": "203.0.113.7", "by": "Okta SCIM Client 1.0.0"}
//! 1795465800000          from a store that recorded nothing more
//! ```

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::limits;
use crate::locks::ignore_poison;

/// The last use of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// The time of the use.
    pub at: Instant,
    /// The address of the client, if known.
    pub from: Option<IpAddr>,
    /// The User-Agent, cut to [`limits::USER_AGENT_BYTES_MAX`]. It may contain any characters,
    /// since the sender chooses it.
    pub by: Option<String>,
}

/// The last use, updated by every request that uses the token.
#[derive(Debug, Default)]
pub(super) struct LastUseCell(Mutex<Remembered>);

#[derive(Clone, Debug, Default)]
struct Remembered {
    at: Option<Instant>,
    from: Option<IpAddr>,
    /// As received, but cut to the bound; converted to text only when it is read.
    by: Option<Vec<u8>>,
    is_unsaved: bool,
}

impl LastUseCell {
    /// Starts from the stored text; a text that cannot be parsed is dropped.
    pub(super) fn from_text(text: &str) -> Self {
        let remembered = match serde_json::from_str(text) {
            Err(error) => {
                log::warn!("when a token was last used cannot be read: {error}");
                Remembered::default()
            }
            Ok(Stored::Millis(at)) => Remembered {
                at: Some(Instant::from_millis(at)),
                ..Remembered::default()
            },
            Ok(Stored::Whole { at, from, by }) => Remembered {
                at: Some(Instant::from_millis(at)),
                from,
                by: by.map(String::into_bytes),
                is_unsaved: false,
            },
        };
        Self(Mutex::new(remembered))
    }

    /// Records a use. Allocates nothing while the address and the User-Agent stay the same.
    pub(super) fn remember(&self, at: Instant, from: IpAddr, by: Option<&[u8]>) {
        let by = by.map(|by| &by[..by.len().min(limits::USER_AGENT_BYTES_MAX)]);
        let mut remembered = self.lock();
        remembered.at = Some(at);
        remembered.from = Some(from.to_canonical());
        remembered.is_unsaved = true;
        if remembered.by.as_deref() != by {
            remembered.by = by.map(<[u8]>::to_vec);
        }
    }

    /// The last use, if there was one.
    pub(super) fn last(&self) -> Option<LastUse> {
        let remembered = self.lock().clone();
        Some(LastUse {
            at: remembered.at?,
            from: remembered.from,
            by: remembered.by.as_deref().map(text_of),
        })
    }

    /// The text to store, if the token was used since the last call.
    pub(super) fn take_unsaved(&self) -> Option<String> {
        if !std::mem::take(&mut self.lock().is_unsaved) {
            return None;
        }
        let last = self.last()?;
        let stored = Stored::Whole {
            at: last.at.millis(),
            from: last.from,
            by: last.by,
        };
        Some(serde_json::to_string(&stored).expect("texts and numbers are always JSON"))
    }

    /// Records that the text could not be stored, so that [`Self::take_unsaved`] returns it again.
    pub(super) fn not_saved(&self) {
        self.lock().is_unsaved = true;
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        ignore_poison(self.0.lock())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Millis(i64),
    Whole {
        at: i64,
        from: Option<IpAddr>,
        by: Option<String>,
    },
}

/// Converts bytes to text. Invalid bytes, such as a character that was cut, become U+FFFD.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    while text.len() > limits::USER_AGENT_BYTES_MAX {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_795_465_800_000;

    fn remembered(by: Option<&[u8]>) -> LastUseCell {
        let last_use = LastUseCell::default();
        let from = "::ffff:203.0.113.7".parse().expect("an address");
        last_use.remember(Instant::from_millis(AT), from, by);
        last_use
    }

    #[test]
    fn what_is_written_down_comes_back() {
        for by in [
            None,
            Some(&b"Okta SCIM Client 1.0.0"[..]),
            Some(b"\"\x1b[31m\t\\"),
        ] {
            let last_use = remembered(by);
            let last = last_use.last().expect("it was used");
            assert_eq!(last.from, "203.0.113.7".parse().ok());
            let text = last_use.take_unsaved().expect("it is new");
            assert_eq!(LastUseCell::from_text(&text).last(), Some(last), "{text}");
            assert_eq!(last_use.take_unsaved(), None);
        }
        let old = LastUseCell::from_text("1795465800000")
            .last()
            .expect("a number");
        assert_eq!((old.at.millis(), old.from, old.by), (AT, None, None));
        for bad in ["", "{}", "[1]", "\"x\"", "1e99"] {
            assert_eq!(LastUseCell::from_text(bad).last(), None, "{bad}");
        }
        assert_eq!(LastUseCell::default().take_unsaved(), None);
    }

    #[test]
    fn a_long_or_broken_user_agent_is_cut_to_text() {
        let long = "é".repeat(150);
        for by in [long.as_bytes(), &long.as_bytes()[1..], &[0xff; 500]] {
            let text = remembered(Some(by)).last().and_then(|last| last.by);
            let text = text.expect("there is one");
            assert!((190..=limits::USER_AGENT_BYTES_MAX).contains(&text.len()));
        }
    }
}
