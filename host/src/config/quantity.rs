//! Durations and sizes as people write them: `250ms`, `30d`, `32MiB`.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const BYTE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A duration of one unit: `250ms`, `30s`, `5m`, `12h`, `30d`.
pub fn duration(text: &str) -> Option<Duration> {
    scaled(text, &DURATION_UNITS).map(Duration::from_millis)
}

/// A size of one unit: `900B`, `64KB`, `32MiB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    scaled(text, &BYTE_UNITS)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A duration in the largest unit that takes it whole.
pub fn show_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(millis, &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)])
}

/// A size in the largest binary unit that takes it whole.
pub fn show_bytes(bytes: u64) -> String {
    show(bytes, &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)])
}

fn show(number: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|(_, factor)| number > 0 && number.is_multiple_of(*factor));
    match whole.or(units.last()) {
        Some((unit, factor)) => format!("{}{unit}", number / factor),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_each_unit() {
        for (text, millis) in
            [("250ms", 250), ("1s", 1_000), ("5m", 300_000), ("2 h", 7_200_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for (text, size) in
            [("1B", 1), ("64KB", 64_000), ("64KiB", 65_536), ("32MiB", 33_554_432), ("4GiB", 1 << 32)]
        {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
    }

    #[test]
    fn refuses_what_has_no_unit_or_is_too_large() {
        for text in ["", "1", "s", "-1s", "1.5s", "1 year", "1S", "99999999999999999999s", "1s2"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(bytes("32mib"), None);
    }

    proptest! {
        #[test]
        fn shows_what_it_reads(millis in 0..u64::MAX / 2, size: u64) {
            let shown = show_duration(Duration::from_millis(millis));
            prop_assert_eq!(duration(&shown), Some(Duration::from_millis(millis)));
            prop_assert_eq!(bytes(&show_bytes(size)), Some(size));
        }
    }
}
