//! Which clients accept a chain, and when. It is not known here what clients trust: most have a
//! root that is not in the chain. So each authority in the chain is tried as the one whose issuer a
//! client trusts.
//!
//! ```text
//! leaf ◀── between ◀── root      clients that trust the root, or another one of its name
//! leaf ◀── between               clients that trust the issuer of `between`
//! ```

use std::cmp::Reverse;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::chain::{Chain, Facts, check_dates, public_roots, roots_of};
use crate::clock::Instant;
use crate::limits;

/// When clients accept a chain, and what they object to.
pub(super) struct Judgement {
    /// For each certificate, when a client accepts the chain if it trusts that certificate's
    /// issuer, or the certificate itself if it is a root.
    pub(super) accepted: Vec<Vec<Window>>,
    /// When cloud services, which trust the public authorities, accept the chain.
    pub(super) public: Vec<Window>,
    pub(super) objections: Vec<Objection>,
}

/// A period in which a client accepts a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: Instant,
    /// The first moment after the period.
    until: Instant,
}

impl Window {
    /// Whether `now` is within the period.
    pub fn holds(self, now: Instant) -> bool {
        self.from <= now && now < self.until
    }

    /// The end of the period.
    pub fn until(self) -> Instant {
        self.until
    }
}

/// What makes clients refuse a chain.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Objection {
    /// All clients refuse it, or all except those that have some authority of their own.
    #[error("{0}")]
    Refused(String),
    /// Clients that do not have the leaf's issuer refuse it.
    #[error(
        "it holds one certificate without its issuer: clients want the full chain, the leaf \
             first"
    )]
    Incomplete,
    /// Clients that ask for the host of the base URL refuse it.
    #[error("{0}")]
    Elsewhere(Elsewhere),
}

impl Objection {
    /// Whether the other objection is about the same fault.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether it applies to clients no matter what they trust and which host they ask for.
    pub(super) fn is_of_everybody(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// The leaf has these names, but not the host of the base URL.
#[derive(Clone, Debug, thiserror::Error)]
#[error("it {} not for {host}, the host of the base URL: clients will refuse it", self.what())]
pub struct Elsewhere {
    /// The names in the leaf.
    pub names: Vec<String>,
    /// The host of the base URL.
    pub host: String,
}

impl Elsewhere {
    fn what(&self) -> String {
        if self.names.is_empty() {
            return "names no host (it has no subjectAltName), so it is".to_owned();
        }
        format!("is for {},", self.names.join(", "))
    }
}

/// A certificate in the chain that may lead from the leaf to what clients trust.
struct Above<'a> {
    /// Its position in the chain.
    at: usize,
    certificate: &'a CertificateDer<'static>,
    facts: Facts,
    /// How many authorities are between the leaf and this one.
    depth: u32,
}

impl Above<'_> {
    /// Checks that a client that does not already have this certificate would use it. A root always
    /// passes: clients use their own copy, which may have other dates.
    fn check(&self, now: Instant) -> Result<(), String> {
        if self.facts.is_self_issued() {
            return Ok(());
        }
        if !self.facts.is_authority {
            return Err("one of its certificates is not a CA's".to_owned());
        }
        if !self.facts.is_for_servers {
            return Err(
                "an authority in it may not issue for servers (extendedKeyUsage)".to_owned(),
            );
        }
        check_dates(self.facts.not_before, self.facts.not_after, now)
            .map_err(|why| format!("of an authority in it: {why}"))
    }

    fn has_issued(&self, other: &Self) -> bool {
        self.facts.subject == other.facts.issuer && self.at != other.at
    }
}

/// The paths from a leaf up to what clients may trust.
pub(super) struct Ways<'a> {
    chain: &'a Chain,
    /// The authorities above the leaf, in the order of the chain.
    above: Vec<Above<'a>>,
    /// Whether the chain consists only of the leaf.
    is_alone: bool,
    /// Whether one of the certificates cannot be parsed.
    is_damaged: bool,
}

impl<'a> Ways<'a> {
    pub(super) fn of(chain: &'a Chain) -> Self {
        let mut known: Vec<&CertificateDer<'static>> = Vec::new();
        let (mut rest, mut is_damaged) = (Vec::new(), false);
        for (at, certificate) in chain.key.cert.iter().enumerate() {
            if known.contains(&certificate) {
                continue;
            }
            known.push(certificate);
            match Facts::of(certificate) {
                Ok(facts) if at > 0 => rest.push(Above {
                    at,
                    certificate,
                    facts,
                    depth: 0,
                }),
                Ok(_) => {}
                Err(_) => is_damaged = true,
            }
        }
        // Search level by level, so that each authority gets its least depth.
        let (mut above, mut level) = (Vec::new(), vec![chain.leaf.issuer.clone()]);
        for depth in 0.. {
            let is_next = |it: &mut Above<'_>| level.contains(&it.facts.subject);
            let found: Vec<Above<'_>> = rest.extract_if(.., is_next).collect();
            if found.is_empty() {
                break;
            }
            level = found.iter().map(|it| it.facts.issuer.clone()).collect();
            above.extend(found.into_iter().map(|it| Above { depth, ..it }));
        }
        // If there are too many, drop those that end first: clients need them least.
        above.sort_by_key(|it| Reverse(it.facts.not_after));
        above.truncate(limits::CHAIN_AUTHORITIES_MAX);
        above.sort_by_key(|it| it.at);
        Self {
            chain,
            above,
            is_alone: known.len() == 1,
            is_damaged,
        }
    }

