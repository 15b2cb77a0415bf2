//! The table of settings. From it come the commented default file, the names of the environment
//! variables, the check for unknown keys and the listing with origins.
//!
//! A new setting also needs a member of [`Serve`](super::Serve), which `load` fills. If a running
//! server adopts changes to it, it also needs a member of `api::Tuning`, which
//! `cli::serve::maintenance` fills.

use std::fmt::Write as _;
use std::net::SocketAddr;

use ipnet::IpNet;
use log::LevelFilter;

use super::BaseUrl;
use super::origin::masked;
use crate::{limits, network};

/// How an empty list is written as a text.
pub(super) const NONE: &str = "none";

/// A row of [`SETTINGS`].
#[derive(Debug)]
pub struct Setting {
    /// The key, whose number is also the row's index in the table.
    pub key: Key,
    /// The name in the file. The environment variable is this name in capitals after
    /// `GOLINKS_SCIM_`; the flag, where `serve` has one, uses hyphens.
    pub name: &'static str,
    /// What applies if the setting is not set.
    pub default: Fallback,
    /// What the setting is for, as comment lines of the default file.
    pub about: &'static str,
    /// Whether SIGHUP changes the setting in a running server.
    pub is_reloaded: bool,
}

/// What applies if a setting is not set.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// This number.
    Number(u32),
    /// This value, as TOML.
    Value(&'static str),
    /// What the words describe, with an example of a value.
    Words {
        /// What applies, in words for people.
        words: &'static str,
        /// An example of a value, as TOML.
        example: &'static str,
    },
}

impl Fallback {
    /// The default as it is shown: a value as for a flag, or words in parentheses.
    pub(super) fn shown(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Value(value) => value.trim_matches('"').to_owned(),
            Self::Words { words, .. } => format!("({words})"),
        }
    }
}

/// The settings by name, in the order of [`SETTINGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `data_dir`
    DataDir,
    /// `listen`
    Listen,
    /// `base_url`
    BaseUrl,
    /// `tls_cert`
    TlsCert,
    /// `tls_key`
    TlsKey,
    /// `trusted_proxies`
    TrustedProxies,
    /// `rate_limit`
    RateLimit,
    /// `log_level`
    LogLevel,
    /// `log_format`
    LogFormat,
    /// `alarm_deactivations`
    AlarmDeactivations,
    /// `alarm_percent`
    AlarmPercent,
    /// `audit_keep`
    AuditKeep,
    /// `audit_keep_bytes`
    AuditKeepBytes,
    /// `audit_explain`
    AuditExplain,
    /// `directory`
    Directory,
}

