//! The Team Directory's files over HTTP: what a browser may do with them, how long it may cache
//! them, how small they are, and that the page can be switched off.

use std::fs;
use std::path::Path;
use std::process::Command;

use golinks_scim::http1::client::{Request, Response};
use golinks_scim::idp::client::Client;
use golinks_scim::page;
use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::support::{Server, Talk, scim_error, without_settings};

fn send(client: &mut Client, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
    let request = Request {
        method,
        target,
        headers,
        body: None,
    };
    let (response, _) = client.send(&request).expect("an answer");
    response
}

#[test]
fn the_page_is_there_without_a_token_and_may_do_nothing_foreign() {
    let server = Server::start();
    let mut client = server.client_at_root();
    let root = send(&mut client, "GET", "/", &[]);
    assert_eq!(
        (root.status, root.header("location")),
        (302, Some("/directory/"))
    );
    let root = send(&mut client, "HEAD", "/", &[]);
    assert_eq!(
        (root.status, root.header("location")),
        (302, Some("/directory/"))
    );
    for target in ["/directory/", "/directory"] {
        let index = send(&mut client, "GET", target, &[]);
        assert_eq!(index.status, 200, "{target}");
        assert_eq!(
            index.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(index.header("cache-control"), Some("no-cache"));
        assert!(String::from_utf8_lossy(&index.body).starts_with("<!doctype html>"));
    }
    let targets = page::files()
        .iter()
        .map(|file| format!("/directory/{}", file.name))
        .chain(["/directory/".to_owned()]);
    for target in targets {
        let response = send(&mut client, "GET", &target, &[]);
        assert_eq!(response.status, 200, "{target}");
        for (name, wanted) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("vary", "Accept-Encoding"),
        ] {
            assert_eq!(response.header(name), Some(wanted), "{target}");
        }
        let policy = response
            .header("content-security-policy")
            .expect("a policy");
        for wanted in [
            "default-src 'none'",
            "script-src 'self'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(wanted), "{policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );
        assert_eq!(response.header("set-cookie"), None);
    }
}

#[test]
fn files_are_kept_for_ever_and_the_page_is_asked_for_again() {
    let server = Server::start();
    let mut client = server.client_at_root();
    for file in page::files() {
        let target = format!("/directory/{}", file.name);
        let plain = send(&mut client, "GET", &target, &[]);
        let kept = plain.header("cache-control").expect("cache-control");
        assert!(kept.contains("immutable") && kept.contains("max-age=31536000"));
        assert_eq!(plain.header("content-type"), Some(file.media_type));
        assert_eq!(plain.header("content-encoding"), None);
    }
    let targets = [
        "/directory/".to_owned(),
        format!("/directory/{}", page::files()[0].name),
    ];
    for target in &targets {
        let gzip = ("Accept-Encoding", "gzip, br");
        let plain = send(&mut client, "GET", target, &[]);
        let small = send(&mut client, "GET", target, &[gzip]);
        assert_eq!(small.header("content-encoding"), Some("gzip"));
        assert!(small.body.starts_with(&[0x1f, 0x8b]) && small.body.len() < plain.body.len());
        assert_ne!(plain.header("etag"), small.header("etag"), "other bytes");
        for (response, headers) in [(&plain, vec![]), (&small, vec![gzip])] {
            let head = send(&mut client, "HEAD", target, &headers);
            assert_eq!(head.status, 200);
            assert_eq!(head.header("etag"), response.header("etag"));
            let length = response.body.len().to_string();
            assert_eq!(head.header("content-length"), Some(length.as_str()));
            let tag = response.header("etag").expect("a tag");
            assert!(tag.starts_with('"'), "a strong one: {tag}");
            let mut again = headers.clone();
            again.push(("If-None-Match", tag));
            for method in ["GET", "HEAD"] {
                let unchanged = send(&mut client, method, target, &again);
                assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
                assert_eq!(unchanged.header("etag"), Some(tag));
                assert!(unchanged.header("cache-control").is_some());
            }
            again.pop();
            again.push(("If-None-Match", "\"other\""));
            assert_eq!(send(&mut client, "GET", target, &again).status, 200);
        }
    }
    for target in ["/directory/none.js", "/directory/main.js", "/directory/a/b"] {
        scim_error(&send(&mut client, "GET", target, &[]), target);
    }
    assert_eq!(send(&mut client, "POST", "/directory/", &[]).status, 405);
}

#[test]
fn off_is_no_page_and_no_way_to_it() {
    let server = Server::start_by(&[], |mut command, folder| {
        let path = folder.join("config.toml");
        fs::write(&path, "directory = \"off\"\n").expect("written");
        command.arg("--config").arg(path);
        command
    });
    let file = format!("/directory/{}", page::files()[0].name);
    let mut client = server.client_at_root();
    for target in ["/", "/directory/", "/directory", &file] {
        let response = send(&mut client, "GET", target, &[]);
        assert_eq!(response.status, 404, "{target}");
        scim_error(&response, target);
    }
    let data_dir = server.data_dir();
    let path = data_dir.parent().expect("the folder").join("config.toml");
    fs::write(&path, "directory = true\n").expect("written");
    kill_process(server.pid(), Signal::HUP).expect("it runs");
    server.log_with("directory is on now");
    for target in ["/directory/", &file] {
        assert_eq!(
            send(&mut client, "GET", target, &[]).status,
            200,
            "{target}"
        );
    }
    assert_eq!(send(&mut client, "GET", "/", &[]).status, 302);
}

/// What pages request every two seconds costs little while nothing changes.
#[test]
fn a_list_that_has_not_changed_is_not_made_again() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let id = talk.create("a@example.com")["id"].clone();
    let target = "/Users?cursor=&count=100&sortBy=meta.lastModified&sortOrder=descending";
    let first = talk.send("GET", target, None);
    let tag = first.header("etag").expect("a tag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let conditional = |talk: &mut Talk, tag: &str| {
        let response = talk.send_bytes("GET", target, ("If-None-Match", tag), None);
        (
            response.status,
            response.header("etag").map(str::to_owned).expect("a tag"),
        )
    };
    assert_eq!(conditional(&mut talk, &tag), (304, tag.clone()));
    let target_of = format!("/Users/{}", id.as_str().expect("an id"));
    let patch = |active: bool| {
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "active", "value": active}]})
    };
    talk.json("PATCH", &target_of, Some(&patch(false)), 200);
    let (status, changed) = conditional(&mut talk, &tag);
    assert_eq!(status, 200);
    assert_ne!(changed, tag);
    // A patch that changes nothing leaves the list unchanged.
    talk.json("PATCH", &target_of, Some(&patch(false)), 200);
    assert_eq!(conditional(&mut talk, &changed).0, 304);
    talk.json("DELETE", &target_of, None, 204);
    assert_eq!(conditional(&mut talk, &changed).0, 200);
    talk.server.restart();
    talk.reconnect();
    assert_eq!(conditional(&mut talk, &changed).0, 200, "another process");
    // A page by index is always built, since the server remembers where it ended.
    assert_eq!(talk.send("GET", "/Users", None).header("etag"), None);
    let bad = talk.send_bytes("GET", "/Users?cursor=x", ("If-None-Match", "*"), None);
    assert_eq!(bad.status, 400);
}

