//! `guide`: what to type into an identity provider, filled in for this installation.

use serde_json::Value;

use super::args::Guide;
use super::output::{self, text_of};
use super::{Failure, ask};
use crate::local::Client;

pub(super) fn run(client: &mut Client, which: Guide) -> Result<(), Failure> {
    let installation = ask(client, "GET", "/admin/installation", None)?;
    match which {
        Guide::Okta => output::line(&okta(&installation)),
    }
}

fn okta(installation: &Value) -> String {
    let base_url = match text_of(installation, "baseUrl") {
        url if url.is_empty() => {
            "https://HOST:8443/scim/v2 (start the server once to know it)".to_owned()
        }
        url => url,
    };
    let rate = match installation["rateLimit"].as_u64() {
        Some(rate) => format!(
            "over {rate} requests a second (bursts of {} pass)",
            rate * 5
        ),
        None => "never: the rate limit is off".to_owned(),
    };
    format!(
        "\
Okta: provision users to GoLinks

Application (Okta admin console, Applications, your GoLinks app)
  Sign On      Application username format   Email
  General      Provisioning                  SCIM

Provisioning, Integration
  SCIM connector base URL                    {base_url}
  Unique identifier field for users          userName
  Supported provisioning actions             Import New Users and Profile Updates
                                             Push New Users
                                             Push Profile Updates
                                             NOT Push Groups, NOT Import Groups
  Authentication Mode                        HTTP Header
  Authorization (Bearer)                     the token that this command prints:
                                               golinks-scim token issue okta
  Then press Test Connector Configuration (Test API Credentials), and Save. Okta asks for
  two users: it passes when Okta reaches the base URL, trusts the certificate and the
  token is valid.

Provisioning, To App
  Create Users                               on
  Update User Attributes                     on
  Deactivate Users                           on
  Sync Password                              off

Provisioning, To Okta
  Import Groups                              off

Good to know
  - Okta sends the token as `Authorization: Bearer TOKEN`; an app of type \"Header Auth\"
    sends it bare. Both work here.
  - Deactivating or unassigning in Okta makes the user inactive here. Nothing is deleted,
    and assigning again reactivates the same user.
  - A user deactivated here with `golinks-scim user deactivate` becomes unassigned at
    Okta's next import; a push before that import reactivates the user.
  - 429 (API throttling) is normal {rate}.
    Okta waits as long as it is told and tries again; every user arrives.
{certificate}",
        certificate = certificate(installation),
    )
}

fn certificate(installation: &Value) -> String {
    let Some(authority) = installation
        .get("authority")
        .filter(|found| !found.is_null())
    else {
        return "  - Your own certificate is used: Okta's cloud wants the full chain of a public CA."
            .to_owned();
    };
    let (path, fingerprint) = (
        text_of(authority, "path"),
        text_of(authority, "fingerprint"),
    );
    format!(
        "  - The certificate comes from a private CA. Okta's cloud accepts public CAs only: start
    the server with --tls-cert FILE --tls-key FILE for that. The Okta Provisioning Agent
    takes the private CA, and wants the base URL with a slash at its end; on the agent's
    machine, in its own Java key store:
      keytool -importcert -alias golinks-scim -file ca.pem -keystore JRE/lib/security/cacerts
    CA certificate    {path}
    CA fingerprint    {fingerprint}"
    )
}