/// All settings.
pub static SETTINGS: [Setting; 15] = [
    Setting {
        key: Key::DataDir,
        name: "data_dir",
        default: Fallback::Words {
            words: "$STATE_DIRECTORY, else /var/lib/golinks-scim for root, else below $XDG_STATE_HOME or ~/.local/state",
            example: "\"/var/lib/golinks-scim\"",
        },
        about: "Where users, tokens and certificates are kept.",
        is_reloaded: false,
    },
    Setting {
        key: Key::Listen,
        name: "listen",
        default: Fallback::Words {
            words: "port 8443 of every address",
            example: "\"[::]:8443\"",
        },
        about: "Where to listen. A socket that systemd has opened is used instead.",
        is_reloaded: false,
    },
    Setting {
        key: Key::BaseUrl,
        name: "base_url",
        default: Fallback::Words {
            words: "the name of this machine and the port",
            example: "\"https://scim.example.com\"",
        },
        about: "The URL at which the identity provider reaches the server. If it has no path, /scim/v2 is\n\
                appended. A path must end in /scim/v2, unless a proxy rewrites it to that.",
        is_reloaded: false,
    },
    Setting {
        key: Key::TlsCert,
        name: "tls_cert",
        default: Fallback::Words {
            words: "the installed one, else the private CA's",
            example: "\"/etc/golinks-scim/chain.pem\"",
        },
        about: "Your own certificate with its full chain, as PEM. When the file changes, the \
                server\nuses the new one. `golinks-scim cert install` does not need this setting.",
        is_reloaded: false,
    },
    Setting {
        key: Key::TlsKey,
        name: "tls_key",
        default: Fallback::Words {
            words: "none",
            example: "\"/etc/golinks-scim/key.pem\"",
        },
        about: "The key of that certificate, as PEM. Only the server's user may read it.",
        is_reloaded: false,
    },
    Setting {
        key: Key::TrustedProxies,
        name: "trusted_proxies",
        default: Fallback::Words {
            words: NONE,
            example: "[\"192.0.2.10\", \"2001:db8:5::/64\"]",
        },
        about: "The reverse proxies, as addresses or networks, whose X-Forwarded-For says where a request\n\
                comes from. List only proxies that you run, and that replace this header or append to it.",
        is_reloaded: true,
    },
    Setting {
        key: Key::RateLimit,
        name: "rate_limit",
        default: Fallback::Number(limits::RATE_PER_SECOND_DEFAULT),
        about: "Requests per second for each token, or \"off\". Five times as many may come at once.",
        is_reloaded: true,
    },
    Setting {
        key: Key::LogLevel,
        name: "log_level",
        default: Fallback::Value("\"info\""),
        about: "What is logged: error, warn, info, debug or trace.",
        is_reloaded: true,
    },
    Setting {
        key: Key::LogFormat,
        name: "log_format",
        default: Fallback::Value("\"text\""),
        about: "The format of the log: text for people, or json (one object per line) for log \
                collectors.",
        is_reloaded: false,
    },
    Setting {
        key: Key::AlarmDeactivations,
        name: "alarm_deactivations",
        default: Fallback::Number(limits::ALARM_DEACTIVATIONS_DEFAULT),
        about: "Warn if there are more deactivations within an hour than this, and more than\n\
                alarm_percent of the active users. They are carried out all the same. 0 turns the\n\
                alarm off.",
        is_reloaded: true,
    },
    Setting {
        key: Key::AlarmPercent,
        name: "alarm_percent",
        default: Fallback::Number(limits::ALARM_PERCENT_DEFAULT),
        about: "See alarm_deactivations. With 0, only that number counts.",
        is_reloaded: true,
    },
    Setting {
        key: Key::AuditKeep,
        name: "audit_keep",
        default: Fallback::Value("\"400d\""),
        about: "How long rows of the audit trail are kept, unless audit_keep_bytes is reached first: days,\n\
                30d or more, or \"forever\".",
        is_reloaded: true,
    },
    Setting {
        key: Key::AuditKeepBytes,
        name: "audit_keep_bytes",
        default: Fallback::Value("\"4GiB\""),
        about: "The space that all rows together may take, such as 500MiB or 4GiB, or \
                \"unlimited\". Above\nit, the oldest rows are removed.",
        is_reloaded: true,
    },
    Setting {
        key: Key::AuditExplain,
        name: "audit_explain",
        default: Fallback::Value("\"on\""),
        about: "Whether refused requests are remembered with their shape, without values, for\n\
                `golinks-scim audit explain`: on or off.",
        is_reloaded: true,
    },
    Setting {
        key: Key::Directory,
        name: "directory",
        default: Fallback::Value("\"on\""),
        about: "The Team Directory, the page at /directory/ where anyone with a token of scope read can\n\
                look people up: on or off.",
        is_reloaded: true,
    },
];

impl Key {
    /// The setting's row in [`SETTINGS`].
    pub fn setting(self) -> &'static Setting {
        &SETTINGS[self as usize]
    }

    /// The key with this name.
    pub fn named(name: &str) -> Option<Self> {
        let mut settings = SETTINGS.iter();
        Some(settings.find(|setting| setting.name == name)?.key)
    }

    /// The name of the environment variable.
    pub fn variable(self) -> String {
        format!("GOLINKS_SCIM_{}", self.setting().name.to_uppercase())
    }

    /// The flag, where `serve` has one.
    pub fn flag(self) -> String {
        format!("--{}", self.setting().name.replace('_', "-"))
    }

    /// Whether the value is the path of a file or a directory.
    pub(super) fn is_path(self) -> bool {
        matches!(self, Self::DataDir | Self::TlsCert | Self::TlsKey)
    }

    /// Whether the value may be a list in the file. Elsewhere, commas separate its elements.
    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::TrustedProxies)
    }
}

