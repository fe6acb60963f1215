//! Subjects, patterns and places of keys.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: waxwing_fuzz::seeds::write(waxwing_fuzz::seeds::subject),
    |data: &[u8]| waxwing_fuzz::subject::check(data)
);
