//! Rendezvous hashing: which of several hosts a partition goes to, found by each of them alone.
//!
//! Each host has a weight for each partition; the heaviest has it. A host that comes or goes moves only what it gets or had
//! (Thaler and Ravishankar, 1998).

use waxwing_event::HandlerName;

use crate::{entry::Partition, stable_hash};

/// The one of these hosts to which a partition goes.
pub fn heaviest<'h>(
    hosts: impl Iterator<Item = &'h str>,
    handler: &HandlerName,
    partition: Partition,
) -> Option<&'h str> {
    // By name where two weigh the same.
    hosts.max_by_key(|host| (weight(host, handler, partition), *host))
}

fn weight(host: &str, handler: &HandlerName, partition: Partition) -> u64 {
    let number = partition.0.to_le_bytes();
    stable_hash::of(host.bytes().chain([0]).chain(handler.as_str().bytes()).chain([0]).chain(number))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const PARTITIONS: u32 = 3_000;

    fn owners(hosts: &[&str]) -> Vec<String> {
        let handler: HandlerName = "basket".parse().unwrap();
        let owner = |number| heaviest(hosts.iter().copied(), &handler, Partition(number)).unwrap().to_owned();
        (0..PARTITIONS).map(owner).collect()
    }

    #[test]
    fn each_gets_about_the_same_and_only_what_must_moves() {
        let three = owners(&["host-1", "host-2", "host-3"]);
        let mut counts: BTreeMap<&String, u32> = BTreeMap::new();
        three.iter().for_each(|owner| *counts.entry(owner).or_default() += 1);
        assert!(counts.len() == 3 && counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
        let two = owners(&["host-3", "host-1"]);
        for (before, after) in three.iter().zip(&two) {
            assert!(before == after || before == "host-2");
        }
        assert_eq!(owners(&["host-3", "host-2", "host-1"]), three);
    }

    #[test]
    fn handlers_of_one_partition_are_spread_too() {
        let owner = |number: u32| {
            let handler: HandlerName = format!("handler-{number}").parse().unwrap();
            heaviest(["a", "b"].into_iter(), &handler, Partition(0)).unwrap()
        };
        let of_a = (0..1_000).filter(|number| owner(*number) == "a").count();
        assert!((430..570).contains(&of_a), "{of_a}");
    }

    #[test]
    fn weights_stay_what_they_are() {
        assert_eq!(weight("host-1", &"basket".parse().unwrap(), Partition(0)), WEIGHT);
    }

    /// Hosts of different releases must agree.
    const WEIGHT: u64 = 0xbf05_e904_a7ae_01a1;
}
