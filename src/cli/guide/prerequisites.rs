//! What must be changed before a provider can use this installation, each with the command that
//! changes it.

use super::{Place, Reach, program};
use crate::config::{BaseUrl, is_public};

/// The text before the first step; empty if nothing must be changed.
pub(super) fn told(place: &Place, reach: Reach) -> String {
    let mut told = of_the_url(place, reach);
    told.extend(of_the_certificate(place, reach));
    if told.is_empty() {
        return String::new();
    }
    if reach == Reach::OktaCloud && place.base_url.is_some() {
        told.push(format!(
            "  Or let Okta's agent call from inside your network, which needs neither a public name\n  \
             nor a public certificate: {} guide agent\n",
            program()
        ));
    }
    format!("\nBEFORE YOU BEGIN\n{}", told.concat())
}

fn of_the_url(place: &Place, reach: Reach) -> Vec<String> {
    let program = program();
    let Some(url) = &place.base_url else {
        return vec![format!(
            "  - No server has run on this data directory yet, so the values for the fields below are\n    \
             not known. Start it, and run this guide again:\n      \
             {program} serve\n"
        )];
    };
    let mut told = url_unfit(url, reach);
    if !told.is_empty() {
        told.push(other_base_url(place));
    }
    told
}

fn of_the_certificate(place: &Place, reach: Reach) -> Vec<String> {
    let program = program();
    let Some(served) = &place.certificate else {
        return Vec::new();
    };
    let warnings = served.warnings.iter();
    let mut told: Vec<String> = warnings
        .map(|warning| {
            format!("  - About the certificate: {warning}.\n      {program} cert show\n")
        })
        .collect();
    if !served.is_public && reach != Reach::OktaAgent {
        told.push(format!(
            "  - The certificate is not from a public authority, and clouds accept no other. Unless a\n    \
             proxy answers with its own certificate ({program} check says so), let\n    \
             a public authority sign a request, and install the chain it sends back. For more\n    \
             ways, see golinks-scim manual certificates:\n{}",
            other_certificate(place.base_url.as_ref())
        ));
    }
    told
}

/// Why the provider cannot use this base URL.
fn url_unfit(url: &BaseUrl, reach: Reach) -> Vec<String> {
    let mut whats = Vec::new();
    let host = url.host();
    if reach != Reach::OktaAgent && !is_public(host) {
        whats.push(format!(
            "  - No cloud can find {host}, the host of the base URL.\n"
        ));
    }
    if reach != Reach::Cloud && url.as_str().contains('_') {
        whats.push(format!(
            "  - The base URL {url} contains an underscore, which Okta refuses.\n"
        ));
    } else if host.contains('_') {
        whats.push(format!(
            "  - The host {host} contains an underscore: no public authority certifies such a name.\n"
        ));
    }
    if reach == Reach::OktaAgent && !url.as_str().contains("/v2") {
        whats.push(format!(
            "  - The base URL {url} does not contain /v2, so Okta would speak SCIM 1.1.\n"
        ));
    }
    whats
}

fn other_base_url(place: &Place) -> String {
    let (program, file) = (program(), place.file.display());
    format!(
        "    Give the machine a suitable name, say so in {file}, and restart:\n      \
           base_url = \"https://scim.example.com\"\n      \
           sudo systemctl restart golinks-scim\n    \
         Without a service:\n      \
           {program} serve --base-url https://scim.example.com\n"
    )
}

fn other_certificate(url: Option<&BaseUrl>) -> String {
    let program = program();
    let host = url.map_or("", BaseUrl::host);
    let host = if is_public(host) {
        host
    } else {
        "scim.example.com"
    };
    format!(
        "      {program} cert request --name {host} > request.csr\n      \
           {program} cert install chain.pem\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::place;
    use super::*;

    #[test]
    fn what_is_in_the_way_is_told_first() {
        use Reach::{Cloud, OktaAgent, OktaCloud};
        let found = |url: &str, is_public: bool, reach| {
            told(
                &place(&json!({
                    "baseUrl": format!("https://{url}"), "listens": "[::]:8443",
                    "certificate": {"isPublic": is_public, "warnings": []},
                })),
                reach,
            )
        };
        let good = "a.example.com/scim/v2";
        for (url, is_public, reach, wanted) in [
            (good, true, Cloud, ""),
            (good, true, OktaCloud, ""),
            (good, false, OktaAgent, ""),
            (good, false, Cloud, "cert request --name a.example.com"),
            (good, false, OktaCloud, "guide agent"),
            ("scim/scim/v2", true, Cloud, "No cloud can find scim,"),
            ("scim/scim/v2", false, OktaAgent, ""),
            ("10.0.0.1:8443", true, Cloud, "No cloud can find 10.0.0.1,"),
            ("a_b.example.com/scim/v2", true, OktaAgent, "Okta refuses"),
            ("example.com/a_b/v2", true, OktaCloud, "Okta refuses"),
            ("example.com/a_b/v2", true, Cloud, ""),
            ("a_b.example.com", true, Cloud, "no public authority"),
            ("scim/scim", true, OktaAgent, "SCIM 1.1"),
        ] {
            let found = found(url, is_public, reach);
            assert_eq!(found.is_empty(), wanted.is_empty(), "{url}: {found}");
            assert!(found.contains(wanted), "{url}: {found}");
            for line in found.lines().skip(2) {
                let is_indented = line.starts_with("  ") && line.chars().count() <= 95;
                assert!(is_indented, "{url}: {line}");
            }
        }
    }

    #[test]
    fn what_clients_may_not_like_of_the_certificate_is_told() {
        let place = place(&json!({
            "baseUrl": "https://scim.example.com", "listens": "[::]:8443",
            "certificate": {"isPublic": true, "warnings": ["it is for nobody"]},
        }));
        let found = told(&place, Reach::Cloud);
        assert!(
            found.contains("About the certificate: it is for nobody."),
            "{found}"
        );
    }
}
