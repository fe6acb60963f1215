//! What the engine asks of the world: a log, a sandbox, a clock, somebody who watches, requests, and what lies
//! outside the log, and whoever is asked there.

pub mod ask;
pub mod clock;
pub mod invoke;
pub mod log;
pub mod observe;
pub mod outside;
pub mod requests;

pub use ask::Ask;
pub use clock::Clock;
pub use invoke::Invoke;
pub use log::Log;
pub use observe::Observe;
pub use outside::Outside;
pub use requests::Requests;
