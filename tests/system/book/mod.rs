//! The book in `docs/`, and the README: all blocks compile or run, all links lead somewhere, nothing is left out.
//!
//! | part of a page | what becomes of it |
//! | --- | --- |
//! | a block of `rust` | is a doc test against the SDK: compiled and run, hidden lines with `# ` and all |
//! | `rust,from=FILE` | stands in that file of the repository, which other tests compile and run |
//! | `toml` | is a manifest, or a part of one, for the strict parser; a part of a `Cargo.toml`; a scenario |
//! | `console` | its commands run in the page's session, and print what stands below them |
//! | `sh` | its commands run there and succeed, or are on a list that says why they cannot |
//! | `json`, `python`, `javascript` | parse |
//! | `text` | is a drawing, or on a list |
//! | `…,file=PATH` | is checked as it is, and written to the session's folder |
//! | `<!-- rust` … `-->` | code that the next block needs, and readers do not; where it says `// the block`, that stands |
//! | `<!-- session` … `-->` | commands that the session needs, and readers do not |
//!
//! Anything else fails, with its file and line.

mod block;
mod built;
mod command;
mod consumer;
mod coverage;
mod data;
mod expected;
mod kinds;
mod links;
mod manifests;
mod page;
mod proofs;
mod rust;
mod session;
mod sessions;
mod synopsis;
