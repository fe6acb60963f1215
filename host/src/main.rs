//! The program `waxwing`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    waxwing::cli::main()
}
