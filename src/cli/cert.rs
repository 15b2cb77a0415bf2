//! `cert`: what is served, and how the customer's own certificate comes to be served.

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::args::Cert;
use super::output::{self, text_of};
use super::{AS_ROOT, Failure, ask, status, with_client};
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
        show_served(certificate)?;
    }
    let authority = &installation["authority"];
    if !authority.is_null() {
        let told = format!("private CA   {}", text_of(authority, "path"));
        output::line(&told)?;
        let told = format!(
            "             fingerprint {}",
            text_of(authority, "fingerprint")
        );
        output::line(&told)?;
    }
    if certificate["isPublic"] == true {
        output::line("Okta cloud   accepts it: a public authority has issued it")?;
        return output::line("Okta agent   accepts it");
    }
    output::line(
        "Okta cloud   does not accept it: no public authority (of Mozilla's list) has issued it",
    )?;
    output::line("             see `cert request`")?;
    output::line("Okta agent   accepts it once its Java knows the CA:")?;
    let file = if authority.is_null() {
        "THE-CA.pem".to_owned()
    } else {
        text_of(authority, "path")
    };
    output::line(&format!(
        "             keytool -importcert -alias golinks-scim -file {file} -keystore JRE/lib/security/cacerts"
    ))
}

fn show_served(certificate: &Value) -> Result<(), Failure> {
    let names: Vec<&str> = members(&certificate["names"])
        .filter_map(Value::as_str)
        .collect();
    output::line(&format!("names        {}", names.join(", ")))?;
    let ends = text_of(certificate, "notAfter");
    let days = Instant::parse(&ends).map_or(0, |ends| SystemClock.now().days_until(ends));
    output::line(&format!("ends         {ends}, in {days} days"))?;
    let fingerprint = text_of(certificate, "fingerprint");
    output::line(&format!("fingerprint  {fingerprint}"))?;
    let mut title = "chain";
    for link in members(&certificate["chain"]) {
        let [subject, issuer, ends] =
            ["subject", "issuer", "notAfter"].map(|name| text_of(link, name));
        output::line(&format!("{title:<12} {subject}, by {issuer}, until {ends}"))?;
        title = "";
    }
    for warning in members(&certificate["warnings"]).filter_map(Value::as_str) {
        output::line(&format!("warning      {warning}"))?;
    }
    Ok(())
}

fn members(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().map_or(&[][..], Vec::as_slice).iter()
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
    let failure = Failure::new(code, format!("{error} (nothing was changed)"));
    if code == status::PERMISSION {
        failure.hint(AS_ROOT)
    } else {
        failure
    }
}
