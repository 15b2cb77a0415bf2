//! Where a server listens, and the base URL that follows from that if none is configured.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use crate::cli::{Failure, io_status, service, status};
use crate::config::BaseUrl;
use crate::https;

const DEFAULT_PORT: u16 = 8443;
/// Where a server listens if no address is configured; see [`bind`].
pub(in crate::cli) const EVERY_ADDRESS: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), DEFAULT_PORT);

/// The socket that the service manager has opened, or else one that this process opens.
pub(super) fn take_or_listen(wanted: Option<SocketAddr>) -> Result<TcpListener, Failure> {
    let Some(opened) = service::listener()? else {
        return listen(wanted);
    };
    if let (Some(wanted), Ok(taken)) = (wanted, opened.local_addr())
        && wanted != taken
    {
        log::warn!(
            "listen is {wanted}, but the service manager has opened {taken}, which is used \
             instead: ListenStream in the socket unit sets it"
        );
    }
    Ok(opened)
}

/// Opens the listening socket: at the configured address, or else on port 8443 of every address,
/// which is only IPv4 if the machine has no IPv6.
pub(in crate::cli) fn bind(address: Option<SocketAddr>) -> io::Result<TcpListener> {
    https::bind(address.unwrap_or(EVERY_ADDRESS)).or_else(|error| {
        if address.is_none() && error.kind() != io::ErrorKind::AddrInUse {
            https::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)))
        } else {
            Err(error)
        }
    })
}

fn listen(address: Option<SocketAddr>) -> Result<TcpListener, Failure> {
    bind(address).map_err(|error| {
        let wanted = address.unwrap_or(EVERY_ADDRESS);
        let what = format!("cannot listen at {wanted}: {error}");
        let failure = Failure::new(io_status(&error), what);
        match error.kind() {
            io::ErrorKind::AddrInUse => failure.hint(
                "`ss -ltnp`, as root, names the program that has it; or choose another port with \
                 --listen",
            ),
            io::ErrorKind::AddrNotAvailable => {
                failure.hint("no interface of this machine has that address: see `ip address`")
            }
            io::ErrorKind::PermissionDenied => {
                failure.hint("ports below 1024 need a privilege; 8443 does not")
            }
            _ => failure,
        }
    })
}

pub(super) fn host_name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy().to_ascii_lowercase();
    // A kernel accepts names that a URL cannot have, such as one made of digits only.
    if BaseUrl::parse(&format!("https://{name}")).is_err() {
        "localhost".to_owned()
    } else {
        name
    }
}

pub(super) fn default_base_url(address: SocketAddr) -> Result<BaseUrl, Failure> {
    // A server that is bound to one address cannot be reached at any other.
    let host = if address.ip().is_unspecified() {
        host_name()
    } else if address.is_ipv6() {
        format!("[{}]", address.ip())
    } else {
        address.ip().to_string()
    };
    let port = match address.port() {
        443 => String::new(),
        port => format!(":{port}"),
    };
    BaseUrl::parse(&format!("https://{host}{port}"))
        .map_err(|what| Failure::new(status::CONFIGURATION, what).hint("give one with --base-url"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_url_is_where_the_server_can_be_reached_unless_it_is_set() {
        let name = host_name();
        for (address, wanted) in [
            ("192.0.2.1:8443", "https://192.0.2.1:8443"),
            ("192.0.2.1:443", "https://192.0.2.1"),
            ("[2001:db8::1]:443", "https://[2001:db8::1]"),
            ("[2001:db8::1]:80", "https://[2001:db8::1]:80"),
            ("[::]:443", &format!("https://{name}")),
            ("0.0.0.0:8443", &format!("https://{name}:8443")),
        ] {
            let url = default_base_url(address.parse().expect("an address"));
            let url = url.unwrap_or_else(|failure| panic!("{address}: {}", failure.what));
            assert_eq!(url.as_str(), format!("{wanted}/scim/v2"), "{address}");
        }
    }
}
