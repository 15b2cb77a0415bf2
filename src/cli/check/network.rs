//! The way from outside: the name in the base URL, the port, the certificate as a client
//! sees it.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;

use serde_json::Value;

use super::{Failure, Findings};
use crate::certificate::{self, Leaf};
use crate::cli::output::text_of;
use crate::clock::{Clock, SystemClock};
use crate::config::BaseUrl;
use crate::idp::client::{Client, Error};
use crate::limits;

/// A client that has reached the network door, if one can.
pub(super) fn reach(
    data_dir: &Path,
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
    certificate(data_dir, &url, findings)
}

const SET_BASE_URL: &str = "set base_url in the configuration to the name under which the identity provider finds this machine, such as https://scim.example.com, and restart";

/// Whether the base URL's host leads anywhere, and to where.
fn name(url: &BaseUrl, findings: &mut Findings) -> Result<Option<Vec<SocketAddr>>, Failure> {
    let host = url.host();
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
    if host.contains('_') {
        let what = format!("{host} holds an underscore: Okta refuses such base URLs");
        findings.fail("name", &what, SET_BASE_URL)?;
    } else if addresses
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
        findings.pass("name", &format!("{host} is {}", first.unwrap_or_default()))?;
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
    data_dir: &Path,
    url: &BaseUrl,
    findings: &mut Findings,
) -> Result<Option<Client>, Failure> {
    const TOPIC: &str = "certificate";
    let (client, shown, who) = match shown_to(Client::of_a_cloud(url.as_str())) {
        Ok((client, shown)) => (client, shown, "everybody, clouds too"),
        Err(Error::Handshake(why)) => match shown_to(private(data_dir, url)) {
            Ok((client, shown)) => (client, shown, "whoever trusts the private CA"),
            Err(again) => {
                let why = if is_private(data_dir) {
                    again.to_string()
                } else {
                    why.to_string()
                };
                let mend = findings.command("cert install CHAIN.pem --key KEY.pem");
                findings.fail(TOPIC, &format!("no client accepts it: {why}"), &mend)?;
                return Ok(None);
            }
        },
        Err(error) => {
            findings.fail(TOPIC, &error.to_string(), &super::server::start(findings))?;
            return Ok(None);
        }
    };
    let leaf = shown.first().map(|leaf| Leaf::read(leaf));
    let Some(Ok(leaf)) = leaf else {
        findings.fail(TOPIC, "it cannot be read", "golinks-scim cert show")?;
        return Ok(Some(client));
    };
    let days = SystemClock.now().days_until(leaf.not_after);
    let told = format!("{who} accept it; it ends in {days} days");
    if who.starts_with("everybody") {
        findings.pass(TOPIC, &told)?;
    } else {
        let mend = "nothing for Okta's agent; for a cloud: golinks-scim manual certificates";
        findings.warn(TOPIC, &told, mend)?;
    }
    Ok(Some(client))
}

fn shown_to(client: Result<Client, Error>) -> Result<(Client, Vec<Vec<u8>>), Error> {
    let mut client = client?;
    let shown = client.peer_certificates()?;
    Ok((client, shown))
}

fn private(data_dir: &Path, url: &BaseUrl) -> Result<Client, Error> {
    let path = certificate::directory(data_dir).join("ca.pem");
    let pem = std::fs::read(path).map_err(|_| Error::Authority)?;
    Client::new(url.as_str(), &pem)
}

fn is_private(data_dir: &Path) -> bool {
    certificate::directory(data_dir).join("ca.pem").exists()
}
