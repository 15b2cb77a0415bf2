//! Who gets in: tokens, what each may do, and nothing secret anywhere.
//!
//! - `routes`: which routes a scope opens, which are open without a token, and that those of the
//!   administration are not on the network.
//! - `tokens`: the forms in which a token is sent, those that are refused, the networks that one is
//!   bound to, and when and by whom one was last used.
//! - `rotation`: tokens that are rotated, revoked or changed.
//! - `limits`: the rates of tokens, of failures, and how many tokens there can be.
//! - `log`: what is in the log, and what neither the log nor anything else shows.

mod limits;
mod log;
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
