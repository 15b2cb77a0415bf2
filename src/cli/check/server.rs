//! Checks of the server: whether it runs, what it needs, what it stores, and who may use it.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use super::{Findings, Halt, ask, command, machine, number};
use crate::cli::output::{self, elements, text_of};
use crate::cli::rights::User;
use crate::cli::{
    answered, as_root, from_local, login_name, other_data_dir, quoted, serve, too_few_descriptors,
};
use crate::clock::{Clock, Instant, SystemClock};
use crate::config::{self, Configuration};
use crate::fix::filled;
use crate::limits;
use crate::local::{self, Client, Peer};
use crate::store::OpenError;

/// The command that starts the server on this machine: as a service or, without one, as the owner
/// of its files.
pub(super) fn start(data_dir: &Path, findings: &Findings) -> String {
    if !findings.is_service {
        return by_hand(data_dir, "serve");
    }
    if rustix::process::geteuid().is_root() {
        "systemctl start golinks-scim".to_owned()
    } else {
        // The service may be running: this user's data directory is not the service's.
        format!("sudo {}", command("check"))
    }
}

/// What to do if there is no data directory. Starting a server is the last advice, for two reasons:
/// a server that another user runs has another directory, and a server whose directory was removed
/// goes on running but cannot be asked about it.
pub(super) fn first_start(config: &config::Serve, findings: &Findings) -> String {
    let mut start = start(&config.data_dir, findings);
    if !findings.is_service {
        let other = other_data_dir();
        start = format!("if a server runs already, {other}; otherwise: {start}");
    }
    let address = config.listen.unwrap_or(serve::EVERY_ADDRESS);
    match serve::bind(config.listen) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => format!(
            "{address} is in use: if by this server, its directory was removed, and only the \
             server has the users now: before you stop it, golinks-scim manual disk-full; if by \
             something else: {start}"
        ),
        _ => start,
    }
}

/// The command with these words that starts the server as the owner of its files.
fn by_hand(data_dir: &Path, words: &str) -> String {
    let serve = command(words);
    let Ok(directory) = fs::metadata(data_dir) else {
        return serve;
    };
    let user = User::of_server(data_dir, &directory);
    if user.id == 0 || !rustix::process::geteuid().is_root() {
        return serve;
    }
    format!("{} {serve}", user.setpriv(&directory))
}

fn restart(findings: &Findings) -> &'static str {
    if findings.is_service {
        "systemctl restart golinks-scim"
    } else {
        "stop the server, and start it again"
    }
}

/// Connects to the server. Without one, opens its store and tries its port.
pub(super) fn find(
    data_dir: &Path,
    configuration: &Configuration,
    findings: &mut Findings,
) -> Result<Option<Client>, Halt> {
    let client =
        match Client::connect_within(limits::CHECKED_SERVER_SILENCE_MAX, data_dir, &login_name()) {
            Ok(client) => client,
            Err(error) => {
                unreachable_store(error, &configuration.serve, findings)?;
                return Ok(None);
            }
        };
    if client.server().is_none() {
        let fix = start(data_dir, findings);
        let what = format!("no server is running in {}", quoted(data_dir));
        findings.fail("server", &what, &fix)?;
        port_to_be(configuration, findings)?;
        machine::certificate_to_be(&configuration.serve, findings)?;
    }
    Ok(Some(client))
}

/// Reports why neither a server nor its store can be used.
fn unreachable_store(
    error: local::Error,
    config: &config::Serve,
    findings: &mut Findings,
) -> Result<(), Halt> {
    let data_dir = config.data_dir.as_path();
    let (topic, fix) = match &error {
        // A server may be starting, or about to reopen its local socket.
        local::Error::Store(OpenError::Locked) => ("server", once_more(findings)),
        local::Error::Silent(_) => ("server", restart(findings).to_owned()),
        local::Error::NoDirectory(_) => ("server", first_start(config, findings)),
        local::Error::Forbidden { .. } => ("server", as_root(data_dir)),
        local::Error::Content(_) | local::Error::Store(OpenError::Damaged(_)) => {
            ("store", command("backup restore FILE"))
        }
        _ => {
            let failure = from_local(error);
            let hint = failure.hint.unwrap_or_else(|| start(data_dir, findings));
            let hint = filled(&hint);
            return findings.fail("server", &failure.what, &hint);
        }
    };
    findings.fail(topic, &error.to_string(), &fix)
}

