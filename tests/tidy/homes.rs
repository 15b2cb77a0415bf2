//! Things that only one module may name: foreign crates, clocks, files, randomness; and the modules
//! that only turn values into values.

use super::{complain, sources};

/// Crates that only some modules may name.
const HOMES: &[(&str, &[&str])] = &[
    ("tiny_http", &["local"]),
    ("redb", &["store"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("sd_notify", &["cli"]),
    ("listenfd", &["cli"]),
    ("toml", &["config"]),
    ("strsim", &["config", "columns"]),
    ("csv", &["cli"]),
    ("indicatif", &["cli"]),
    ("rustls", &["https", "certificate", "idp"]),
    ("rcgen", &["certificate"]),
    ("webpki_roots", &["certificate"]),
    ("simple_logger", &["logging"]),
    ("prometheus_client", &["metrics"]),
    ("roaring", &["store", "directory", "cli"]),
];

/// Texts that only their home, a module or a file, may contain: (text, homes, what to do instead).
/// Tests inside of `src` may contain them too.
const ONE_HOME: &[(&str, &[&str], &str)] = &[
    // Code that is given a clock or an instant can be tested at any time.
    (
        "SystemTime::now",
        &["clock"],
        "take a `Clock` or an `Instant`",
    ),
    // Beside `clock::Instant`, a deadline under the same name would look like a time of day.
    ("Instant::now", &[], "import the one of std as `Monotonic`"),
    // Tokens and keys are only as good as the generator.
    ("rand::", &["secret"], "use `secret::random`"),
    // `config show` tells where each setting comes from. The log asks only what it writes to.
    ("env::var", &["cli", "logging"], "take it from `Sources`"),
    // A file that is created in another way may be readable by others, or belong to root.
    (
        "OpenOptions::new",
        &["files", "src/store/file.rs"],
        "use `files::create`",
    ),
    ("File::create", &[], "use `files::create`"),
    // Man pages are for everybody.
    (
        "fs::write",
        &["src/cli/generated.rs"],
        "use `files::create`",
    ),
    // Code that trusts any certificate must send nothing: `check` only looks at what a peer
    // presents.
    (".dangerous()", &["src/idp/client.rs"], "trust roots"),
    // A server starts no other program; `check` asks the system whether it keeps the clock.
    (
        "Command::new",
        &["src/cli/check/machine.rs"],
        "use a library",
    ),
    // A method is named for what it returns.
    ("fn get_", &[], "leave `get_` out"),
];

/// The modules that only turn values into values, so that tables can test everything they do.
const PURE: &[&str] = &["columns", "http1", "scim"];

/// What those modules must not name: files, sockets, threads, clocks, the environment and the log.
const OUTSIDE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::time",
    "std::env",
    "std::process",
    "std::os",
    "rustix::",
    "log::",
];

#[test]
fn foreign_crates_are_named_only_where_they_live() {
    let mut complaints = Vec::new();
    for source in sources() {
        for (line, code) in source.code() {
            for (name, homes) in HOMES {
                let named =
                    code.contains(&format!("{name}::")) || code.contains(&format!("use {name}"));
                if named && !homes.contains(&source.module.as_str()) {
                    complaints.push(format!(
                        "{}:{line}: {name} is named outside of {homes:?}; use what that module offers",
                        source.path.display()
                    ));
                }
            }
        }
    }
    complain(&complaints);
}

#[test]
fn what_has_one_home_is_named_nowhere_else() {
    let mut complaints = Vec::new();
    for source in sources() {
        let path = source.path.display();
        for (line, code) in source.own_code() {
            for (text, homes, instead) in ONE_HOME {
                let is_home = |home: &&str| source.module == **home || source.path.ends_with(home);
                if code.contains(text) && !homes.iter().any(is_home) {
                    complaints.push(format!(
                        "{path}:{line}: `{text}` does not belong here: {instead}"
                    ));
                }
            }
            for text in OUTSIDE {
                if PURE.contains(&source.module.as_str()) && code.contains(text) {
                    complaints.push(format!(
                        "{path}:{line}: {} is pure: take a value in place of `{text}`",
                        source.module
                    ));
                }
            }
        }
    }
    complain(&complaints);
}

#[test]
fn administrators_are_made_only_by_local() {
    let mut complaints = Vec::new();
    for source in sources() {
        if source.module == "local" || source.path.ends_with("access/principal.rs") {
            continue;
        }
        for (line, code) in source.code() {
            if code.contains("from_local_socket") {
                complaints.push(format!(
                    "{}:{line}: only local/ makes an Administrator; take one as an argument",
                    source.path.display()
                ));
            }
        }
    }
    complain(&complaints);
}
