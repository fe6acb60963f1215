//! The keys that a manifest knows, and those that a later version will know.

use std::time::Duration;

use super::key::{
    Form::{self, Choice, Count, Delays, Flag, List, Named, Seconds, Size, Table, Tables, Text, Texts},
    Key,
    Usual::{Is, Means, Required},
};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

const HOUR: Duration = secs(3600);
const DAY: Duration = secs(24 * 3600);
const NAME: &str = "1 to 64 of a–z, 0–9, `-`, `_`";
const PATTERNS: &str = "subjects of NATS; `*` stands for a word, `>` for the rest";
const NKEYS: &str = "public nkeys, such as `UDLV…`";
const NOTHING: super::key::Usual = Means("nothing");
const NONE: super::key::Usual = Means("none");

/// Keys of `[app]`.
pub(crate) const APP: &[Key] = &[
    Key::new("name", Text(NAME), Required, "The app's name; its log is the stream `wx-<name>`."),
    Key::new(
        "events",
        List(PATTERNS),
        Required,
        "The subjects that the log keeps; they do not overlap, and begin with a word of yours.",
    ),
    Key::new(
        "retention",
        Form::Duration(secs(1), secs(36_500 * 24 * 3600)),
        Means("for ever, or as it is in a log that is there"),
        "How long events are kept; what a host remembers stays as long as it is needed.",
    ),
    Key::new("storage", Choice(&["file", "memory"]), Is("\"file\""), "On what the server stores the log."),
    Key::new("replicas", Count(1, 5), Is("1"), "How many servers of a cluster keep the log."),
    Key::new(
        "require-signature",
        List(NKEYS),
        Means("nobody"),
        "One of these must have signed what is deployed, on every host with this manifest.",
    ),
];

/// Keys of `[host]`.
pub(crate) const HOST: &[Key] = &[
    Key::new(
        "lease",
        Form::Duration(secs(1), secs(300)),
        Is("\"5s\""),
        "How long after its last sign of life a host keeps its partitions.",
    ),
    Key::new(
        "grace",
        Form::Duration(secs(0), HOUR),
        Is("\"30s\""),
        "How long a host that stops waits for runs under way.",
    ),
    Key::new("workers", Count(1, 1024), Means("one a core"), "Threads that run sandboxes."),
    Key::new("labels", List(NAME), Is("[]"), "What is special about the host: handlers may require it."),
    Key::new("standby", Flag, Is("false"), "The host takes up only what no other host can run."),
    Key::new(
        "index",
        Flag,
        Is("true"),
        "The host takes part in making the index by which `waxwing trace` finds stories in a long log.",
    ),
    Key::new(
        "require-signature",
        List(NKEYS),
        Means("nobody"),
        "One of these must have signed what is deployed, on this host.",
    ),
    Key::new(
        "secrets",
        Named("SECRET", SECRET),
        Means("files of `WAXWING_SECRETS_DIR`, then variables"),
        "Where this host finds the secrets that handlers are granted; never the secrets themselves.",
    ),
];

/// Keys of a secret in `[host.secrets]`.
pub(crate) const SECRET: &[Key] = &[
    Key::new("env", Text("a variable's name"), NONE, "The variable that holds the secret."),
    Key::new(
        "file",
        Text("a path; a relative one begins in the manifest's folder"),
        NONE,
        "The file that holds the secret.",
    ),
];

