//! golinks-scim
pub mod clock;
pub mod limits;
pub mod scim;
pub mod secret;
pub mod store;
