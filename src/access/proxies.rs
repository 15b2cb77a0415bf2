//! Where a request comes from when reverse proxies are in between. A proxy appends the address of
//! its own client to `X-Forwarded-For`; anything to the left of that may be made up. So the list is
//! read from its right end, and only as far as each address that has appended to it is trusted.
//!
//! ```text
//! X-Forwarded-For: 10.9.9.9, 203.0.113.7, 192.0.2.20      peer 192.0.2.10
//!                  made up?  the client   ◀─ a proxy  ◀─────── a proxy
//! ```

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

/// The reverse proxies whose `X-Forwarded-For` is believed; by default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Option<Arc<[IpNet]>>);

impl TrustedProxies {
    /// The proxies in these networks.
    pub fn new(networks: &[IpNet]) -> Self {
        Self((!networks.is_empty()).then(|| networks.into()))
    }

    /// The address from which a request comes, given the peer of its connection and the values of
    /// all its `X-Forwarded-For` lines in their order: the last address that is not a trusted
    /// proxy's. If all are, it is the first one. An element that is not an address ends the search,
    /// since what is left of it cannot be relied on.
    pub fn client_of<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> IpAddr {
        let elements = forwarded.rev();
        let mut elements = elements.flat_map(|line| line.rsplit(|byte| *byte == b','));
        let mut client = peer.to_canonical();
        while self.has(client)
            && let Some(next) = elements.next().and_then(address)
        {
            client = next;
        }
        client
    }

    fn has(&self, address: IpAddr) -> bool {
        let mut networks = self.0.as_deref().unwrap_or_default().iter();
        networks.any(|network| network.contains(&address))
    }
}

/// The address in an element of the list, which may have a port. An IPv6 address may be in
/// brackets, with a port it must be.
fn address(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element.trim_ascii()).ok()?;
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    let in_brackets = || {
        let inside = text.strip_prefix('[')?.strip_suffix(']')?;
        Some(IpAddr::V6(inside.parse::<Ipv6Addr>().ok()?))
    };
    let bare = text.parse().ok();
    Some(bare.or_else(with_port).or_else(in_brackets)?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "192.0.2.10";

    fn client(trusted: &[&str], peer: &str, lines: &[&[u8]]) -> String {
        let networks = trusted.iter().map(|text| text.parse().expect("a network"));
        let proxies = TrustedProxies::new(&networks.collect::<Vec<IpNet>>());
        let peer = peer.parse().expect("an address");
        proxies.client_of(peer, lines.iter().copied()).to_string()
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_client() {
        let trusted = ["192.0.2.0/24", "2001:db8:5::/64"];
        for (lines, wanted) in [
            (&[][..], PEER),
            (&["203.0.113.7"][..], "203.0.113.7"),
            (&["10.9.9.9, 203.0.113.7"], "203.0.113.7"),
            (&["10.9.9.9,203.0.113.7 ,\t192.0.2.20"], "203.0.113.7"),
            (&["10.9.9.9", "203.0.113.7", "192.0.2.20"], "203.0.113.7"),
            (&["203.0.113.7", "10.9.9.9"], "10.9.9.9"),
            (&["203.0.113.7", "2001:db8:5::1"], "203.0.113.7"),
            (&["192.0.2.30, 192.0.2.20"], "192.0.2.30"),
            (&["203.0.113.7:5678"], "203.0.113.7"),
            (&["203.0.113.7, 192.0.2.20:443"], "203.0.113.7"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["[2001:db8::1]:5678"], "2001:db8::1"),
            (&["::ffff:203.0.113.7"], "203.0.113.7"),
            (&["203.0.113.7, [::ffff:192.0.2.20]:1"], "203.0.113.7"),
        ] {
            let bytes: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(client(&trusted, PEER, &bytes), wanted, "{lines:?}");
            let mapped = format!("::ffff:{PEER}");
            assert_eq!(client(&trusted, &mapped, &bytes), wanted, "{lines:?}");
            // Whoever is not a proxy may have written it.
            for strangers in [&[][..], &["192.0.2.0/29"]] {
                assert_eq!(client(strangers, PEER, &bytes), PEER, "{lines:?}");
            }
        }
    }

    #[test]
    fn nothing_to_the_left_of_what_is_no_address_counts() {
        for garbage in [
            &b"unknown"[..],
            b"",
            b" ",
            b"_hidden",
            b"203.0.113.7:65536",
            b"203.0.113.7:",
            b"[203.0.113.7]",
            b"[2001:db8::1",
            b"2001:db8::1]:5",
            b"203.0.113.007",
            b"\"203.0.113.7\"",
            b"203.0.113.7/32",
            b"203.0.113.7;",
            b"\xff",
        ] {
            let whole = [b"10.9.9.9, ", garbage].concat();
            let before_a_proxy = [garbage, b",192.0.2.20"].concat();
            let trusted = ["192.0.2.0/24"];
            assert_eq!(client(&trusted, PEER, &[&whole]), PEER);
            assert_eq!(client(&trusted, PEER, &[b"10.9.9.9", garbage]), PEER);
            let found = client(&trusted, PEER, &[b"10.9.9.9", &before_a_proxy]);
            assert_eq!(found, "192.0.2.20");
        }
    }
}
