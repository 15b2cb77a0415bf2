//! `config`: shows each setting with its origin, and checks whether the settings can be used.

use serde_json::{Value, json};

use super::args::Config;
use super::output::{self, Column, column, text_of};
use super::{Failure, program, tls};
use crate::config::{Configuration, Fallback, Origin, SETTINGS, default_file, default_text};
use crate::files;

const COLUMNS: &[Column] = &[
    column("SETTING", |row| text_of(row, "name")),
    column("VALUE", |row| match row["value"].as_str() {
        Some(value) => value.to_owned(),
        None => text_of(row, "default"),
    }),
    column("ORIGIN", |row| text_of(row, "origin")),
];

/// Prints a configuration file to start from.
pub(super) fn print_default() -> Result<(), Failure> {
    output::line(default_text().trim_end())
}

/// Runs the command with a usable configuration: loading has already refused any other.
pub(super) fn run(configuration: &Configuration, command: &Config) -> Result<(), Failure> {
    match command {
        Config::Show { output } => {
            let rows: Vec<Value> = SETTINGS
                .iter()
                .map(|it| row(configuration, it.key))
                .collect();
            output::rows(output.output, COLUMNS, &rows)
        }
        Config::Check => check(configuration),
        Config::Default => print_default(),
    }
}

fn row(configuration: &Configuration, key: crate::config::Key) -> Value {
    let (value, origin) = configuration.shown(key);
    let setting = key.setting();
    // A default that is described in words instead of a value is meant for people.
    let is_value = origin != Origin::Default || !matches!(setting.default, Fallback::Words { .. });
    let (value, default) = if is_value {
        (Some(value), None)
    } else {
        (None, Some(value))
    };
    json!({
        "name": setting.name,
        "value": value,
        "default": default,
        "origin": origin.to_string(),
        "isDefault": origin == Origin::Default,
        "isReloaded": setting.is_reloaded,
    })
}

/// Checks what loading does not check: whether the certificate can be served.
fn check(configuration: &Configuration) -> Result<(), Failure> {
    for warning in tls::examine(&configuration.serve)? {
        output::say(&format!("warning: {warning}"));
    }
    if let Some(file) = &configuration.file {
        let file = output::printable(&file.display().to_string());
        return output::line(&format!("{file} can be used"));
    }
    let is_root = rustix::process::geteuid().is_root();
    output::line(&format!(
        "there is no configuration file, and none is needed; to begin one:\n  {}",
        beginning(is_root && !program().starts_with("sudo "))
    ))
}

/// The command that creates a configuration file to start from, in the shell of root or of another
/// user. The shell itself does the redirection, so `sudo` needs a shell as well.
fn beginning(is_roots: bool) -> String {
    let file = default_file().display();
    let folder = files::directory_of(default_file()).display();
    let command = format!("mkdir -p {folder} && golinks-scim config default > {file}");
    if is_roots {
        command
    } else {
        format!("sudo sh -c '{command}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_in_a_shell_of_root_needs_sudo_for_the_redirection_too() {
        assert!(beginning(true).starts_with("mkdir "));
        let with_sudo = beginning(false);
        assert!(with_sudo.starts_with("sudo sh -c 'mkdir "), "{with_sudo}");
        assert!(with_sudo.ends_with("config.toml'"), "{with_sudo}");
    }
}
