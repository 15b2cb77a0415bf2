//! Everything that the manual, the README and the guides name exists: pages, guides, commands,
//! flags. The README has every command, and the manual has every tolerance and every error text
//! that clients can get.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use golinks_scim::manual::PAGES;
use golinks_scim::scim::Tolerance;

/// Source files with texts of answers, or with messages about a file of users.
const SOURCES: [&str; 20] = [
    "src/api/problem.rs",
    "src/api/audit.rs",
    "src/api/backup.rs",
    "src/api/bulk.rs",
    "src/api/cursor.rs",
    "src/api/discovery.rs",
    "src/api/history.rs",
    "src/api/import.rs",
    "src/api/parameters.rs",
    "src/api/tokens.rs",
    "src/api/users.rs",
    "src/api/routes.rs",
    "src/api/query.rs",
    "src/cli/user/file.rs",
    "src/cli/user/file_check.rs",
    "src/directory/bulk.rs",
    "src/http1/chunks.rs",
    "src/http1/framing.rs",
    "src/http1/head.rs",
    "src/http1/target.rs",
];

/// Source files with attribute names, or with code for tests.
const TABLES: [&str; 5] = [
    "schema.rs",
    "shape.rs",
    "names.rs",
    "cells.rs",
    "properties.rs",
];

/// A text after one of these is not for clients, or says itself what to do.
const OTHERS: [&str; 4] = ["expect(", "reason=", "hint(", "hint=format!("];

/// Texts that clients get only in headers, documents or hints, or not at all.
const NO_DETAILS: [&str; 7] = [
    "is a closing quote missing?",
    "put it into a file first",
    "realm=",
    "not ({filter})",
    "TOKEN, with a token",
    "a member is given twice",
    "User account",
];

/// Shorter parts occur in many texts anyway.
const PART_BYTES_MIN: usize = 12;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn complain(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The string literals of a source file, except those of its tests, each with the code before it.
fn literals(text: &str) -> Vec<(String, String)> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: Vec<char> = lines.flat_map(|line| line.chars().chain(['\n'])).collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < code.len() {
        if code[at] == '\'' && code.get(at + 2) == Some(&'\'') {
            at += 3;
            continue;
        }
        if code[at] != '"' {
            at += 1;
            continue;
        }
        let before: String = code[at.saturating_sub(60)..at].iter().collect();
        let (mut literal, mut next) = (String::new(), at + 1);
        while code[next] != '"' {
            if code[next] == '\\' && code[next + 1] == '\n' {
                next += 2;
                while code[next].is_whitespace() {
                    next += 1;
                }
                continue;
            }
            if code[next] == '\\' {
                next += 1;
            }
            literal.push(code[next]);
            next += 1;
        }
        at = next + 1;
        let before = before.split_whitespace().collect();
        found.push((before, literal));
    }
    found
}

/// The parts of a text that are the same for all requests.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                parts.push(String::new());
            }
            '`' => {}
            c if depth == 0 => parts.last_mut().expect("one").push(c),
            _ => {}
        }
    }
    let trim = |part: &String| part.trim_matches([' ', '(', ')', ';', ':']).to_owned();
    parts
        .iter()
        .map(trim)
        .filter(|part| part.contains(' ') && part.len() >= PART_BYTES_MIN)
        .collect()
}

#[test]
fn the_page_on_errors_has_every_text() {
    let page = PAGES.iter().find(|page| page.name == "errors");
    let page = page.expect("the page on errors").text.replace('`', "");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut files: Vec<PathBuf> = SOURCES.iter().map(|name| root().join(name)).collect();
    for folder in ["src/scim", "src/columns", "src/scim/patch"] {
        for entry in fs::read_dir(root().join(folder)).expect(folder) {
            let path = entry.expect("an entry").path();
            if path.is_file() && !TABLES.iter().any(|name| path.ends_with(name)) {
                files.push(path);
            }
        }
    }
    let (mut complaints, mut count) = (Vec::new(), 0);
    for file in files {
        for (before, literal) in literals(&read(&file)) {
            let is_other = OTHERS.iter().any(|other| before.ends_with(other))
                || before.contains("log::")
                || NO_DETAILS.iter().any(|other| literal.contains(other));
            if is_other {
                continue;
            }
            for part in parts(&literal) {
                count += 1;
                if !page.contains(&part) {
                    complaints.push(format!(
                        "{}: {part:?} is not in src/manual/errors.md; say what causes and fixes it",
                        file.display()
                    ));
                }
            }
        }
    }
    assert!(count > 100, "{count} texts were found");
    complain(&complaints);
}

