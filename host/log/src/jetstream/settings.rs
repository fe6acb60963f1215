//! Whether an existing stream's settings keep a log's promises: which break one, which can be put right.

use serde_json::{Map, Value, json};

use super::config::{Config, Discard, Retention};

/// A setting that breaks a promise and is not ours to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The setting, as found.
    pub what: String,
    /// How to get out of it.
    pub way_out: &'static str,
}

const MAKE_ANEW: &str = "choose another app name, or move the stream away and let a new one be made";
const EDIT: &str = "change it with `nats stream edit`";

/// The settings of `found` that break a promise.
pub(super) fn breaches(found: &Config, asked: &Config) -> Vec<Breach> {
    let rules = structure(found, asked).into_iter().chain(limits(found, asked));
    let broken = rules.filter(|(broken, ..)| *broken);
    broken.map(|(_, what, way_out)| Breach { what, way_out }).collect()
}

/// Whether it is broken, what is the matter, and the way out.
type Rule = (bool, String, &'static str);

fn structure(found: &Config, asked: &Config) -> [Rule; 9] {
    [
        (
            found.never.mirror.is_some(),
            "it mirrors another stream, so nothing can be written".to_owned(),
            MAKE_ANEW,
        ),
        (found.never.sealed, "it is sealed, so nothing can be written".to_owned(), MAKE_ANEW),
        (
            found.retention != Retention::Limits,
            "its retention drops entries once they are read, so nothing can be read again".to_owned(),
            MAKE_ANEW,
        ),
        (
            found.storage != asked.storage,
            format!("its storage is {:?}, asked for is {:?}", found.storage, asked.storage).to_lowercase(),
            "ask for the storage that it has, or move the stream away",
        ),
        (found.never.allow_msg_counter, "its entries are counters".to_owned(), MAKE_ANEW),
        (found.never.subject_transform.is_some(), "it changes the subjects of entries".to_owned(), EDIT),
        (found.never.no_ack, "it does not acknowledge (`no_ack`)".to_owned(), EDIT),
        (
            found.never.persist_mode == "async",
            "it acknowledges before it writes (`persist_mode: async`)".to_owned(),
            MAKE_ANEW,
        ),
        (
            found.never.deny_purge,
            "it denies purges, and with them rollups (`deny_purge`)".to_owned(),
            MAKE_ANEW,
        ),
    ]
}

fn limits(found: &Config, asked: &Config) -> [Rule; 5] {
    [
        (
            found.max_msgs_per_subject > 0,
            format!(
                "it keeps at most {} entries a subject (`max_msgs_per_subject`)",
                found.max_msgs_per_subject
            ),
            "set `max_msgs_per_subject` to -1 with `nats stream edit`",
        ),
        (
            found.discard != Discard::Old,
            "it refuses new entries when it is full (`discard: new`), and with them what hosts must write"
                .to_owned(),
            "set `discard` to `old` with `nats stream edit`",
        ),
        (
            found.max_msgs > 0,
            format!("it drops state along with the oldest entries over {} (`max_msgs`)", found.max_msgs),
            "set `max_msgs` to -1 with `nats stream edit`",
        ),
        (
            found.max_bytes > 0 && found.max_bytes != asked.max_bytes,
            format!(
                "it drops state along with the oldest entries over {} bytes (`max_bytes`)",
                found.max_bytes
            ),
            "set `max_bytes` to -1 with `nats stream edit`, or ask for this limit",
        ),
        (
            found.never.subject_delete_marker_ttl > 0,
            "it writes markers where entries expire (`subject_delete_marker_ttl`), so a lease never ends"
                .to_owned(),
            "set `subject_delete_marker_ttl` to 0 with `nats stream edit`",
        ),
    ]
}

/// What is to be set in `found` to make it what was asked for, by the names of the API.
pub(super) fn corrections(found: &Config, asked: &Config) -> Map<String, Value> {
    let mut set = Map::new();
    let missing = |subject: &&String| !found.subjects.contains(subject);
    let more: Vec<&String> = asked.subjects.iter().filter(missing).collect();
    if !more.is_empty() {
        let all: Vec<&String> = found.subjects.iter().chain(more).collect();
        set.insert("subjects".to_owned(), json!(all));
    }
    for flag in missing_flags(found) {
        set.insert(flag.to_owned(), json!(true));
    }
    if asked.max_age > 0 && asked.max_age != found.max_age {
        set.insert("max_age".to_owned(), json!(asked.max_age));
    }
    if asked.num_replicas > found.num_replicas {
        set.insert("num_replicas".to_owned(), json!(asked.num_replicas));
    }
    set
}

/// Settings that a log cannot do without and `found` lacks, by the names of the API.
pub(super) fn missing_flags(found: &Config) -> Vec<&'static str> {
    let flags = [
        ("allow_rollup_hdrs", found.allow_rollup_hdrs),
        ("allow_msg_ttl", found.allow_msg_ttl),
        ("allow_atomic", found.allow_atomic),
    ];
    flags.into_iter().filter(|(_, set)| !set).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::options::Options, *};

    fn asked() -> Config {
        Config::asked(&Options::new("shop".parse().unwrap(), vec!["orders.>".parse().unwrap()]))
    }

    #[test]
    fn a_stream_as_asked_for_needs_nothing() {
        assert_eq!(breaches(&asked(), &asked()), []);
        assert!(corrections(&asked(), &asked()).is_empty());
    }

    #[test]
    fn finds_each_setting_that_breaks_a_promise() {
        let changes: [fn(&mut Config); 9] = [
            |c| c.retention = Retention::Workqueue,
            |c| c.never.sealed = true,
            |c| c.never.no_ack = true,
            |c| c.never.deny_purge = true,
            |c| c.max_msgs_per_subject = 1,
            |c| c.discard = Discard::New,
            |c| c.max_msgs = 10,
            |c| c.max_bytes = 10,
            |c| c.never.subject_delete_marker_ttl = 1,
        ];
        for change in changes {
            let mut found = asked();
            change(&mut found);
            assert_eq!(breaches(&found, &asked()).len(), 1, "{found:?}");
        }
    }

    #[test]
    fn adds_what_is_missing_and_takes_nothing_away() {
        let mut found = asked();
        found.subjects = vec!["old.>".to_owned(), "orders.>".to_owned()];
        found.allow_atomic = false;
        found.num_replicas = 3;
        let wanted = Config { max_age: 5, ..asked() };
        let set = Value::Object(corrections(&found, &wanted));
        let subjects = ["old.>", "orders.>", "wx.shop.>"];
        assert_eq!(set, json!({ "subjects": subjects, "allow_atomic": true, "max_age": 5 }));
    }
}