/// Keys of `[handlers.NAME]`.
pub(crate) const HANDLER: &[Key] = &[
    Key::new(
        "module",
        Text("a crate's folder or a `.wasm` file below the manifest's folder, `sha256:…` or `oci://…`"),
        Means("`handlers/<name>`"),
        "Where the handler's code comes from; crates are built.",
    ),
    Key::new(
        "stream",
        Text("a stream's name"),
        Means("the app's log"),
        "The stream that the handler reads, where somebody else owns it.",
    ),
    Key::new(
        "on",
        List(PATTERNS),
        NOTHING,
        "Events that it handles; one of `on`, `request` and `live` is there.",
    ),
    Key::new("request", List(PATTERNS), NOTHING, "Requests that it answers, on subjects outside the log."),
    Key::new(
        "live",
        List(PATTERNS),
        NOTHING,
        "Messages that it handles at most once and does not answer, on subjects outside the log.",
    ),
    Key::new(
        "aggregate",
        Text("a subject that ends with `.*`"),
        NONE,
        "Where its aggregates have their histories: the events of one stand on the subject with its id.",
    ),
    Key::new(
        "dedupe",
        Seconds(secs(1), secs(30 * 24 * 3600)),
        Means("`\"2m\"` for requests; events are not looked at"),
        "For how long a request, and where it is written an event, is known by its id.",
    ),
    Key::new(
        "key",
        List(
            "`data.<field>`, `subject.<n>` counted from 1, or `ce.<attribute>`; of several the first that an event has",
        ),
        Means("no order"),
        "Where the key is found: events of one key run one at a time, in their order.",
    ),
    Key::new(
        "partitions",
        Count(1, waxwing_engine::entry::partitions::MAX_PARTITIONS),
        Is("1"),
        "Into how many parts the keys are divided, which hosts share.",
    ),
    Key::new(
        "concurrency",
        Count(1, 2_048),
        Is("1024"),
        "How many events are under way at once, in each partition.",
    ),
    Key::new(
        "deadline",
        Form::Duration(ms(1), HOUR),
        Is("\"1s\""),
        "Wall time of one run; waits for its state do not count, waits for what lies outside do.",
    ),
    Key::new("memory", Size(64 << 10, 4 << 30), Is("\"32MiB\""), "Linear memory of one sandbox."),
    Key::new(
        "start",
        Choice(&["first", "new"]),
        Is("\"first\""),
        "Where a handler begins that has never run: with the oldest event, or with the next one.",
    ),
    Key::new(
        "instance",
        Choice(&["fresh", "reuse"]),
        Is("\"fresh\""),
        "How long a sandbox lives: for one event, or for many.",
    ),
    Key::new("retry", Table(RETRY), Means("see there"), "How often and when a failed event is tried again."),
    Key::new(
        "on-exhausted",
        Choice(&["dead-letter-key", "dead-letter-event"]),
        Is("\"dead-letter-key\""),
        "Whether a key waits for its dead letter, or goes on without it.",
    ),
    Key::new("outage", Table(OUTAGE), Means("see there"), "When the handler itself counts as down."),
    Key::new("limits", Table(LIMITS), Means("see there"), "What a run, and what waits, may use up."),
    Key::new("grants", Table(GRANTS), Means("nothing is granted"), "What a run may do."),
    Key::new("http", Table(HTTP), Means("see there"), "What HTTP calls may use up."),
    Key::new("outbox", Table(OUTBOX), Means("see there"), "How events for subjects outside the log go out."),
    Key::new(
        "publish",
        Choice(&["kv"]),
        Means("not at all"),
        "As what others read the handler's state: the KV bucket `<app>-<handler>`.",
    ),
    Key::new("requires", List(NAME), Is("[]"), "Only hosts with all of these labels run it."),
];

/// Keys of `[handlers.NAME.retry]`.
pub(crate) const RETRY: &[Key] = &[
    Key::new("attempts", Count(1, 1_000), Is("10"), "Attempts in all, the first one included."),
    Key::new(
        "immediate",
        Count(1, 1_000),
        Means("`2`, or `attempts` where that is less"),
        "How many of them are made at once; not more than `attempts`.",
    ),
    Key::new(
        "backoff",
        Delays(ms(1), DAY),
        Is("\"1s..5m\""),
        "The bound of the first delay and of all; it doubles, and a delay is random below it.",
    ),
];

/// Keys of `[handlers.NAME.outage]`.
pub(crate) const OUTAGE: &[Key] = &[
    Key::new(
        "after",
        Count(0, 10_000),
        Is("10"),
        "So many different events have failed one after another; 0: it never counts as down.",
    ),
    Key::new("probe", Form::Duration(ms(10), HOUR), Is("\"30s\""), "The time between two probes."),
];

/// Keys of `[handlers.NAME.limits]`.
pub(crate) const LIMITS: &[Key] = &[
    Key::new("effects", Count(1, 900), Is("256"), "Entries that one run may write."),
    Key::new("effect-bytes", Size(1, 64 << 20), Is("\"4MiB\""), "Bytes of all effects of one run."),
    Key::new(
        "entry-bytes",
        Size(1, 64 << 20),
        Is("\"1MB\""),
        "Bytes of one emitted event, state value or reply; the server's own limit holds too.",
    ),
    Key::new(
        "log-lines",
        Count(0, 100_000),
        Is("256"),
        "Lines that one run may log; further ones are counted.",
    ),
    Key::new("log-bytes", Size(0, 64 << 20), Is("\"64KiB\""), "Bytes of these lines, and of its output."),
    Key::new(
        "in-flight-bytes",
        Size(1 << 10, 64 << 30),
        Is("\"64MiB\""),
        "Bytes of events that were read and are not handled.",
    ),
    Key::new(
        "parked",
        Count(0, 1_000_000),
        Is("100000"),
        "Events that may be parked at once; one more becomes a dead letter.",
    ),
    Key::new(
        "timers",
        Count(0, 1_000_000),
        Is("100000"),
        "Timers that are set; a run that sets one more fails.",
    ),
    Key::new(
        "waiting",
        Count(1, 2_048),
        Is("1024"),
        "Requests that wait for a run at once, and as many live messages.",
    ),
    Key::new("waiting-bytes", Size(1, 1 << 30), Is("\"16MiB\""), "Bytes of each of the two."),
];