#[test]
fn each_file_of_the_manual_is_a_page_and_each_page_is_in_the_readme() {
    let readme = read(&root().join("README.md"));
    let folder = fs::read_dir(root().join("src/manual")).expect("the manual");
    let files = folder.map(|entry| entry.expect("an entry").path());
    let mut names: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let mut pages: Vec<&str> = PAGES.iter().map(|page| page.name).collect();
    names.sort_unstable();
    pages.sort_unstable();
    assert_eq!(names, pages, "files on the left, PAGES on the right");
    for page in pages {
        let link = format!("(src/manual/{page}.md)");
        assert!(readme.contains(&link), "README.md has no link {link}");
    }
}

/// The texts that name commands, each with the name of its file.
fn texts() -> Vec<(String, String)> {
    let mut texts = vec![("README.md".to_owned(), read(&root().join("README.md")))];
    for page in PAGES {
        texts.push((page.name.to_owned(), page.text.to_owned()));
    }
    for entry in fs::read_dir(root().join("src/cli/guide")).expect("the guides") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "txt") {
            // In a guide, each command has a line of its own.
            let text = read(&path).replace("{program}", "golinks-scim");
            let text = format!("```sh\n{text}```\n");
            texts.push((path.display().to_string(), text));
        }
    }
    texts
}

/// The commands in shell blocks and in backticks, without the program's name.
fn commands(text: &str) -> Vec<String> {
    const NAME: &str = "golinks-scim ";
    let mut found = Vec::new();
    let mut fence = None;
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            fence = fence.is_none().then_some(kind);
            continue;
        }
        let spans: Vec<&str> = match fence {
            Some("console" | "sh") => {
                let line = line.trim_start().trim_start_matches("$ ");
                let line = line.trim_start_matches("sudo ");
                line.strip_prefix(NAME).into_iter().collect()
            }
            Some(_) => Vec::new(),
            None => {
                let spans = line.split('`').skip(1).step_by(2);
                spans
                    .map(|span| span.strip_prefix(NAME).unwrap_or(span))
                    .collect()
            }
        };
        let end = |span: &str| span.split([';', '>', '#', '&']).next().map(str::to_owned);
        found.extend(spans.into_iter().filter_map(end));
    }
    found
}

/// What `--help` says about a command; `None` if there is no such command.
fn help(path: &[String]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_golinks-scim"))
        .args(path)
        .arg("--help")
        .output()
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// Each command that a text shows exists, and its help has each flag that the text uses.
#[test]
fn commands_and_flags_that_are_named_exist() {
    let top = help(&[]).expect("help");
    let is_command = |word: &str| {
        top.lines()
            .any(|line| line.starts_with(&format!("  {word} ")))
    };
    let mut known: BTreeMap<Vec<String>, Option<String>> = BTreeMap::new();
    let (mut complaints, mut count) = (Vec::new(), 0);
    for (name, text) in texts() {
        for command in commands(&text) {
            let words = command.replace("\\|", "|");
            let words: Vec<&str> = words
                .split_whitespace()
                .map(|word| word.trim_matches(['[', ']', '.', ',']))
                .collect();
            let Some(at) = words.iter().position(|word| is_command(word)) else {
                continue;
            };
            // Only global flags and their values may come before the command.
            if words[..at]
                .iter()
                .step_by(2)
                .any(|word| !word.starts_with("--"))
            {
                continue;
            }
            count += 1;
            let mut path = vec![words[at].to_owned()];
            let alone = known
                .entry(path.clone())
                .or_insert_with(|| help(&path))
                .clone();
            let has_more = alone.is_some_and(|text| text.contains("\nCommands:"));
            let second = words
                .get(at + 1)
                .filter(|word| has_more && !word.starts_with('-'));
            for second in second.map_or(Vec::new(), |word| word.split('|').collect()) {
                path.truncate(1);
                path.push(second.to_owned());
                known.entry(path.clone()).or_insert_with(|| help(&path));
                if known[&path].is_none() {
                    complaints.push(format!("{name}: there is no command {command:?}"));
                }
            }
            let Some(Some(text)) = known.get(&path) else {
                continue;
            };
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.split(['=', '|']).next().unwrap_or_default();
                if !text.contains(flag) {
                    complaints.push(format!("{name}: {command:?} has no {flag}"));
                }
            }
        }
    }
    assert!(count > 80, "{count} commands were found");
    complain(&complaints);
}

/// The commands that the help of a command lists, `help` aside.
fn commands_below(path: &[String]) -> Vec<String> {
    let text = help(path).expect("help");
    let list = text.split_once("\nCommands:\n").map_or("", |(_, it)| it);
    let lines = list.lines().take_while(|line| !line.is_empty());
    // Continuation lines are indented further.
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.map(str::to_owned).collect()
}

