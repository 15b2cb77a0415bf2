//! golinks-scim
pub mod access;
pub mod api;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod config;
pub mod directory;
pub mod http1;
pub mod https;
pub mod idp;
pub mod limits;
pub mod local;
pub mod logging;
pub mod scim;
pub mod secret;
pub mod store;
