//! The house rules that a machine can check: layers, how files begin, what must not be left behind,
//! and what must not be missing; `homes`: what only some modules may name. Each message says what
//! to do.

mod homes;

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, from the top down. Each may use all layers below it; modules of one layer do not use
/// each other.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["https", "local", "idp"],
    &["api"],
    &["access", "certificate", "directory", "manual", "page"],
    &["columns"],
    &["http1", "scim", "store"],
    &[
        "metrics",
        "config",
        "limits",
        "clock",
        "secret",
        "logging",
        "files",
        "fix",
        "turns",
        "test_user",
        "locks",
        "network",
    ],
];

/// Exceptions within a layer, as (user, used), and why.
const SIBLINGS: &[(&str, &str)] = &[
    // The log has named limits, and its lines have a time.
    ("logging", "limits"),
    ("logging", "clock"),
    ("config", "limits"),
    // A token that was put in the wrong place must not be shown.
    ("config", "secret"),
    // `files` knows whether an unreadable file may be readable later.
    ("config", "files"),
    // A list of networks is checked as soon as it is read.
    ("config", "network"),
    // The names of drafts are random.
    ("files", "secret"),
    // A turn is a lock with a queue.
    ("turns", "locks"),
];

struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

impl Source {
    /// The code without comments and literals, line by line, with line numbers from 1.
    fn code(&self) -> Vec<(usize, String)> {
        let code = code(&self.text);
        let lines = code.lines().map(str::to_owned).enumerate();
        lines.map(|(index, line)| (index + 1, line)).collect()
    }

    /// The program's own code, without its tests and its build script.
    fn own_code(&self) -> Vec<(usize, String)> {
        let folder = self.path.parent();
        let is_test = self.path.ends_with("tests.rs")
            || folder.is_some_and(|folder| folder.ends_with("tests"));
        if is_test || self.path.ends_with("src/page/build.rs") {
            return Vec::new();
        }
        let own = self.text.split("#[cfg(test)]\nmod ").next();
        let own = own.unwrap_or_default().lines().count();
        self.code().into_iter().take(own).collect()
    }
}

/// A source text with blanks in place of comments, strings and characters, but with all line ends.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_in_a_word = out.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let length = if let Some(length) = foreign(rest, is_in_a_word) {
            let gone = rest[..length].chars();
            out.extend(gone.map(|c| if c == '\n' { c } else { ' ' }));
            length
        } else {
            out.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    out
}

/// The length of the comment or literal at the beginning of a text, if there is one.
fn foreign(text: &str, is_in_a_word: bool) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if let Some(raw) = text.strip_prefix('r').filter(|_| !is_in_a_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let inside = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(2 + hashes + inside.find(&end)? + end.len());
    }
    let quote = text.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    let mut inside = text.char_indices().skip(1);
    while let Some((at, c)) = inside.next() {
        match c {
            '\\' => {
                inside.next();
            }
            _ if c == quote => return Some(at + 1),
            // A lifetime has no second quote.
            _ if quote == '\''
                && text[1..at].chars().count() == 1
                && !text[1..].starts_with('\\') =>
            {
                return None;
            }
            _ => {}
        }
    }
    None
}

/// The Rust files below a folder, at any depth.
fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in rust_files(&root) {
        let inside = path.strip_prefix(&root).expect("it is below src");
        let first = inside.components().next().expect("a name");
        let module = first.as_os_str().to_string_lossy().replace(".rs", "");
        let text = fs::read_to_string(&path).expect("a source file is text");
        found.push(Source { path, module, text });
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
        for (line, used) in used_modules(&source.text) {
            let allowed = used == source.module
                || layer(&used).is_none_or(|layer| layer > own)
                || SIBLINGS.contains(&(source.module.as_str(), used.as_str()));
            if !allowed {
                complaints.push(format!(
                    "{}:{line}: {} uses {used}, which is not below it; move the code, or hand the \
                     value down",
                    source.path.display(),
                    source.module
                ));
            }
        }
    }
    complain(&complaints);
}

/// The modules that a source text names after `crate::` or `golinks_scim::`, each with its line.
fn used_modules(text: &str) -> Vec<(usize, String)> {
    let code = code(text);
    let mut used = Vec::new();
    for root in ["crate::", "golinks_scim::"] {
        for (at, _) in code.match_indices(root) {
            let mut depth = 0;
            let mut is_first = true;
            for (word, after) in words(&code[at + root.len()..]) {
                let line = code[..code.len() - after.len()].lines().count();
                match word {
                    "{" => (depth, is_first) = (depth + 1, depth == 0),
                    "}" => depth -= 1,
                    "," => is_first = depth == 1,
                    name => {
                        if is_first {
                            used.push((line, name.to_owned()));
                        }
                        is_first = false;
                    }
                }
                if depth == 0 {
                    break;
                }
            }
        }
    }
    used
}

