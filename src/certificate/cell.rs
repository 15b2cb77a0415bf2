//! The cell that holds the certificate being served. The certificate is swapped as a whole: a
//! handshake uses either the old one or the new one, and after a failed renewal the old one stays.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::authority::{Authority, AuthoritySummary, PrivateFiles};
use super::chain::{self, Chain, Link};
use super::error_text::OWN_OF_AUTHORITY;
use super::source::{Source, SourceState, Stamp};
use super::ways::{Objection, Ways, Window};
use super::{Error, Names, request};
use crate::clock::Instant;
use crate::fix::Fix;
use crate::limits;
use crate::locks::ignore_poison;

/// Says how to replace a private authority whose validity ends.
pub const NEW_AUTHORITY: Fix = Fix::new("{program} manual certificates");
/// What to do about the private authority's leaf while the authority is valid. The next leaf is
/// made as soon as the old one is out of date.
const SET_THE_CLOCK: Fix = Fix::new(
    "correct the clock (timedatectl): a new certificate is then made automatically; if not, the \
     log says why",
);
/// What to do if the authority's validity has not begun yet.
const SET_THE_CLOCK_OR_NEW_AUTHORITY: Fix = Fix::new(
    "if the clock is slow, correct it (timedatectl); if it is right, it was ahead when the CA was \
     made: {program} manual certificates",
);

/// What to do if the authority's files are gone.
const PUT_BACK: Fix = Fix::new(
    "put it back with all that belongs to it; a restart without it makes a new CA, which no client \
     trusts yet",
);

/// The certificate being served, as people see it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The names in the leaf.
    pub names: Vec<String>,
    /// When the leaf's validity begins.
    pub not_before: Instant,
    /// When the leaf's validity ends.
    pub not_after: Instant,
    /// SHA-256 of the leaf, `AA:BB:…`.
    pub fingerprint: String,
    /// The private authority, if it issued the leaf.
    pub authority: Option<AuthoritySummary>,
    /// The chain that is sent to clients, leaf first.
    pub chain: Vec<Link>,
    /// When cloud services, which trust the public authorities, accept the chain.
    pub public: Vec<Window>,
    objections: Vec<Objection>,
    /// What a client might object to, for the administrator.
    pub warnings: Vec<String>,
}

impl Summary {
    /// Until when some client accepts the chain: the end of the leaf, or an earlier end of the
    /// authorities in the chain.
    pub fn accepted_until(&self) -> Instant {
        self.authority_ends().unwrap_or(self.not_after)
    }

    /// When the last client stops accepting the chain because an authority in it ends, if that is
    /// before the leaf ends. Clients may have another authority with the same name.
    pub fn authority_ends(&self) -> Option<Instant> {
        let last = self.windows().map(|window| window.until()).max()?;
        (last < self.not_after).then_some(last)
    }

    /// Whether no client accepts the chain now, although clients accept it at other times.
    pub fn is_interrupted(&self, now: Instant) -> bool {
        self.windows().next().is_some() && !self.is_accepted(now)
    }

    /// Whether a client accepts the chain now, as far as its certificates tell.
    fn is_accepted(&self, now: Instant) -> bool {
        self.windows().any(|window| window.holds(now))
    }

    fn windows(&self) -> impl Iterator<Item = &Window> {
        let links = self.chain.iter().flat_map(|link| &link.accepted);
        links.chain(&self.public)
    }

    /// Why every client refuses the leaf now; `None` if the leaf is within its dates.
    pub fn out_of_date(&self, now: Instant) -> Option<String> {
        chain::check_dates(self.not_before, self.not_after, now).err()
    }

    /// Whether the private authority's validity has not begun yet: the clock is slow, or was fast
    /// when the authority was made.
    pub fn is_before_authority(&self, now: Instant) -> bool {
        let authority = self.authority.as_ref();
        authority.is_some_and(|own| now < own.not_before)
    }
}

/// The certificate being served.
pub struct Cell {
    source: Source,
    current: RwLock<Current>,
    /// The stamps of the customer's files, taken before the files were last read.
    seen: Mutex<Vec<Option<Stamp>>>,
}

struct Current {
    key: Arc<CertifiedKey>,
    summary: Summary,
    /// See [`Cell::last_load_error`].
    last_load_error: Option<String>,
}

