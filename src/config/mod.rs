//! What an administrator can configure, where each value comes from, and the checked, complete
//! settings that the server needs.
//!
//! ```text
//! flags ▷ environment ▷ file ▷ defaults ──▶ Configuration ──▶ Serve
//!                                               └─▶ each value with its origin
//! ```

mod base_url;
mod file;
mod load;
mod origin;
mod salvage;
mod settings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use log::LevelFilter;

pub use base_url::{BaseUrl, Parts, is_public};
pub use load::{Configuration, Sources, default_file};
pub use origin::{Blame, Error, Given, Origin};
pub use settings::{Fallback, Key, SETTINGS, Setting, default_text};

use crate::limits;

/// Everything that `serve` needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// Where the store, the keys and the socket are kept.
    pub data_dir: PathBuf,
    /// Where to listen; `None` means port 8443 on every address.
    pub listen: Option<SocketAddr>,
    /// The URL that is given to clients; `None` means one made from the machine's name and the
    /// port.
    pub base_url: Option<BaseUrl>,
    /// The files with the customer's chain and key.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// The reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Requests per second per token; `None` means unlimited.
    pub rate_per_second: Option<u32>,
    /// The least severe level that is logged.
    pub log_level: LevelFilter,
    /// Whether the log is written as JSON.
    pub is_log_json: bool,
    /// The number of deactivations within an hour above which the alarm may be raised; 0 turns it
    /// off. They must also exceed [`Serve::alarm_percent`] of the active users.
    pub alarm_deactivations: u32,
    /// See [`Serve::alarm_deactivations`].
    pub alarm_percent: u32,
    /// How many days rows of the audit trail are kept; `None` means forever.
    pub audit_keep_days: Option<i64>,
    /// How many bytes all rows of the audit trail may take; `None` means unlimited.
    pub audit_keep_bytes: Option<u64>,
    /// Whether refused requests are remembered, so that they can be explained.
    pub audit_explain: bool,
    /// Whether the Team Directory page is served.
    pub serves_page: bool,
}

/// The path of the store's file in a data directory.
pub fn store_path(data_dir: &Path) -> PathBuf {
    data_dir.join("users.redb")
}

/// The path of the local socket in a data directory. The error says that the path is too long for a
/// socket.
pub fn socket_path(data_dir: &Path) -> Result<PathBuf, String> {
    let path = data_dir.join("admin.sock");
    if path.as_os_str().len() > limits::SOCKET_PATH_BYTES_MAX {
        return Err(format!(
            "the path {} is longer than the {} bytes that a socket's path may have",
            path.display(),
            limits::SOCKET_PATH_BYTES_MAX
        ));
    }
    Ok(path)
}