/// Checks whether the server runs the version of the program that was installed last.
pub(super) fn version(
    server: Option<Peer>,
    installation: &Value,
    findings: &mut Findings,
) -> Result<(), Halt> {
    let Some(server) = server else {
        return Ok(());
    };
    let (runs, ours) = (text_of(installation, "version"), env!("CARGO_PKG_VERSION"));
    if runs.is_empty() || installation["listens"].is_null() {
        let what = format!("{server} answers at the socket, but is not golinks-scim");
        return Err(Halt::UnexpectedAnswer(what));
    }
    if runs == ours {
        return findings.pass("server", &format!("{server} runs version {runs}"));
    }
    let what = format!("{server} runs version {runs}, this is {ours}");
    findings.warn("server", &what, restart(findings))
}

/// Reports a server that runs but does not answer.
pub(super) fn silent(
    server: Option<Peer>,
    what: &str,
    data_dir: &Path,
    findings: &mut Findings,
) -> Result<(), Halt> {
    let fix = match server.and_then(|it| it.0) {
        // A server that hangs does not react to a gentler signal.
        Some(pid) if !findings.is_service => {
            format!("kill -KILL {pid} && {}", start(data_dir, findings))
        }
        _ => restart(findings).to_owned(),
    };
    findings.fail("server", what, &fix)
}

/// Reports an odd answer. If the server was merely restarted, nothing is wrong, but the checks so
/// far say nothing about the new process.
pub(super) fn odd(what: &str, findings: &mut Findings) -> Result<(), Halt> {
    let fix = once_more(findings);
    findings.fail("server", what, &fix)
}

fn once_more(findings: &Findings) -> String {
    format!(
        "{}; if it says this again: {}",
        command("check"),
        restart(findings)
    )
}

/// Checks whether a server could listen at the configured address.
fn port_to_be(configuration: &Configuration, findings: &mut Findings) -> Result<(), Halt> {
    let configured = &configuration.serve;
    let address = configured.listen.unwrap_or(serve::EVERY_ADDRESS);
    match serve::bind(configured.listen) {
        Ok(_) => findings.pass("port", &format!("{address} is free")),
        Err(error) => {
            let fix = fix_of_port(address, error.kind(), &configured.data_dir, findings);
            findings.fail("port", &format!("{address}: {error}"), &fix)
        }
    }
}

fn fix_of_port(
    address: SocketAddr,
    kind: ErrorKind,
    data_dir: &Path,
    findings: &Findings,
) -> String {
    let other = another_address(address, kind);
    if findings.is_service {
        fix_of_service(other, kind)
    } else {
        by_hand(data_dir, &format!("serve --listen {other}"))
    }
}

/// How to give the service another port, if the configured one is not available.
fn fix_of_service(other: SocketAddr, kind: ErrorKind) -> String {
    let set =
        format!("set listen to {other} in the configuration; then systemctl start golinks-scim");
    match kind {
        ErrorKind::PermissionDenied => {
            "systemctl enable --now golinks-scim.socket && systemctl start golinks-scim".to_owned()
        }
        ErrorKind::AddrInUse => format!(
            "if systemctl is-active golinks-scim.socket says active, it is kept for the server; if \
             not, {set}"
        ),
        _ => set,
    }
}

/// Another address, at which the server may be able to listen.
fn another_address(address: SocketAddr, kind: ErrorKind) -> SocketAddr {
    let every = serve::EVERY_ADDRESS;
    match kind {
        ErrorKind::AddrNotAvailable => SocketAddr::new(every.ip(), address.port()),
        // Below 1024 the next port would need a privilege as well.
        _ if address.port() < 1024 => SocketAddr::new(address.ip(), every.port()),
        _ => SocketAddr::new(address.ip(), address.port() ^ 1),
    }
}

