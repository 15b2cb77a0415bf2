//! Checks who answers where the base URL leads, and who would accept the certificate shown there. A
//! temporary token is sent only to a server that is vouched for by public authorities, our own, or
//! those that the command's user named: anybody can show a chain that is valid in itself.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{ExtraAuthorities, Findings, Halt, command};
use crate::certificate::{end_of, issuer_of};
use crate::cli::output::{elements, text_of};
use crate::clock::{Clock, Instant, SystemClock};
use crate::config::BaseUrl;
use crate::idp::client::{Client, Error};
use crate::idp::peer_probe::{PeerAnswer, probe};
use crate::limits;

const TOPIC: &str = "certificate";

/// A client that has accepted the certificate shown, and whether a cloud service would accept it;
/// `way` is how to make the base URL lead to the server.
pub(super) fn certificate(
    installation: &Value,
    url: &BaseUrl,
    extra: Option<&ExtraAuthorities>,
    way: &str,
    findings: &mut Findings,
) -> Result<Option<(Client, bool)>, Halt> {
    let shown = match probe(url.as_str()) {
        Ok(PeerAnswer::Certificates(shown)) => shown,
        Ok(PeerAnswer::NoTls) => {
            let what = format!("what answers at {} does not speak TLS", place(url));
            findings.fail(TOPIC, &what, way)?;
            return Ok(None);
        }
        Err(error) => {
            let fix = "check the server's log, and any proxy in front of the server";
            findings.fail(TOPIC, &error.to_string(), fix)?;
            return Ok(None);
        }
    };
    let leaf = shown.first().map_or(&[][..], Vec::as_slice);
    let is_ours = is_served(installation, leaf);
    match accepting(installation, url, extra) {
        Ok((mut client, by)) => {
            client.set_patience(limits::CHECKED_SERVER_SILENCE_MAX);
            accepted(&by, leaf, is_ours, findings)?;
            Ok(Some((client, by == AcceptedBy::Clouds)))
        }
        Err(error) if is_ours => {
            let fix = fix(installation, url);
            findings.fail(TOPIC, &format!("clients refuse it: {error}"), &fix)?;
            Ok(None)
        }
        Err(error) => {
            let (what, fix) = foreign(&error, &shown, extra, url, way);
            findings.fail(TOPIC, &what, &fix)?;
            Ok(None)
        }
    }
}

/// What answers in the server's place, with a certificate that clients refuse, and what to do about
/// it; `lead` is how to make the base URL lead to the server.
fn foreign(
    error: &Error,
    shown: &[Vec<u8>],
    extra: Option<&ExtraAuthorities>,
    url: &BaseUrl,
    lead: &str,
) -> (String, String) {
    let place = place(url);
    let answers = format!("something else answers at {place}, with a certificate");
    let refused = format!("{answers} that clients refuse: {error}");
    if !error.is_of_unknown_authority() {
        return (refused, lead.to_owned());
    }
    let Some(extra) = extra else {
        let check = command("check --ca CA.pem");
        let fix = format!(
            "if a proxy answers with a certificate of your own CA: {check}; otherwise {lead}"
        );
        return (refused, fix);
    };
    let issuer = shown.last().and_then(|last| issuer_of(last));
    let issuer = issuer.unwrap_or_else(|| "another CA".to_owned());
    let file = crate::cli::quoted(&extra.file);
    let what = format!("{answers} not issued by the CA in {file}, but by \"{issuer}\"");
    let fix = format!(
        "if a proxy answers with a certificate of \"{issuer}\", it may be leaving out the \
         intermediate certificate of \"{issuer}\": make it send the full chain, or name that CA's \
         file in place of {file}; otherwise {lead}"
    );
    (what, fix)
}

fn place(url: &BaseUrl) -> String {
    format!("{}:{}", url.written_host(), url.port())
}

/// Whether `leaf` is the certificate that this server currently serves.
fn is_served(installation: &Value, leaf: &[u8]) -> bool {
    let chain = installation["certificate"]["chain"].as_array();
    chain
        .and_then(|chain| chain.first())
        .is_some_and(|served| text_of(served, "der") == STANDARD.encode(leaf))
}

/// Which clients accept the certificate shown.
#[derive(PartialEq, Eq)]
enum AcceptedBy {
    Clouds,
    /// Clients that trust the authority of the served chain; the text names it.
    Trust(String),
    /// Clients that trust the authorities in this file.
    Extra(String),
}

