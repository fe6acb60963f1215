//! The program `waxwing`; everything is in the library.

use std::process::ExitCode;

/// An event costs some forty small allocations on its way, many freed on another thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    waxwing::cli::main()
}
