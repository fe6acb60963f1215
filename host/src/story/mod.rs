//! The story of one first event: what it has caused, over all handlers, as the log itself tells it.
//!
//! | module | noun |
//! | --- | --- |
//! | [`gather`] | pure: entries of the log that belong to a story |
//! | [`tree`] | pure: who was caused by whom |
//! | [`index`] | where in the log stories stand |
//! | [`mod@read`] | reads a story from the log |

pub mod gather;
pub mod index;
pub mod read;
pub mod tree;

pub use self::{
    read::read,
    tree::{Node, Story},
};
