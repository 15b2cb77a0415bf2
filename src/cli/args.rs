//! What can be typed. Nothing is decided or done here.

use std::fmt::Display;
use std::net::IpAddr;
use std::num::{IntErrorKind, ParseIntError};
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, ArgGroup, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde_json::Value;

use super::output::Format;
use super::user::User;
use crate::config::BaseUrl;
use crate::idp::{PROVIDERS, Provider};
use crate::limits;

/// What exit statuses mean.
pub(super) const EXIT_STATUS: &str = "\
0 done; 1 refused, not found, or different (user diff); 64 usage; 65 damaged or newer data, or \
an invalid user file; 69 no directory, or the store is locked; 74 I/O; 77 permission; \
78 configuration; 130 a second signal ended the server at once; 129, 130, 143 a closed terminal, \
Ctrl-C or SIGTERM ended an import, an export, a comparison or a backup.";

/// What to type next.
pub(super) const NEXT: &str = "\
Start with `golinks-scim serve`, then `golinks-scim guide okta`. If the identity provider \
cannot reach the server: `golinks-scim check`. The full manual: `golinks-scim manual`.";

/// In place of networks: a token may be used from all of them.
pub(super) const EVERYWHERE: &str = "everywhere";

/// Above the flags that every command has.
pub(super) const GLOBAL: &str = "Global options";

/// SCIM 2.0 user provisioning for GoLinks: lets Okta and other identity providers create,
/// update, deactivate and import users over HTTPS.
#[derive(Parser)]
#[command(name = "golinks-scim", version, max_term_width = 100,
    after_long_help = format!("Exit status: {EXIT_STATUS}\n\n{NEXT}"))]
pub(super) struct Args {
    /// Where users, tokens and certificates are kept
    #[arg(long, value_name = "DIR", global = true, help_heading = GLOBAL)]
    pub(super) data_dir: Option<String>,
    /// The configuration file [default: $GOLINKS_SCIM_CONFIG, else
    /// /etc/golinks-scim/config.toml if it exists]
    #[arg(long, value_name = "FILE", global = true, help_heading = GLOBAL)]
    pub(super) config: Option<PathBuf>,
    /// Print more on standard error; give it twice for everything
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = GLOBAL)]
    pub(super) verbose: u8,
    /// Print only errors on standard error
    #[arg(short, long, global = true, help_heading = GLOBAL, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the server
    Serve(Serve),
    /// Issue, list, change, rotate and revoke API tokens
    #[command(subcommand)]
    Token(Token),
    /// List, show and change users; import, export and compare them; show their history and undo
    /// changes
    #[command(subcommand)]
    User(User),
    /// Show the certificate, request one from a certificate authority, and install it
    #[command(subcommand)]
    Cert(Cert),
    /// See who did what: list or follow the audit trail, explain a refused request, verify the trail
    #[command(subcommand)]
    Audit(Audit),
    /// Back up the directory while the server runs, verify a backup, restore one
    #[command(subcommand)]
    Backup(Backup),
    /// Print what to type into an identity provider, or list the guides
    Guide {
        /// Which guide to print
        #[arg(ignore_case = true)]
        which: Option<Guide>,
    },
    /// Find out whether an identity provider can reach the server, and if not, why
    Check(Check),
    /// Show or check the configuration, or print a template for it
    #[command(subcommand)]
    Config(Config),
    /// Print a page of the manual, or the list of its pages
    Manual {
        /// The page
        name: Option<String>,
    },
    /// Print the completions for a shell, or list the shells
    Completions {
        /// Which shell
        shell: Option<Shell>,
    },
    /// Write the man pages
    Man {
        /// The directory for them; created if it does not exist
        dir: PathBuf,
    },
}

// Each is a setting of the configuration too, which checks it.
#[derive(ClapArgs)]
pub(super) struct Serve {
    /// Where to listen [default: port 8443 of every address]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) listen: Option<String>,
    /// The URL at which the identity provider reaches the server, such as
    /// `https://scim.example.com` [default: the name of this machine and the port]
    #[arg(long, value_name = "URL")]
    pub(super) base_url: Option<String>,
    /// Your own certificate with its full chain, as PEM, instead of the private CA's
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<String>,
    /// The key of that certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<String>,
    #[arg(
        long,
        value_name = "N|off",
        help = format!(
            "Requests per second for each token, or `off` [default: {}]",
            limits::RATE_PER_SECOND_DEFAULT
        )
    )]
    pub(super) rate_limit: Option<String>,
}