/// A client that accepts the certificate: preferably one like a cloud service's, then one that
/// trusts the server's own authority, then one that trusts the authorities that the command's user
/// named.
fn accepting(
    installation: &Value,
    url: &BaseUrl,
    extra: Option<&ExtraAuthorities>,
) -> Result<(Client, AcceptedBy), Error> {
    let shaken = |client: Result<Client, Error>| {
        let mut client = client?;
        client.peer_certificates()?;
        Ok(client)
    };
    match shaken(Client::of_a_cloud(url.as_str())) {
        Ok(client) => return Ok((client, AcceptedBy::Clouds)),
        Err(Error::Handshake(_)) => {}
        Err(error) => return Err(error),
    }
    let mut why = None;
    for one in ways_up(installation).rev() {
        match shaken(who_trusts(one, url)) {
            Ok(client) => {
                let trusting = trusting(one, SystemClock.now());
                return Ok((client, AcceptedBy::Trust(trusting)));
            }
            Err(error @ (Error::Handshake(_) | Error::Authority)) => why = Some(error),
            Err(error) => return Err(error),
        }
    }
    let Some(extra) = extra else {
        return Err(why.unwrap_or_else(|| refused(installation, url)));
    };
    let client = shaken(Client::new(url.as_str(), &extra.pem))?;
    let file = crate::cli::quoted(&extra.file);
    Ok((client, AcceptedBy::Extra(file)))
}

/// Reports which clients accept the certificate, and for how long.
fn accepted(
    by: &AcceptedBy,
    leaf: &[u8],
    is_ours: bool,
    findings: &mut Findings,
) -> Result<(), Halt> {
    let end = match end_of(leaf) {
        Ok(end) => format!("it ends {}", SystemClock.now().words_until(end)),
        Err(why) => format!("its end date cannot be read: {why}"),
    };
    // Right after a renewal, the server's own certificate may differ from the one it reported.
    let whose = if is_ours || matches!(by, AcceptedBy::Trust(_)) {
        ""
    } else {
        " (not this server's own: a proxy answers)"
    };
    let trusting = match by {
        AcceptedBy::Clouds => {
            return findings.pass(TOPIC, &format!("clouds accept it; {end}{whose}"));
        }
        AcceptedBy::Trust(trusting) => trusting.clone(),
        AcceptedBy::Extra(file) => format!("the CA of {file}"),
    };
    let what = format!("{end}; no cloud accepts it, only clients that trust {trusting}{whose}");
    let fix = "golinks-scim manual certificates";
    findings.warn(TOPIC, &what, fix)
}

/// What a client must trust to accept the chain by way of this certificate. Our own client trusts a
/// root that has expired, but most others do not.
fn trusting(last: &Value, now: Instant) -> String {
    let [issuer, ends] = ["issuer", "notAfter"].map(|it| text_of(last, it));
    match Instant::parse(&ends) {
        Some(ends) if ends <= now => {
            format!("a newer \"{issuer}\" than that of the chain, which ended at {ends:.0}")
        }
        _ => format!("\"{issuer}\""),
    }
}

/// The certificates in the served chain by which clients may accept it: they trust the
/// certificate's issuer, or the certificate itself if it is a root.
fn ways_up(installation: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    let chain = elements(&installation["certificate"]["chain"]).iter();
    chain.filter(|link| link["isAccepted"] == true)
}

/// Why a client that trusts the last certificate of the served chain refuses the chain. This may
/// say more than that nothing leads up to a trusted authority.
fn refused(installation: &Value, url: &BaseUrl) -> Error {
    let chain = elements(&installation["certificate"]["chain"]);
    let last = chain.last().unwrap_or(&Value::Null);
    let asked = who_trusts(last, url).and_then(|mut client| client.peer_certificates());
    asked.err().unwrap_or_else(|| {
        let what = "nothing in its chain leads to an authority that clients can trust: an \
                    authority in it is missing, has ended, or is none";
        Error::Handshake(io::Error::other(what))
    })
}

/// A client that trusts this certificate of the served chain.
fn who_trusts(link: &Value, url: &BaseUrl) -> Result<Client, Error> {
    let der = text_of(link, "der");
    let pem = format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n");
    Client::new(url.as_str(), pem.as_bytes())
}

fn fix(installation: &Value, url: &BaseUrl) -> String {
    let files = installation["certificateFiles"].as_array();
    match files.map(|files| files.iter().filter_map(Value::as_str).collect::<Vec<_>>()) {
        Some(files) => format!(
            "put the full chain for {} and its key into {}",
            url.host(),
            files.join(" and ")
        ),
        // A private CA renews its leaf by itself, unless the CA has expired or the clock is wrong.
        None if !installation["authority"].is_null() => command("manual certificates"),
        None => command("cert install CHAIN.pem --key KEY.pem"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nobody_is_said_to_trust_what_has_ended() {
        let now = Instant::parse("2026-11-25T08:30:00Z").expect("a time");
        for (ends, wanted) in [
            ("2026-11-25T08:30:01.000Z", "\"Root\""),
            (
                "2026-11-25T08:30:00.000Z",
                "a newer \"Root\" than that of the chain, which ended at 2026-11-25T08:30:00Z",
            ),
        ] {
            let root = json!({"issuer": "Root", "notAfter": ends});
            assert_eq!(trusting(&root, now), wanted);
        }
    }
}
