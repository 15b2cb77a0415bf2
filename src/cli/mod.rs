//! The command line: parses the arguments, sends requests and prints the answers. Commands that
//! need the directory send their requests to the local socket, which `serve` opens. Others, such as
//! `manual` and `config`, need neither.

mod args;
mod audit;
mod backup;
mod cert;
mod check;
mod config;
mod explain;
mod failure;
mod generated;
mod guide;
mod interruption;
mod manual;
mod output;
mod previous_holders;
mod request;
mod rights;
mod serve;
mod service;
mod time_argument;
mod tls;
mod token;
mod user;
mod word_order;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use clap::error::ErrorKind;
use clap_complete::Shell;
use log::LevelFilter;
use serde_json::Value;

use crate::access::Administrator;
use crate::config::{BaseUrl, Blame, Configuration, Key, Sources};
use crate::fix::{filled, operand, program, quoted, set_program};
use crate::limits;
use crate::local::Client;
use crate::logging;
use args::{Args, Command};
use failure::{
    Failure, MOUNT, RESTORE, as_root, from_configuration, from_local, io_status, not_a_directory,
    other_data_dir, refuse_taken, status, store_hint, store_status, unusable,
};
use request::{
    SEARCH, answered, ask, ask_or_hint, each, each_despite_the_disk, named, refuse_long,
    require_token, sent,
};

/// Runs the command in `typed`.
pub fn run(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let typed: Vec<OsString> = typed.into_iter().collect();
    let args = match Args::try_parse_from(&typed) {
        Ok(args) => args,
        Err(error) => {
            let error = word_order::told(&typed, error);
            if !error.use_stderr() {
                return ended(output::help(&error), false);
            }
            let mut rendered = error.render().to_string();
            if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                rendered.insert_str(0, "a command is missing\n\n");
            }
            output::usage(&rendered);
            return ExitCode::from(status::USAGE);
        }
    };
    set_program(typed_program(&args));
    // The exit status of these commands is their answer, so they must not end with 0 because their
    // reader is gone.
    let is_verdict = matches!(
        args.command,
        Command::Check(_)
            | Command::User(user::User::Diff(_))
            | Command::Audit(args::Audit::Verify { .. } | args::Audit::Explain { .. })
    );
    let outcome = without_configuration(&args.command).unwrap_or_else(|| configured(args));
    ended(outcome, is_verdict)
}

/// The exit status for an outcome, whose failure is told. `is_verdict` says that the exit status is
/// the command's answer.
fn ended(outcome: Result<(), Failure>, is_verdict: bool) -> ExitCode {
    // Log lines must appear before the failure.
    logging::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_reader_gone && is_verdict => ExitCode::from(failure.status),
        Err(failure) if failure.is_reader_gone => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            logging::flush();
            ExitCode::from(failure.status)
        }
    }
}

/// The start of commands to copy: it has the same configuration and data directory, and `sudo` if
/// the user became root by it. Another `sudo` would lose values from the environment, so if there
/// are any, the command has no `sudo`.
fn typed_program(args: &Args) -> String {
    let is_chosen = |name: &str| std::env::var_os(name).is_some();
    let is_by_sudo = rustix::process::geteuid().is_root()
        && is_chosen("SUDO_USER")
        && !is_chosen("GOLINKS_SCIM_CONFIG")
        && !is_chosen("GOLINKS_SCIM_DATA_DIR");
    let mut program = if is_by_sudo {
        "sudo golinks-scim"
    } else {
        "golinks-scim"
    }
    .to_owned();
    if let Some(file) = &args.config {
        program = format!("{program} --config {}", quoted(file));
    }
    if let Some(data_dir) = &args.data_dir {
        program = format!("{program} --data-dir {}", quoted(Path::new(data_dir)));
    }
    program
}

/// Runs a command that needs no configuration, since the configuration may be unusable. Returns
/// `None` for any other command.
fn without_configuration(command: &Command) -> Option<Result<(), Failure>> {
    Some(match command {
        Command::Manual { name } => manual::run(name.as_deref()),
        Command::Config(args::Config::Default) => config::print_default(),
        Command::Guide { which: None } => output::choices::<args::Guide>(),
        Command::Completions { shell: None } => output::choices::<Shell>(),
        Command::Completions { shell: Some(shell) } => generated::completions(*shell),
        Command::Man { dir } => generated::man(dir),
        // `configured` has a case for every command.
        _ => return None,
    })
}

fn configured(args: Args) -> Result<(), Failure> {
    // Files created from here on are private to their owner.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let outlived = outlive_file_size_limit();
    let sources = sources(&args);
    if args.quiet {
        output::be_quiet();
    }
    let typed_level = typed_level(&args);
    let configuration = Configuration::load(&sources);
    if let Command::Check(typed) = &args.command {
        logging::start(
            typed_level.unwrap_or(LevelFilter::Warn),
            logging::Format::Text,
            end_as_damaged,
        );
        return check::run(&configuration, &sources, typed);
    }
    let configuration = configuration
        .or_else(|problem| without_the_rest(problem, &sources, &args.command))
        .map_err(from_configuration)?;
    let (usual_level, format) = usual_log(&args.command, &configuration);
    logging::start(typed_level.unwrap_or(usual_level), format, end_as_damaged);
    if let Err(error) = outlived {
        log::warn!("a limit on file sizes would end this without an error message: {error}");
    }
    for warning in &configuration.warnings {
        log::warn!("{warning}");
    }
    let data_dir = configuration.serve.data_dir.clone();
    match args.command {
        Command::Serve(_) => serve::run(&sources, configuration, typed_level.is_some()),
        Command::Token(command) => {
            with_client(&data_dir, |client| token::run(client, command, &data_dir))
        }
        Command::User(command) => {
            // Open the file first: a pipe may be slow and must not keep others waiting for the
            // store.
            let file = user::open_file(&command, &data_dir)?;
            with_client(&data_dir, |client| user::run(client, command, file))
        }
        Command::Cert(command) => cert::run(&configuration, command),
        Command::Audit(command) => audit::run(&data_dir, command),
        Command::Backup(command) => backup::run(&configuration.serve, command),
        Command::Guide { which: Some(which) } => guide::run(&configuration, &sources, which),
        Command::Config(command) => config::run(&configuration, &command),
        Command::Check(_)
        | Command::Guide { which: None }
        | Command::Manual { .. }
        | Command::Completions { .. }
        | Command::Man { .. } => unreachable!("it was done before there was a configuration"),
    }
}

