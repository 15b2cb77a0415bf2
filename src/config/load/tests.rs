//! Tests of where values come from, and which of them take precedence.

use std::os::unix::ffi::OsStringExt as _;

use super::*;

fn sources(file: &str, variables: &[(&str, &str)], flags: &[(Key, &str)]) -> Sources {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.keep().join("c.toml");
    std::fs::write(&path, file).expect("written");
    let variables = [("STATE_DIRECTORY", "/s")].iter().chain(variables);
    Sources {
        file: Some(path),
        flags: flags
            .iter()
            .map(|(key, text)| (*key, (*text).to_owned()))
            .collect(),
        environment: variables
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    }
}

/// What is warned of with these variables.
fn warnings(variables: &[(&str, &str)]) -> Vec<String> {
    let loaded = Configuration::load(&sources("", variables, &[]));
    loaded.expect("good").warnings
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "rate_limit = 1\nlisten = \"127.0.0.1:1\"\nalarm_percent = 7\n";
    let loaded = Configuration::load(&sources(
        file,
        &[
            ("GOLINKS_SCIM_RATE_LIMIT", "2"),
            ("GOLINKS_SCIM_LISTEN", "127.0.0.1:2"),
        ],
        &[(Key::RateLimit, "3")],
    ))
    .expect("good");
    assert_eq!(loaded.serve.rate_per_second, Some(3));
    assert_eq!(loaded.serve.listen.map(|address| address.port()), Some(2));
    assert_eq!(loaded.serve.alarm_percent, 7);
    assert_eq!(loaded.serve.alarm_deactivations, 50);
    assert_eq!(loaded.serve.data_dir, Path::new("/s"));
    let origins: Vec<String> = SETTINGS
        .iter()
        .map(|setting| loaded.shown(setting.key).1.to_string())
        .filter(|origin| origin != "default")
        .collect();
    assert_eq!(
        origins[..3],
        ["$STATE_DIRECTORY", "$GOLINKS_SCIM_LISTEN", "--rate-limit"]
    );
    assert!(origins[3].ends_with("c.toml:3"), "{origins:?}");
}

#[test]
fn what_cannot_be_used_is_told_with_its_origin() {
    let problem = |sources: Sources| Configuration::load(&sources).expect_err("unusable");
    let rate = problem(sources("", &[], &[(Key::RateLimit, "0")]));
    assert_eq!(rate.what, "--rate-limit cannot be 0");
    assert_eq!(rate.blame, Blame::Flag);
    let url = problem(sources("", &[("GOLINKS_SCIM_BASE_URL", "http://h")], &[]));
    let words = "$GOLINKS_SCIM_BASE_URL: base_url cannot be http://h";
    assert_eq!((&*url.what, url.blame), (words, Blame::Setting));
    let half = problem(sources("tls_key = \"/k\"", &[], &[])).what;
    let words = "c.toml:1: tls_key is set, but tls_cert is not";
    assert!(half.ends_with(words), "{half}");
}

#[test]
fn of_several_state_directories_the_first_is_taken() {
    let of = |text: &str| {
        let variables = [("STATE_DIRECTORY", text), ("HOME", "/h:x")];
        let loaded = Configuration::load(&sources("", &variables, &[])).expect("good");
        loaded.serve.data_dir
    };
    assert_eq!(of("/a:/b"), Path::new("/a"));
    let is_root = rustix::process::geteuid().is_root();
    assert!(is_root || of("") == Path::new("/h:x/.local/state/golinks-scim"));
}

#[test]
fn a_relative_state_directory_is_none() {
    for (state, home, wanted) in [
        ("/s", "/h", Some("/s/golinks-scim")),
        ("s", "/h", Some("/h/.local/state/golinks-scim")),
        ("", "/h", Some("/h/.local/state/golinks-scim")),
        ("s", "h", None),
    ] {
        let variables = [("XDG_STATE_HOME", state), ("HOME", home)];
        let found = users_data_dir(&sources("", &variables, &[]));
        assert_eq!(found.map(|it| it.text).as_deref(), wanted, "{state} {home}");
    }
    for (state, home, wanted) in [
        (
            "s",
            "h",
            ": XDG_STATE_HOME and HOME must be an absolute path",
        ),
        ("s", "", ": XDG_STATE_HOME must be an absolute path"),
        ("", "", ""),
    ] {
        let variables = [("XDG_STATE_HOME", state), ("HOME", home)];
        let told = no_data_dir(&sources("", &variables, &[])).what;
        assert_eq!(told, format!("there is no data directory{wanted}"));
    }
}

/// A setting that is in the table but never parsed would be accepted with any value.
#[test]
fn each_setting_is_understood() {
    // Any text can name a directory.
    for setting in SETTINGS.iter().filter(|it| it.key != Key::DataDir) {
        let variable = setting.key.variable();
        let loaded = Configuration::load(&sources("", &[(&variable, "?")], &[]));
        assert!(loaded.is_err(), "{} is read by nobody", setting.name);
    }
}

