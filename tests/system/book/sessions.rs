//! Which pages have a session, and which commands none runs, with the reason.

use std::collections::BTreeSet;

use super::{
    block::Block,
    command::{self, Command},
    page, session,
};

/// Programs that are not there where the tests run, or that would change the machine.
const PROGRAMS: [(&str, &str); 10] = [
    ("nats", "the nats tool is no package that tests can install"),
    ("nk", "the keys' tool is no package that tests can install"),
    ("nats-server", "permissions and packaging have tests of their own with these files"),
    ("docker", "images are built where Docker is"),
    ("kubectl", "there is no Kubernetes; its manifests have tests of their own"),
    ("systemctl", "it would change the machine; the unit has a test of its own"),
    ("journalctl", "it goes with systemd"),
    ("curl", "it asks a port that others may have; `metrics` and `probes` ask such ports"),
    ("export", "it speaks to commands that are not run either"),
    ("cargo", "it builds or tests the repository itself, or installs"),
];

/// Commands of `waxwing` that are only parsed: the page, how they begin, and why.
const PARSED: [(&str, &str, &str); 15] = [
    ("docs/deploy.md", "waxwing deploy --sign", "the key is one that `nk` makes; `signatures` tests it"),
    ("docs/deploy.md", "WAXWING_SIGN_SEED=", "the key is one that `nk` makes; `signatures` tests it"),
    ("docs/deploy.md", "waxwing push", "there is no such registry; `registry` tests it against a real one"),
    (
        "docs/deploy.md",
        "waxwing deploy basket=oci",
        "there is no such registry; `registry` tests it against a real one",
    ),
    ("docs/dev.md", "waxwing dev", "it builds crates: the page `start.md` runs it, and so does `dev`"),
    ("docs/metrics.md", "waxwing run --probes", "its port may be taken; `metrics` chooses one"),
    ("docs/new.md", "waxwing test", "it builds crates: the page `start.md` runs it"),
    (
        "docs/testing.md",
        "waxwing test",
        "it builds crates: the page `start.md` runs it, and so does `scenario_files`",
    ),
    (
        "docs/testing.md",
        "waxwing capture",
        "its event is one of a running app; `captures` captures a thousand",
    ),
    ("docs/testing.md", "waxwing run-event", "its file is one of a running app; `captures` runs a thousand"),
    ("docs/story.md", "waxwing trace", "its events are those of a running app; `story` tells some"),
    ("docs/traces.md", "waxwing run --otlp", "its receiver may be another's; `traces` has one of its own"),
    ("docs/operating.md", "waxwing check-health", "its app is one that is not well; `operate` has such"),
    (
        "docs/operating.md",
        "waxwing doctor --monitor",
        "servers of tests have no port for monitoring; `doctor` tests it",
    ),
    (
        "docs/permissions.md",
        "NATS_URL=",
        "its server is one that is not started here; `permissions` tests the file",
    ),
];

/// Commands that only look: they are repeated until they show what the page says.
const LOOKING: [&str; 13] = [
    "check",
    "state",
    "history",
    "ls",
    "hosts",
    "dead ls",
    "dead show",
    "parked",
    "timer",
    "saga",
    "outbox ls",
    "versions",
    "doctor",
];

/// Why a command is not run; none where it is.
pub(super) fn why_not(page: &str, command: &Command) -> Option<&'static str> {
    let simple = command::simple(&command.text);
    let of = |words: &Vec<String>| {
        PROGRAMS.iter().find(|(program, _)| words.first().is_some_and(|w| w == program))
    };
    if let Some((_, why)) = simple.iter().find_map(of) {
        return Some(*why);
    }
    if page.starts_with("docs/reference/") {
        return Some("examples of the help, made from the source");
    }
    let is_listed = |(on, start, _): &&(&str, &str, &str)| *on == page && command.text.starts_with(start);
    PARSED.iter().find(is_listed).map(|(_, _, why)| *why)
}

/// Whether all that a line does with `waxwing` is to look.
pub(super) fn is_for_looking(simple: &[Vec<String>]) -> bool {
    simple.iter().all(|words| {
        let line = words.get(1..).unwrap_or_default().join(" ");
        words[0] != "waxwing" || LOOKING.iter().any(|looking| line.starts_with(looking))
    }) && simple.iter().any(|words| words[0] == "waxwing")
}

fn with_commands(page: &page::Page) -> Vec<(&Block, Command)> {
    let blocks = page.blocks().filter(|block| ["sh", "console"].contains(&block.language.as_str()));
    blocks.flat_map(|block| command::of(block).into_iter().map(move |command| (block, command))).collect()
}

/// One test a page, so that they run beside each other and each is known by its name.
macro_rules! sessions {
    ($($name:ident: $path:literal,)*) => {
        const PAGES: &[&str] = &[$($path),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                session::run($path).await;
            }
        )*
    };
}

sessions! {
    aggregates: "docs/aggregates.md",
    deploy: "docs/deploy.md",
    failures: "docs/failures.md",
    handlers: "docs/handlers.md",
    keys: "docs/keys.md",
    new: "docs/new.md",
    outside: "docs/outside.md",
    rebuild: "docs/rebuild.md",
    replay: "docs/replay.md",
    start: "docs/start.md",
    state: "docs/state.md",
}

#[test]
fn every_page_with_commands_has_a_session() {
    for page in page::all() {
        let runs =
            with_commands(&page).iter().any(|(block, command)| why_not(&block.page, command).is_none());
        assert_eq!(
            runs,
            PAGES.contains(&page.path.as_str()),
            "{}: `sessions!` must name it, or not",
            page.path
        );
    }
}

#[test]
fn what_is_not_run_is_understood_all_the_same() {
    let mut unused: BTreeSet<_> = PARSED.iter().map(|(page, start, _)| (*page, *start)).collect();
    for page in page::all() {
        for (block, command) in with_commands(&page) {
            for words in command::simple(&command.text).iter().filter(|words| words[0] == "waxwing") {
                command::parse(words).unwrap_or_else(|why| panic!("{}:{}: {why}", block.page, command.line));
            }
            unused.retain(|(page, start)| block.page != *page || !command.text.starts_with(start));
        }
    }
    assert!(unused.is_empty(), "nothing on the pages begins so any more: {unused:?}");
}
