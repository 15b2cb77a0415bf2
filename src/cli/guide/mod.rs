//! `guide`: prints what to enter at an identity provider, filled in for this installation. The
//! texts are next to this file, with `{placeholders}`; `prerequisites` adds what must be changed
//! first.

mod prerequisites;

use std::path::PathBuf;

use clap::ValueEnum as _;
use serde_json::Value;

use super::args::Guide;
use super::cert::warnings_of;
use super::output::{self, text_of};
use super::{Failure, ask, base_url, from_local, login_name, program, service, status, token};
use crate::certificate;
use crate::config::{BaseUrl, Configuration, Sources, default_file};
use crate::limits;
use crate::local::{self, Client};

/// The text for a value that is not known yet.
const UNKNOWN: &str = "(known while golinks-scim serve runs)";

/// From where a provider calls, which determines what it can reach.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// From the internet: it needs a public name and a certificate of a public CA.
    Cloud,
    /// Also from the internet, but Okta refuses underscores in the name.
    OktaCloud,
    /// From the customer's own network, under Okta's rules.
    OktaAgent,
}

/// What a guide must know about this installation.
struct Place {
    /// The configuration file, which may not exist yet.
    file: PathBuf,
    base_url: Option<BaseUrl>,
    /// `None` means no limit.
    rate_per_second: Option<u64>,
    /// `None` if no server runs.
    certificate: Option<Served>,
    authority: Option<Authority>,
    /// Whether the certificate comes from somewhere other than the private CA.
    is_of_other: bool,
    /// The name of the guide's token if such a token is already live: issuing another is then
    /// refused.
    live_token: Option<&'static str>,
}

/// The certificate that is being served.
struct Served {
    /// Whether it is from a public authority.
    is_public: bool,
    /// What clients might object to.
    warnings: Vec<String>,
}

/// The private CA.
struct Authority {
    path: String,
    fingerprint: String,
}

pub(super) fn run(
    configuration: &Configuration,
    sources: &Sources,
    which: Guide,
) -> Result<(), Failure> {
    let (text, reach, token_name) = text(which);
    let (mut installation, mut is_live) = (Value::Null, false);
    match Client::connect(&configuration.serve.data_dir, &login_name()) {
        Ok(mut client) => {
            let asked = ask(&mut client, "GET", "/admin/installation", None);
            is_live = asked.is_ok() && token::is_live(&mut client, token_name);
            client.close();
            installation = asked?;
        }
        // Before the first start the guide says what is missing.
        Err(local::Error::NoDirectory(_)) => {}
        Err(error) => return Err(from_local(error)),
    }
    // A guide for another directory would lead to a second server.
    if installation["listens"].is_null() && service::is_out_of_sight(sources) {
        let which = which.to_possible_value();
        let which = which.as_ref().map_or("", |which| which.get_name());
        let what = "only root can see the settings of the service that is installed here";
        let hint = format!("sudo {{program}} guide {which}");
        return Err(Failure::new(status::PERMISSION, what).hint(hint));
    }
    let mut place = Place::of(&installation, configuration);
    place.live_token = is_live.then_some(token_name);
    output::line(fill(text, &place, reach).trim_end())
}

/// The text of a guide, from where its provider calls, and the name of the token that it issues.
fn text(which: Guide) -> (&'static str, Reach, &'static str) {
    match which {
        Guide::Okta => (include_str!("okta.txt"), Reach::OktaCloud, "okta"),
        Guide::Entra => (include_str!("entra.txt"), Reach::Cloud, "entra"),
        Guide::Onelogin => (include_str!("onelogin.txt"), Reach::Cloud, "onelogin"),
        Guide::Jumpcloud => (include_str!("jumpcloud.txt"), Reach::Cloud, "jumpcloud"),
        Guide::Other => (include_str!("other.txt"), Reach::Cloud, "provider"),
        Guide::Agent => (include_str!("agent.txt"), Reach::OktaAgent, "okta-agent"),
    }
}

impl Place {
    /// What a running server says about itself or, without a server, what the next start would do.
    fn of(installation: &Value, configuration: &Configuration) -> Self {
        let Configuration { file, serve, .. } = configuration;
        let is_served = !installation["listens"].is_null();
        let certificate = &installation["certificate"];
        let authority = &installation["authority"];
        let is_private = is_served || serve.tls_files.is_none();
        let is_of_other = if is_served {
            authority.is_null()
        } else {
            serve.tls_files.is_some() || certificate::is_installed(&serve.data_dir)
        };
        Self {
            file: file.clone().unwrap_or_else(|| default_file().to_owned()),
            base_url: base_url(installation, serve),
            rate_per_second: if is_served {
                installation["rateLimit"].as_u64()
            } else {
                serve.rate_per_second.map(u64::from)
            },
            certificate: (!certificate.is_null()).then(|| Served {
                is_public: certificate["isPublic"] == true,
                warnings: warnings_of(certificate).map(str::to_owned).collect(),
            }),
            authority: (is_private && !authority.is_null()).then(|| Authority {
                path: text_of(authority, "path"),
                fingerprint: text_of(authority, "fingerprint"),
            }),
            is_of_other,
            live_token: None,
        }
    }

    /// What to do instead of issuing a token, if a live one has its name; empty if none has.
    fn live_token(&self) -> String {
        let Some(name) = self.live_token else {
            return String::new();
        };
        format!(
            "\n\n   A token of this name is live already, perhaps the one shown at the first start: use \
             that,\n   or replace it:\n\n     {} token rotate {name}",
            program()
        )
    }