impl Cell {
    /// Loads the certificate from the source, or makes it. A certificate that is not valid now is
    /// still served, since there is no earlier one. Otherwise a machine that boots with a slow
    /// clock, or a server restarted after the certificate's end, would be down for good.
    pub fn open(source: Source, now: Instant) -> Result<Arc<Self>, Error> {
        // Take the stamps before reading, as a reload does: if the files change while they are
        // read, the next look notices it.
        let stamps = source.stamps();
        let current = load(&source.found(), now)?;
        Ok(Arc::new(Self {
            seen: Mutex::new(stamps),
            source,
            current: RwLock::new(current),
        }))
    }

    /// Reads the certificate from the source again and serves it from the next handshake on. After
    /// an error the previous one stays.
    pub fn reload(&self, now: Instant) -> Result<Summary, Error> {
        self.reload_as(&mut self.seen(), self.source.stamps(), now)
    }

    /// Calls [`Self::reload`] if the customer's files have changed since they were last read, or
    /// could not be read then. Also `None` if reading fails for the reason that is already known.
    pub fn reload_if_changed(&self, now: Instant) -> Option<Result<Summary, Error>> {
        let mut seen = self.seen();
        let stamps = self.source.stamps();
        if *seen == stamps {
            return None;
        }
        let known = self.last_load_error();
        let reloaded = self.reload_as(&mut seen, stamps, now);
        let is_news = |error: &Error| !error.is_transient() || known != Some(error.to_string());
        reloaded
            .as_ref()
            .err()
            .is_none_or(is_news)
            .then_some(reloaded)
    }

    /// `stamps` must have been taken before the files are read, so that the next look notices a
    /// change made in the meantime.
    fn reload_as(
        &self,
        seen: &mut Vec<Option<Stamp>>,
        stamps: Vec<Option<Stamp>>,
        now: Instant,
    ) -> Result<Summary, Error> {
        let loaded = self.load_better(now);
        if !matches!(&loaded, Err(error) if error.is_transient()) {
            *seen = stamps;
        }
        let loaded = loaded.inspect_err(|error| {
            let mut current = ignore_poison(self.current.write());
            current.last_load_error = Some(error.to_string());
        })?;
        Ok(self.serve(loaded))
    }

    /// Loads what there is to serve now. Fails if every client refuses it, or if clients object to
    /// something that does not apply to the certificate being served.
    fn load_better(&self, now: Instant) -> Result<Current, Error> {
        let found = self.found_again()?;
        let loaded = load(&found, now)?;
        let SourceState::Customer { chain: path, .. } = found else {
            return Ok(loaded);
        };
        let (old, new) = (self.summary(), &loaded.summary);
        let bad = |what: String| Error::Bad(path.clone(), what);
        new.out_of_date(now).map_or(Ok(()), |why| Err(bad(why)))?;
        if !old.is_accepted(now) {
            return Ok(loaded);
        }
        let is_elsewhere = |of: &Summary| {
            let mut objections = of.objections.iter();
            objections.any(|one| matches!(one, Objection::Elsewhere(_)))
        };
        // The new chain is the first one for the host, so other objections of some clients count
        // less.
        let is_better = is_elsewhere(&old) && !is_elsewhere(new);
        let is_news = |one: &&Objection| {
            let is_known = old.objections.iter().any(|other| other.is_like(one));
            one.is_of_everybody() || !is_known && !is_better
        };
        match new.objections.iter().find(is_news) {
            Some(objection) => Err(bad(objection.to_string())),
            None => Ok(loaded),
        }
    }

