//! The contract as Rust: generated from `wit/`, so that host and contract cannot drift apart.
#![allow(missing_docs, reason = "generated; the contract itself is documented in wit/")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "waxwing:events/event-handler",
    imports: {
        "waxwing:events/state.get": async,
        "waxwing:events/state.keys": async,
        "waxwing:events/aggregates.load": async,
        "waxwing:events/aggregates.read": async,
        "waxwing:events/aggregates.append": async,
        "waxwing:events/aggregates.save": async,
    },
    exports: { default: async },
    ownership: Borrowing { duplicate_if_necessary: true },
});