    fn base_url(&self) -> &str {
        self.base_url.as_ref().map_or(UNKNOWN, BaseUrl::as_str)
    }

    /// The base URL without its path: scheme, host and port.
    fn origin(&self) -> &str {
        let url = self.base_url();
        let path = url.match_indices('/').nth(2);
        path.map_or(url, |(at, _)| &url[..at])
    }

    /// The path of the base URL, for a proxy to forward.
    fn path(&self) -> &str {
        self.base_url
            .as_ref()
            .map_or("/scim/v2", |url| &url.as_str()[self.origin().len()..])
    }

    fn rate(&self) -> String {
        match self.rate_per_second {
            Some(rate) => format!(
                "{rate} requests a second (bursts of {} pass)",
                rate * u64::from(limits::RATE_BURST_SECONDS)
            ),
            None => "the rate of its token (the server's limit is off)".to_owned(),
        }
    }

    /// A fact about the private CA, or the text to show if there is none.
    fn of_authority(&self, fact: impl Fn(&Authority) -> &String) -> String {
        match &self.authority {
            Some(authority) => fact(authority).clone(),
            None if self.is_of_other => "that of the CA of your own certificate".to_owned(),
            None => UNKNOWN.to_owned(),
        }
    }

    /// Says who accepts the served certificate.
    fn certificate(&self) -> String {
        let program = program();
        match (&self.certificate, &self.authority) {
            (None, _) => format!(
                "No server is running, so it is not known who accepts its certificate: {program} \
                 cert show"
            ),
            (Some(served), _) if served.is_public => {
                format!("The server's certificate is from a public authority: {program} cert show")
            }
            (_, Some(authority)) => format!(
                "The server's certificate is from its own CA. No cloud accepts that; Okta's agent does\n\
                 ({program} guide agent).\n  \
                 CA certificate   {}\n  \
                 CA fingerprint   {}",
                authority.path, authority.fingerprint
            ),
            (_, None) => {
                format!("The server's certificate is from no public authority: {program} cert show")
            }
        }
    }
}

/// Replaces the placeholders. A test fails if a guide has an unknown one.
fn fill(text: &str, place: &Place, reach: Reach) -> String {
    let values = [
        ("{before}", prerequisites::told(place, reach)),
        ("{base_url}", place.base_url().to_owned()),
        (
            "{base_url_slash}",
            match &place.base_url {
                Some(url) => format!("{url}/"),
                None => UNKNOWN.to_owned(),
            },
        ),
        ("{origin}", place.origin().to_owned()),
        ("{path}", place.path().to_owned()),
        ("{rate}", place.rate()),
        ("{ca_path}", place.of_authority(|authority| &authority.path)),
        (
            "{ca_fingerprint}",
            place.of_authority(|authority| &authority.fingerprint),
        ),
        ("{certificate}", format!("\n{}", place.certificate())),
        ("{live_token}", place.live_token()),
        ("{program}", program().to_owned()),
    ];
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub(super) fn place(installation: &Value) -> Place {
        let configuration = Configuration::load(&Sources {
            file: None,
            flags: Vec::new(),
            environment: [("GOLINKS_SCIM_CONFIG", ""), ("GOLINKS_SCIM_DATA_DIR", "/d")]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
        });
        let configuration = configuration.expect("the defaults can be used");
        Place::of(installation, &configuration)
    }

    fn full() -> Value {
        json!({
            "baseUrl": "https://scim.example.com/x/v2", "listens": "[::]:8443", "rateLimit": 7,
            "certificate": {"isPublic": true, "warnings": []},
            "authority": {"path": "/d/tls/ca.pem", "fingerprint": "AB:CD"},
        })
    }

    #[test]
    fn nothing_stays_unfilled_and_no_line_is_too_long() {
        for which in Guide::value_variants() {
            let (text, reach, token) = text(*which);
            for line in text.lines() {
                assert!(line.chars().count() <= 95, "{line}");
            }
            for installation in [full(), Value::Null] {
                let filled = fill(text, &place(&installation), reach);
                assert_eq!(filled.find(['{', '}']), None, "{filled}");
                assert!(
                    filled.contains(&format!(" token issue {token}")),
                    "{filled}"
                );
            }
        }
    }

    #[test]
    fn values_are_this_installations() {
        let place = place(&full());
        let filled = |text: &str| fill(text, &place, Reach::Cloud);
        for (text, wanted) in [
            ("{base_url}", "https://scim.example.com/x/v2"),
            ("{base_url_slash}", "https://scim.example.com/x/v2/"),
            ("{origin}", "https://scim.example.com"),
            ("{path}", "/x/v2"),
            ("{rate}", "7 requests a second (bursts of 35 pass)"),
            ("{ca_path} {ca_fingerprint}", "/d/tls/ca.pem AB:CD"),
            ("{program} check", "golinks-scim check"),
            ("{before}", ""),
        ] {
            assert_eq!(filled(text), wanted);
        }
        assert!(filled("{certificate}").contains("from a public authority: golinks-scim cert"));
    }

    #[test]
    fn what_is_not_known_is_said() {
        let place = place(&Value::Null);
        let filled = |text: &str| fill(text, &place, Reach::Cloud);
        for name in [
            "{base_url}",
            "{base_url_slash}",
            "{ca_path}",
            "{ca_fingerprint}",
        ] {
            assert_eq!(filled(name), UNKNOWN, "{name}");
        }
        assert_eq!(filled("{path}"), "/scim/v2");
        assert!(filled("{rate}").starts_with("200 requests"));
    }
}