pub(super) fn descriptors(
    state: &Value,
    data_dir: &Path,
    findings: &mut Findings,
) -> Result<(), Halt> {
    let Some(limit) = number(state, "/descriptors/limit") else {
        return findings.not_run("descriptors", "no server is running");
    };
    let Some(what) = too_few_descriptors(limit) else {
        return findings.pass("descriptors", &format!("{limit} may be open"));
    };
    let needed = limits::DESCRIPTORS_NEEDED;
    let fix = if findings.is_service {
        "systemctl edit golinks-scim: LimitNOFILE=65536; then systemctl restart golinks-scim"
            .to_owned()
    } else {
        format!("ulimit -n {needed} && {}", start(data_dir, findings))
    };
    findings.fail("descriptors", &what, &fix)
}

/// Reports why `/readyz` answers 503.
pub(super) fn readiness(state: &Value, findings: &mut Findings) -> Result<(), Halt> {
    let reasons = elements(&state["reasons"]);
    for reason in reasons {
        let [what, fix] = ["what", "fix"].map(|name| text_of(reason, name));
        findings.fail("readiness", &what, &filled(&fix))?;
    }
    Ok(())
}

/// Has the whole store read and verified. The store of a deleted file is valid only until the
/// server stops, so nobody must rely on it.
pub(super) fn store(
    client: &mut Client,
    state: &Value,
    findings: &mut Findings,
) -> Result<(), Halt> {
    if state["isStoreLost"] == true {
        return findings.not_run("store", "its file is lost, see readiness: save it first");
    }
    client.set_patience(limits::WHOLE_STORE_WAIT_MAX);
    let answer = client.request("POST", "/admin/verification", None);
    client.set_patience(limits::CHECKED_SERVER_SILENCE_MAX);
    match answered(&answer?) {
        Ok(counts) => findings.pass(
            "store",
            &format!(
                "sound: {}, {}, {}",
                output::counted_in(&counts, "users", "user"),
                output::counted_in(&counts, "tokens", "token"),
                output::counted_in(&counts, "auditRows", "audit row")
            ),
        ),
        Err(failure) => {
            let fix = format!("stop the server; then {}", command("backup restore FILE"));
            findings.fail("store", &failure.what, &fix)
        }
    }
}

/// Checks that there is a live token for an identity provider, and that it is used.
pub(super) fn tokens(client: &mut Client, findings: &mut Findings) -> Result<(), Halt> {
    const TOPIC: &str = "tokens";
    let listed = ask(client, "GET", "/admin/tokens", None)?;
    let all = elements(&listed["tokens"]);
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
                "no token for an identity provider is valid any more (expired or revoked: {dead})"
            ),
        };
        let fix = command("token issue okta");
        return findings.fail(TOPIC, &what, &fix);
    }
    if live.iter().all(|token| token["mode"] == "strict") {
        let name = text_of(live[0], "name");
        let what = format!(
            "{name} is strict: what identity providers send beyond the RFCs is refused, such as \
             Okta's deactivations"
        );
        let fix = command(&format!("token change {name} --mode compatible"));
        findings.warn(TOPIC, &what, &fix)?;
    }
    let now = SystemClock.now();
    for token in live {
        spoken(token, now, findings)?;
    }
    Ok(())
}

