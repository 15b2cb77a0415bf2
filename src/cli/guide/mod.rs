//! `guide`: what to type into an identity provider, filled in for this installation. The texts
//! lie beside this file, with `{placeholders}`.

use std::net::IpAddr;

use serde_json::Value;

use super::args::Guide;
use super::output::{self, text_of};
use super::{Failure, ask};
use crate::config::BaseUrl;
use crate::limits;
use crate::local::Client;

/// Where a provider calls from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// The internet: it needs a name that everybody finds and a certificate of a public CA.
    Cloud,
    /// The own network.
    Agent,
}

pub(super) fn run(client: &mut Client, which: Guide) -> Result<(), Failure> {
    let installation = ask(client, "GET", "/admin/installation", None)?;
    let (text, caller) = text(which);
    output::line(fill(text, &installation, caller).trim_end())
}

fn text(which: Guide) -> (&'static str, Caller) {
    match which {
        Guide::Okta => (include_str!("okta.txt"), Caller::Cloud),
        Guide::Entra => (include_str!("entra.txt"), Caller::Cloud),
        Guide::Onelogin => (include_str!("onelogin.txt"), Caller::Cloud),
        Guide::Jumpcloud => (include_str!("jumpcloud.txt"), Caller::Cloud),
        Guide::Agent => (include_str!("agent.txt"), Caller::Agent),
    }
}

fn fill(text: &str, installation: &Value, caller: Caller) -> String {
    let known = text_of(installation, "baseUrl");
    let base_url = match known.as_str() {
        "" => "https://HOST:8443/scim/v2 (start it once to know)",
        known => known,
    };
    let authority = &installation["authority"];
    let or_else = |text: String, otherwise: &str| match text.as_str() {
        "" => otherwise.to_owned(),
        _ => text,
    };
    let path = known.splitn(4, '/').nth(3).unwrap_or("scim/v2");
    let values = [
        ("{base_url}", base_url.to_owned()),
        ("{base_url_slash}", format!("{base_url}/")),
        ("{path}", format!("/{path}")),
        ("{rate}", rate(installation)),
        (
            "{ca_path}",
            or_else(text_of(authority, "path"), "that of your own authority"),
        ),
        (
            "{ca_fingerprint}",
            or_else(
                text_of(authority, "fingerprint"),
                "that of your own authority",
            ),
        ),
        ("{before}", before(&known, installation, caller)),
        ("{certificate}", certificate(installation)),
    ];
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    })
}

fn rate(installation: &Value) -> String {
    match installation["rateLimit"].as_u64() {
        Some(rate) => format!(
            "{rate} requests a second (bursts of {} pass)",
            rate * u64::from(limits::RATE_BURST_SECONDS)
        ),
        None => "no rate at all, since the limit is off,".to_owned(),
    }
}

/// What must be changed before the provider can use what this installation has.
fn before(base_url: &str, installation: &Value, caller: Caller) -> String {
    let mut steps = Vec::new();
    let url = BaseUrl::parse(base_url).ok();
    let host = url.as_ref().map_or("", BaseUrl::host);
    if host.contains('_') {
        steps.push(format!(
            "The host {host} holds an underscore, which Okta refuses: give the machine another\n    name, set base_url in the configuration to it, and restart."
        ));
    }
    if caller == Caller::Cloud && !host.is_empty() {
        let is_local = match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || address.is_unspecified(),
            Err(_) => !host.contains('.'),
        };
        if is_local {
            steps.push(format!(
                "No cloud finds {host}: give the machine a name in the public DNS, set base_url in\n    the configuration to it (such as https://scim.example.com), and restart."
            ));
        }
        if !installation["certificate"].is_null() && installation["certificate"]["isPublic"] != true
        {
            steps.push(
                "The certificate is not of a public authority, and clouds accept no other:\n    golinks-scim manual certificates says how to get and install one."
                    .to_owned(),
            );
        }
    }
    if steps.is_empty() {
        return String::new();
    }
    let steps: Vec<String> = steps.iter().map(|step| format!("  - {step}\n")).collect();
    format!("\nBEFORE YOU BEGIN\n{}", steps.concat())
}

fn certificate(installation: &Value) -> String {
    let authority = &installation["authority"];
    if authority.is_null() {
        return "\nYour own certificate is served: golinks-scim cert show says who accepts it.\n"
            .to_owned();
    }
    format!(
        "\nThe certificate comes from this server's private CA: Okta's agent takes it (golinks-scim\nguide agent), a cloud does not.\n  CA certificate   {}\n  CA fingerprint   {}\n",
        text_of(authority, "path"),
        text_of(authority, "fingerprint"),
    )
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_stays_unfilled() {
        let full = json!({
            "baseUrl": "https://scim.example.com/scim/v2", "rateLimit": 7,
            "certificate": {"isPublic": true},
            "authority": {"path": "/d/tls/ca.pem", "fingerprint": "AB:CD"},
        });
        for which in Guide::value_variants() {
            let (text, caller) = text(*which);
            for installation in [&full, &json!({})] {
                let filled = fill(text, installation, caller);
                let open = filled.find(['{', '}']);
                assert_eq!(open, None, "{filled}");
                for line in filled.lines() {
                    assert!(line.len() <= 100, "{line}");
                }
            }
            let filled = fill(text, &full, caller);
            assert!(
                filled.contains("https://scim.example.com/scim/v2"),
                "{filled}"
            );
            assert!(filled.contains("golinks-scim check"), "{filled}");
            assert!(!filled.contains("BEFORE YOU BEGIN"), "{filled}");
        }
    }

    #[test]
    fn what_a_cloud_cannot_use_is_told_first() {
        let installation =
            |url: &str, public: bool| json!({"baseUrl": url, "certificate": {"isPublic": public}});
        for (url, public, caller, wanted) in [
            ("https://scim.example.com/scim/v2", true, Caller::Cloud, ""),
            (
                "https://scim.example.com/scim/v2",
                false,
                Caller::Cloud,
                "public authority",
            ),
            (
                "https://scim/scim/v2",
                true,
                Caller::Cloud,
                "No cloud finds scim",
            ),
            (
                "https://127.0.0.1/scim/v2",
                true,
                Caller::Cloud,
                "No cloud finds 127.0.0.1",
            ),
            ("https://scim/scim/v2", false, Caller::Agent, ""),
            (
                "https://a_b.example.com/scim/v2",
                true,
                Caller::Agent,
                "underscore",
            ),
        ] {
            let found = before(url, &installation(url, public), caller);
            assert_eq!(found.is_empty(), wanted.is_empty(), "{url}: {found}");
            assert!(found.contains(wanted), "{url}: {found}");
        }
    }
}