/// Makes a write beyond the limit on file sizes (`ulimit -f`) fail like a write to a full disk.
/// Without a handler, the signal SIGXFSZ would end the process.
fn outlive_file_size_limit() -> io::Result<()> {
    let signal = rustix::process::Signal::XFSZ.as_raw();
    signal_hook::flag::register(signal, Arc::default()).map(drop)
}

/// The places from which the configuration is taken.
fn sources(args: &Args) -> Sources {
    let mut flags = vec![(Key::DataDir, &args.data_dir)];
    if let Command::Serve(typed) = &args.command {
        flags.extend([
            (Key::Listen, &typed.listen),
            (Key::BaseUrl, &typed.base_url),
            (Key::TlsCert, &typed.tls_cert),
            (Key::TlsKey, &typed.tls_key),
            (Key::RateLimit, &typed.rate_limit),
        ]);
    }
    let typed = |(key, text): (Key, &Option<String>)| Some((key, text.clone()?));
    Sources {
        file: args.config.clone(),
        flags: flags.into_iter().filter_map(typed).collect(),
        environment: std::env::vars_os()
            .filter(|(name, _)| is_heard(name))
            .collect(),
    }
}

/// Whether an environment variable belongs to the configuration. All others are dropped, together
/// with any secrets in them.
fn is_heard(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("GOLINKS_SCIM_") && name != "GOLINKS_SCIM_TOKEN"
        || matches!(&*name, "STATE_DIRECTORY" | "XDG_STATE_HOME" | "HOME")
}

fn typed_level(args: &Args) -> Option<LevelFilter> {
    match (args.quiet, args.verbose) {
        (true, _) => Some(LevelFilter::Error),
        (_, 0) => None,
        (_, 1) => Some(LevelFilter::Debug),
        _ => Some(LevelFilter::Trace),
    }
}

/// Falls back to a configuration with only the data directory, for commands that need nothing else.
/// An error that matters only when a server starts must not keep anybody from revoking a token in a
/// hurry.
fn without_the_rest(
    problem: crate::config::Error,
    sources: &Sources,
    command: &Command,
) -> Result<Configuration, crate::config::Error> {
    // None of these commands starts a server or replaces a store.
    let is_content = matches!(
        command,
        Command::Token(_)
            | Command::User(_)
            | Command::Audit(_)
            | Command::Cert(_)
            | Command::Backup(args::Backup::Create { .. } | args::Backup::Verify { .. })
            | Command::Guide { .. }
    );
    if problem.blame == Blame::Flag || !is_content {
        return Err(problem);
    }
    let Some(mut configuration) = Configuration::of_data_dir(sources) else {
        return Err(problem);
    };
    let crate::config::Error { what, hint, .. } = problem;
    let data_dir = configuration.serve.data_dir.display();
    let told = format!("{what} ({hint}); going on with {data_dir}");
    configuration.warnings.push(told);
    Ok(configuration)
}

/// A server logs what it does. A command logs only problems, in a format for people.
fn usual_log(command: &Command, configuration: &Configuration) -> (LevelFilter, logging::Format) {
    let serve = &configuration.serve;
    match command {
        Command::Serve(_) if serve.is_log_json => (serve.log_level, logging::Format::Json),
        Command::Serve(_) => (serve.log_level, logging::Format::Text),
        _ => (LevelFilter::Warn, logging::Format::Text),
    }
}

fn with_client<T>(
    data_dir: &Path,
    ask: impl FnOnce(&mut Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut client = Client::connect(data_dir, &login_name()).map_err(from_local)?;
    let outcome = ask(&mut client);
    client.close();
    outcome
}

/// The base URL of a running server or, without one, that of the next start, as far as it is known.
fn base_url(installation: &Value, config: &crate::config::Serve) -> Option<BaseUrl> {
    let said = BaseUrl::parse(&output::text_of(installation, "baseUrl")).ok();
    if installation["listens"].is_null() {
        config.base_url.clone().or(said)
    } else {
        said
    }
}

/// The user's name according to the environment.
fn login_name() -> String {
    ["SUDO_USER", "LOGNAME", "USER"]
        .iter()
        .find_map(|name| Administrator::plain_name(&std::env::var(name).ok()?))
        .unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()))
}

/// Ends the process when damage to the store would abort it, see [`logging::start`].
#[allow(
    clippy::exit,
    reason = "otherwise the process is aborted, and nobody knows why"
)]
fn end_as_damaged() {
    log::error!("the store is damaged: {}", filled(RESTORE));
    logging::flush();
    std::process::exit(i32::from(status::DATA));
}

/// Why `limit` open descriptors are too few for all connections; `None` if they suffice.
fn too_few_descriptors(limit: u64) -> Option<String> {
    let needed = limits::DESCRIPTORS_NEEDED;
    (limit < needed).then(|| {
        format!(
            "only {limit} may be open, but {needed} are needed for {} connections",
            limits::CONNECTIONS_MAX
        )
    })
}
