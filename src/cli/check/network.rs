//! Checks the path from outside: the name in the base URL, the port, and finally who can reach the
//! server. `peer` checks the certificate.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};

use serde_json::Value;

use super::{ExtraAuthorities, Findings, Halt, command, peer};
use crate::cli::output::text_of;
use crate::config::{BaseUrl, is_public};
use crate::idp::client::Client;
use crate::limits;

/// The HTTPS server, once it has been reached.
pub(super) struct Reached {
    pub(super) https: Client,
    /// How to make the base URL lead to the server, if it does not.
    pub(super) lead: String,
    /// Whether cloud services accept the certificate.
    is_certified: bool,
    from: Reachability,
}

/// From where the host of the base URL can be found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reachability {
    Anywhere,
    ThisNetwork,
    ThisMachine,
}

/// Connects to the HTTPS server. Returns `None` if it cannot be reached.
pub(super) fn reach(
    installation: &Value,
    extra: Option<&ExtraAuthorities>,
    findings: &mut Findings,
) -> Result<Option<Reached>, Halt> {
    let [url, listens] = ["baseUrl", "listens"].map(|name| text_of(installation, name));
    // Every server checks its own base URL, so a server that reports an invalid one is odd.
    let url = BaseUrl::parse(&url)
        .map_err(|what| Halt::UnexpectedAnswer(format!("its base URL is {url:?}: {what}")))?;
    let listens: SocketAddr = listens
        .parse()
        .map_err(|what| Halt::UnexpectedAnswer(format!("it listens at {listens:?}: {what}")))?;
    let Some((addresses, from)) = name(&url, listens, findings)? else {
        return Ok(None);
    };
    if !port(&url, &addresses, listens, findings)? {
        return Ok(None);
    }
    let lead = lead(&url, listens);
    let accepted = peer::certificate(installation, &url, extra, &lead, findings)?;
    Ok(accepted.map(|(https, is_certified)| Reached {
        https,
        lead,
        is_certified,
        from,
    }))
}

/// Reports whose requests can arrive.
pub(super) fn reachable_by(reached: &Reached, findings: &mut Findings) -> Result<(), Halt> {
    const TOPIC: &str = "reachable by";
    match (reached.from, reached.is_certified) {
        (Reachability::Anywhere, true) => {
            findings.pass(TOPIC, "clouds, and agents in this network")
        }
        (Reachability::ThisMachine, _) => {
            let what = "only programs on this machine, no identity provider";
            findings.warn(TOPIC, what, SET_BASE_URL)
        }
        (Reachability::Anywhere | Reachability::ThisNetwork, _) => {
            let what = "only agents in this network that trust the certificate, no cloud";
            let fix = format!(
                "use Okta's Provisioning Agent: {}; or give the server a public name and \
                 certificate",
                command("guide agent")
            );
            findings.warn(TOPIC, what, &fix)
        }
    }
}

const SET_BASE_URL: &str = "set base_url in the configuration to the name under which the identity provider finds this machine, such as https://scim.example.com, and restart";

/// Resolves the base URL's host: its addresses, and from where they can be reached.
fn name(
    url: &BaseUrl,
    listens: SocketAddr,
    findings: &mut Findings,
) -> Result<Option<(Vec<SocketAddr>, Reachability)>, Halt> {
    const TOPIC: &str = "name";
    let host = url.host();
    if host.contains('_') {
        let what = format!("{host} contains an underscore: Okta refuses such base URLs");
        findings.fail(TOPIC, &what, SET_BASE_URL)?;
    }
    let addresses = match (host, url.port()).to_socket_addrs() {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(error) => {
            let what = format!("{host} does not resolve: {error}");
            // No DNS server has a record for a single-word name or an mDNS name (RFC 6762 section
            // 3).
            let parts = host.rsplit_once('.');
            let has_record = parts.is_some_and(|(_, last)| !last.eq_ignore_ascii_case("local"));
            let record = if has_record && !host.contains('_') {
                format!("make a DNS record (A or AAAA) of {host} that leads to this machine, or ")
            } else {
                String::new()
            };
            let fix = format!("{record}{SET_BASE_URL}");
            findings.fail(TOPIC, &what, &fix)?;
            return Ok(None);
        }
    };
    let from = from(host, &addresses, listens);
    match from {
        Reachability::ThisMachine => {
            let what = format!("{host} leads to this machine only from the machine itself");
            findings.warn(TOPIC, &what, SET_BASE_URL)?;
        }
        Reachability::ThisNetwork => {
            let what = format!("{host} exists only in this network: no cloud can find it");
            findings.warn(TOPIC, &what, SET_BASE_URL)?;
        }
        Reachability::Anywhere => {
            let first = addresses.first().map(|address| address.ip().to_string());
            let first = first.unwrap_or_default();
            findings.pass(TOPIC, &format!("{url}: {host} is {first}"))?;
        }
    }
    Ok(Some((addresses, from)))
}

/// From where the host can be reached. A machine may resolve its own public name to a loopback
/// address: this says nothing about other machines, unless the server listens only there.
fn from(host: &str, addresses: &[SocketAddr], listens: SocketAddr) -> Reachability {
    let is_inner = |ip: IpAddr| ip.to_canonical().is_loopback() || ip.is_unspecified();
    let are_inner = addresses.iter().all(|address| is_inner(address.ip()));
    let listens_to_itself = listens.ip().to_canonical().is_loopback();
    if are_inner && (!is_public(host) || listens_to_itself) {
        Reachability::ThisMachine
    } else if is_public(host) {
        Reachability::Anywhere
    } else {
        Reachability::ThisNetwork
    }
}

