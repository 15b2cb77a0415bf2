//! Access: who gets in, what each token may do, and that no secret is shown anywhere.
//!
//! - `routes`: which routes each scope opens, which are open without a token, and that the
//!   administration routes are not reachable over the network.
//! - `tokens`: the forms in which a token may be sent, forms that are refused, networks that a
//!   token is bound to, and the record of its last use.
//! - `rotation`: rotating, revoking and changing tokens.
//! - `proxies`: whose address counts behind reverse proxies, trusted and not.
//! - `limits`: the rates of tokens and of failures, and the number of tokens.
//! - `log`: what the log contains, and the secrets that neither the log nor anything else shows.

mod limits;
mod log;
mod proxies;
mod rotation;
mod routes;
mod tokens;

use golinks_scim::secret::Secret;

use crate::support::Server;

fn issue(server: &Server, arguments: &[&str]) -> Secret {
    let mut all = vec!["token", "issue"];
    all.extend(arguments);
    let output = server.cli(&all);
    assert_eq!(output.status, Some(0), "{output:?}");
    Secret::new(output.stdout.trim().to_owned())
}
