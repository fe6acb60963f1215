//! New apps and handlers, from templates that are part of the program.
//!
//! The way of `waxwing new`: [`name`] checks the name, [`template`] renders files, [`app`] or [`handler`] says which of them
//! go where, with what `manifest`, `workspace` and [`sdk`] have to say; [`files`] writes them, or nothing. Until then
//! nothing has been touched.

pub mod app;
pub mod files;
pub mod handler;
mod list;
mod manifest;
pub mod name;
pub mod sdk;
pub mod template;
mod workspace;

pub use app::app;
pub use files::Files;
pub use handler::{Made, handler};
pub use name::Name;
pub use sdk::Sdk;
pub use template::Template;