#[derive(Subcommand)]
pub(super) enum Token {
    /// Create a token and print it, once
    Issue(TokenIssue),
    /// List all tokens
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show the details of a token, but not its text
    Show {
        /// A name or id
        #[arg(value_parser = given)]
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Change what a token may do, from the next request on; its text and expiry stay the same
    Change(TokenChange),
    /// Create a new token like this one, and let the old one expire
    Rotate {
        /// Its name or id
        #[arg(value_parser = given)]
        name: String,
        /// How long the old token stays valid
        #[arg(long, default_value = "7d", value_parser = given)]
        overlap: String,
        #[command(flatten)]
        output: Output,
    },
    /// Revoke tokens, from the next request on
    Revoke {
        /// A name, for all live tokens of that name, or an id; several are revoked one by one
        #[arg(required = true, value_name = "NAME", value_parser = given)]
        names: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(ClapArgs)]
pub(super) struct TokenIssue {
    /// A name for it, such as `okta`
    #[arg(value_parser = given)]
    pub(super) name: String,
    /// What the token may do: `read`; `provision`, also create and change; `full`, also
    /// delete; `metrics`
    #[arg(long, default_value = "provision", value_parser = ["read", "provision", "full", "metrics"])]
    pub(super) scope: String,
    /// How long it is valid, such as 365d, 52w or 12h; until when, such as 2027-06-30; or `never`
    #[arg(long, default_value_t = format!("{}d", limits::TOKEN_DAYS_DEFAULT), value_parser = given)]
    pub(super) expires: String,
    /// `compatible` accepts what identity providers send beyond the RFCs; `strict` refuses it
    #[arg(long, default_value = "compatible", value_parser = ["compatible", "strict"])]
    pub(super) mode: String,
    /// Requests per second for this token, instead of the server's rate
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) rate_limit: Option<u32>,
    /// Accept the token only from this network or address, such as 203.0.113.0/24; separate
    /// several with commas, or repeat the option
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub(super) allow_from: Vec<String>,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(ClapArgs)]
#[command(group(ArgGroup::new("terms").required(true).multiple(true)))]
pub(super) struct TokenChange {
    /// A name, for all live tokens of that name, or an id
    #[arg(value_parser = given)]
    pub(super) name: String,
    /// What the token may do
    #[arg(long, group = "terms", value_parser = ["read", "provision", "full", "metrics"])]
    pub(super) scope: Option<String>,
    /// How strictly its requests are checked against the RFCs
    #[arg(long, group = "terms", value_parser = ["compatible", "strict"])]
    pub(super) mode: Option<String>,
    /// Requests per second, or `server` for the server's rate
    #[arg(long, group = "terms", value_name = "N", value_parser = rate_or_server)]
    pub(super) rate_limit: Option<Value>,
    /// Accept it only from these networks or addresses, replacing the previous ones; or `everywhere`
    #[arg(long, group = "terms", value_name = "CIDR", value_delimiter = ',',
          value_parser = network_or_everywhere)]
    pub(super) allow_from: Vec<String>,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Subcommand)]
