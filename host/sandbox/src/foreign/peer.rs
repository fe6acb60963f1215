//! The contracts of other hosts, for whose guests this one runs, too. They are told apart by the interface that a guest
//! exports, never by a version alone: two packages are named `wasmcloud:messaging@0.3.0`.

/// A contract of another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The interface that its guests export.
    pub export: &'static str,
    /// The interfaces that they may import beside WASI.
    pub imports: &'static [&'static str],
    /// How its messages look.
    pub(crate) kind: Kind,
}

/// How messages look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Records whose bodies are lists of bytes.
    Records,
    /// Records whose bodies are streams of bytes; all functions are async.
    Streams,
    /// Resources, in a package of this name and version.
    Resources {
        /// Such as `wasi:messaging`.
        package: &'static str,
        /// Such as `0.2.0-draft`.
        version: &'static str,
    },
}

/// All of them. Of two that a guest exports, the one that stands first here is called.
pub(crate) const PEERS: [Peer; 4] = [
    Peer {
        export: "wasmcloud:messaging/handler@0.3.0",
        // A guest may export both versions of the handler; it then imports both of the consumer.
        imports: &[
            "wasmcloud:messaging/types@0.3.0",
            "wasmcloud:messaging/consumer@0.3.0",
            "wasmcloud:messaging/types@0.2.0",
            "wasmcloud:messaging/consumer@0.2.0",
        ],
        kind: Kind::Streams,
    },
    Peer {
        export: "wasmcloud:messaging/handler@0.2.0",
        imports: &["wasmcloud:messaging/types@0.2.0", "wasmcloud:messaging/consumer@0.2.0"],
        kind: Kind::Records,
    },
    Peer {
        export: "wasmcloud:messaging/incoming-handler@0.3.0",
        imports: &[
            "wasmcloud:messaging/types@0.3.0",
            "wasmcloud:messaging/producer@0.3.0",
            "wasmcloud:messaging/request-reply@0.3.0",
        ],
        kind: Kind::Resources { package: "wasmcloud:messaging", version: "0.3.0" },
    },
    Peer {
        export: "wasi:messaging/incoming-handler@0.2.0-draft",
        imports: &[
            "wasi:messaging/types@0.2.0-draft",
            "wasi:messaging/producer@0.2.0-draft",
            "wasi:messaging/request-reply@0.2.0-draft",
        ],
        kind: Kind::Resources { package: "wasi:messaging", version: "0.2.0-draft" },
    },
];

impl Peer {
    /// The contract of a guest with these exports; none where it is for no other host that is known.
    pub(crate) fn of(exports: &[String]) -> Option<&'static Peer> {
        PEERS.iter().find(|peer| exports.iter().any(|export| export == peer.export))
    }

    /// True where its functions are async, which another engine runs.
    pub(crate) fn is_concurrent(&self) -> bool {
        self.kind == Kind::Streams
    }
}
