//! Puts flags, environment and file together: each setting's value, where it comes from, and
//! whether it can be used.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::origin::{Error, Given, Origin, masked};
use super::salvage::{self, Salvaged};
use super::settings::{self, Key, SETTINGS};
use super::{BaseUrl, Serve, file};

const NAME: &str = "golinks-scim";
const VARIABLES: &str = "GOLINKS_SCIM_";
const FILE_VARIABLE: &str = "GOLINKS_SCIM_CONFIG";
/// The configuration file if none is named; it need not exist.
pub fn default_file() -> &'static Path {
    Path::new("/etc/golinks-scim/config.toml")
}

/// Where settings are taken from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named on the command line.
    pub file: Option<PathBuf>,
    /// Flags that were typed.
    pub flags: Vec<(Key, String)>,
    /// The environment.
    pub environment: BTreeMap<OsString, OsString>,
}

/// Every setting, parsed, and where each comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// What `serve` needs of it.
    pub serve: Serve,
    /// What is odd, but can be used.
    pub warnings: Vec<String>,
    given: BTreeMap<Key, Given>,
}

impl Configuration {
    /// Reads and checks everything that is set.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        let file = file_of(sources);
        let mut given = BTreeMap::new();
        if let Some(file) = &file {
            given.extend(file::read(file)?);
        }
        let mut warnings = of_the_environment(sources, &mut given)?;
        if let Some((key, _)) = typed(sources).find(|(_, typed)| typed.text.is_empty()) {
            return Err(empty_flag(key));
        }
        given.extend(typed(sources));
        if let Entry::Vacant(entry) = given.entry(Key::DataDir) {
            entry.insert(usual_data_dir(sources)?);
        }
        let serve = understood(&given)?;
        warnings.extend(serve.base_url.iter().flat_map(BaseUrl::oddities));
        Ok(Self {
            file,
            serve,
            warnings,
            given,
        })
    }

    /// Takes the data directory, and nothing else, from a configuration that cannot be used as a
    /// whole: a slip of the pen must not keep an administrator from revoking a token. `None` if a
    /// directory other than the one found could be meant.
    pub fn of_data_dir(sources: &Sources) -> Option<Self> {
        let file = file_of(sources);
        let named = |name: String| sources.environment.get(&OsString::from(name));
        let variable = named(Key::DataDir.variable()).filter(|value| !value.is_empty());
        let flag = typed(sources).find(|(key, _)| *key == Key::DataDir);
        let data_dir = if let Some((_, given)) = flag {
            given
        } else if let Some(value) = variable {
            Given {
                text: value.to_str()?.to_owned(),
                origin: Origin::Variable(Key::DataDir.variable()),
            }
        } else {
            match file.as_deref().map_or(Salvaged::Absent, salvage::data_dir) {
                Salvaged::Found(given) => given,
                Salvaged::Absent => usual_data_dir(sources).ok()?,
                Salvaged::Ambiguous => return None,
            }
        };
        // A named file that cannot be opened is a mistake of another kind, and not forgiven.
        if is_named(sources) && !file.as_deref().is_none_or(is_readable) {
            return None;
        }
        let given = BTreeMap::from([(Key::DataDir, data_dir)]);
        Some(Self {
            file,
            serve: understood(&given).ok()?,
            warnings: Vec::new(),
            given,
        })
    }

    /// The value of a setting as it is shown, and its origin.
    pub fn shown(&self, key: Key) -> (String, Origin) {
        if let Some(given) = self.given.get(&key) {
            return (masked(&given.text).to_owned(), given.origin.clone());
        }
        (key.setting().default.shown(), Origin::Default)
    }
}

/// The error for an empty flag: `--data-dir "$UNSET"` is not meant to be the current directory.
fn empty_flag(key: Key) -> Error {
    Error {
        is_usage: true,
        ..Error::new(
            format!("{} is given, and empty", key.flag()),
            "give it a value, or leave it out",
        )
    }
}

/// Overrides `given` with what the environment sets; returns warnings about unknown variables.
fn of_the_environment(
    sources: &Sources,
    given: &mut BTreeMap<Key, Given>,
) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    for (name, value) in &sources.environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLES)) else {
            continue;
        };
        let mut settings = SETTINGS.iter();
        match settings.find(|setting| setting.key.variable() == name) {
            Some(_) if value.is_empty() => {}
            Some(setting) => {
                let origin = Origin::Variable(name.to_owned());
                let text = value.to_str().ok_or_else(|| not_text(&origin))?.to_owned();
                given.insert(setting.key, Given { text, origin });
            }
            None if name == FILE_VARIABLE || is_of_kubernetes(name, value) => {}
            None => warnings.push(unknown_variable(name)),
        }
    }
    Ok(warnings)
}