pub(super) enum Cert {
    /// Show the certificate in use, when it expires, and who accepts it
    Show {
        #[command(flatten)]
        output: Output,
    },
    /// Print a certificate request; its key stays on this machine
    Request {
        /// A name for the certificate, such as `scim.example.com`; can be repeated
        #[arg(long = "name", value_name = "HOST", required = true, value_parser = host)]
        names: Vec<String>,
    },
    /// Check a certificate chain and serve it, without a restart
    Install {
        /// The full chain as PEM, the leaf first
        chain: PathBuf,
        /// The key as PEM [default: the key of the last request]
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(super) enum Audit {
    /// List the rows of the audit trail, oldest first
    List {
        /// Only rows since TIME: a time, a date, or how long ago, such as 2h or 7d
        #[arg(long, value_name = "TIME", value_parser = given)]
        since: Option<String>,
        /// Only rows before TIME
        #[arg(long, value_name = "TIME", value_parser = given)]
        until: Option<String>,
        /// Only rows about this user, even a deleted one: a userName or an id
        #[arg(long, value_name = "WHO", value_parser = given)]
        user: Option<String>,
        /// Only what this token did, or what was done to it: its name or id
        #[arg(long, value_name = "NAME", value_parser = given)]
        token: Option<String>,
        /// At most this many rows, the oldest
        #[arg(long, value_name = "N", value_parser = number(usize::MAX))]
        limit: Option<usize>,
        /// At most this many rows, the newest
        #[arg(long, value_name = "N", conflicts_with = "limit", value_parser = number(usize::MAX))]
        last: Option<usize>,
        /// Only rows from this sequence number on, such as the one after your collector's last row
        #[arg(long, value_name = "SEQUENCE", conflicts_with = "last", value_parser = number(u64::MAX))]
        from: Option<u64>,
        #[command(flatten)]
        output: Output,
    },
    /// Print rows as they are written, until interrupted
    Follow {
        #[command(flatten)]
        output: Output,
    },
    /// Explain what happened to requests, and what to do
    Explain {
        /// The ids of the requests, or the texts that the identity provider shows, which end with them
        #[arg(required = true, value_name = "REQUEST-ID")]
        request: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Verify that the trail is complete and agrees with the users
    Verify {
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Subcommand)]
pub(super) enum Backup {
    /// Write everything into a new file, while the server runs
    Create {
        /// The file, which must not exist yet; `-` for standard output
        file: PathBuf,
    },
    /// Check a backup by reading all of it, and show what is in it
    Verify {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Replace the directory with a backup; stop the server first
    Restore {
        /// The file
        file: PathBuf,
    },
}

#[derive(ClapArgs)]
pub(super) struct Check {
    /// Also create a user, change it in every way, and delete it
    #[arg(long)]
    pub(super) write: bool,
    /// Also trust these authorities, as PEM, such as that of a proxy in front of the server
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// With --write: send what this identity provider is known to send instead, and then delete the users that this creates
    #[arg(long, value_name = "PROVIDER", value_parser = provider(), ignore_case = true)]
    #[arg(requires = "write")]
    pub(super) like: Option<Provider>,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Subcommand)]
pub(super) enum Config {
    /// Show the settings in effect, and where each value comes from
    Show {
        #[command(flatten)]
        output: Output,
    },
    /// Check whether the configuration can be used
    Check,
    /// Print a configuration file that explains every setting and sets none
    Default,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Guide {
    /// Okta, from its cloud
    Okta,
    /// Microsoft Entra ID
    Entra,
    /// OneLogin
    Onelogin,
    /// JumpCloud
    Jumpcloud,
    /// Any other: Ping, Google, Rippling, authentik, SailPoint, plugins of Keycloak
    Other,
    /// Okta's Provisioning Agent in your own network
    Agent,
}

#[derive(ClapArgs)]
pub(super) struct Output {
    /// The output format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
}

/// The name of an identity provider.
fn provider() -> impl TypedValueParser<Value = Provider> {
    let about = |it: Provider| PossibleValue::new(it.name).help(it.title);
    PossibleValuesParser::new(PROVIDERS.map(about))
        .map(|name| Provider::named(&name).expect("it is one of the possible values"))
}

/// A name, a time or another text: an empty one is that of a variable that is not set, and means
/// nothing. Every argument that names a user, a token or a time is read by this, and has its row in
/// `tests/cli/conventions.rs`.
pub(super) fn given(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it must not be empty".to_owned());
    }
    Ok(text.to_owned())
}

fn network(text: &str) -> Result<String, String> {
    let text = text.trim();
    crate::network::parse(text).map_err(|why| format!("it {why}"))?;
    Ok(text.to_owned())
}

fn rate(text: &str) -> Result<u32, String> {
    a_rate(text, "leave the option out to use the server's rate")
}

fn a_rate(text: &str, or: &str) -> Result<u32, String> {
    let rate = text.parse().ok().filter(|rate| *rate > 0);
    rate.ok_or_else(|| format!("write a number from 1 to {}, or {or}", u32::MAX))
}

/// What JSON has for a rate.
fn rate_or_server(text: &str) -> Result<Value, String> {
    if text == "server" {
        return Ok(Value::Null);
    }
    a_rate(text, "`server`").map(Value::from)
}

fn network_or_everywhere(text: &str) -> Result<String, String> {
    if text == EVERYWHERE {
        return Ok(text.to_owned());
    }
    network(text)
}

/// Reads a number of the type whose largest is `most`.
pub(super) fn number<N>(most: N) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync
where
    N: FromStr<Err = ParseIntError> + Display + Clone + Send + Sync,
{
    move |text| {
        text.parse()
            .map_err(|error: ParseIntError| match error.kind() {
                IntErrorKind::PosOverflow => format!("the number is too large: at most {most}"),
                _ => "write a whole number, such as 10".to_owned(),
            })
    }
}

pub(super) fn change(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "write the number from `user history WHO`".to_owned())
}

/// A name that a certificate may have: of a host, of all in a domain, or an address.
fn host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let url = BaseUrl::parse(&format!("https://{name}")).ok();
    let is_host = url.is_some_and(|url| url.host().eq_ignore_ascii_case(name));
    (is_host || text.parse::<IpAddr>().is_ok())
        .then(|| text.to_owned())
        .ok_or_else(|| "write the name of a host, such as scim.example.com".to_owned())
}
