//! A manifest and the variables over it.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: waxwing_fuzz::seeds::write(waxwing_fuzz::seeds::manifest),
    |data: &[u8]| waxwing_fuzz::manifest::check(data)
);
