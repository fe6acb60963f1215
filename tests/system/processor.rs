//! Processor time that processes have used.

use std::time::Duration;

/// Linux tells it in these to every program.
const TICKS_A_SECOND: u64 = 100;

/// That of the process with this id.
pub fn used(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The program's name, in brackets, may hold blanks.
    let words: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = words[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_A_SECOND)
}
