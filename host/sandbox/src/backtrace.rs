//! The functions on a guest's stack, as its author knows them: by their names, without what the language adds to them.
//!
//! Names are in the module; files and lines are in debug information, which modules do without, and finding them would
//! take milliseconds in an event's way. A panic says its own file and line.

use rustc_demangle::demangle;
use wasmtime::FrameInfo;

/// A longer name is cut: those of generic functions have no bound.
const NAME_BYTES: usize = 160;

/// What the names of functions begin with that make a panic of a fault, and of other ways to give up.
const GIVING_UP: [&str; 18] = [
    "std::panicking::",
    "core::panicking::",
    "std::sys::backtrace::",
    "std::sys::pal::",
    "std::process::abort",
    "std::alloc::",
    "alloc::alloc::",
    "alloc::raw_vec::",
    "core::result::unwrap_failed",
    "core::option::",
    "core::slice::index::",
    "core::str::slice_error_fail",
    "core::cell::panic_",
    "rust_begin_unwind",
    "rust_panic",
    "__rustc",
    "__rust_",
    "panic_abort::",
];

/// What they begin with where such a function calls another.
const ABORTS: [&str; 2] = ["abort", "_exit"];

/// What they have in them where the bindings of a language call its author's code.
const BINDINGS: [&str; 7] = [
    "_export_",
    "waxwing_sdk::__private",
    "core::ops::function::",
    "__rust_begin_short_backtrace",
    "wit_bindgen",
    "[async-lift]",
    "[callback]",
];

/// The names, innermost first, one a line; none where nothing is known.
pub(crate) fn of(frames: &[FrameInfo], most: usize) -> Option<String> {
    let name = |frame: &FrameInfo| match frame.func_name() {
        Some(name) => format!("{:#}", demangle(name)),
        None => format!("<function {}>", frame.func_index()),
    };
    told(&frames.iter().map(name).collect::<Vec<_>>(), frames.len() >= most)
}

fn told(names: &[String], is_cut: bool) -> Option<String> {
    let known = names.split_at_checked(given_up(names)).map_or(names, |(_, rest)| rest);
    let mut of_author: Vec<&String> = known.iter().filter(|name| !is_binding(name)).collect();
    if of_author.is_empty() {
        // Better those than none.
        of_author = names.iter().collect();
    }
    let mut lines: Vec<String> = of_author
        .chunk_by(|a, b| a == b)
        .filter_map(|same| same.first().map(|name| (*name, same.len())))
        .map(|(name, count)| if count > 1 { format!("{} ({count} times)", cut(name)) } else { cut(name) })
        .collect();
    if is_cut {
        lines.push("…".to_owned());
    }
    (!of_author.is_empty()).then(|| lines.join("\n"))
}

/// How many of the innermost are there only because the program gave up.
fn given_up(names: &[String]) -> usize {
    let is_giving_up = |name: &String| {
        // An implementation of a trait is named after its type.
        let name = name.trim_start_matches('<');
        GIVING_UP.iter().any(|part| name.starts_with(part)) || ABORTS.contains(&name)
    };
    names.iter().take_while(|name| is_giving_up(name)).count()
}

fn is_binding(name: &str) -> bool {
    BINDINGS.iter().any(|part| name.contains(part)) || (name.contains('/') && name.contains('#'))
}

fn cut(name: &str) -> String {
    match name.get(..name.floor_char_boundary(NAME_BYTES)) {
        Some(start) if start.len() < name.len() => format!("{start}…"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str], is_cut: bool) -> Option<String> {
        super::told(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), is_cut)
    }

    #[test]
    fn leaves_out_how_a_program_gives_up_and_how_it_was_called() {
        let panicked = [
            "abort",
            "std::process::abort",
            "__rustc::__rust_abort",
            "__rustc::rust_panic",
            "std::panicking::panic_with_hook",
            "core::panicking::panic_fmt",
            "core::result::unwrap_failed",
            "basket::find",
            "basket::reprice",
            "basket::_export_handle_cabi",
            "waxwing:events/handler@0.1.0#handle",
        ];
        assert_eq!(told(&panicked, false).unwrap(), "basket::find\nbasket::reprice");
    }

    #[test]
    fn counts_what_calls_itself() {
        assert_eq!(told(&["deep"; 32], true).unwrap(), "deep (32 times)\n…");
        assert_eq!(told(&["a", "b", "b", "a"], false).unwrap(), "a\nb (2 times)\na");
    }

    #[test]
    fn names_what_there_is() {
        assert_eq!(told(&[], false), None);
        assert_eq!(told(&["core::panicking::panic"], false).unwrap(), "core::panicking::panic");
    }

    #[test]
    fn cuts_long_names() {
        let long = format!("f<{}>", "ü".repeat(400));
        let told = told(&[&long], false).unwrap();
        assert!(told.len() <= NAME_BYTES + '…'.len_utf8() && told.ends_with("ü…"), "{told}");
    }
}
