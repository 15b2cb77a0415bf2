//! Combines flags, environment and file: determines each setting's value and origin, and whether
//! the value can be used.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};

use super::origin::{Blame, Error, Given, Origin, masked};
use super::salvage::{self, Salvaged};
use super::settings::{self, Key, SETTINGS};
use super::{BaseUrl, Serve, file};
use crate::files;

const NAME: &str = "golinks-scim";
const VARIABLES: &str = "GOLINKS_SCIM_";
const FILE_VARIABLE: &str = "GOLINKS_SCIM_CONFIG";
/// The configuration file if none is named. It need not exist.
pub fn default_file() -> &'static Path {
    Path::new("/etc/golinks-scim/config.toml")
}

/// The places from which settings are taken.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named on the command line.
    pub file: Option<PathBuf>,
    /// The flags that were typed.
    pub flags: Vec<(Key, String)>,
    /// The environment.
    pub environment: BTreeMap<OsString, OsString>,
}

impl Sources {
    /// The value of an environment variable, unless it is empty.
    fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.environment.get(OsStr::new(name))?;
        Some(value.as_os_str()).filter(|value| !value.is_empty())
    }
}

/// All settings, parsed, each with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// The settings that `serve` needs.
    pub serve: Serve,
    /// Warnings about values that are odd but can be used.
    pub warnings: Vec<String>,
    /// Whether only the data directory is known, because the rest cannot be used. No server starts
    /// with such a configuration.
    pub is_data_dir_alone: bool,
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
            is_data_dir_alone: false,
            given,
        })
    }

    /// Takes only the data directory from a configuration that cannot be used as a whole: a typo
    /// must not keep an administrator from revoking a token. `None` if the administrator may have
    /// meant a directory other than the one found.
    pub fn of_data_dir(sources: &Sources) -> Option<Self> {
        let file = file_of(sources);
        let name = Key::DataDir.variable();
        let flag = typed(sources).find(|(key, _)| *key == Key::DataDir);
        let data_dir = if let Some((_, given)) = flag {
            given
        } else if let Some(value) = sources.variable(&name) {
            Given {
                text: value.to_str()?.to_owned(),
                origin: Origin::Variable(name),
            }
        } else {
            match file.as_deref().map_or(Salvaged::Absent, salvage::data_dir) {
                Salvaged::Found(given) => given,
                Salvaged::Absent => usual_data_dir(sources).ok()?,
                Salvaged::Ambiguous => return None,
            }
        };
        // A named file that cannot be opened is another kind of mistake and is not tolerated.
        let named = file.as_deref().filter(|file| *file != default_file());
        if named.is_some_and(|file| File::open(file).is_err()) {
            return None;
        }
        let given = BTreeMap::from([(Key::DataDir, data_dir)]);
        Some(Self {
            file,
            serve: understood(&given).ok()?,
            warnings: Vec::new(),
            is_data_dir_alone: true,
            given,
        })
    }

    /// The value of a setting as it may be shown, and its origin.
    pub fn shown(&self, key: Key) -> (String, Origin) {
        if let Some(given) = self.given.get(&key) {
            return (masked(&given.text).to_owned(), given.origin.clone());
        }
        (key.setting().default.shown(), Origin::Default)
    }
}

/// The error for an empty flag: `--data-dir "$UNSET"` does not mean the current directory.
fn empty_flag(key: Key) -> Error {
    let what = format!("{} must not be empty", key.flag());
    Error::new(what, "give it a value, or leave it out").blaming(Blame::Flag)
}

/// Overrides `given` with what the environment sets. Returns warnings about unknown variables.
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
                let Some(text) = value.to_str().map(str::to_owned) else {
                    let what = format!("{origin} is not UTF-8");
                    return Err(Error::new(what, "write it in UTF-8"));
                };
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

