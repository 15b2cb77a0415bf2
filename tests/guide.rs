//! The guides: each is filled in for its installation, names first what still prevents
//! provisioning, and has commands that do what it says.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::place::chain_for;
use crate::support::{Server, cli_in, without_settings};

const GUIDES: [&str; 6] = ["okta", "entra", "onelogin", "jumpcloud", "other", "agent"];

const BEFORE: &str = "BEFORE YOU BEGIN";

/// The guide that a running server gives. Asserts that it has all of `wanted`.
fn guide_with(server: &Server, which: &str, wanted: &[&str]) -> String {
    let output = server.cli(&["guide", which]);
    assert_eq!(output.status, Some(0), "{output:?}");
    assert_eq!(output.stderr, "", "{which}");
    has_all(&output.stdout, which, wanted);
    output.stdout
}

fn has_all(guide: &str, which: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(guide.contains(part), "{which} has no {part:?}:\n{guide}");
    }
    assert_eq!(guide.find(['{', '}']), None, "{which}:\n{guide}");
}

/// The first lines of each guide for a new installation.
#[test]
fn each_guide_has_what_this_installation_has() {
    let server = Server::start_with(&["--rate-limit", "7"]);
    let base_url = format!("https://{}/scim/v2", server.address());
    let ca = server.data_dir().join("tls/ca.pem").display().to_string();
    for which in GUIDES {
        let program = format!("golinks-scim --data-dir {}", server.data_dir().display());
        let check = format!("{program} check");
        let guide = guide_with(&server, which, &[&base_url, &check, "token issue"]);
        assert_eq!(guide.contains(BEFORE), which != "agent", "{guide}");
        if which == "agent" {
            has_all(
                &guide,
                which,
                &[&format!("{base_url}/\n"), &ca, "keytool -importcert"],
            );
        } else {
            let told = [
                "No cloud can find 127.0.0.1",
                "not from a public authority",
                "cert request",
            ];
            has_all(&guide, which, &told);
            has_all(
                &guide,
                which,
                &["7 requests a second (bursts of 35 pass)", &ca],
            );
        }
    }
    // As the name is written elsewhere.
    guide_with(&server, "JumpCloud", &[&base_url]);
}

#[test]
fn what_is_in_the_way_comes_before_the_first_step() {
    let server = Server::start_with(&[
        "--base-url",
        "https://scim_host.example.com:8443/golinks/v2",
        "--rate-limit",
        "off",
    ]);
    for which in GUIDES {
        let guide = guide_with(
            &server,
            which,
            &["https://scim_host.example.com:8443/golinks/v2"],
        );
        assert!(!guide.contains("No cloud can find"), "{guide}");
        let (before, rest) = guide.split_once("\n1. The token").expect("a first step");
        assert!(before.contains(BEFORE), "{guide}");
        assert!(!rest.contains(BEFORE), "{guide}");
        assert!(before.contains("an underscore"), "{guide}");
        assert!(before.contains("serve --base-url https://"), "{guide}");
    }
    guide_with(
        &server,
        "okta",
        &[
            "the server's limit is off",
            "    /golinks/v2 to /scim/v2 here",
        ],
    );
    let health = "curl --cacert ca.pem https://scim_host.example.com:8443/healthz";
    guide_with(&server, "agent", &[health]);
}

/// A guide shows values from the configuration, or else from the last start.
#[test]
fn a_guide_needs_no_running_server() {
    let folder = TempDir::new().expect("a folder");
    for which in GUIDES {
        let output = cli_in(&folder, &["guide", which]);
        assert_eq!(output.status, Some(0), "{output:?}");
        let wanted = [
            BEFORE,
            "No server has run",
            "golinks-scim serve runs",
            "serve\n",
        ];
        has_all(&output.stdout, which, &wanted);
    }
    let server = Server::start_on(folder);
    let base_url = format!("https://{}/scim/v2", server.address());
    let folder = server.stop_and_keep();
    for which in GUIDES {
        let guide = cli_in(&folder, &["guide", which]).stdout;
        has_all(&guide, which, &[&base_url]);
        assert!(!guide.contains("No server has run"), "{guide}");
        assert_eq!(
            guide.contains("No server is running"),
            which != "agent",
            "{guide}"
        );
    }
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "base_url = \"https://next.example.com\"\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    let guide = cli_in(&folder, &["--config", file, "guide", "okta"]).stdout;
    has_all(&guide, "okta", &["https://next.example.com/scim/v2"]);
    std::fs::write(file, "").expect("written");
    let guide = cli_in(&folder, &["--config", file, "guide", "okta"]).stdout;
    has_all(&guide, "okta", &[&format!("say so in {file}, and restart")]);
}

