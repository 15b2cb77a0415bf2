//! `cert`: shows the served certificate, requests one from an authority, and installs it.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::Cert;
use super::output::{self, Format, elements, text_of};
use super::{
    Failure, as_root, ask, audit, base_url, io_status, not_a_directory, program, quoted, status,
    with_client,
};
use crate::certificate::{self, Names};
use crate::clock::{Clock, Instant, SystemClock};
use crate::config::{self, BaseUrl, Configuration};
use crate::fix::filled;
use crate::{files, limits};

pub(super) fn run(configuration: &Configuration, command: Cert) -> Result<(), Failure> {
    match command {
        Cert::Show { output } => show(&configuration.serve, output.output),
        Cert::Request { names } => request(&configuration.serve, &Names::exactly(&names)),
        Cert::Install { chain, key } => install(configuration, &chain, key.as_deref()),
    }
}

fn show(config: &config::Serve, format: Format) -> Result<(), Failure> {
    let data_dir = &config.data_dir;
    let mut installation = installation(data_dir)?;
    let is_from_files = config.tls_files.is_some();
    if is_from_files && installation["certificate"].is_null() {
        // The next start serves the configured files, even if an earlier start left an authority.
        installation["authority"] = Value::Null;
    }
    if format != Format::Table {
        return output::document(format, &document(&installation));
    }
    if installation["certificate"].is_null() && !is_from_files && !certificate::is_any_in(data_dir)
    {
        output::say("there is no certificate yet: the next start makes one");
        return Ok(());
    }
    tell(&installation)
}

fn request(config: &config::Serve, names: &Names) -> Result<(), Failure> {
    let directory = certificate::directory(&config.data_dir);
    let request = certificate::request(&directory, names);
    let request = request.map_err(|error| failure(&error, &directory))?;
    // A request can be made before the first start.
    let installation = installation(&config.data_dir).unwrap_or_default();
    if let Some(url) = base_url(&installation, config)
        && let host = url.host()
        && !names.cover(host)
    {
        output::say(&format!(
            "warning: none of the names is {host}, the host of the base URL: `cert install` will \
             refuse a certificate made from this"
        ));
        output::hint(&filled(&fix_names(host)));
    }
    output::say(&format!("its key is kept in {}", directory.display()));
    output::say(&format!(
        "give this to the certificate authority; then: {} cert install CHAIN.pem",
        program()
    ));
    output::line(request.trim_end())
}

