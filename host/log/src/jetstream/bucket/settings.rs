//! The settings of a bucket's stream: which of them make it useless, which can be put right.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use waxwing_engine::entry::Layout;
use waxwing_event::{HandlerName, Subject};

use super::super::{
    config::{Discard, Retention},
    options::{Options, Storage},
    settings::Breach,
};

/// A bucket's stream, by the names of JetStream's API. Numbers below one mean: no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Config {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subjects: Vec<String>,
    #[serde(default)]
    sources: Vec<Source>,
    retention: Retention,
    storage: Storage,
    discard: Discard,
    num_replicas: usize,
    /// Nanoseconds.
    #[serde(default)]
    max_age: u64,
    #[serde(default)]
    max_bytes: i64,
    #[serde(default)]
    max_msgs: i64,
    /// What clients of a bucket call its history.
    #[serde(default)]
    max_msgs_per_subject: i64,
    #[serde(default)]
    max_msg_size: i64,
    #[serde(default)]
    allow_msg_ttl: bool,
    #[serde(default)]
    allow_direct: bool,
    #[serde(default)]
    deny_delete: bool,
    #[serde(default)]
    deny_purge: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sealed: bool,
}

/// From where a stream takes entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Source {
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subject_transforms: Vec<Transform>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    filter_subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opt_start_seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opt_start_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    external: Option<Value>,
}

/// Which entries, and under which subjects they come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Transform {
    src: String,
    dest: String,
}

impl Config {
    /// The settings of a new bucket.
    pub(super) fn asked(options: &Options, layout: &Layout, handler: &HandlerName) -> Config {
        let bucket = layout.bucket(handler);
        let states = layout.states(handler).to_string();
        let source = Source {
            name: options.stream(),
            subject_transforms: vec![Transform { src: states, dest: format!("$KV.{bucket}.>") }],
            filter_subject: String::new(),
            opt_start_seq: None,
            opt_start_time: None,
            external: None,
        };
        Config {
            name: format!("KV_{bucket}"),
            description: format!("the state of the handler `{handler}` of the Waxwing app `{}`", options.app),
            subjects: Vec::new(),
            sources: vec![source],
            retention: Retention::Limits,
            storage: options.storage,
            discard: Discard::Old,
            num_replicas: options.replicas.max(1),
            max_age: 0,
            max_bytes: -1,
            max_msgs: -1,
            max_msgs_per_subject: 1,
            max_msg_size: -1,
            allow_msg_ttl: true,
            allow_direct: true,
            deny_delete: true,
            deny_purge: true,
            sealed: false,
        }
    }

    /// True where it follows the state of another generation than that of `layout`.
    pub(super) fn follows_another_generation(
        &self,
        options: &Options,
        layout: &Layout,
        handler: &HandlerName,
    ) -> bool {
        let transforms = self.sources.iter().flat_map(|source| &source.subject_transforms);
        let names =
            transforms.filter_map(|transform| layout.generation_of(&Subject::from_checked(&transform.src)));
        names.filter(|name| *name != layout.named(handler) && name.handler == *handler).any(|name| {
            let another = Config::asked(options, &layout.at(handler, name.generation), handler);
            self.sources == another.sources
        })
    }

    /// The settings for which it cannot be the bucket that was asked for.
    pub(super) fn breaches(&self, asked: &Config) -> Vec<Breach> {
        const RENAME: &str = "rename the handler, or move that bucket away";
        const ANEW: &str = "remove the bucket with `nats kv del`: it is made anew from the log";
        let rules = [
            (!self.subjects.is_empty(), "others write to it: it has subjects of its own".to_owned(), RENAME),
            (
                self.subjects.is_empty() && self.sources != asked.sources,
                "it does not follow this handler's state in the app's log".to_owned(),
                RENAME,
            ),
            (
                self.storage != asked.storage,
                format!("its storage is {:?}, the log's is {:?}", self.storage, asked.storage).to_lowercase(),
                ANEW,
            ),
            (self.retention != Retention::Limits, "it drops what was read".to_owned(), ANEW),
            (self.sealed, "it is sealed, so it takes no changes any more".to_owned(), ANEW),
        ];
        let broken = rules.into_iter().filter(|(is_broken, ..)| *is_broken);
        broken.map(|(_, what, way_out)| Breach { what, way_out }).collect()
    }

