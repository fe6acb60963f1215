//! Traps, and use of time and memory without end.

use std::hint::black_box;

use waxwing_sdk::prelude::*;

#[inline(never)]
pub(crate) fn trap() -> Outcome {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    std::process::abort();
}

#[expect(clippy::panic, reason = "the panic is the point")]
#[inline(never)]
pub(crate) fn panic_with_a_message() -> Outcome {
    panic!("panicked on request");
}

#[inline(never)]
pub(crate) fn spin() -> Outcome {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

pub(crate) fn allocate() -> Outcome {
    let mut kept = Vec::new();
    loop {
        // Not zero, so that every page is touched.
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

pub(crate) fn recurse(cx: &mut Context) -> Outcome {
    let depth = descend(0);
    cx.emit("hostile.seen", &depth)
}

#[expect(unconditional_recursion, reason = "the recursion is the point")]
#[inline(never)]
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    let deeper = descend(black_box(depth + 1));
    // Used after the call, so that no frame can be given up before.
    deeper + frame.iter().sum::<u64>()
}
