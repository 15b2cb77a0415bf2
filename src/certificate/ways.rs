//! Which clients accept a chain, and when. What they trust is not known here: most have a root that
//! is not in the chain. So each authority in it is tried as the one whose issuer a client trusts.
//!
//! ```text
//! leaf ◀── between ◀── root      clients that trust the root, or another one of its name
//! leaf ◀── between               clients that trust the issuer of `between`
//! ```

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateDer;

use super::chain::{Chain, Facts, check_dates, public_roots, roots_of, verifier};
use crate::clock::Instant;
use crate::limits;

/// A time within which a client accepts a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: Instant,
    /// No longer within.
    until: Instant,
}

impl Window {
    /// Whether the moment is within.
    pub fn holds(self, now: Instant) -> bool {
        self.from <= now && now < self.until
    }

    /// When it ends.
    pub fn until(self) -> Instant {
        self.until
    }
}

/// What clients object to.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Objection {
    /// All of them, or all but those with some authority of their own.
    #[error("{0}")]
    Refused(String),
    /// Those that do not have the leaf's issuer.
    #[error(
        "it holds one certificate without its issuer: clients want the full chain, the leaf \
             first"
    )]
    Incomplete,
    /// Those that ask for this host.
    #[error("the certificate is not for {0}, the host of the base URL: clients will refuse it")]
    Elsewhere(String),
}

impl Objection {
    /// Whether the other one is about the same fault.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether it keeps out clients whatever they know and ask for.
    pub(super) fn is_of_everybody(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// A certificate of the chain that may lead from the leaf to what clients trust.
struct Above<'a> {
    /// Its place in the chain.
    at: usize,
    certificate: &'a CertificateDer<'static>,
    facts: Facts,
    /// How many authorities are between the leaf and this one.
    depth: u32,
}

impl Above<'_> {
    /// Whether a client uses it that does not have it. Of a root, clients use their own, which may
    /// have other dates.
    fn check(&self, now: Instant) -> Result<(), String> {
        if self.facts.self_issued {
            return Ok(());
        }
        if !self.facts.is_authority {
            return Err("one of its certificates is not a CA's".to_owned());
        }
        check_dates(self.facts.not_before, self.facts.not_after, now)
            .map_err(|why| format!("of an authority in it: {why}"))
    }

    fn has_issued(&self, other: &Self) -> bool {
        self.facts.subject == other.facts.issuer && self.at != other.at
    }
}

/// The ways from a leaf up.
pub(super) struct Ways<'a> {
    chain: &'a Chain,
    /// In the order of the chain.
    above: Vec<Above<'a>>,
    /// Whether the leaf is all there is.
    is_alone: bool,
}

impl<'a> Ways<'a> {
    pub(super) fn of(chain: &'a Chain) -> Self {
        let mut known: Vec<&CertificateDer<'static>> = Vec::new();
        let mut rest = Vec::new();
        for (at, certificate) in chain.key.cert.iter().enumerate() {
            if known.contains(&certificate) {
                continue;
            }
            known.push(certificate);
            let facts = Facts::of(certificate).ok().filter(|_| at > 0);
            rest.extend(facts.map(|facts| Above {
                at,
                certificate,
                facts,
                depth: 0,
            }));
        }
        let (mut above, mut issuers) = (Vec::new(), vec![(chain.leaf.issuer.clone(), 0)]);
        while let Some((issuer, depth)) = issuers.pop() {
            for found in rest.extract_if(.., |it| it.facts.subject == issuer) {
                issuers.push((found.facts.issuer.clone(), depth + 1));
                above.push(Above { depth, ..found });
            }
        }
        above.sort_by_key(|it| it.at);
        above.truncate(limits::CHAIN_AUTHORITIES_MAX);
        Self {
            chain,
            above,
            is_alone: known.len() == 1,
        }
    }

    /// What clients object to that ask for this host. Outside of the leaf's dates, at the moment
    /// within that is nearest to now: when the clock is right again.
    pub(super) fn objections(&self, host: Option<&str>, now: Instant) -> Vec<Objection> {
        let leaf = &self.chain.leaf;
        let at = now
            .min(leaf.not_after.plus_seconds(-1))
            .max(leaf.not_before);
        let windows = || self.windows().into_iter().flatten();
        let mut found = Vec::new();
        if self.is_alone && !self.is_self_signed() {
            found.push(Objection::Incomplete);
        } else if !windows().chain(self.public_window()).any(|it| it.holds(at)) {
            found.push(Objection::Refused(self.why_refused(at)));
        }
        if let Some(host) = host.filter(|host| !self.chain.covers(host)) {
            found.push(Objection::Elsewhere(host.to_owned()));
        }
        found
    }

