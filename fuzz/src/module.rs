//! A module's bytes: refused with a reason, or loaded.

use std::sync::OnceLock;

use waxwing_event::HandlerSpec;
use waxwing_sandbox::{Options, Sandbox};

/// Input: the module.
pub fn check(data: &[u8]) {
    let Ok(contract) = waxwing_sandbox::check(data) else { return };
    assert!(contract.handler.starts_with("waxwing:events/handler@"));
    let loaded = sandbox().load(&spec(), data);
    if let Err(error) = loaded {
        assert!(!error.to_string().is_empty());
    }
}

fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        let workers = std::num::NonZeroUsize::MIN;
        Sandbox::new(Options { workers, instances: 4, ..Options::default() }).expect("a sandbox")
    })
}

fn spec() -> HandlerSpec {
    HandlerSpec::new("fuzzed".parse().expect("a name"), vec!["in.>".parse().expect("a pattern")])
}