#[test]
fn all_of_the_page_is_small() {
    let files = page::files().iter().chain([page::index()]);
    let bytes: usize = files
        .map(|file| file.representation(true).bytes.len())
        .sum();
    println!("the page is {bytes} bytes, compressed");
    assert!(bytes < 60_000, "{bytes} bytes");
}

/// The site's files put values into the page only as text, and load nothing from elsewhere.
#[test]
fn nothing_inline_nothing_foreign_and_no_markup_from_values() {
    let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/site");
    for entry in fs::read_dir(site).expect("the site") {
        let path = entry.expect("an entry").path();
        let name = path.display();
        let text = fs::read_to_string(&path).expect("text");
        for never in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "createContextualFragment",
            "eval(",
            "new Function",
            "style=\"",
            "<style",
            "localStorage",
            "document.cookie",
        ] {
            assert!(!text.contains(never), "{name}: {never}");
        }
        let addresses = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!addresses.contains("://"), "{name}: another host");
        let lines = text.lines().count();
        assert!(lines < 700, "{name}: {lines} lines; divide it");
        if path.extension().is_some_and(|ending| ending == "js") {
            assert!(text.starts_with("// "), "{name}: say what it is for");
        }
    }
    let index = String::from_utf8_lossy(page::index().representation(false).bytes).into_owned();
    let modules = page::files()
        .iter()
        .filter(|file| file.media_type.starts_with("text/javascript"));
    for module in modules {
        // The page names all modules, so that they load at once and not one after the other.
        let reference = format!("\"/directory/{}\"", module.name);
        assert!(index.contains(&reference), "{reference}");
    }
    for script in index.split("<script").skip(1) {
        let (open, inside) = script.split_once('>').expect("a tag");
        assert!(open.contains("src=") && inside.starts_with("</script>"));
    }
    let handler = |line: &str| line.contains(" onclick=") || line.contains(" onload=");
    assert!(!index.lines().any(handler), "{index}");
}

#[test]
fn the_setting_is_on_or_off() {
    let output = without_settings(&mut Command::new(env!("CARGO_BIN_EXE_golinks-scim")))
        .args(["config", "check"])
        .env("GOLINKS_SCIM_DIRECTORY", "maybe")
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("write on or off"), "{told}");
}
