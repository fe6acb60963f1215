//! The `handler` attribute of `waxwing-sdk`, which documents and re-exports it.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")
)]

mod handler;

/// Makes a function the handler of this module: see `waxwing_sdk::handler`.
#[proc_macro_attribute]
pub fn handler(arguments: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    handler::expand(arguments.into(), item.into()).into()
}