/// The private authority's certificate is still there, but no longer signs anything.
#[test]
fn without_a_server_the_agent_trusts_the_ca_of_an_installed_chain() {
    let folder = Server::start().stop_and_keep();
    let ca = folder.path().join("data/tls/ca.pem").display().to_string();
    let own = "that of the CA of your own certificate";
    let guide = || cli_in(&folder, &["guide", "agent"]).stdout;
    assert!(guide().contains(&ca) && !guide().contains(own));
    let (chain, key) = chain_for("127.0.0.1", None);
    let file = folder.path().join("data/tls/installed.pem");
    std::fs::write(file, chain + &key).expect("written");
    let installed = guide();
    assert!(installed.contains(own), "{installed}");
    for other in [&*ca, "golinks-scim serve runs"] {
        assert!(!installed.contains(other), "{other}: {installed}");
    }
}

/// Types the commands that each guide has for its tokens into a shell.
#[test]
fn the_commands_for_tokens_issue_what_the_guide_says() {
    let server = Server::start();
    for (which, scopes) in [
        ("okta", &["provision"][..]),
        ("agent", &["provision"]),
        ("entra", &["full"]),
        ("onelogin", &["provision", "full"]),
        ("jumpcloud", &["full"]),
        ("other", &["provision", "full"]),
    ] {
        let guide = guide_with(&server, which, &[]);
        let commands = guide
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("golinks-scim") && line.contains(" token issue "));
        let commands: Vec<&str> = commands.collect();
        assert_eq!(commands.len(), scopes.len(), "{guide}");
        for (command, scope) in commands.iter().zip(scopes) {
            let name = command.split(" token issue ").nth(1).expect("a name");
            let name = name.split(' ').next().expect("a word");
            let token = typed(command);
            assert!(token.starts_with("golinks_scim_"), "{command}: {token}");
            let shown = server.cli(&["token", "show", name, "-o", "jsonl"]).stdout;
            assert!(
                shown.contains(&format!("\"scope\":\"{scope}\"")),
                "{command}: {shown}"
            );
            // The guide's command that lets the token delete later.
            let change = guide.lines().find(|line| line.contains(" token change "));
            let changed = change.map(|command| typed(command.trim()));
            assert!(changed.is_none_or(|told| told.contains("full")), "{guide}");
            // The next token may have the same name, since the reader issues only one of the two.
            server.cli(&["token", "revoke", name]);
        }
    }
}

/// A first start at a terminal issues the token for Okta.
#[test]
fn a_guide_knows_of_a_live_token_of_its_name() {
    let server = Server::start();
    for (which, name) in GUIDES.iter().zip([
        "okta",
        "entra",
        "onelogin",
        "jumpcloud",
        "provider",
        "okta-agent",
    ]) {
        let rotate = format!(
            "golinks-scim --data-dir {} token rotate {name}",
            server.data_dir().display()
        );
        let told = "   A token of this name is live already";
        let before = guide_with(&server, which, &[]);
        assert!(!before.contains(told), "{before}");
        server.token(name);
        let guide = guide_with(&server, which, &[told, &format!("\n     {rotate}\n")]);
        assert!(typed(&rotate).starts_with("golinks_scim_"), "{guide}");
        let refused = server.cli(&["token", "issue", name]);
        assert!(
            refused.stderr.ends_with(&format!("\nhint: {rotate}\n")),
            "{refused:?}"
        );
        server.cli(&["token", "revoke", name]);
        let after = guide_with(&server, which, &[]);
        assert!(!after.contains(told), "{after}");
    }
    let refused = server.cli(&["token", "issue", "bad name"]);
    assert!(!refused.stderr.contains("hint:"), "{refused:?}");
}

/// Runs a line in a shell, and returns what it prints.
fn typed(line: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_golinks-scim"));
    let path = format!(
        "{}:{}",
        binary.parent().expect("a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = without_settings(&mut Command::new("sh"))
        .args(["-c", line])
        .env("PATH", path)
        .output();
    let output = output.expect("a shell");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
