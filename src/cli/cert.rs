//! `cert`: what is served, and how the customer's own certificate comes to be served.

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::args::Cert;
use super::output::{self, text_of};
use super::{Failure, ask, status, with_client};
use crate::certificate::{self, Names};
use crate::clock::{Clock, Instant, SystemClock};
use crate::config::BaseUrl;
use crate::limits;

pub(super) fn run(data_dir: &Path, command: Cert) -> Result<(), Failure> {
    let directory = certificate::directory(data_dir);
    match command {
        Cert::Show => show(&installation(data_dir)?),
        Cert::Request { names } => {
            let request = certificate::request(&directory, &Names::exactly(&names));
            let request = request.map_err(|error| failure(&error))?;
            output::say(
                "give this to the certificate authority; then: golinks-scim cert install CHAIN.pem",
            );
            output::line(request.trim_end())
        }
        Cert::Install { chain, key } => install(data_dir, &chain, key.as_deref()),
    }
}

fn installation(data_dir: &Path) -> Result<Value, Failure> {
    with_client(data_dir, |client| {
        ask(client, "GET", "/admin/installation", None)
    })
}

fn install(data_dir: &Path, chain: &Path, key: Option<&Path>) -> Result<(), Failure> {
    let directory = certificate::directory(data_dir);
    let base_url = text_of(&installation(data_dir)?, "baseUrl");
    let host = BaseUrl::parse(&base_url)
        .ok()
        .map(|url| url.host().to_owned());
    let now = SystemClock.now();
    let installed = certificate::install(&directory, chain, key, host.as_deref(), now)
        .map_err(|error| failure(&error))?;
    output::say(&format!(
        "installed: for {}, until {}",
        installed.names.join(", "),
        installed.not_after
    ));
    // A running server looks for it by itself.
    let looks = 3 * limits::CERTIFICATE_LOOK_SECONDS;
    for _ in 0..looks {
        let served = installation(data_dir)?["certificate"].clone();
        if served.is_null() {
            output::say("no server runs; the next start serves it");
            return Ok(());
        }
        if text_of(&served, "fingerprint") == installed.fingerprint {
            output::say("it is being served");
            return Ok(());
        }
        thread::sleep(Duration::from_secs(1));
    }
    Err(Failure::new(
        status::REFUSED,
        "the server still serves another certificate",
    )
    .hint("a server with --tls-cert serves that one; otherwise its log says what is wrong"))
}

fn show(installation: &Value) -> Result<(), Failure> {
    let certificate = &installation["certificate"];
    if certificate.is_null() {
        output::say("no server runs; this is what the last one left");
    } else {
        let names: Vec<String> = certificate["names"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect();
        output::line(&format!("names        {}", names.join(", ")))?;
        let ends = text_of(certificate, "notAfter");
        let days = Instant::parse(&ends).map_or(0, |ends| SystemClock.now().days_until(ends));
        output::line(&format!("ends         {ends}, in {days} days"))?;
        output::line(&format!(
            "fingerprint  {}",
            text_of(certificate, "fingerprint")
        ))?;
    }
    let authority = &installation["authority"];
    if authority.is_null() {
        return output::line(
            "Okta cloud   accepts it if its authority is a public one and the chain is complete",
        );
    }
    output::line(&format!(
        "issuer       the private CA {}",
        text_of(authority, "path")
    ))?;
    output::line(&format!(
        "             fingerprint {}",
        text_of(authority, "fingerprint")
    ))?;
    output::line("Okta cloud   does not accept a private CA: see `cert request`")?;
    output::line("Okta agent   accepts it once its Java knows the CA:")?;
    output::line(
        "             keytool -importcert -alias golinks-scim -file ca.pem -keystore JRE/lib/security/cacerts",
    )
}

fn failure(error: &certificate::Error) -> Failure {
    let code = match error {
        certificate::Error::Io(_, error)
            if error.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            status::PERMISSION
        }
        certificate::Error::Io(..) => status::IO,
        _ => status::REFUSED,
    };
    Failure::new(code, error).hint("nothing was changed")
}