/// Checks that a live token is used. If it is not, it was never entered at the provider, or
/// somebody removed it there.
fn spoken(token: &Value, now: Instant, findings: &mut Findings) -> Result<(), Halt> {
    const TOPIC: &str = "tokens";
    const FIX: &str = "let the identity provider test its credentials (in Okta: Provisioning, Integration, Test API Credentials)";
    let [name, used, issued] = ["name", "lastUsed", "created"].map(|member| text_of(token, member));
    match (
        used.is_empty(),
        is_quiet(&used, now),
        is_quiet(&issued, now),
    ) {
        (true, _, true) => {
            let what = format!("{name} was issued at {issued} and was never used");
            findings.warn(TOPIC, &what, FIX)
        }
        (true, _, false) => findings.pass(TOPIC, &format!("{name} is valid; it was never used")),
        (false, true, _) => findings.warn(
            TOPIC,
            &format!("{name} has not been used since {used}"),
            FIX,
        ),
        (false, false, _) => findings.pass(
            TOPIC,
            &format!("{name} is valid; it was last used at {used}"),
        ),
    }
}

fn is_quiet(used: &str, now: Instant) -> bool {
    Instant::parse(used).is_some_and(|used| used.days_until(now) >= limits::QUIET_DAYS)
}

/// Reports what the log warns about: tokens and certificates that end soon, and very many
/// deactivations.
pub(super) fn warnings(state: &Value, findings: &mut Findings) -> Result<(), Halt> {
    let warnings = elements(&state["warnings"]);
    for warning in warnings {
        let [kind, what, fix] = ["kind", "what", "fix"].map(|name| text_of(warning, name));
        findings.warn(&kind, &what, &filled(&fix))?;
    }
    Ok(())
}

/// Reports what identity providers sent and this server ignored. This is not a failure, since most
/// of them send more than this server knows.
pub(super) fn ignored(state: &Value, findings: &mut Findings) -> Result<(), Halt> {
    let ignored = &state["ignored"];
    let names = elements(&ignored["names"]);
    if names.is_empty() {
        return Ok(());
    }
    let told = |it: &Value| format!("{} ({})", text_of(it, "name"), text_of(it, "tolerance"));
    let told: Vec<String> = names.iter().map(told).collect();
    let more = if ignored["areMore"] == true {
        " and others"
    } else {
        ""
    };
    let (told, since) = (told.join(", "), text_of(state, "startedAt"));
    let what = format!("{told}{more}, since {since}: see `golinks-scim manual providers`");
    findings.pass("ignored", &what)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Outcome;
    use super::*;

    /// The number of findings with this outcome.
    fn count(wanted: Outcome, look: impl Fn(&mut Findings) -> Result<(), Halt>) -> usize {
        let mut findings = Findings::new(None);
        look(&mut findings).expect("standard output is open");
        findings.count(wanted)
    }

    #[test]
    fn a_server_of_another_version_is_to_be_restarted() {
        let ours = env!("CARGO_PKG_VERSION");
        for (runs, wanted) in [(ours, Outcome::Pass), ("0.0.1", Outcome::Warn)] {
            let installation = json!({"version": runs, "listens": "[::]:8443"});
            let told = count(wanted, |findings| {
                version(Some(Peer(Some(1))), &installation, findings)
            });
            assert_eq!(told, 1, "{runs}");
        }
    }

    #[test]
    fn a_port_that_cannot_be_had_is_left_for_another() {
        for (address, kind, wanted) in [
            ("127.0.0.1:8443", ErrorKind::AddrInUse, "127.0.0.1:8442"),
            ("127.0.0.1:443", ErrorKind::AddrInUse, "127.0.0.1:8443"),
            (
                "127.0.0.1:443",
                ErrorKind::PermissionDenied,
                "127.0.0.1:8443",
            ),
            ("203.0.113.9:443", ErrorKind::AddrNotAvailable, "[::]:443"),
        ] {
            let other = another_address(address.parse().expect("an address"), kind);
            assert_eq!(other.to_string(), wanted, "{address} {kind}");
            let fix = fix_of_service(other, kind);
            let (sets, asks) = (fix.contains(wanted), fix.contains("golinks-scim.socket"));
            let by_systemd = kind == ErrorKind::PermissionDenied;
            assert_eq!(sets, !by_systemd, "{fix}");
            assert_eq!(asks, by_systemd || kind == ErrorKind::AddrInUse, "{fix}");
        }
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