fn typed(sources: &Sources) -> impl Iterator<Item = (Key, Given)> {
    sources.flags.iter().map(|(key, text)| {
        let origin = Origin::Flag(key.flag());
        let text = text.clone();
        (*key, Given { text, origin })
    })
}

/// Whether a file other than the default was named.
fn is_named(sources: &Sources) -> bool {
    file_of(sources).is_some_and(|file| file != default_file())
}

fn is_readable(file: &Path) -> bool {
    std::fs::File::open(file).is_ok()
}

/// The file to read: one that was named, which must exist, else the default one if it exists.
fn file_of(sources: &Sources) -> Option<PathBuf> {
    let variable = sources.environment.get(&OsString::from(FILE_VARIABLE));
    let named = sources
        .file
        .clone()
        .or_else(|| variable.filter(|path| !path.is_empty()).map(PathBuf::from));
    named.or_else(|| default_file().exists().then(|| default_file().to_owned()))
}

/// The data directory if none is set: systemd's, else where the system expects it.
fn usual_data_dir(sources: &Sources) -> Result<Given, Error> {
    let variable = |name: &str, below: &str| {
        let value = sources.environment.get(&OsString::from(name))?;
        let text = value.to_str().filter(|text| !text.is_empty())?;
        Some(Given {
            text: format!("{text}{below}"),
            origin: Origin::Variable(name.to_owned()),
        })
    };
    let of_root = || {
        rustix::process::geteuid().is_root().then(|| Given {
            text: format!("/var/lib/{NAME}"),
            origin: Origin::Default,
        })
    };
    variable("STATE_DIRECTORY", "")
        .or_else(of_root)
        .or_else(|| variable("XDG_STATE_HOME", &format!("/{NAME}")))
        .or_else(|| variable("HOME", &format!("/.local/state/{NAME}")))
        .ok_or_else(|| Error::new("there is no data directory", "name one with --data-dir"))
}

fn understood(given: &BTreeMap<Key, Given>) -> Result<Serve, Error> {
    let path = |key| given.get(&key).map(|given| PathBuf::from(&given.text));
    let tls_files = match (path(Key::TlsCert), path(Key::TlsKey)) {
        (Some(chain), Some(key)) => Some((chain, key)),
        (None, None) => None,
        (Some(_), None) => return Err(half(given, Key::TlsCert, Key::TlsKey)),
        (None, Some(_)) => return Err(half(given, Key::TlsKey, Key::TlsCert)),
    };
    Ok(Serve {
        data_dir: path(Key::DataDir).unwrap_or_default(),
        listen: optional(given, Key::Listen, settings::address)?,
        base_url: optional(given, Key::BaseUrl, settings::base_url)?,
        tls_files,
        rate_per_second: with_default(given, Key::RateLimit, settings::rate)?,
        log_level: with_default(given, Key::LogLevel, settings::level)?,
        is_log_json: with_default(given, Key::LogFormat, settings::is_json)?,
        alarm_deactivations: with_default(given, Key::AlarmDeactivations, settings::count)?,
        alarm_percent: with_default(given, Key::AlarmPercent, settings::percent)?,
        audit_keep_days: with_default(given, Key::AuditKeep, settings::keep_days)?,
        audit_keep_bytes: with_default(given, Key::AuditKeepBytes, settings::keep_bytes)?,
        audit_explain: with_default(given, Key::AuditExplain, settings::switch)?,
        serves_page: with_default(given, Key::Directory, settings::switch)?,
    })
}

