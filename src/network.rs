//! Parses a network as an administrator types it: one from which a token may be used, or one of
//! trusted proxies.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The number of bits before the IPv4 address in an IPv4-mapped IPv6 address.
const MAPPED_BITS: u8 = 96;

const NO_NETWORK: &str = "is not a network: write a network or an address, such as 203.0.113.0/24 \
                          or 2001:db8::/32";

/// Parses a network in CIDR notation or a single address. Fails, with the reason, if the text is not
/// a network or no client can be in it. An IPv4-mapped IPv6 network (`::ffff:203.0.113.0/120`, RFC
/// 4291 section 2.5.5.2) becomes the IPv4 network, since peers are compared as IPv4.
pub fn parse(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    match text.parse().or_else(|_| address()) {
        Ok(IpNet::V6(six)) => of_six(six),
        Ok(four) => Ok(four),
        Err(_) => Err(NO_NETWORK.to_owned()),
    }
}

fn of_six(six: Ipv6Net) -> Result<IpNet, String> {
    let Some(address) = six.addr().to_ipv4_mapped() else {
        return Ok(IpNet::V6(six));
    };
    let length = six.prefix_len();
    let four = |length: u8| Ipv4Net::new(address, length).ok();
    if let Some(network) = length.checked_sub(MAPPED_BITS).and_then(four) {
        return Ok(IpNet::V4(network));
    }
    // The length was probably meant for the IPv4 network, before somebody put `::ffff:` in front.
    let meant = four(length).map_or_else(
        || "203.0.113.0/24".to_owned(),
        |network| network.trunc().to_string(),
    );
    Err(format!(
        "is no network of IPv4 addresses, since its prefix is shorter than {MAPPED_BITS}: write it \
         without ::ffff:, such as {meant}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_a_network_that_somebody_can_be_in_or_refused() {
        for (text, wanted) in [
            ("203.0.113.0/24", Ok("203.0.113.0/24")),
            ("203.0.113.7", Ok("203.0.113.7/32")),
            ("2001:db8::/32", Ok("2001:db8::/32")),
            ("::/0", Ok("::/0")),
            ("::ffff:203.0.113.7", Ok("203.0.113.7/32")),
            ("::ffff:203.0.113.0/120", Ok("203.0.113.0/24")),
            ("::ffff:0.0.0.0/96", Ok("0.0.0.0/0")),
            ("::ffff:10.0.0.0/8", Err("such as 10.0.0.0/8")),
            ("::ffff:a01:203/16", Err("such as 10.1.0.0/16")),
            ("::ffff:10.0.0.0/95", Err("such as 203.0.113.0/24")),
            (
                "10.0.0.0/33",
                Err("such as 203.0.113.0/24 or 2001:db8::/32"),
            ),
            ("", Err("is not a network")),
        ] {
            match (parse(text), wanted) {
                (Ok(found), Ok(wanted)) => assert_eq!(found.to_string(), wanted, "{text}"),
                (Err(why), Err(wanted)) => assert!(why.contains(wanted), "{text}: {why}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
