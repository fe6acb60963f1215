//! The host's own entries.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: waxwing_fuzz::seeds::write(waxwing_fuzz::seeds::entry),
    |data: &[u8]| waxwing_fuzz::entry::check(data)
);
