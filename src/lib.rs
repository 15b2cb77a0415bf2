//! golinks-scim
pub mod access;
pub mod clock;
pub mod directory;
pub mod limits;
pub mod scim;
pub mod secret;
pub mod store;