    /// How clients that ask for `host` judge the chain. If `now` is outside the leaf's dates, the
    /// objections are those at the nearest moment within them: what clients will object to once the
    /// clock is right.
    pub(super) fn judge(&self, host: Option<&str>, now: Instant) -> Judgement {
        let leaf = &self.chain.leaf;
        let at = now
            .min(leaf.not_after.plus_seconds(-1))
            .max(leaf.not_before);
        let (accepted, public) = (self.accepted(), self.public());
        let mut objections = Vec::new();
        let mut windows = accepted.iter().flatten().chain(&public);
        if !windows.any(|it| it.holds(at)) {
            objections.push(Objection::Refused(self.why_refused(at)));
        } else if self.is_alone && !self.is_self_signed() {
            objections.push(Objection::Incomplete);
        }
        match host {
            Some(host) if !self.chain.covers(host) => {
                objections.push(Objection::Elsewhere(Elsewhere {
                    names: leaf.names.clone(),
                    host: host.to_owned(),
                }));
            }
            None if leaf.names.is_empty() => {
                objections.push(Objection::Refused("it names no host".to_owned()));
            }
            _ => {}
        }
        Judgement {
            accepted,
            public,
            objections,
        }
    }

    fn accepted(&self) -> Vec<Vec<Window>> {
        let mut accepted = vec![Vec::new(); self.chain.key.cert.len()];
        for one in &self.above {
            accepted[one.at] = self.windows(|at| {
                self.check_last(one, at)?;
                self.verify_up_to(one, at)
            });
        }
        // The chain has nothing above the leaf, so clients must trust the leaf's issuer or the leaf
        // itself.
        if self.is_alone || self.is_self_signed() {
            accepted[0] = self.windows(|_| Ok(()));
        }
        accepted
    }

    fn is_self_signed(&self) -> bool {
        self.chain.leaf.is_self_issued() && self.above.is_empty()
    }

    fn public(&self) -> Vec<Window> {
        let roots = public_roots();
        self.windows(|at| self.verify(&roots, at))
    }

    /// The periods in which `check` accepts the chain. The result can change only when a
    /// certificate begins or ends.
    fn windows(&self, check: impl Fn(Instant) -> Result<(), String>) -> Vec<Window> {
        let leaf = &self.chain.leaf;
        if self.is_damaged || !leaf.is_for_servers {
            return Vec::new();
        }
        let facts = self.above.iter().map(|it| &it.facts).chain([leaf]);
        let mut turns: Vec<Instant> = facts.flat_map(|it| [it.not_before, it.not_after]).collect();
        turns.sort_unstable();
        let mut windows: Vec<Window> = Vec::new();
        for turn in turns.windows(2) {
            let (from, until) = (turn[0], turn[1]);
            // Check a second later, since the library still accepts a certificate at the very
            // moment it ends.
            let is_in_leaf = leaf.not_before <= from && until <= leaf.not_after;
            if from == until || !is_in_leaf || check(from.plus_seconds(1)).is_err() {
                continue;
            }
            match windows.last_mut() {
                Some(last) if last.until == from => last.until = until,
                _ => windows.push(Window { from, until }),
            }
        }
        windows
    }

    /// Checks whether `one` may be the last certificate that a client lacks, so that the client
    /// trusts its issuer. It may not be if the chain goes on to another authority that clients can
    /// use.
    fn check_last(&self, one: &Above<'_>, now: Instant) -> Result<(), String> {
        one.check(now)?;
        // Verify as well, since a certificate with the issuer's name may have another key.
        let goes_on = self.above.iter().any(|other| {
            !other.facts.is_self_issued()
                && other.has_issued(one)
                && other.check(now).is_ok()
                && self.verify_up_to(other, now).is_ok()
        });
        // The verifier does not check the path length of `one`, which it treats as trusted.
        let is_too_deep = one.facts.path_length.is_some_and(|most| one.depth > most);
        if goes_on || is_too_deep && !one.facts.is_self_issued() {
            return Err("its certificates do not belong together".to_owned());
        }
        Ok(())
    }

    /// Checks that a client that trusts this authority accepts the leaf.
    fn verify_up_to(&self, last: &Above<'_>, now: Instant) -> Result<(), String> {
        self.verify(&roots_of(last.certificate)?, now)
    }

    fn verify(&self, roots: &RootCertStore, now: Instant) -> Result<(), String> {
        let between: Vec<_> = self.above.iter().map(|it| it.certificate.clone()).collect();
        self.chain.verify(&between, roots, now)
    }

    /// Why no client accepts the chain now.
    fn why_refused(&self, now: Instant) -> String {
        let why = if self.is_damaged {
            "one of its certificates cannot be read".to_owned()
        } else if !self.chain.leaf.is_for_servers {
            "its first certificate may not be a server's (extendedKeyUsage)".to_owned()
        } else if let Some(last) = self.above.last() {
            let checks = self.above.iter().map(|it| it.check(now));
            let why = checks
                .chain([self.verify_up_to(last, now)])
                .find_map(Result::err);
            why.unwrap_or_else(|| "its certificates do not belong together".to_owned())
        } else {
            "its first certificate is followed by others, but not by its issuer (by its name, \
             compared byte by byte)"
                .to_owned()
        };
        format!("clients would not accept the chain: {why}")
    }

    /// Checks that each certificate is the issuer of one before it.
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