/// Keys of `[handlers.NAME.grants]`.
pub(crate) const GRANTS: &[Key] = &[
    Key::new(
        "emit",
        List(PATTERNS),
        Is("[]"),
        "Subjects to which it may emit; they lie within `events` of `[app]`.",
    ),
    Key::new(
        "publish",
        List(PATTERNS),
        Is("[]"),
        "Subjects outside the log to which it may emit, where another stream keeps them.",
    ),
    Key::new(
        "live",
        List(PATTERNS),
        Is("[]"),
        "Subjects outside the log to which it may emit, for whoever listens at that moment.",
    ),
    Key::new(
        "request",
        List(PATTERNS),
        Is("[]"),
        "Subjects outside the log that it may ask, for whoever answers; for guests of other hosts.",
    ),
    Key::new(
        "http",
        Tables(HTTP_GRANT),
        Is("[]"),
        "Origins that it may call; a text grants an origin with all methods.",
    ),
    Key::new("files", Tables(FILE_GRANT), Is("[]"), "Directories that it may use."),
    Key::new("secrets", List(NAME), Is("[]"), "Secrets of the host that it may read."),
    Key::new(
        "settings",
        Texts,
        Is("{}"),
        "Named values that it may read; numbers and booleans become texts.",
    ),
];

/// Keys of an origin in `http` of `[handlers.NAME.grants]`.
pub(crate) const HTTP_GRANT: &[Key] = &[
    Key::new(
        "origin",
        Text("scheme, host and port"),
        Required,
        "What may be called, such as `https://api.example.com`.",
    ),
    Key::new("methods", List("methods of HTTP"), Means("all but TRACE and CONNECT"), "With which methods."),
    Key::new(
        "private",
        Flag,
        Means("`false`"),
        "Whether addresses of this machine and its network are meant.",
    ),
];

/// Keys of a directory in `files` of `[handlers.NAME.grants]`.
pub(crate) const FILE_GRANT: &[Key] = &[
    Key::new(
        "host",
        Text("a relative path without `..`"),
        Required,
        "The directory, below the manifest's folder.",
    ),
    Key::new("guest", Text("an absolute path"), Required, "Where the handler finds it."),
    Key::new("mode", Choice(&["ro", "rw"]), Means("`\"ro\"`"), "Whether it is only read, or also written."),
];

/// Keys of `[handlers.NAME.http]`.
pub(crate) const HTTP: &[Key] = &[
    Key::new(
        "timeout",
        Form::Duration(ms(1), HOUR),
        Is("\"5s\""),
        "Wall time of one call, all its attempts included; the run's `deadline` holds too.",
    ),
    Key::new("max-calls", Count(1, 1_000), Is("16"), "Calls of one run, refused ones included."),
    Key::new("request-bytes", Size(1, 64 << 20), Is("\"1MiB\""), "Bytes of a request's body."),
    Key::new("response-bytes", Size(1, 64 << 20), Is("\"1MiB\""), "Bytes of a response's body."),
    Key::new(
        "attempts",
        Count(1, 10),
        Is("1"),
        "How often a call is made in all that fails for a reason that may pass.",
    ),
];

/// Keys of `[handlers.NAME.outbox]`.
pub(crate) const OUTBOX: &[Key] = &[
    Key::new(
        "in-flight",
        Count(1, 1024),
        Is("64"),
        "How many are on their way at once; with one, their order stays.",
    ),
    Key::new(
        "attempts",
        Count(1, 100),
        Is("5"),
        "How often one is tried that is refused, before it is set aside.",
    ),
];

/// Tables of the manifest.
pub(crate) const TOP: &[Key] = &[
    Key::new("app", Table(APP), Required, "The app and its log."),
    Key::new("host", Table(HOST), Means("see there"), "How hosts with this manifest behave."),
    Key::new("handlers", Named("NAME", HANDLER), Required, "The handlers, one a name."),
];

/// Keys that a later version will know.
pub(super) const LATER: &[&str] = &["timers", "schema"];
