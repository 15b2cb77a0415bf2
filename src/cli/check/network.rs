//! The way from outside: the name in the base URL, the port, the certificate as a client
//! sees it.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};

use serde_json::Value;

use super::{Failure, Findings};
use crate::certificate::Leaf;
use crate::cli::output::text_of;
use crate::clock::{Clock, SystemClock};
use crate::config::BaseUrl;
use crate::idp::client::{Client, Error};
use crate::limits;

/// A client that has reached the network door, if one can.
pub(super) fn reach(
    installation: &Value,
    findings: &mut Findings,
) -> Result<Option<Client>, Failure> {
    let text = text_of(installation, "baseUrl");
    let url = match BaseUrl::parse(&text) {
        Ok(url) => url,
        Err(what) => {
            findings.fail("name", &format!("{text}: {what}"), SET_BASE_URL)?;
            return Ok(None);
        }
    };
    let Some(addresses) = name(&url, findings)? else {
        return Ok(None);
    };
    if !port(
        &url,
        &addresses,
        &text_of(installation, "listens"),
        findings,
    )? {
        return Ok(None);
    }
    certificate(installation, &url, findings)
}

const SET_BASE_URL: &str = "set base_url in the configuration to the name under which the identity provider finds this machine, such as https://scim.example.com, and restart";

/// Whether the base URL's host leads anywhere, and to where.
fn name(url: &BaseUrl, findings: &mut Findings) -> Result<Option<Vec<SocketAddr>>, Failure> {
    let host = url.host();
    if host.contains('_') {
        let what = format!("{host} holds an underscore: Okta refuses such base URLs");
        findings.fail("name", &what, SET_BASE_URL)?;
    }
    let addresses = match (host, url.port()).to_socket_addrs() {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(error) => {
            findings.fail(
                "name",
                &format!("{host} has no address: {error}"),
                SET_BASE_URL,
            )?;
            return Ok(None);
        }
    };
    if addresses
        .iter()
        .all(|address| address.ip().to_canonical().is_loopback())
    {
        let what = format!("{host} leads to this machine from itself alone");
        findings.warn("name", &what, SET_BASE_URL)?;
    } else if host.parse::<IpAddr>().is_err() && !host.contains('.') {
        let what = format!("{host} is a name of this network: no cloud finds it");
        findings.warn("name", &what, SET_BASE_URL)?;
    } else {
        let first = addresses.first().map(|address| address.ip().to_string());
        let first = first.unwrap_or_default();
        findings.pass("name", &format!("{url}: {host} is {first}"))?;
    }
    Ok(Some(addresses))
}

/// Whether somebody listens where the base URL leads.
fn port(
    url: &BaseUrl,
    addresses: &[SocketAddr],
    listens: &str,
    findings: &mut Findings,
) -> Result<bool, Failure> {
    let wait = limits::CLIENT_CONNECT_DURATION_MAX;
    let mut failure = None;
    for address in addresses {
        match TcpStream::connect_timeout(address, wait) {
            Ok(_) => {
                findings.pass("port", &format!("{address} is open"))?;
                return Ok(true);
            }
            Err(error) => failure = Some(format!("{address}: {error}")),
        }
    }
    let failure = failure.unwrap_or_else(|| "the name has no address".to_owned());
    let listening: Option<SocketAddr> = listens.parse().ok();
    let mend = match listening {
        Some(at) if at.port() != url.port() => format!(
            "lead port {} of {} to {at} (firewall or proxy), or set base_url to https://{}:{} and restart",
            url.port(),
            url.host(),
            url.host(),
            at.port()
        ),
        _ => format!(
            "let the firewall of this machine, and those before it, pass port {}",
            url.port()
        ),
    };
    let what = format!("the server listens at {listens}, but {failure}");
    findings.fail("port", &what, &mend)?;
    Ok(false)
}

/// Who would accept what is shown, and for how long.
fn certificate(
    installation: &Value,
    url: &BaseUrl,
    findings: &mut Findings,
) -> Result<Option<Client>, Failure> {
    const TOPIC: &str = "certificate";
    let (client, shown, is_public) = match shown_to(Client::of_a_cloud(url.as_str())) {
        Ok((client, shown)) => (client, shown, true),
        Err(Error::Handshake(_)) => match shown_to(who_trusts_its_top(installation, url)) {
            Ok((client, shown)) => (client, shown, false),
            Err(error) => {
                let mend = mend(installation, url, findings);
                findings.fail(TOPIC, &format!("no client accepts it: {error}"), &mend)?;
                return Ok(None);
            }
        },
        Err(error) => {
            let mend = "look at the server's log, and at what stands before it";
            findings.fail(TOPIC, &error.to_string(), mend)?;
            return Ok(None);
        }
    };
    let Some(Ok(leaf)) = shown.first().map(|leaf| Leaf::read(leaf)) else {
        findings.fail(
            TOPIC,
            "it cannot be read",
            &mend(installation, url, findings),
        )?;
        return Ok(Some(client));
    };
    let days = SystemClock.now().days_until(leaf.not_after);
    if is_public {
        findings.pass(TOPIC, &format!("clouds accept it; it ends in {days} days"))?;
    } else {
        let issuer = top(installation).map_or_else(String::new, |top| text_of(top, "issuer"));
        let what =
            format!("it ends in {days} days; no cloud accepts it, but whoever trusts \"{issuer}\"");
        let mend = findings.command("manual certificates");
        findings.warn(TOPIC, &what, &mend)?;
    }
    Ok(Some(client))
}

fn shown_to(client: Result<Client, Error>) -> Result<(Client, Vec<Vec<u8>>), Error> {
    let mut client = client?;
    let shown = client.peer_certificates()?;
    Ok((client, shown))
}

/// The certificate at the upper end of the chain that is served.
fn top(installation: &Value) -> Option<&Value> {
    installation["certificate"]["chain"].as_array()?.last()
}

/// A client that was given the authority of a private certificate.
fn who_trusts_its_top(installation: &Value, url: &BaseUrl) -> Result<Client, Error> {
    let private = text_of(&installation["authority"], "path");
    let pem = if private.is_empty() {
        let der = top(installation)
            .map(|top| text_of(top, "der"))
            .unwrap_or_default();
        format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n").into_bytes()
    } else {
        std::fs::read(private).map_err(|_| Error::Authority)?
    };
    Client::new(url.as_str(), &pem)
}

fn mend(installation: &Value, url: &BaseUrl, findings: &Findings) -> String {
    let files = installation["certificateFiles"].as_array();
    match files.map(|files| files.iter().filter_map(Value::as_str).collect::<Vec<_>>()) {
        Some(files) => format!(
            "put the full chain for {} and its key into {}",
            url.host(),
            files.join(" and ")
        ),
        None => findings.command("cert install CHAIN.pem --key KEY.pem"),
    }
}
