//! The URL at which identity providers find the server: parses it and warns about forms that seldom
//! work.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// How a base URL begins; upper and lower case count as the same (RFC 3986 section 3.1).
const SCHEME: &str = "https://";

/// The path that is appended to a base URL without a path.
const DEFAULT_PATH: &str = "/scim/v2";

/// The URL to be entered at the identity provider, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    host: String,
    port: u16,
    path: String,
}

impl BaseUrl {
    /// Parses `https://HOST[:PORT][/PATH]`; without a path, `/scim/v2` is appended. If the path
    /// ends differently ([`Self::has_other_end`]), a proxy must map it to this server's path. The
    /// error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = Parts::of(text.trim())?;
        let path = match parts.path {
            "" => DEFAULT_PATH,
            path => path,
        };
        Ok(Self {
            text: format!("{SCHEME}{}{path}", parts.authority),
            host: parts.host.to_owned(),
            port: parts.port,
            path: path.to_owned(),
        })
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether its path does not end in `/scim/v2`, where this server answers.
    pub fn has_other_end(&self) -> bool {
        !self.path.ends_with(DEFAULT_PATH)
    }

    /// Warnings about forms that are valid but seldom work.
    pub fn oddities(&self) -> Vec<String> {
        let mut odd = Vec::new();
        if self.host.contains('_') {
            odd.push(format!(
                "the host {} contains an underscore: Okta refuses such base URLs",
                self.host
            ));
        }
        if self.has_other_end() {
            odd.push(format!(
                "the base URL {self} does not end in /scim/v2: nothing answers there, unless a \
                 proxy forwards it to /scim/v2 here; without a path, /scim/v2 is appended"
            ));
        }
        odd
    }

    /// The port; 443 if the URL names none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host; an IPv6 address is without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as written in a URL; an IPv6 address is in brackets.
    pub fn written_host(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The parts of `https://HOST[:PORT][/PATH]`.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Host and port as written.
    pub authority: &'a str,
    /// The host; an IPv6 address is without its brackets.
    pub host: &'a str,
    /// The port; 443 if none is named.
    pub port: u16,
    /// The path: empty, or with a slash at its beginning and none at its end.
    pub path: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits a URL into its parts. The error says what is wrong with it.
    pub fn of(url: &'a str) -> Result<Self, String> {
        let (scheme, rest) = url.split_at_checked(SCHEME.len()).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(format!("the base URL must begin with {SCHEME}"));
        }
        let plain = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
        if !rest.chars().all(plain) {
            return Err("the base URL holds a character that URLs do not have".to_owned());
        }
        if rest.contains(['?', '#', '@']) {
            return Err("the base URL must have no query, fragment or user name".to_owned());
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (host, port) = host_and_port(authority)?;
        Ok(Self {
            authority,
            host,
            port,
            path: path.trim_end_matches('/'),
        })
    }
}

/// The host and port of `HOST[:PORT]`: an IPv6 address is without its brackets, and the port is 443
/// if none is named.
fn host_and_port(authority: &str) -> Result<(&str, u16), String> {
    let (host, rest) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed
            .split_once(']')
            .ok_or("the IPv6 address in the base URL has no closing bracket")?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err("what stands in brackets in the base URL is no IPv6 address".to_owned());
        }
        (host, rest)
    } else {
        authority.split_at(authority.find(':').unwrap_or(authority.len()))
    };
    if host.is_empty() {
        return Err("the base URL has no host".to_owned());
    }
    if !is_name(host) && host.parse::<IpAddr>().is_err() {
        return Err(format!(
            "{host} in the base URL is neither a name nor a whole address"
        ));
    }
    let port = match rest.strip_prefix(':') {
        // Rust would also parse +1 as a number.
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().ok().filter(|port| *port != 0)
        }
        None if rest.is_empty() => Some(443),
        _ => None,
    };
    let port = port.ok_or("the port in the base URL is not a number from 1 to 65535")?;
    Ok((host, port))
}