/// A configuration file that sets nothing and explains every setting.
pub fn default_text() -> String {
    let mut text = "# golinks-scim: the configuration of the server.
#
# Every setting is here \
                    with its default, commented out. The environment (GOLINKS_SCIM_ and
# the \
                    name in capitals) overrides this file, and a flag of `golinks-scim serve` \
                    overrides both.
#
#   golinks-scim config check    check that this \
                    file can be used
#   golinks-scim config show     show the settings in effect, \
                    and where each comes from
#
# Settings marked [reload] are read again on SIGHUP \
                    (systemctl reload golinks-scim). The
# others need a restart.
"
    .to_owned();
    for setting in &SETTINGS {
        text.push('\n');
        for line in setting.about.lines() {
            push(&mut text, line);
        }
        if setting.is_reloaded {
            push(&mut text, "[reload]");
        }
        let value = match setting.default {
            Fallback::Number(number) => number.to_string(),
            Fallback::Value(value) => value.to_owned(),
            Fallback::Words { words, example } => {
                push(&mut text, &format!("Default: {words}."));
                example.to_owned()
            }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "#{} = {value}", setting.name);
    }
    text
}

fn push(text: &mut String, line: &str) {
    let _ = writeln!(text, "# {line}");
}

/// Parses `ADDR:PORT`.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "write an address and a port, such as [::]:8443 or 127.0.0.1:8443".to_owned())
}

pub(super) fn base_url(text: &str) -> Result<BaseUrl, String> {
    BaseUrl::parse(text).map_err(|what| format!("{what}; for example https://scim.example.com"))
}

/// Parses networks or addresses with commas between them, or `none`. Refuses a network of all
/// addresses: everyone could then pretend to be anywhere.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    if text == NONE {
        return Ok(Vec::new());
    }
    let read = |typed: &str| {
        let typed = typed.trim();
        match network::parse(typed) {
            Ok(network) if network.prefix_len() == 0 => Err(format!(
                "everyone is in {network}: list only your own proxies"
            )),
            Ok(network) => Ok(network),
            Err(why) => Err(format!("\"{}\" {why}", masked(typed))),
        }
    };
    text.split(',').map(read).collect()
}

/// Parses a rate; `None` means unlimited.
pub(super) fn rate(text: &str) -> Result<Option<u32>, String> {
    match text {
        "off" => Ok(None),
        text => match text.parse() {
            Ok(rate) if rate > 0 => Ok(Some(rate)),
            _ => Err(format!(
                "write a number of requests per second from 1 to {}, or off",
                u32::MAX
            )),
        },
    }
}

pub(super) fn level(text: &str) -> Result<LevelFilter, String> {
    match text.parse() {
        Ok(level) if level != LevelFilter::Off => Ok(level),
        _ => Err("write error, warn, info, debug or trace".to_owned()),
    }
}

/// Parses the format of the log. Returns whether it is JSON.
pub(super) fn is_json(text: &str) -> Result<bool, String> {
    match text {
        "text" => Ok(false),
        "json" => Ok(true),
        _ => Err("write text or json".to_owned()),
    }
}

pub(super) fn count(text: &str) -> Result<u32, String> {
    let most = u32::MAX;
    (text.parse()).map_err(|_| format!("write a whole number from 0 to {most}"))
}

pub(super) fn percent(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(percent) if percent <= 100 => Ok(percent),
        _ => Err("write a number from 0 to 100".to_owned()),
    }
}

