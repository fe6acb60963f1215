//! The contract in `wit/` as Rust: generated, never shown to authors.
#![allow(unsafe_code, reason = "the canonical ABI moves values through raw memory")]
#![allow(missing_docs, unreachable_pub, reason = "generated code")]
#![allow(
    clippy::all,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: "../wit",
    world: "event-handler",
    ownership: Borrowing { duplicate_if_necessary: true },
    pub_export_macro: true,
    export_macro_name: "export",
    runtime_path: "wit_bindgen::rt",
});