    /// What is to be set to make it what was asked for, by the names of the API. A limit would take keys out of the
    /// view that are in the state.
    pub(super) fn corrections(&self, asked: &Config) -> Map<String, Value> {
        let limits =
            [("max_bytes", self.max_bytes), ("max_msgs", self.max_msgs), ("max_msg_size", self.max_msg_size)];
        let flags = [("allow_msg_ttl", self.allow_msg_ttl), ("allow_direct", self.allow_direct)];
        let mut set = Map::new();
        set.extend(
            limits.iter().filter(|(_, limit)| *limit > 0).map(|(name, _)| (name.to_string(), json!(-1))),
        );
        set.extend(
            flags.iter().filter(|(_, is_set)| !is_set).map(|(name, _)| (name.to_string(), json!(true))),
        );
        let others = [
            ("max_age", self.max_age > 0, json!(0)),
            ("max_msgs_per_subject", self.max_msgs_per_subject < 1, json!(1)),
            ("discard", self.discard != Discard::Old, json!(Discard::Old)),
            ("num_replicas", self.num_replicas < asked.num_replicas, json!(asked.num_replicas)),
        ];
        let wrong = others.into_iter().filter(|(_, is_wrong, _)| *is_wrong);
        set.extend(wrong.map(|(name, _, right)| (name.to_owned(), right)));
        set
    }
}

#[cfg(test)]
mod tests {
    use waxwing_engine::entry::generation::Generation;

    use super::*;

    fn shop() -> (Options, Layout, HandlerName) {
        let options = Options::new("shop".parse().unwrap(), vec!["orders.>".parse().unwrap()]);
        (options.clone(), Layout::new(options.app), "basket".parse().unwrap())
    }

    fn asked() -> Config {
        let (options, layout, basket) = shop();
        Config::asked(&options, &layout, &basket)
    }

    #[test]
    fn one_of_another_generation_is_known() {
        let (options, first, basket) = shop();
        let second = first.at(&basket, Generation(2));
        let follows = |config: &Config, layout| config.follows_another_generation(&options, layout, &basket);
        let of_second = Config::asked(&options, &second, &basket);
        assert!(follows(&asked(), &second) && follows(&of_second, &first));
        assert!(!follows(&asked(), &first) && !follows(&of_second, &second));
        let mut another = asked();
        another.sources[0].name = "another".to_owned();
        assert!(!follows(&another, &second));
    }

    #[test]
    fn follows_the_state_of_its_handler() {
        let config = serde_json::to_value(asked()).unwrap();
        assert_eq!(config["name"], "KV_shop-basket");
        let transforms = json!([{ "src": "wx.shop.state.basket.>", "dest": "$KV.shop-basket.>" }]);
        assert_eq!(config["sources"], json!([{ "name": "wx-shop", "subject_transforms": transforms }]));
        assert_eq!(config.get("subjects"), None);
    }

    #[test]
    fn a_bucket_as_asked_for_needs_nothing() {
        assert_eq!(asked().breaches(&asked()), []);
        assert!(asked().corrections(&asked()).is_empty());
    }

    #[test]
    fn finds_each_setting_that_makes_it_another_one() {
        let changes: [fn(&mut Config); 6] = [
            |c| c.subjects = vec!["$KV.shop-basket.>".to_owned()],
            |c| c.sources.clear(),
            |c| c.sources[0].opt_start_seq = Some(7),
            |c| c.storage = Storage::Memory,
            |c| c.retention = Retention::Interest,
            |c| c.sealed = true,
        ];
        for change in changes {
            let mut found = asked();
            change(&mut found);
            assert_eq!(found.breaches(&asked()).len(), 1, "{found:?}");
        }
    }

    #[test]
    fn what_would_take_keys_out_of_the_view_is_put_right() {
        let mut found = asked();
        (found.max_age, found.max_bytes, found.max_msgs_per_subject) = (1, 2, 5);
        (found.allow_msg_ttl, found.discard, found.num_replicas) = (false, Discard::New, 3);
        let set = Value::Object(found.corrections(&asked()));
        let right = json!({ "max_age": 0, "max_bytes": -1, "allow_msg_ttl": true, "discard": "old" });
        assert_eq!(set, right);
    }
}