/// The names, braces and commas in code, each with the code after it.
fn words(code: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = code;
    std::iter::from_fn(move || {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        rest = rest.trim_start_matches(|c| !is_name(c) && !"{},".contains(c));
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length.max(1).min(rest.len()));
        rest = after;
        (!word.is_empty()).then_some((word, after))
    })
}

/// An import is found however rustfmt breaks its lines; a mention in a comment or a literal is
/// ignored.
#[test]
fn modules_are_seen_in_every_form_of_import() {
    for (text, wanted) in [
        ("use crate::store::Store;", &[(1, "store")][..]),
        ("use crate::{api, cli::run};", &[(1, "api"), (1, "cli")]),
        (
            "use crate::{\n    api::{Call, Reply},\n    // aside, store\n    cli,\n};\nlet x = 1;",
            &[(2, "api"), (4, "cli")],
        ),
        (
            "let it =\n    crate::\n        page::FILES;",
            &[(3, "page")],
        ),
        (
            "let it = (\"https://a\", '\"', crate::page::FILES);",
            &[(1, "page")],
        ),
        (
            "fn f<'a>(x: &'a str) { crate::page::f(x, '\\'') }",
            &[(1, "page")],
        ),
        ("let it = r#\"a \" crate::b\"#; // crate::store", &[]),
        (
            "/// crate::store\nlet it = \"crate::api \\\" crate::cli\";",
            &[],
        ),
    ] {
        let found = used_modules(text);
        let found: Vec<_> = found
            .iter()
            .map(|(line, name)| (*line, name.as_str()))
            .collect();
        assert_eq!(found, wanted, "{text}");
    }
}

/// Whether a text has a test of this name.
fn is_a_test(text: &str, name: &str) -> bool {
    let Some(at) = text.find(&format!("fn {name}(")) else {
        return false;
    };
    // Its attributes are the lines above its name, back to the end of the previous item.
    let lines = text[..at].lines().rev();
    let mut attributes = lines.take_while(|line| line.trim() != "}");
    attributes.any(|line| line.trim() == "#[test]")
}

/// Each `module::test` that a page of the manual names in backticks exists as a test.
#[test]
fn what_the_manual_calls_proved_has_its_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut complaints = Vec::new();
    let mut count = 0;
    for page in golinks_scim::manual::PAGES {
        for word in page.text.split('`').skip(1).step_by(2) {
            let Some((module, name)) = word
                .rsplit_once("::")
                .filter(|(module, _)| !module.is_empty())
            else {
                continue;
            };
            let path = tests.join(module.replace("::", "/")).with_extension("rs");
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

/// Each deviation marked in a test is listed in the manual, and each listed one is marked.
#[test]
fn deviations_are_marked_and_collected() {
    let mark = "DIFFER".to_owned() + "ENCE(";
    let mut marked = std::collections::BTreeSet::new();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for path in rust_files(&tests) {
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

/// The variants of the enum of this name, sorted.
fn variants<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let (_, body) = text.split_once(&format!("enum {name} {{\n"))?;
    let (body, _) = body.split_once("\n}\n")?;
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let is_variant = |line: &&str| line.starts_with(|first: char| first.is_ascii_uppercase());
    Some(sorted_names(lines.filter(is_variant)))
}

/// The identifiers with which these texts begin, sorted.
fn sorted_names<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let is_end = |c: char| !c.is_alphanumeric();
    let mut names: Vec<&str> = texts.filter_map(|text| text.split(is_end).next()).collect();
    names.sort_unstable();
    names
}

/// A variant that is missing in such a list is missing wherever all of them are shown, as in
/// `/metrics`.
#[test]
fn lists_of_all_variants_have_each_once() {
    let (mut complaints, mut lists) = (Vec::new(), 0);
    for source in sources() {
        for (at, _) in source.text.match_indices("const ALL: [") {
            let (before, rest) = source.text.split_at(at);
            let (_, name) = before.rsplit_once("\nimpl ").expect("it is in an impl");
            let (name, _) = name.split_once(' ').expect("it is that of a type");
            let (_, elements) = rest.split_once("] =").expect("it has a value");
            let (elements, _) = elements.split_once("];").expect("the value ends");
            lists += 1;
            let listed = sorted_names(elements.split("Self::").skip(1));
            let all = variants(&source.text, name);
            if Some(&listed) != all.as_ref() {
                let path = source.path.display();
                complaints.push(format!("{path}: {name}::ALL has {listed:?} of {all:?}"));
            }
        }
    }
    assert!(lists >= 4, "the lists were not found");
    complain(&complaints);
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
        // All bounds stand in one file, so that nobody has to look elsewhere.
        let lines_max = if source.path.ends_with("src/limits.rs") {
            600
        } else {
            500
        };
        if lines > lines_max {
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
