//! How long something takes or has been, in words that are short rather than exact.

use std::time::Duration;

const UNITS: [(u64, &str); 3] = [(86_400, "days"), (3_600, "h"), (60, "min")];

/// A duration in the largest unit of which it has two.
pub(super) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match UNITS.iter().find(|(unit, _)| seconds >= 2 * unit) {
        Some((unit, name)) => format!("{} {name}", seconds / unit),
        None if seconds >= 2 => format!("{seconds} s"),
        None => format!("{} ms", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_largest_unit_of_which_there_are_two() {
        for (millis, text) in [
            (0, "0 ms"),
            (1_999, "1999 ms"),
            (2_000, "2 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(shown(Duration::from_millis(millis)), text);
        }
    }
}
