//! The server: whether it runs, what it needs, what it keeps, who may speak to it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use super::{Findings, Halt, PATIENCE, ask, number};
use crate::cli::output::text_of;
use crate::cli::{answered, from_local, status};
use crate::clock::{Clock, Instant, SystemClock};
use crate::config::{self, Configuration};
use crate::https;
use crate::limits;
use crate::local::{self, ANSWER_WAIT_MAX, Client};

/// For whoever may not look.
pub(super) const AS_ROOT: &str = "run this as root, or as the user that runs the server";

/// What starts the server on this machine.
pub(super) fn start(findings: &Findings) -> String {
    if is_service() {
        "systemctl start golinks-scim".to_owned()
    } else {
        findings.command("serve")
    }
}

fn restart() -> &'static str {
    if is_service() {
        "systemctl restart golinks-scim"
    } else {
        "stop the server, and start it again"
    }
}

/// Whether systemd runs here and knows the server.
fn is_service() -> bool {
    let units = [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    let has_unit = |folder: &&str| Path::new(folder).join("golinks-scim.service").exists();
    Path::new("/run/systemd/system").is_dir() && units.iter().any(has_unit)
}

/// Finds the server; without one its store is opened, and its port is tried.
pub(super) fn find(
    data_dir: &Path,
    configuration: &Configuration,
    findings: &mut Findings,
) -> Result<Option<Client>, Halt> {
    let pid = local::server_of(data_dir);
    let mut client = match super::connect(data_dir) {
        Ok(client) => client,
        Err(failure) => {
            let is_locked =
                failure.status == status::UNAVAILABLE && config::store_path(data_dir).exists();
            let (topic, mend) = match failure.status {
                status::UNAVAILABLE if is_locked => ("server", restart().to_owned()),
                status::DATA => ("store", findings.command("backup restore FILE")),
                status::PERMISSION => ("server", AS_ROOT.to_owned()),
                _ => (
                    "server",
                    failure.hint.clone().unwrap_or_else(|| start(findings)),
                ),
            };
            findings.fail(topic, &failure.what, &mend)?;
            return Ok(None);
        }
    };
    if let Some(pid) = pid {
        let installation = ask(&mut client, "GET", "/admin/installation", None)?;
        version(pid, &text_of(&installation, "version"), findings)?;
    } else {
        let mend = start(findings);
        findings.fail("server", "no server runs", &mend)?;
        port_to_be(configuration, findings)?;
    }
    Ok(Some(client))
}

/// Whether the server is of the program that was last installed.
fn version(pid: i32, runs: &str, findings: &mut Findings) -> Result<(), Halt> {
    let ours = env!("CARGO_PKG_VERSION");
    if runs == ours {
        return findings.pass("server", &format!("process {pid} runs version {runs}"));
    }
    let what = format!("process {pid} runs version {runs}, this is {ours}");
    findings.warn("server", &what, restart())
}

/// What a server that runs and does not answer needs.
pub(super) fn silent(data_dir: &Path, what: &str, findings: &mut Findings) -> Result<(), Halt> {
    let mend = match local::server_of(data_dir) {
        _ if is_service() => restart().to_owned(),
        // It does not hear a milder signal.
        Some(pid) => format!("kill -KILL {pid}; then {}", findings.command("serve")),
        None => start(findings),
    };
    findings.fail("server", what, &mend)
}

/// Whether a server could listen where it is to.
fn port_to_be(configuration: &Configuration, findings: &mut Findings) -> Result<(), Halt> {
    let usual = SocketAddr::from(([0; 8], crate::cli::serve::DEFAULT_PORT));
    let address = configuration.serve.listen.unwrap_or(usual);
    match https::bind(address) {
        Ok(_) => findings.pass("port", &format!("{address} is free")),
        Err(error) => {
            let mend = mend_of_port(address, error.kind(), findings);
            findings.fail("port", &format!("{address}: {error}"), &mend)
        }
    }
}

fn mend_of_port(address: SocketAddr, kind: ErrorKind, findings: &Findings) -> String {
    let on = |port| SocketAddr::new(address.ip(), port);
    match kind {
        ErrorKind::PermissionDenied if is_service() => {
            "systemctl enable --now golinks-scim.socket && systemctl start golinks-scim".to_owned()
        }
        ErrorKind::PermissionDenied => {
            let usual = crate::cli::serve::DEFAULT_PORT;
            findings.command(&format!("serve --listen {}", on(usual)))
        }
        _ => findings.command(&format!("serve --listen {}", on(address.port() ^ 1))),
    }
}

pub(super) fn descriptors(state: &Value, findings: &mut Findings) -> Result<(), Halt> {
    let Some(limit) = number(state, "/descriptors/limit") else {
        return findings.not_run("descriptors", "no server runs");
    };
    let needed = limits::DESCRIPTORS_NEEDED;
    if limit >= needed {
        return findings.pass("descriptors", &format!("{limit} may be open"));
    }
    let what = format!(
        "{limit} may be open, {needed} are needed for {} connections",
        limits::CONNECTIONS_MAX
    );
    let mend = if is_service() {
        "systemctl edit golinks-scim: LimitNOFILE=65536; then systemctl restart golinks-scim"
            .to_owned()
    } else {
        format!("ulimit -n 65536; then {}", findings.command("serve"))
    };
    findings.fail("descriptors", &what, &mend)
}

/// What `/readyz` says.
pub(super) fn readiness(state: &Value, findings: &mut Findings) -> Result<(), Halt> {
    let reasons = state["reasons"].as_array().map_or(&[][..], Vec::as_slice);
    for reason in reasons {
        let [what, mend] = ["what", "mend"].map(|name| text_of(reason, name));
        findings.fail("readiness", &what, &findings.filled(&mend))?;
    }
    Ok(())
}

/// Reads all of it.
pub(super) fn store(client: &mut Client, findings: &mut Findings) -> Result<(), Halt> {
    let silent = |error| Halt::Server(from_local(error).what);
    client.set_patience(ANSWER_WAIT_MAX).map_err(silent)?;
    let answer = client.request("POST", "/admin/verification", None);
    client.set_patience(PATIENCE).map_err(silent)?;
    match answered(&answer.map_err(silent)?) {
        Ok(counts) => findings.pass(
            "store",
            &format!(
                "sound: {} users, {} tokens, {} audit rows",
                counts["users"], counts["tokens"], counts["auditRows"]
            ),
        ),
        Err(failure) => {
            let mend = format!(
                "stop the server; then {}",
                findings.command("backup restore FILE")
            );
            findings.fail("store", &failure.what, &mend)
        }
    }
}

/// Whether an identity provider has a token, and whether it uses it.
pub(super) fn tokens(client: &mut Client, findings: &mut Findings) -> Result<(), Halt> {
    const TOPIC: &str = "tokens";
    let listed = ask(client, "GET", "/admin/tokens", None)?;
    let all = listed["tokens"].as_array().map_or(&[][..], Vec::as_slice);
    let provisions = |token: &&Value| matches!(token["scope"].as_str(), Some("provision" | "full"));
    let live: Vec<&Value> = all
        .iter()
        .filter(provisions)
        .filter(|token| token["state"] == "live")
        .collect();
    if live.is_empty() {
        let what = match all.iter().filter(provisions).count() {
            0 => "no token for an identity provider was ever issued".to_owned(),
            dead => format!(
                "no token for an identity provider is good any more ({dead} have expired or were revoked)"
            ),
        };
        let mend = findings.command("token issue okta");
        return findings.fail(TOPIC, &what, &mend);
    }
    let now = SystemClock.now();
    for token in live {
        spoken(token, now, findings)?;
    }
    Ok(())
}

/// Whether a live token is used. One that nobody has typed in is as quiet as one that somebody
/// has taken out.
fn spoken(token: &Value, now: Instant, findings: &mut Findings) -> Result<(), Halt> {
    const TOPIC: &str = "tokens";
    const MEND: &str = "let the identity provider test its credentials (in Okta: Provisioning, Integration, Test API Credentials)";
    let [name, used, issued] = ["name", "lastUsed", "created"].map(|member| text_of(token, member));
    match (
        used.is_empty(),
        is_quiet(&used, now),
        is_quiet(&issued, now),
    ) {
        (true, _, true) => {
            let what = format!("{name} was issued at {issued} and was never used");
            findings.warn(TOPIC, &what, MEND)
        }
        (true, _, false) => findings.pass(TOPIC, &format!("{name} is good; it was never used")),
        (false, true, _) => {
            findings.warn(TOPIC, &format!("{name} has been quiet since {used}"), MEND)
        }
        (false, false, _) => findings.pass(
            TOPIC,
            &format!("{name} is good; it was last used at {used}"),
        ),
    }
}

fn is_quiet(used: &str, now: Instant) -> bool {
    Instant::parse(used).is_some_and(|used| used.days_until(now) >= limits::QUIET_DAYS)
}

/// Tokens and certificates near their end, very many deactivations: what the log warns of.
pub(super) fn warnings(state: &Value, findings: &mut Findings) -> Result<(), Halt> {
    let warnings = state["warnings"].as_array().map_or(&[][..], Vec::as_slice);
    for warning in warnings {
        let [kind, what, mend] = ["kind", "what", "mend"].map(|name| text_of(warning, name));
        findings.warn(&kind, &what, &findings.filled(&mend))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Outcome;
    use super::*;

    /// What was told, by outcome.
    fn count(wanted: Outcome, look: impl Fn(&mut Findings) -> Result<(), Halt>) -> usize {
        let mut findings = Findings::new(None, "golinks-scim".to_owned());
        look(&mut findings).expect("standard output is open");
        findings.count(wanted)
    }

    #[test]
    fn a_server_of_another_version_is_to_be_restarted() {
        let ours = env!("CARGO_PKG_VERSION");
        for (runs, wanted) in [(ours, Outcome::Pass), ("0.0.1", Outcome::Warn)] {
            assert_eq!(count(wanted, |findings| version(1, runs, findings)), 1);
        }
    }

    #[test]
    fn a_port_that_cannot_be_had_is_left_for_another() {
        let findings = Findings::new(None, "golinks-scim".to_owned());
        let address = "127.0.0.1:443".parse().expect("an address");
        let mend = |kind| mend_of_port(address, kind, &findings);
        assert_eq!(
            mend(ErrorKind::AddrInUse),
            "golinks-scim serve --listen 127.0.0.1:442"
        );
        // Where systemd knows the server, its socket has the port.
        assert_eq!(
            mend(ErrorKind::PermissionDenied).contains("--listen 127.0.0.1:8443"),
            !is_service()
        );
    }

    #[test]
    fn a_token_that_nobody_uses_is_told_of_after_a_week() {
        let now = SystemClock.now();
        let ago = |days: i64| now.plus_days(-days).to_string();
        for (issued, used, wanted) in [
            (6, None, Outcome::Pass),
            (limits::QUIET_DAYS, None, Outcome::Warn),
            (30, Some(1), Outcome::Pass),
            (30, Some(limits::QUIET_DAYS), Outcome::Warn),
        ] {
            let token = json!({"name": "okta", "created": ago(issued), "lastUsed": used.map(ago)});
            let told = count(wanted, |findings| spoken(&token, now, findings));
            assert_eq!(told, 1, "{token}");
        }
    }
}