fn optional<T>(
    given: &BTreeMap<Key, Given>,
    key: Key,
    read: fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Error> {
    let read = |given: &Given| read(&given.text).map_err(|hint| unusable(key, given, hint));
    given.get(&key).map(read).transpose()
}

fn with_default<T>(
    given: &BTreeMap<Key, Given>,
    key: Key,
    read: fn(&str) -> Result<T, String>,
) -> Result<T, Error> {
    match optional(given, key, read)? {
        Some(value) => Ok(value),
        None => {
            read(&key.setting().default.shown()).map_err(|what| Error::new(what, "this is a bug"))
        }
    }
}

fn unusable(key: Key, given: &Given, hint: String) -> Error {
    let (name, text) = (key.setting().name, masked(&given.text));
    Error {
        is_usage: matches!(given.origin, Origin::Flag(_)),
        ..Error::new(
            match &given.origin {
                Origin::Flag(flag) => format!("{flag} cannot be {text}"),
                origin => format!("{origin}: {name} cannot be {text}"),
            },
            hint,
        )
    }
}

fn half(given: &BTreeMap<Key, Given>, set: Key, missing: Key) -> Error {
    let origin = given
        .get(&set)
        .map_or(Origin::Default, |given| given.origin.clone());
    let (set, missing) = (set.setting().name, missing.setting().name);
    Error {
        is_usage: matches!(origin, Origin::Flag(_)),
        ..Error::new(
            format!("{origin}: {set} is set, but {missing} is not"),
            "set both, or neither",
        )
    }
}

fn not_text(origin: &Origin) -> Error {
    Error::new(format!("{origin} is not UTF-8"), "write it in UTF-8")
}

/// Whether Kubernetes set the variable: it does in every pod beside a Service named golinks-scim.
fn is_of_kubernetes(name: &str, value: &OsStr) -> bool {
    let bare = name.strip_prefix(VARIABLES).unwrap_or(name);
    match bare {
        "SERVICE_HOST" | "SERVICE_PORT" => true,
        // A bare number may be meant as `listen`.
        "PORT" => value.to_string_lossy().contains("://"),
        _ => bare.starts_with("SERVICE_PORT_") || bare.starts_with("PORT_"),
    }
}

fn unknown_variable(name: &str) -> String {
    let bare = name.strip_prefix(VARIABLES).unwrap_or(name).to_lowercase();
    match file::similar(&bare).and_then(Key::named) {
        Some(meant) => format!("${name} is no setting: did you mean ${}?", meant.variable()),
        None => format!("${name} is no setting"),
    }
}

#[cfg(test)]
mod tests {
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
        let problem =
            Configuration::load(&sources("", &[], &[(Key::RateLimit, "0")])).expect_err("no rate");
        assert_eq!(problem.what, "--rate-limit cannot be 0");
        assert!(problem.is_usage);
        let problem =
            Configuration::load(&sources("", &[("GOLINKS_SCIM_BASE_URL", "http://h")], &[]))
                .expect_err("no https");
        assert!(
            problem
                .what
                .starts_with("$GOLINKS_SCIM_BASE_URL: base_url cannot be http")
        );
        assert!(!problem.is_usage);
        let problem =
            Configuration::load(&sources("tls_key = \"/k\"", &[], &[])).expect_err("half");
        assert!(
            problem
                .what
                .ends_with("c.toml:1: tls_key is set, but tls_cert is not")
        );
    }

    /// A setting that is in the table but parsed nowhere would be accepted with any value.
    #[test]
    fn each_setting_is_understood() {
        // Any text is the name of a directory.
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
            ("data_dir = \"/d\"\n\"", &[], flag, Some("/f")),
            ("\"", variable, &[], Some("/v")),
            ("data_dir = \"/d\"", rate, &[], Some("/d")),
            // A directory other than the one found could be meant.
            ("data_dir = \"/d", &[], &[], None),
            ("data_dir = \"d\"", &[], &[], None),
            ("dir = \"/d\"", &[], &[], None),
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
        // A fault in one variable hides no other.
        let mut odd = sources("data_dir = \"/d\"", variable, &[]);
        let name = OsString::from("GOLINKS_SCIM_BASE_URL");
        odd.environment.insert(name, OsString::from_vec(vec![0xff]));
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
        let warnings = |variables: &[(&str, &str)]| {
            let loaded = Configuration::load(&sources("", variables, &[])).expect("good");
            loaded.warnings.len()
        };
        let set_by_it = [
            ("GOLINKS_SCIM_SERVICE_HOST", "10.0.0.1"),
            ("GOLINKS_SCIM_SERVICE_PORT", "8443"),
            ("GOLINKS_SCIM_SERVICE_PORT_HTTPS", "8443"),
            ("GOLINKS_SCIM_PORT", "tcp://10.0.0.1:8443"),
            ("GOLINKS_SCIM_PORT_8443_TCP", "tcp://10.0.0.1:8443"),
            ("GOLINKS_SCIM_PORT_8443_TCP_ADDR", "10.0.0.1"),
        ];
        assert_eq!(warnings(&set_by_it), 0);
        assert_eq!(warnings(&[("GOLINKS_SCIM_PORT", "443")]), 1);
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
            let variables = [("GOLINKS_SCIM_BASE_URL", url)];
            let loaded = Configuration::load(&sources("", &variables, &[])).expect("good");
            let warnings = loaded.warnings.concat();
            assert_eq!(
                loaded.warnings.len(),
                usize::from(words.is_some()),
                "{url}: {warnings}"
            );
            assert!(
                warnings.contains(words.unwrap_or_default()),
                "{url}: {warnings}"
            );
        }
    }

    #[test]
    fn variables_that_are_no_settings_are_warned_of() {
        let loaded =
            Configuration::load(&sources("", &[("GOLINKS_SCIM_LISTN", "x")], &[])).expect("good");
        assert_eq!(
            loaded.warnings,
            ["$GOLINKS_SCIM_LISTN is no setting: did you mean $GOLINKS_SCIM_LISTEN?"]
        );
    }
}
