//! The house rules that a machine can check, with the remedy in each message: layers,
//! where foreign crates may be named, how files open, what may not be left behind.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, from the one that may use everything below it down to the ground. Modules
/// of one layer do not use each other.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["https", "local", "idp"],
    &["api"],
    &["access", "certificate", "directory", "manual", "page"],
    &["http1", "scim", "store"],
    &[
        "metrics", "config", "limits", "clock", "secret", "logging", "files", "mend", "turns",
    ],
];

/// Siblings that may be used all the same, and why.
const SIBLINGS: &[(&str, &str)] = &[
    // The ground floor is one storey of plain values; the log is bounded by names too.
    ("logging", "limits"),
    ("config", "limits"),
    // Names of drafts are drawn.
    ("files", "secret"),
];

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
    ("strsim", &["config", "scim"]),
    ("csv", &["cli"]),
    ("indicatif", &["cli"]),
    ("rustls", &["https", "certificate", "idp"]),
    ("rcgen", &["certificate"]),
    ("webpki_roots", &["certificate"]),
    ("simple_logger", &["logging"]),
    ("prometheus_client", &["metrics"]),
    ("roaring", &["store", "directory", "cli"]),
];

struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

impl Source {
    /// The code with comments taken out, line by line with its number from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| {
            let code = line.split("//").next().unwrap_or_default();
            (index + 1, code)
        })
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let inside = path.strip_prefix(&root).expect("it is below src");
                let first = inside.components().next().expect("a name");
                let module = first.as_os_str().to_string_lossy().replace(".rs", "");
                let text = fs::read_to_string(&path).expect("a source file is text");
                found.push(Source { path, module, text });
            }
        }
    }
    assert!(found.len() > 30, "the sources were not found");
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn complain(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn modules_use_only_the_layers_below_them() {
    let mut complaints = Vec::new();
    for source in sources() {
        if source.module == "lib" {
            continue;
        }
        let Some(own) = layer(&source.module) else {
            complaints.push(format!(
                "{}: the module has no layer; give it one in tests/tidy.rs",
                source.path.display()
            ));
            continue;
        };
        for (line, code) in source.code() {
            for used in used_modules(code) {
                let allowed = used == source.module
                    || layer(&used).is_none_or(|layer| layer > own)
                    || SIBLINGS.contains(&(source.module.as_str(), used.as_str()));
                if !allowed {
                    complaints.push(format!(
                        "{}:{line}: {} uses {used}, which is not below it; move the code, or hand \
                         the value down",
                        source.path.display(),
                        source.module
                    ));
                }
            }
        }
    }
    complain(&complaints);
}

/// The modules after `crate::` or `golinks_scim::` in a line of code.
fn used_modules(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for root in ["crate::", "golinks_scim::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            let names = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default().split(','),
                None => rest.split(','),
            };
            let take = if rest.starts_with('{') { usize::MAX } else { 1 };
            for name in names.take(take) {
                let name: String = name
                    .trim()
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                used.push(name);
            }
        }
    }
    used
}

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
fn administrators_are_made_only_at_the_local_door() {
    let mut complaints = Vec::new();
    for source in sources() {
        if source.module == "local" || source.path.ends_with("access/principal.rs") {
            continue;
        }
        for (line, code) in source.code() {
            if code.contains("at_the_local_door") {
                complaints.push(format!(
                    "{}:{line}: only local/ makes an Administrator; take one as an argument",
                    source.path.display()
                ));
            }
        }
    }
    complain(&complaints);
}

/// Whether a text has a test of this name.
fn is_a_test(text: &str, name: &str) -> bool {
    let Some(at) = text.find(&format!("fn {name}(")) else {
        return false;
    };
    // Its attributes stand between the end of what is before it and its name.
    let lines = text[..at].lines().rev();
    let mut attributes = lines.take_while(|line| line.trim() != "}");
    attributes.any(|line| line.trim() == "#[test]")
}

/// Each `module::test` that a page of the manual names in backticks is a test.
#[test]
fn what_the_manual_calls_proved_has_its_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut complaints = Vec::new();
    let mut count = 0;
    for page in golinks_scim::manual::PAGES {
        for word in page.text.split('`').skip(1).step_by(2) {
            let Some((module, name)) = word
                .split_once("::")
                .filter(|(module, _)| !module.is_empty())
            else {
                continue;
            };
            let path = tests.join(module).with_extension("rs");
            let text = fs::read_to_string(&path).unwrap_or_default();
            count += 1;
            if module != "module" && !is_a_test(&text, name) {
                complaints.push(format!(
                    "manual {}: {word} is no test; write it, or name the one that proves this",
                    page.name
                ));
            }
        }
    }
    assert!(count > 50, "the manual names {count} tests");
    complain(&complaints);
}

/// Each deviation that a test marks stands in the manual, and each that stands there is
/// marked in a test.
#[test]
fn deviations_are_marked_and_collected() {
    let mark = "DIFFER".to_owned() + "ENCE(";
    let mut marked = std::collections::BTreeSet::new();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for entry in fs::read_dir(tests).expect("the tests") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(path).unwrap_or_default();
        for (at, _) in text.match_indices(&mark) {
            let rest = &text[at + mark.len()..];
            marked.insert(rest.split(')').next().unwrap_or_default().to_owned());
        }
    }
    let page = golinks_scim::manual::PAGES
        .iter()
        .find(|page| page.name == "protocol")
        .expect("the page on the protocol");
    let (_, table) = page.text.split_once("## Differences").expect("the table");
    let listed = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(marked, listed, "tests on the left, manual on the right");
}

#[test]
fn files_say_what_they_are_for_and_leave_nothing_behind() {
    let left_behind = [
        "TO".to_owned() + "DO",
        "FIX".to_owned() + "ME",
        "db".to_owned() + "g!(",
    ];
    let mut complaints = Vec::new();
    for source in sources() {
        let path = source.path.display();
        if !source.text.starts_with("//!") {
            complaints.push(format!(
                "{path}:1: begin with a `//!` paragraph: what the file is for"
            ));
        }
        let lines = source.text.lines().count();
        if lines > 600 {
            complaints.push(format!(
                "{path}: {lines} lines; divide it where a reader would"
            ));
        }
        for (index, line) in source.text.lines().enumerate() {
            for word in &left_behind {
                if line.contains(word.as_str()) {
                    complaints.push(format!(
                        "{path}:{}: finish it or file it, `{word}`",
                        index + 1
                    ));
                }
            }
        }
    }
    complain(&complaints);
}