    /// What there is to serve now. Fails if it is [`Self::gone`].
    fn found_again(&self) -> Result<SourceState<'_>, Error> {
        match self.gone() {
            Some(path) => Err(Error::Bad(path, format!("it is gone: {PUT_BACK}"))),
            None => Ok(self.source.found()),
        }
    }

    /// The path of what is gone, perhaps with its disk, if a start would make a new authority
    /// because of that. A running server makes none: it would lock out everybody who trusts the old
    /// one. A file that exists but cannot be read is left to the code that reads it.
    fn gone(&self) -> Option<PathBuf> {
        let Source::DataDirectory { directory, .. } = &self.source else {
            return None;
        };
        let is_gone = |path: &Path| {
            std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        if is_gone(directory) {
            return Some(directory.clone());
        }
        let served = match self.summary().authority {
            Some(_) => PrivateFiles::of(directory).authority,
            None => request::installed(directory),
        };
        let would_be_new =
            matches!(self.source.found(), SourceState::Private { is_new, .. } if is_new);
        (would_be_new && is_gone(&served)).then_some(served)
    }

    fn serve(&self, loaded: Current) -> Summary {
        let summary = loaded.summary.clone();
        *ignore_poison(self.current.write()) = loaded;
        summary
    }

    /// Locked while the certificate is exchanged, so that an older one never replaces a newer one.
    fn seen(&self) -> MutexGuard<'_, Vec<Option<Stamp>>> {
        ignore_poison(self.seen.lock())
    }

    /// Replaces the private authority's leaf once two thirds of its life are over, unless the leaf
    /// ends with the authority anyway. Also replaces it if a fast clock gave it a beginning in the
    /// future. Returns the new summary if the leaf was replaced. The old leaf stays if the
    /// authority is gone, which is an error even if no renewal is due, or if the clock says that
    /// the authority is not valid.
    pub fn renew_if_due(&self, now: Instant) -> Result<Option<Summary>, Error> {
        let _exchanging = self.seen();
        let summary = self.summary();
        let Some(authority) = &summary.authority else {
            return Ok(None);
        };
        let found = self.found_again()?;
        if !is_due(summary.not_after, authority.not_after, now) && now >= summary.not_before {
            return Ok(None);
        }
        if now < authority.not_before || now >= authority.not_after {
            // Leave out the current time, so that the log reports this only once.
            let what = format!(
                "it is valid from {:.0} to {:.0}, and the machine's clock is outside of that",
                authority.not_before, authority.not_after
            );
            return Err(Error::Bad(authority.path.clone(), what));
        }
        let loaded = load(&found, now)?;
        Ok(Some(self.serve(loaded)))
    }

    /// What prevents the certificate from being renewed or exchanged, and what to do about it.
    pub fn hindrance(&self) -> Option<(String, Fix)> {
        if let Some(path) = self.gone() {
            return Some((format!("{} is gone", path.display()), PUT_BACK));
        }
        // Errors about files in the data directory are left to the check of those files, which says
        // more.
        let why = self.last_load_error().filter(|_| self.files().is_some())?;
        let why = format!("the certificate files cannot be used as they are now: {why}");
        let fix =
            Fix::new("correct the files, then: systemctl reload golinks-scim (or send SIGHUP)");
        Some((why, fix))
    }

    /// Why the certificate that was read last is not being served, if it is not.
    fn last_load_error(&self) -> Option<String> {
        let current = ignore_poison(self.current.read());
        current.last_load_error.clone()
    }

    /// The customer's chain and key files, if they are configured.
    pub fn files(&self) -> Option<[&Path; 2]> {
        self.source.files()
    }

    /// What to do so that the next certificate is served.
    pub fn fix(&self, now: Instant) -> Fix {
        if self.gone().is_some() {
            return PUT_BACK;
        }
        let summary = self.summary();
        let is_early = summary.is_before_authority(now);
        match (self.files(), summary.authority) {
            (Some([chain, key]), _) => Fix::of(format!(
                "put a new chain and key into {} and {}",
                chain.display(),
                key.display()
            )),
            (None, Some(own)) if own.not_after <= now => NEW_AUTHORITY,
            (None, Some(_)) if is_early => SET_THE_CLOCK_OR_NEW_AUTHORITY,
            (None, Some(_)) => SET_THE_CLOCK,
            (None, None) => Fix::new("{program} cert install CHAIN.pem --key KEY.pem"),
        }
    }

    /// The certificate being served, as people see it.
    pub fn summary(&self) -> Summary {
        let current = ignore_poison(self.current.read());
        current.summary.clone()
    }
}

