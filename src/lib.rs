//! golinks-scim
pub mod clock;
pub mod limits;
pub mod secret;
pub mod store;
