//! A module's bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: waxwing_fuzz::seeds::write(waxwing_fuzz::seeds::module),
    |data: &[u8]| waxwing_fuzz::module::check(data)
);
