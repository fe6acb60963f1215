//! What a running guest asks for.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: waxwing_fuzz::seeds::write(waxwing_fuzz::seeds::guest),
    |data: &[u8]| waxwing_fuzz::guest::check(data)
);