#[test]
fn the_data_directory_is_found_in_spite_of_other_mistakes() {
    let found = |file: &str, variables: &[(&str, &str)], flags: &[(Key, &str)]| {
        let sources = sources(file, variables, flags);
        Configuration::load(&sources).expect_err("a mistake");
        let found = Configuration::of_data_dir(&sources)?;
        Some(found.serve.data_dir.display().to_string())
    };
    let flag: &[(Key, &str)] = &[(Key::DataDir, "/f")];
    let variable = &[("GOLINKS_SCIM_DATA_DIR", "/v")];
    let rate = &[("GOLINKS_SCIM_RATE_LIMIT", "x")];
    for (file, variables, flags, wanted) in [
        (
            "rate_limt = 1\ndata_dir = \"/d\"",
            &[][..],
            &[][..],
            Some("/d"),
        ),
        ("data_dir = \"/d\"\nlisten = ", &[], &[], Some("/d")),
        ("rate_limt = 1\n# data_dir = \"/d\"", &[], &[], Some("/s")),
        ("rate_limt = 1\ndirectory = \"off\"", &[], &[], Some("/s")),
        ("rate_limt = 1\ndirectory = on", &[], &[], Some("/s")),
        ("directory = \"yes\"", &[], &[], Some("/s")),
        ("directory = enabled # a/b", &[], &[], Some("/s")),
        ("data_dir = \"/d\"\n\"", &[], flag, Some("/f")),
        ("\"", variable, &[], Some("/v")),
        ("data_dir = \"/d\"", rate, &[], Some("/d")),
        // The administrator may have meant a directory other than the one found.
        ("data_dir = \"/d", &[], &[], None),
        ("data_dir = \"d\"", &[], &[], None),
        ("dir = \"/d\"", &[], &[], None),
        ("directory = \"/d\"", &[], &[], None),
        ("directory = /d", &[], &[], None),
        ("server.data_dir = \"/d\"", &[], &[], None),
        ("server = { data_dir = \"/d\" }", &[], &[], None),
        ("[data]\nbackup = 1\ndir = \"/d\"", &[], &[], None),
        ("rate_limt = 1 data_dir = \"/d\"", &[], &[], None),
        (": data_dir = \"/d\"", &[], &[], None),
        ("DATA_DIR = \"/d\"", &[], &[], None),
        ("data_dir = 1", &[], &[], None),
        ("datadir = \"/d\"", &[], &[], None),
        ("[data]\ndir = \"/d\"", &[], &[], None),
        ("[x]\ndata_dir = \"/d\"", &[], &[], None),
        ("data_dir = \"/d\"\ndata_dir = \"/e\"", &[], &[], None),
    ] {
        assert_eq!(found(file, variables, flags).as_deref(), wanted, "{file}");
    }
    // An error in one variable does not hide one in another.
    let mut odd = sources("data_dir = \"/d\"", variable, &[]);
    let name = OsString::from("GOLINKS_SCIM_BASE_URL");
    odd.environment.insert(name, OsString::from_vec(vec![0xff]));
    let problem = Configuration::load(&odd).expect_err("no text");
    assert_eq!(problem.what, "$GOLINKS_SCIM_BASE_URL is not UTF-8");
    let found = Configuration::of_data_dir(&odd).expect("the variable is clear");
    assert_eq!(found.serve.data_dir, Path::new("/v"));
    let absent = Sources {
        file: Some("/nowhere/c.toml".into()),
        ..sources("", variable, flag)
    };
    assert!(Configuration::of_data_dir(&absent).is_none());
}

#[test]
fn what_kubernetes_says_of_a_service_of_our_name_is_no_mistake() {
    let set_by_it = [
        ("GOLINKS_SCIM_SERVICE_HOST", "10.0.0.1"),
        ("GOLINKS_SCIM_SERVICE_PORT", "8443"),
        ("GOLINKS_SCIM_SERVICE_PORT_HTTPS", "8443"),
        ("GOLINKS_SCIM_PORT", "tcp://10.0.0.1:8443"),
        ("GOLINKS_SCIM_PORT_8443_TCP", "tcp://10.0.0.1:8443"),
        ("GOLINKS_SCIM_PORT_8443_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(warnings(&set_by_it), [""; 0]);
    assert_eq!(warnings(&[("GOLINKS_SCIM_PORT", "443")]).len(), 1);
}

#[test]
fn a_base_url_that_seldom_works_is_warned_of() {
    for (url, words) in [
        ("https://h", None),
        ("https://h/scim/v2/", None),
        ("https://h/golinks/scim/v2", None),
        (
            "https://h/golinks",
            Some("https://h/golinks does not end in /scim/v2"),
        ),
        ("https://h/scim", Some("does not end in /scim/v2")),
        ("https://a_b", Some("underscore")),
    ] {
        let told = warnings(&[("GOLINKS_SCIM_BASE_URL", url)]);
        assert_eq!(told.len(), words.iter().len(), "{url}: {told:?}");
        let is_told = told.concat().contains(words.unwrap_or_default());
        assert!(is_told, "{url}: {told:?}");
    }
}

#[test]
fn variables_that_are_no_settings_are_warned_of() {
    let words = "$GOLINKS_SCIM_LISTN is no setting: did you mean $GOLINKS_SCIM_LISTEN?";
    assert_eq!(warnings(&[("GOLINKS_SCIM_LISTN", "x")]), [words]);
}
