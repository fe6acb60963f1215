//! Deployments: which version of each handler hosts run, and how one comes to run another.
//!
//! Whoever deploys stores the module, then writes the version and the decision to the log. Hosts follow decisions: they
//! fetch, check and load the version, and their engine goes on with it. A host that cannot says so in the log and goes on
//! with what it has.
//!
//! | module | noun |
//! | --- | --- |
//! | [`beside`] | what may be tried beside a version |
//! | [`deployed`] | what the log says of a handler's versions |
//! | [`difference`] | what a version may newly do |
//! | [`fitting`] | a version made ready to run on this host |
//! | [`following`] | a host that follows decisions |
//! | [`obsolete`] | versions that nobody needs any more |
//! | [`trials`] | what came of a version that is tried beside another |
//! | [`written`] | decisions, as they are written, and what becomes of them |

pub mod beside;
pub mod deployed;
pub mod difference;
pub mod fitting;
pub mod following;
pub mod obsolete;
pub mod trials;
pub mod written;