/// Whether no authority that identity providers trust would issue a certificate for this host.
fn is_uncertifiable(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// What to do about a certificate that does not cover the base URL's host.
fn fix_names(host: &str) -> String {
    if is_uncertifiable(host) {
        return "set base_url to https://NAME/scim/v2 with a name that the certificate covers, and \
                restart the server"
            .to_owned();
    }
    format!(
        "set base_url to a name that the certificate covers and restart the server, or {{program}} \
         cert request --name {host}"
    )
}

/// What to do about a certificate that names no host.
fn fix_no_names(host: &str) -> String {
    if is_uncertifiable(host) {
        return "set base_url to https://NAME/scim/v2 with a public name, restart the server, then: \
                {program} cert request --name NAME"
            .to_owned();
    }
    format!("{{program}} cert request --name {host}")
}

fn installation(data_dir: &Path) -> Result<Value, Failure> {
    with_client(data_dir, |client| {
        ask(client, "GET", "/admin/installation", None)
    })
}

fn install(configuration: &Configuration, chain: &Path, key: Option<&Path>) -> Result<(), Failure> {
    let config = &configuration.serve;
    let data_dir = &config.data_dir;
    let directory = certificate::directory(data_dir);
    let base_url = base_url(&installation(data_dir)?, config);
    let host = base_url.as_ref().map(BaseUrl::host);
    let now = SystemClock.now();
    let installed = certificate::install(&directory, chain, key, host, now);
    let installed = installed.map_err(|error| {
        let failure = failure(&error, &directory);
        match &error {
            // No key in the data directory fits, and no other was named.
            certificate::Error::Bad(path, _) if key.is_none() && path.starts_with(&directory) => {
                failure.hint(
                    "if the chain is not for a request made here, name its key: --key KEY.pem",
                )
            }
            _ => failure,
        }
    })?;
    output::say(&format!(
        "installed: for {}, until {:.0}",
        installed.names.join(", "),
        installed.not_after
    ));
    let served = await_served(configuration, &installed.fingerprint);
    let recorded = with_client(data_dir, |client| {
        let row = json!({"names": installed.names, "notAfter": installed.not_after.to_string(),
            "fingerprint": installed.fingerprint});
        audit::record(client, "cert.install", Some(chain), row);
        Ok(())
    });
    served.and(recorded)
}

/// Waits until the server, if one runs, has noticed the new certificate by itself.
fn await_served(configuration: &Configuration, fingerprint: &str) -> Result<(), Failure> {
    let config = &configuration.serve;
    let looks = 3 * limits::CERTIFICATE_LOOK_SECONDS;
    for _ in 0..looks {
        let served = installation(&config.data_dir)?["certificate"].clone();
        if served.is_null() {
            if configuration.is_data_dir_alone {
                output::say(
                    "no server is running, and none starts until the configuration is corrected; it \
                     will then serve this, unless tls_cert is set",
                );
            } else if config.tls_files.is_some() {
                output::say("tls_cert is set: the next start will serve that file, not this");
                output::hint("unset tls_cert and tls_key to have this one served");
            } else {
                output::say("no server is running; the next start will serve it");
            }
            return Ok(());
        }
        if text_of(&served, "fingerprint") == fingerprint {
            output::say("it is being served");
            for warning in warnings_of(&served) {
                output::say(&format!("warning: {warning}"));
            }
            return Ok(());
        }
        thread::sleep(Duration::from_secs(1));
    }
    Err(Failure::new(
        status::REFUSED,
        "the server still serves another certificate",
    )
    .hint(
        "a server for which tls_cert is set serves that file instead; otherwise its log says what \
         is wrong",
    ))
}

/// The served certificate and the private CA, for programs. Each is null if it does not exist.
fn document(installation: &Value) -> Value {
    let mut certificate = installation["certificate"].clone();
    if let Some(ends) = Instant::parse(&accepted_until(&certificate)) {
        certificate["daysLeft"] = json!(SystemClock.now().days_until(ends));
    }
    let chain = certificate.get_mut("chain").and_then(Value::as_array_mut);
    for link in chain.into_iter().flatten() {
        if let Some(link) = link.as_object_mut() {
            // Leave out the bytes, which are in the files.
            link.remove("der");
        }
    }
    json!({"certificate": certificate, "authority": installation["authority"]})
}

/// When the last client stops accepting the certificate. A server of an earlier release reports
/// only when the leaf ends.
fn accepted_until(certificate: &Value) -> String {
    let said = certificate["acceptedUntil"].as_str();
    said.map_or_else(|| text_of(certificate, "notAfter"), str::to_owned)
}

fn tell(installation: &Value) -> Result<(), Failure> {
    let certificate = &installation["certificate"];
    if certificate.is_null() {
        output::say("no server is running, so who accepts its certificate is not known");
    } else {
        tell_served(certificate)?;
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
    if certificate.is_null() {
        return Ok(());
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
    output::line(&format!("             {}", import_line(&file)))
}

/// The command that adds a CA to a Java installation.
fn import_line(file: &str) -> String {
    format!(
        "keytool -importcert -alias golinks-scim -file {} -keystore JRE/lib/security/cacerts",
        quoted(Path::new(file))
    )
}

fn tell_served(certificate: &Value) -> Result<(), Failure> {
    let names: Vec<&str> = elements(&certificate["names"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let names = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    output::line(&format!("names        {names}"))?;
    let ends = whole_seconds(&text_of(certificate, "notAfter"));
    let left = Instant::parse(&ends).map(|ends| SystemClock.now().words_until(ends));
    let left = left.unwrap_or_default();
    output::line(&format!("ends         {ends}, {left}"))?;
    let accepted_until = whole_seconds(&accepted_until(certificate));
    if accepted_until != ends {
        output::line(&format!(
            "accepted     until {accepted_until}, when an authority in the chain ends"
        ))?;
    }
    let fingerprint = text_of(certificate, "fingerprint");
    output::line(&format!("fingerprint  {fingerprint}"))?;
    let mut title = "chain";
    for link in elements(&certificate["chain"]) {
        let [subject, issuer, ends] =
            ["subject", "issuer", "notAfter"].map(|name| text_of(link, name));
        let ends = whole_seconds(&ends);
        output::line(&format!("{title:<12} {subject}, by {issuer}, until {ends}"))?;
        title = "";
    }
    for warning in warnings_of(certificate) {
        output::line(&format!("warning      {warning}"))?;
    }
    Ok(())
}

/// A time from JSON without its milliseconds, which certificates do not have.
fn whole_seconds(text: &str) -> String {
    text.replace(".000Z", "Z")
}

/// What clients might object to in the served certificate.
pub(super) fn warnings_of(certificate: &Value) -> impl Iterator<Item = &str> {
    let warnings = elements(&certificate["warnings"]);
    warnings.iter().filter_map(Value::as_str)
}

fn failure(error: &certificate::Error, directory: &Path) -> Failure {
    let code = match error {
        certificate::Error::Io(_, error) => io_status(error),
        _ => status::REFUSED,
    };
    let data_dir = files::directory_of(directory);
    let failure = match error {
        certificate::Error::Io(_, io) if files::is_unconfirmed(io) => Failure::new(code, error),
        _ => Failure::new(code, format!("{error} (nothing was changed)")),
    };
    match error {
        _ if code == status::PERMISSION => failure.hint(as_root(data_dir)),
        certificate::Error::Elsewhere(_, it) if it.names.is_empty() => {
            failure.hint(fix_no_names(&it.host))
        }
        certificate::Error::Elsewhere(_, it) => failure.hint(fix_names(&it.host)),
        certificate::Error::Io(path, io)
            if path.starts_with(directory) && is_in_the_way(io) && !data_dir.is_dir() =>
        {
            failure.hint(not_a_directory(data_dir))
        }
        certificate::Error::Io(path, io)
            if path.starts_with(directory) && is_of_another_kind(io, path == directory) =>
        {
            let path = match io.kind() {
                ErrorKind::NotADirectory if !path.is_file() => files::directory_of(path),
                _ => path,
            };
            failure.hint(format!("move away {}", quoted(path)))
        }
        _ => failure,
    }
}

/// Whether the error says that something is where a directory should be.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists
    )
}

/// Whether the error says that a directory is in the place of a file, or the other way round.
fn is_of_another_kind(error: &io::Error, is_the_directory: bool) -> bool {
    match error.kind() {
        ErrorKind::IsADirectory => !is_the_directory,
        kind => kind == ErrorKind::NotADirectory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_space_is_quoted_for_the_shell() {
        let line = import_line("/srv/go links/tls/ca.pem");
        assert!(
            line.contains(" -file '/srv/go links/tls/ca.pem' -key"),
            "{line}"
        );
    }

    #[test]
    fn no_certificate_for_this_machine_alone_is_asked_for() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "[::1]", "::1"] {
            for fix in [fix_names(host), fix_no_names(host)] {
                let asked = fix.split("cert request --name ").nth(1);
                assert!(matches!(asked, None | Some("NAME")), "{host}: {fix}");
            }
        }
        let fix = fix_names("scim.example.com");
        assert!(fix.ends_with("cert request --name scim.example.com"));
        let fix = fix_no_names("scim.example.com");
        assert!(fix.ends_with("cert request --name scim.example.com"));
    }

    #[test]
    fn the_days_left_are_known_of_a_server_of_an_earlier_release() {
        let now = SystemClock.now();
        let [leaf, between] = [30, 10].map(|days| now.plus_days(days).to_string());
        let left = |certificate: Value| {
            let told = document(&json!({"certificate": certificate}));
            told["certificate"]["daysLeft"].as_i64()
        };
        let earlier = left(json!({"notAfter": leaf}));
        assert!(matches!(earlier, Some(29..=30)), "{earlier:?}");
        let this = left(json!({"notAfter": leaf, "acceptedUntil": between}));
        assert!(matches!(this, Some(9..=10)), "{this:?}");
        assert_eq!(left(Value::Null), None);
    }
}