/// Whether this is a host name (RFC 1123 section 2.1), or one with underscores, which DNS also
/// allows. A name that ends with a number is not: systems read 127.1 as 127.0.0.1, and no
/// certificate can be issued for it.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let of_label = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=63).contains(&label.len())
            && label.bytes().all(of_label)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    host.len() <= 253 && host.split('.').all(is_label) && !is_number
}

/// Endings of names in local networks, which never appear in the public DNS.
const LOCAL_ENDS: [&str; 12] = [
    "local",
    "localdomain",
    "localhost",
    "internal",
    "intranet",
    "lan",
    "corp",
    "home",
    "private",
    "home.arpa",
    "test",
    "invalid",
];

/// Whether this host may be known to the whole internet.
pub fn is_public(host: &str) -> bool {
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => {
            // Address space shared by carriers (RFC 6598).
            let is_shared = address.octets()[0] == 100 && address.octets()[1] & 0xC0 == 64;
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_private()
                || address.is_link_local()
                || is_shared)
        }
        Ok(IpAddr::V6(address)) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
        Err(_) => {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            let is_local = |end: &&str| {
                host.strip_suffix(*end)
                    .is_some_and(|rest| rest.ends_with('.'))
            };
            host.contains('.') && !LOCAL_ENDS.iter().any(is_local)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_everybody_finds() {
        for host in [
            "scim.example.com",
            "203.0.113.7",
            "2001:db8::1",
            "a.localhost.com",
        ] {
            assert!(is_public(host), "{host}");
        }
        for host in [
            "localhost",
            "scim",
            "scim.local",
            "SCIM.Internal.",
            "a.home.arpa",
            "scim.acme.corp",
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "0.0.0.0",
            "",
        ] {
            assert!(!is_public(host), "{host}");
        }
    }

    #[test]
    fn base_urls() {
        for (text, wanted, host, port, has_other_end) in [
            ("https://a.com", "a.com/scim/v2", "a.com", 443, false),
            ("https://h:8443/", "h:8443/scim/v2", "h", 8443, false),
            (" https://h/scim/v2/", "h/scim/v2", "h", 443, false),
            ("https://h/x/scim/v2", "h/x/scim/v2", "h", 443, false),
            ("https://[::1]", "[::1]/scim/v2", "::1", 443, false),
            ("https://[::1]:1", "[::1]:1/scim/v2", "::1", 1, false),
            ("https://10.0.0.1:1/x", "10.0.0.1:1/x", "10.0.0.1", 1, true),
            ("https://scim/v2", "scim/v2", "scim", 443, true),
            // RFC 3986 section 3.1.
            ("HTTPS://a.com", "a.com/scim/v2", "a.com", 443, false),
            ("Https://h:1/X", "h:1/X", "h", 1, true),
        ] {
            let url = BaseUrl::parse(text).expect(text);
            assert_eq!(url.as_str(), format!("https://{wanted}"));
            let found = (url.host(), url.port(), url.has_other_end());
            assert_eq!(found, (host, port, has_other_end), "{text}");
        }
        for bad in [
            "http://h",
            "h",
            "",
            "https://",
            "HTTP://h",
            "https:/é/h",
            "https://:1",
            "https://h:x",
            "https://u@h",
            "https://h?x",
            "https://h/#a",
            "https://h/ a",
            "https://h/\r\nX: y",
            "https://[::1",
            "https://h:99999",
            "https://h:0",
            "https://h:+1",
            "https://h:",
            "https://[::1]junk",
            "https://[::1]junk:9/x",
            "https://[abc]:1",
            "https://127.1",
            "https://*.example.com",
            "https://a..b",
            "https://-a.com",
            "https://h%41",
            "https://h.",
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
        let label = |length| format!("https://{}.com", "a".repeat(length));
        assert!(BaseUrl::parse(&label(63)).is_ok() && BaseUrl::parse(&label(64)).is_err());
    }
}
