//! `waxwing dev`: what is saved is live in a moment, and nothing is lost on the way.

mod bed;
mod edits;
#[cfg(unix)]
mod keys;
#[cfg(unix)]
mod logs;
mod takes_up;