/// Parses how many days the audit trail is kept; `None` means forever.
pub(super) fn keep_days(text: &str) -> Result<Option<i64>, String> {
    let least = limits::AUDIT_KEEP_DAYS_MIN;
    let days = || text.strip_suffix('d')?.parse().ok();
    match days() {
        _ if text == "forever" => Ok(None),
        Some(days) if (least..=limits::TYPED_DAYS_MAX).contains(&days) => Ok(Some(days)),
        _ => Err(format!(
            "write days from {least}d to {}d, such as 400d, or forever",
            limits::TYPED_DAYS_MAX
        )),
    }
}

/// Parses how many bytes the audit trail may take; `None` means unlimited.
pub(super) fn keep_bytes(text: &str) -> Result<Option<u64>, String> {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let bytes = || {
        let (number, shift) = units
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
            .unwrap_or((text, 0));
        let number: u64 = number.trim_end().parse().ok()?;
        number.checked_mul(1 << shift)
    };
    match bytes() {
        _ if text == "unlimited" => Ok(None),
        Some(bytes) if bytes >= limits::AUDIT_KEEP_BYTES_MIN => Ok(Some(bytes)),
        _ => Err("write a size from 1MiB on, such as 500MiB or 4GiB, or unlimited".to_owned()),
    }
}

/// Parses `on` or `off`.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_its_keys() {
        for (at, setting) in SETTINGS.iter().enumerate() {
            assert_eq!(setting.key as usize, at, "{}", setting.name);
            assert_eq!(Key::named(setting.name), Some(setting.key));
        }
        assert_eq!(Key::TlsCert.variable(), "GOLINKS_SCIM_TLS_CERT");
        assert_eq!(Key::TlsCert.flag(), "--tls-cert");
    }

    #[test]
    fn numbers_and_words() {
        assert_eq!(rate("off"), Ok(None));
        assert_eq!(rate("20"), Ok(Some(20)));
        for bad in ["0", "-1", "", "fast", "99999999999"] {
            let told = rate(bad).expect_err(bad);
            assert!(
                told.contains("from 1 to 4294967295, or off"),
                "{bad}: {told}"
            );
        }
        assert_eq!(level("debug"), Ok(LevelFilter::Debug));
        assert!(level("off").is_err() && level("loud").is_err());
        assert!(percent("101").is_err() && percent("100").is_ok());
        assert_eq!(keep_days("400d"), Ok(Some(400)));
        assert_eq!(keep_days("forever"), Ok(None));
        for bad in ["29d", "400", "1y", "-400d", ""] {
            assert!(keep_days(bad).is_err(), "{bad}");
        }
        assert_eq!(keep_bytes("4GiB"), Ok(Some(4 << 30)));
        assert_eq!(keep_bytes("1048576"), Ok(Some(1 << 20)));
        assert_eq!(keep_bytes("unlimited"), Ok(None));
        for bad in ["1KiB", "4GB", "", "GiB", "-1GiB", "99999999999999GiB"] {
            assert!(keep_bytes(bad).is_err(), "{bad}");
        }
        assert!(switch("maybe").is_err() && switch("on") == Ok(true));
        let listed = networks("::ffff:192.0.2.1, 10.0.0.0/8").expect("a list");
        let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
        assert_eq!(listed, ["192.0.2.1/32", "10.0.0.0/8"]);
        assert_eq!(networks(NONE), Ok(Vec::new()));
        for (bad, wanted) in [
            ("10.0.0.0/8,", "\"\" is not a network: write a network"),
            ("::1, 10.0.0.0/33", "\"10.0.0.0/33\" is not a network"),
            ("::ffff:10.0.0.0/8", "such as 10.0.0.0/8"),
            ("0.0.0.0/0", "everyone is in 0.0.0.0/0"),
            ("::/0", "everyone is in ::/0"),
        ] {
            let told = networks(bad).expect_err(bad);
            assert!(told.contains(wanted), "{bad}: {told}");
        }
        assert!(address("8443").is_err() && address("[::]:8443").is_ok());
    }
}