/// Checks whether anything listens where the base URL leads.
fn port(
    url: &BaseUrl,
    addresses: &[SocketAddr],
    listens: SocketAddr,
    findings: &mut Findings,
) -> Result<bool, Halt> {
    let wait = limits::CLIENT_CONNECT_DURATION_MAX;
    let mut failure = None;
    for address in addresses {
        match TcpStream::connect_timeout(address, wait) {
            Ok(_) => {
                findings.pass("port", &format!("{address} is open"))?;
                return Ok(true);
            }
            Err(error) => failure = Some(format!("the base URL leads to {address}: {error}")),
        }
    }
    let failure = failure.unwrap_or_else(|| "the host of the base URL has no address".to_owned());
    let fix = fix_of_port(url, listens);
    let what = format!("the server listens at {listens}, but {failure}");
    findings.fail("port", &what, &fix)?;
    Ok(false)
}

/// How to let a connection through to where the server listens.
fn fix_of_port(url: &BaseUrl, listens: SocketAddr) -> String {
    let port = url.port();
    if listens.port() != port {
        lead(url, listens)
    } else if listens.ip().is_unspecified() {
        format!("open port {port} in the firewall of this machine and in any in front of it")
    } else {
        format!("listen at every address of the machine: set listen to [::]:{port} and restart")
    }
}

/// How to make the base URL lead to where the server listens.
fn lead(url: &BaseUrl, listens: SocketAddr) -> String {
    let (host, port) = (url.written_host(), url.port());
    if listens.port() == port {
        return format!(
            "make {host} point to this machine, or set base_url to a name that does, and restart"
        );
    }
    format!(
        "forward port {port} of {host} to {listens} (firewall or proxy), or set base_url to \
         https://{host}:{} and restart",
        listens.port()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_that_names_no_address_is_odd() {
        let installation = json!({"baseUrl": "https://localhost", "listens": "here"});
        let reached = reach(&installation, None, &mut Findings::new(None));
        assert!(matches!(reached, Err(Halt::UnexpectedAnswer(what)) if what.contains("\"here\"")));
    }

    #[test]
    fn who_finds_a_host_follows_from_its_name_and_addresses() {
        use Reachability::{Anywhere, ThisMachine, ThisNetwork};
        for (host, address, listens, wanted) in [
            ("a.example.com", "203.0.113.7", "[::]:443", Anywhere),
            ("a.example.com", "127.0.1.1", "[::]:443", Anywhere),
            ("a.example.com", "127.0.1.1", "127.0.0.1:443", ThisMachine),
            ("a.example.com", "203.0.113.7", "127.0.0.1:443", Anywhere),
            ("a.example.com", "10.0.0.7", "[::]:443", Anywhere),
            ("localhost", "127.0.0.1", "[::]:443", ThisMachine),
            ("0.0.0.0", "0.0.0.0", "0.0.0.0:443", ThisMachine),
            ("::1", "[::1]", "[::]:443", ThisMachine),
            ("scim", "10.0.0.7", "[::]:443", ThisNetwork),
            ("10.0.0.7", "10.0.0.7", "[::]:443", ThisNetwork),
        ] {
            let addresses = [format!("{address}:443").parse().expect("an address")];
            let listens = listens.parse().expect("an address");
            let found = from(host, &addresses, listens);
            assert!(found == wanted, "{host} {address} {listens}");
        }
    }

    #[test]
    fn a_port_that_is_closed_is_opened_where_it_is_closed() {
        let six = BaseUrl::parse("https://[::1]:8443").expect("a URL");
        let led = lead(&six, "[::1]:8444".parse().expect("an address"));
        assert!(led.contains("https://[::1]:8444 and"), "{led}");
        let url = BaseUrl::parse("https://scim.example.com:8443").expect("a URL");
        for (listens, words) in [
            ("[::]:8443", "firewall of this machine"),
            ("127.0.0.1:8443", "set listen to [::]:8443"),
            (
                "[::]:8444",
                "forward port 8443 of scim.example.com to [::]:8444",
            ),
        ] {
            let fix = fix_of_port(&url, listens.parse().expect("an address"));
            assert!(fix.contains(words), "{listens}: {fix}");
        }
    }

    #[test]
    fn who_can_come_is_what_name_and_certificate_allow() {
        use super::super::Outcome;
        for (from, is_certified, wanted) in [
            (Reachability::Anywhere, true, Outcome::Pass),
            (Reachability::Anywhere, false, Outcome::Warn),
            (Reachability::ThisNetwork, true, Outcome::Warn),
            (Reachability::ThisMachine, true, Outcome::Warn),
        ] {
            let https = Client::of_a_cloud("https://localhost").expect("a URL");
            let reached = Reached {
                https,
                lead: String::new(),
                is_certified,
                from,
            };
            let mut findings = Findings::new(None);
            assert!(reachable_by(&reached, &mut findings).is_ok());
            assert_eq!(findings.count(wanted), 1);
        }
    }
}
