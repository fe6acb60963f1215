//! The keys that a manifest knows, and those that a later version will know.

/// Keys of `[app]`.
pub(super) const APP: &[&str] = &["name", "events", "retention", "storage", "replicas", "require-signature"];

/// Keys of `[host]`.
pub(super) const HOST: &[&str] =
    &["lease", "grace", "workers", "labels", "standby", "require-signature", "secrets"];

/// Keys of `[handlers.NAME]` with one value.
pub(super) const HANDLER: &[&str] = &[
    "module",
    "stream",
    "on",
    "request",
    "live",
    "aggregate",
    "dedupe",
    "key",
    "partitions",
    "concurrency",
    "deadline",
    "memory",
    "start",
    "instance",
    "retry",
    "on-exhausted",
    "outage",
    "limits",
    "grants",
    "http",
    "outbox",
    "publish",
    "requires",
];

/// Keys of `[handlers.NAME.retry]`.
pub(super) const RETRY: &[&str] = &["attempts", "immediate", "backoff"];

/// Keys of `[handlers.NAME.outage]`.
pub(super) const OUTAGE: &[&str] = &["after", "probe"];

/// Keys of `[handlers.NAME.limits]`.
pub(super) const LIMITS: &[&str] = &[
    "effects",
    "effect-bytes",
    "entry-bytes",
    "log-lines",
    "log-bytes",
    "in-flight-bytes",
    "parked",
    "timers",
    "waiting",
    "waiting-bytes",
];

/// Keys of `[handlers.NAME.grants]`.
pub(super) const GRANTS: &[&str] =
    &["emit", "publish", "live", "request", "http", "files", "secrets", "settings"];

/// Keys of a secret in `[host.secrets]`.
pub(super) const SECRET: &[&str] = &["env", "file"];

/// Keys of an origin in `http` of `[handlers.NAME.grants]`.
pub(super) const HTTP_GRANT: &[&str] = &["origin", "methods", "private"];

/// Keys of a directory in `files` of `[handlers.NAME.grants]`.
pub(super) const FILE_GRANT: &[&str] = &["host", "guest", "mode"];

/// Keys of `[handlers.NAME.http]`.
pub(super) const HTTP: &[&str] = &["timeout", "max-calls", "request-bytes", "response-bytes", "attempts"];

/// Keys of `[handlers.NAME.outbox]`.
pub(super) const OUTBOX: &[&str] = &["in-flight", "attempts"];

/// Tables of the manifest.
pub(super) const TOP: &[&str] = &["app", "host", "handlers"];

/// Keys that a later version will know.
pub(super) const LATER: &[&str] = &["timers", "schema"];