#[test]
fn each_command_is_in_the_readme() {
    let named: Vec<String> = commands(&read(&root().join("README.md")))
        .iter()
        .map(|command| command.replace("\\|", "|"))
        .collect();
    let is_named = |first: &str, second: Option<&str>| {
        named.iter().any(|command| {
            let mut words = command.split_whitespace();
            let has_first = words.next() == Some(first);
            let mut seconds = words.next().unwrap_or_default().split('|');
            has_first && second.is_none_or(|second| seconds.any(|word| word == second))
        })
    };
    let (mut complaints, mut count) = (Vec::new(), 0);
    for first in commands_below(&[]) {
        let below = commands_below(std::slice::from_ref(&first));
        let seconds = below.iter().map(|second| Some(second.as_str()));
        let alone = below.is_empty().then_some(None);
        for second in seconds.chain(alone) {
            count += 1;
            if !is_named(&first, second) {
                let second = second.unwrap_or_default();
                complaints.push(format!(
                    "`{first} {second}` is not in README.md; give it a row in the table of commands"
                ));
            }
        }
    }
    assert!(count > 30, "{count} commands were found");
    complain(&complaints);
}

/// Each tolerance has its row on the page about providers, in the order of the list.
/// The figures of one run stand in a table, and some of them in two other places.
#[test]
fn the_figures_are_the_same_everywhere() {
    let figures = read(&root().join("src/manual/figures.md"));
    let readme = read(&root().join("README.md"));
    let readme: Vec<&str> = readme.split_whitespace().collect();
    let readme = readme.join(" ");
    for (work, beside_others, in_readme) in [
        ("retrieve by id", "retrieve by id", "retrievals"),
        (
            "`filter=userName eq`",
            "filter by userName",
            "searches by userName",
        ),
        (
            "page of 100, at 500,000",
            "a page deep in the directory",
            "pages of a hundred",
        ),
        ("create, synced", "create", "synced creations"),
    ] {
        let row = format!("\n| {work} | ");
        let (_, rest) = figures.split_once(&row).expect("a row of the table");
        let figure = rest.split(' ').next().expect("a figure");
        assert!(
            figures.contains(&format!("\n| {beside_others} | {figure} | ")),
            "{work}: {figure}"
        );
        let exact: u32 = figure.replace(',', "").parse().expect("a number");
        let rounded = format!(" {},000 {in_readme}", (exact + 500) / 1000);
        assert!(readme.contains(&rounded), "README.md lacks{rounded}");
    }
}

#[test]
fn each_tolerance_is_in_the_manual() {
    let page = PAGES.iter().find(|page| page.name == "providers");
    let page = page.expect("the page about providers").text;
    let (_, rows) = page.split_once("## Tolerances\n").expect("the table");
    let rows = rows.split("\n## ").next().unwrap_or_default().lines();
    let listed: Vec<&str> = rows
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let all = Tolerance::ALL.map(Tolerance::name);
    assert_eq!(listed, all, "the manual on the left, ALL on the right");
}

/// Every `golinks-scim manual NAME` and `guide NAME` that is named anywhere, even in the program,
/// exists.
#[test]
fn pages_and_guides_that_are_named_exist() {
    let mut complaints = Vec::new();
    let mut all = texts();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                all.push((path.display().to_string(), read(&path)));
            }
        }
    }
    let guides = ["okta", "entra", "onelogin", "jumpcloud", "other", "agent"];
    let pages: Vec<&str> = PAGES.iter().map(|page| page.name).collect();
    for (name, text) in all {
        for (what, there) in [("manual", &pages[..]), ("guide", &guides[..])] {
            let mark = format!("golinks-scim {what} ");
            for (at, _) in text.match_indices(&mark) {
                let word = &text[at + mark.len()..];
                let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
                let word = word.split(|c| !is_name(c)).next().unwrap_or_default();
                if !word.is_empty() && !there.contains(&word) {
                    complaints.push(format!("{name}: there is no {what} {word}"));
                }
            }
        }
    }
    complain(&complaints);
}

/// If the service alone is stopped, the next connection to an enabled socket starts it again; and
/// if the service alone is started, it must get that socket.
#[test]
fn whoever_stops_the_service_stops_its_socket() {
    let lines = PAGES.iter().flat_map(|page| page.text.lines());
    let stops = lines.filter(|line| line.contains("systemctl stop"));
    let alone = stops.filter(|line| !line.contains("golinks-scim.socket golinks-scim"));
    // The exception is when the socket is not enabled yet.
    let alone: Vec<&str> = alone.collect();
    assert!(alone.len() == 1 && alone[0].contains('#'), "{alone:#?}");
    let socket = include_str!("../packaging/systemd/golinks-scim.socket");
    assert!(socket.contains("\nWantedBy=sockets.target golinks-scim.service\n"));
}