    /// For each certificate of the chain, when a client accepts the chain that trusts its issuer, or
    /// a root itself.
    pub(super) fn windows(&self) -> Vec<Option<Window>> {
        let mut windows = vec![None; self.chain.key.cert.len()];
        for one in &self.above {
            let trusting = roots_of(one.certificate).and_then(verifier);
            windows[one.at] = trusting.ok().and_then(|client| {
                let check = |at| self.check_last(one, at);
                self.window(|at| check(at).and_then(|()| self.verify(&client, at)))
            });
        }
        // Nothing is above it that clients could ask for.
        if self.is_alone || self.is_self_signed() {
            windows[0] = self.window(|_| Ok(()));
        }
        windows
    }

    fn is_self_signed(&self) -> bool {
        self.chain.leaf.self_issued && self.above.is_empty()
    }

    /// When a cloud accepts the chain.
    pub(super) fn public_window(&self) -> Option<Window> {
        let cloud = verifier(public_roots()).ok()?;
        self.window(|at| self.verify(&cloud, at))
    }

    /// From the first moment to the last at which the chain is accepted.
    fn window(&self, check: impl Fn(Instant) -> Result<(), String>) -> Option<Window> {
        let leaf = &self.chain.leaf;
        let facts = || self.above.iter().map(|it| &it.facts).chain([leaf]);
        let is_good = |at: &Instant| {
            let is_in_leaf = leaf.not_before <= *at && *at < leaf.not_after;
            is_in_leaf && check(*at).is_ok()
        };
        // The first moment of each, its last one, and the first after it.
        let turns = facts().flat_map(|it| {
            let end = it.not_after;
            [it.not_before, end.plus_seconds(-1), end]
        });
        let mut turns: Vec<Instant> = turns.collect();
        turns.sort_unstable();
        Some(Window {
            from: turns.iter().copied().find(is_good)?,
            until: turns.into_iter().rfind(is_good)?.plus_seconds(1),
        })
    }

    /// Whether this may be the last certificate that a client does not have. None is where the chain
    /// goes on to another that clients can use.
    fn check_last(&self, one: &Above<'_>, now: Instant) -> Result<(), String> {
        one.check(now)?;
        let goes_on = self.above.iter().any(|other| {
            !other.facts.self_issued && other.has_issued(one) && other.check(now).is_ok()
        });
        // Of what is trusted, this is not asked.
        let is_too_deep = one.facts.path_length.is_some_and(|most| one.depth > most);
        if goes_on || is_too_deep && !one.facts.self_issued {
            return Err("its certificates do not belong together".to_owned());
        }
        Ok(())
    }

    fn verify(&self, client: &WebPkiServerVerifier, now: Instant) -> Result<(), String> {
        let between: Vec<_> = self.above.iter().map(|it| it.certificate.clone()).collect();
        self.chain.verify_first_name(&between, client, now)
    }

    /// Why no client accepts the chain now.
    fn why_refused(&self, now: Instant) -> String {
        let Some(last) = self.above.last() else {
            return "its first certificate is followed by others, but not by its issuer: clients \
                    want the full chain, the leaf first"
                .to_owned();
        };
        let checks = self.above.iter().map(|it| it.check(now));
        let trusting = roots_of(last.certificate).and_then(verifier);
        let whole = trusting.and_then(|client| self.verify(&client, now));
        let why = checks.chain([whole]).find_map(Result::err);
        let why = why.unwrap_or_else(|| "its certificates do not belong together".to_owned());
        format!("clients would not accept the chain: {why}")
    }

    /// Whether each certificate is the issuer of one before it.
    pub(super) fn check_order(&self) -> Result<(), String> {
        let mut issuers = vec![&self.chain.leaf.issuer];
        for one in &self.above {
            if !issuers.contains(&&one.facts.subject) {
                return Err(format!(
                    "certificate {} is not followed by its issuer: order them from the leaf up",
                    one.at
                ));
            }
            issuers.push(&one.facts.issuer);
        }
        Ok(())
    }
}