impl ResolvesServerCert for Cell {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = ignore_poison(self.current.read());
        Some(Arc::clone(&current.key))
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

fn load(found: &SourceState<'_>, now: Instant) -> Result<Current, Error> {
    match found {
        SourceState::Customer { chain, key, host } => from_files([chain, key], host, now),
        SourceState::Private {
            directory, names, ..
        } => private(directory, names, now),
    }
}

/// Checks that the existing files could be served and that clients would accept the certificate.
/// Returns what only some clients might object to. If the next start would make a certificate, that
/// is not an error; this function makes none.
pub fn examine(source: &Source, now: Instant) -> Result<Vec<String>, Error> {
    let found = source.found();
    match &found {
        SourceState::Private {
            directory,
            names,
            is_new,
        } => {
            let own = PrivateFiles::of(directory);
            if !is_new {
                // The authority exists, so this does not make one.
                Authority::open(directory, names.first(), now)?;
                // A start replaces a leaf with any other fault.
                let leaf = Chain::load(&own.leaf, &own.leaf_key);
                if let Err(error @ Error::Exposed { .. }) = leaf {
                    return Err(error);
                }
            }
            own.require_room_for_leaf().map(|()| Vec::new())
        }
        SourceState::Customer { chain, .. } => {
            let summary = load(&found, now)?.summary;
            let refused = summary.objections.iter().find(|it| it.is_of_everybody());
            let why = summary.out_of_date(now);
            match why.or_else(|| refused.map(ToString::to_string)) {
                Some(why) => Err(Error::Bad(chain.clone(), why)),
                None => Ok(summary.warnings),
            }
        }
    }
}

/// Whether a leaf with this end must be replaced. A leaf that ends with its authority is kept,
/// since the next one would end then too.
fn is_due(not_after: Instant, authority_not_after: Instant, now: Instant) -> bool {
    now.days_until(not_after) < limits::LEAF_RENEW_DAYS_LEFT && not_after < authority_not_after
}

/// The authority's leaf. It is replaced when it is due, or when a client that trusts the authority
/// would not accept it: because of other names, another authority or a key that does not fit.
fn private(directory: &Path, names: &Names, now: Instant) -> Result<Current, Error> {
    let authority = Authority::open(directory, names.first(), now)?;
    let summary = &authority.summary;
    let own = PrivateFiles::of(directory);
    let (is_usable, names_before) = match Chain::load(&own.leaf, &own.leaf_key) {
        Ok(leaf) => {
            let is_usable = !is_due(leaf.leaf.not_after, summary.not_after, now)
                && leaf.is_good_for(names.as_slice(), &authority.certificate, now);
            (is_usable, leaf.leaf.names)
        }
        // An exposed key is not replaced silently: somebody may have read it.
        Err(error @ Error::Exposed { .. }) => return Err(error),
        Err(_) => (false, Vec::new()),
    };
    if !is_usable {
        authority.issue_leaf(names, now)?;
    }
    let leaf = Chain::load(&own.leaf, &own.leaf_key)?;
    // The old leaf may have had names from an earlier base URL.
    let mut gone = names_before;
    gone.retain(|name| !leaf.covers(name));
    let mut current = current(leaf, Some(summary.clone()), None, now);
    if !gone.is_empty() {
        current.summary.warnings.push(format!(
            "the certificate no longer covers {}, unlike the previous one: clients that still use \
             such a name will refuse it",
            gone.join(", ")
        ));
    }
    Ok(current)
}

fn from_files([chain, key]: [&Path; 2], host: &str, now: Instant) -> Result<Current, Error> {
    let loaded = Chain::load(chain, key)?;
    let is_own_of_authority = loaded.leaf.is_own_of_authority();
    // Before the first start the host may be unknown.
    let host = Some(host).filter(|host| !host.is_empty());
    let mut current = current(loaded, None, host, now);
    let objections = current.summary.objections.iter();
    let warnings = objections.map(|objection| format!("{}: {objection}", chain.display()));
    current.summary.warnings = warnings.collect();
    if is_own_of_authority {
        let warning = format!("{}: {OWN_OF_AUTHORITY}", chain.display());
        current.summary.warnings.push(warning);
    }
    if let Some(ends) = current.summary.authority_ends().filter(|ends| now < *ends) {
        current.summary.warnings.push(format!(
            "{}: an authority in it ends at {ends:.0}, before the leaf: clients that need it will \
             refuse the chain then",
            chain.display()
        ));
    }
    Ok(current)
}

/// What is served for a chain, still without warnings.
fn current(
    chain: Chain,
    authority: Option<AuthoritySummary>,
    host: Option<&str>,
    now: Instant,
) -> Current {
    let judgement = Ways::of(&chain).judge(host, now);
    let links = chain.links(judgement.accepted);
    Current {
        summary: Summary {
            chain: links,
            public: judgement.public,
            names: chain.leaf.names,
            not_before: chain.leaf.not_before,
            not_after: chain.leaf.not_after,
            fingerprint: chain.fingerprint,
            authority,
            objections: judgement.objections,
            warnings: Vec::new(),
        },
        key: Arc::new(chain.key),
        last_load_error: None,
    }
}

#[cfg(test)]
mod tests;
