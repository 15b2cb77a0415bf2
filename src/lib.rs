//! golinks-scim
pub mod access;
pub mod api;
pub mod certificate;
pub mod clock;
pub mod directory;
pub mod http1;
pub mod https;
pub mod limits;
pub mod logging;
pub mod scim;
pub mod secret;
pub mod store;
