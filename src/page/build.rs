//! Prepares the page's files when the program is built. Each file is compressed, and its name gets
//! a hash of its content, so that a browser may keep it forever. A file is prepared after the files
//! it refers to, since their names become part of its content.

#![allow(
    clippy::print_stdout,
    reason = "a build script speaks to cargo on its standard output"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

const INDEX: &str = "index.html";
const TYPES: [(&str, &str); 4] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
];

/// Files by their names in the sources.
type Files = BTreeMap<String, String>;

fn main() {
    let site = Path::new("src/page/site");
    println!("cargo::rerun-if-changed={}", site.display());
    println!("cargo::rerun-if-changed=src/page/build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let (mut todo, mut names) = (read(site), BTreeMap::new());
    let (mut index, mut files) = (String::new(), String::new());
    while !todo.is_empty() {
        let name = next(&todo);
        let text = todo.remove(&name).expect("it was found there");
        let text = with_hashes(&text, &names);
        let hash = hash(text.as_bytes());
        let (stem, ending) = name.rsplit_once('.').expect("a name has an ending");
        let hashed = format!("{stem}.{hash}.{ending}");
        write(&out, &name, text.as_bytes());
        let entry = entry(&name, &hashed, &hash);
        if name == INDEX {
            index = entry;
        } else {
            writeln!(files, "{entry},").expect("a String takes everything");
            names.insert(name, hashed);
        }
    }
    let code = format!("static INDEX: File = {index};\nstatic FILES: &[File] = &[\n{files}];\n");
    fs::write(out.join("files.rs"), code).expect("OUT_DIR can be written");
}

fn read(site: &Path) -> Files {
    let entries = fs::read_dir(site).expect("src/page/site");
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy();
        let text = fs::read_to_string(&path).expect("a file of the site is text");
        (name.into_owned(), text)
    };
    entries
        .map(|entry| read(entry.expect("an entry").path()))
        .collect()
}

/// The name of a file whose references have all been prepared.
fn next(todo: &Files) -> String {
    let refers = |text: &str| todo.keys().any(|other| text.contains(&quoted(other)));
    let mut ready = todo.iter().filter(|(_, text)| !refers(text));
    let (name, _) = ready.next().unwrap_or_else(|| {
        let left: Vec<&String> = todo.keys().collect();
        panic!("these files of the site refer to each other in a cycle: {left:?}")
    });
    name.clone()
}

/// How a reference to another file ends: `"./list.js"`, `"/directory/style.css"`.
fn quoted(name: &str) -> String {
    format!("/{name}\"")
}

fn with_hashes(text: &str, names: &BTreeMap<String, String>) -> String {
    let begin = text.to_owned();
    names.iter().fold(begin, |text, (name, hashed)| {
        text.replace(&quoted(name), &quoted(hashed))
    })
}

/// FNV-1a. Collisions are no concern: an attacker who could choose these files would not need one.
fn hash(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn write(out: &Path, name: &str, bytes: &[u8]) {
    fs::write(out.join(name), bytes).expect("OUT_DIR can be written");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).expect("a Vec takes everything");
    let gzip = gzip.finish().expect("a Vec takes everything");
    fs::write(out.join(format!("{name}.gz")), gzip).expect("OUT_DIR can be written");
}

/// The file as an expression of type `File` from `mod.rs`.
fn entry(name: &str, hashed: &str, hash: &str) -> String {
    let ending = name.rsplit('.').next().unwrap_or_default();
    let known = TYPES.iter().find(|(known, _)| *known == ending);
    let (_, media_type) = known.unwrap_or_else(|| panic!("{name}: a file of no known type"));
    format!(
        "File {{ name: {hashed:?}, media_type: {media_type:?}, hash: {hash:?}, \
         plain: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\")), \
         gzip: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.gz\")) }}"
    )
}
