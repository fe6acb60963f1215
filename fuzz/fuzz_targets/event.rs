//! Headers and payload of an entry.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: waxwing_fuzz::seeds::write(waxwing_fuzz::seeds::event),
    |data: &[u8]| waxwing_fuzz::event::check(data)
);