/// The file to read: the named one, which must exist, or else the default one if it exists.
fn file_of(sources: &Sources) -> Option<PathBuf> {
    let variable = || sources.variable(FILE_VARIABLE).map(PathBuf::from);
    let named = sources.file.clone().or_else(variable);
    // If it cannot be accessed, try to read it anyway, since the error then says why.
    let is_missing = || {
        let found = std::fs::symlink_metadata(default_file());
        found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
            && !files::is_away(files::directory_of(default_file()))
    };
    named.or_else(|| (!is_missing()).then(|| default_file().to_owned()))
}

/// The data directory if none is set: systemd's, or else the usual place for this user.
fn usual_data_dir(sources: &Sources) -> Result<Given, Error> {
    let of_root = || {
        rustix::process::geteuid().is_root().then(|| Given {
            text: format!("/var/lib/{NAME}"),
            origin: Origin::Default,
        })
    };
    // systemd joins several directories with colons.
    let first = |mut given: Given| {
        let end = given.text.find(':').unwrap_or(given.text.len());
        given.text.truncate(end);
        (end > 0).then_some(given)
    };
    below(sources, "STATE_DIRECTORY", "")
        .and_then(first)
        .or_else(of_root)
        .or_else(|| users_data_dir(sources))
        .ok_or_else(|| no_data_dir(sources))
}

/// The error when no data directory is known: the user's variables are not set, or are unusable
/// because they are relative.
fn no_data_dir(sources: &Sources) -> Error {
    let is_set = |name: &&str| below(sources, name, "").is_some();
    let relative: Vec<&str> = USERS_DIRECTORIES
        .map(|(name, _)| name)
        .into_iter()
        .filter(is_set)
        .collect();
    let why = if relative.is_empty() {
        String::new()
    } else {
        format!(": {} must be an absolute path", relative.join(" and "))
    };
    let what = format!("there is no data directory{why}");
    Error::new(what, "name one with --data-dir")
}

/// The variables that lead to the data directory of an ordinary user, each with the path from
/// there.
const USERS_DIRECTORIES: [(&str, &str); 2] = [("XDG_STATE_HOME", ""), ("HOME", "/.local/state")];

/// The data directory of an ordinary user. Relative paths are ignored, as the XDG specification
/// requires: otherwise each working directory would have its own store.
fn users_data_dir(sources: &Sources) -> Option<Given> {
    let is_absolute = |given: &Given| given.text.starts_with('/');
    USERS_DIRECTORIES
        .iter()
        .filter_map(|(name, rest)| below(sources, name, &format!("{rest}/{NAME}")))
        .find(is_absolute)
}

/// A path below the one in an environment variable, if the variable is set.
fn below(sources: &Sources, name: &str, rest: &str) -> Option<Given> {
    let text = sources.variable(name)?.to_str()?;
    Some(Given {
        text: format!("{text}{rest}"),
        origin: Origin::Variable(name.to_owned()),
    })
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
        trusted_proxies: optional(given, Key::TrustedProxies, settings::networks)?
            .unwrap_or_default(),
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
    let what = match &given.origin {
        Origin::Flag(flag) => format!("{flag} cannot be {text}"),
        origin => format!("{origin}: {name} cannot be {text}"),
    };
    Error::new(what, hint).blaming(blame_of(&given.origin))
}

fn half(given: &BTreeMap<Key, Given>, set: Key, missing: Key) -> Error {
    let origin = given
        .get(&set)
        .map_or(Origin::Default, |given| given.origin.clone());
    let (set, missing) = (set.setting().name, missing.setting().name);
    let what = format!("{origin}: {set} is set, but {missing} is not");
    Error::new(what, "set both, or neither").blaming(blame_of(&origin))
}

fn blame_of(origin: &Origin) -> Blame {
    match origin {
        Origin::Flag(_) => Blame::Flag,
        _ => Blame::Setting,
    }
}

/// Whether Kubernetes set the variable, as it does in every pod next to a Service named
/// golinks-scim.
fn is_of_kubernetes(name: &str, value: &OsStr) -> bool {
    let bare = name.strip_prefix(VARIABLES).unwrap_or(name);
    match bare {
        "SERVICE_HOST" | "SERVICE_PORT" => true,
        // A bare number may have been meant as `listen`.
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
mod tests;
