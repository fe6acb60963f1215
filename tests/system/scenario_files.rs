//! `waxwing test` with scenario files: played on real modules, through faults, told exactly, accepted.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::app::module;

/// A handler that counts in its state, and one that counts in its memory.
const COUNTS: &str = r#"
[app]
name = "counts"
events = ["in.>", "counter.>", "counts.>"]

[handlers.count]
module = "counter.wasm"
on = ["in.x"]
request = ["cmd.count", "cmd.count.show"]
key = "data.key"
instance = "reuse"
retry = { attempts = 4, immediate = 1, backoff = "1s..1s" }

[handlers.count.grants]
emit = ["counter.counted"]

[handlers.hoarder]
module = "hoarder.wasm"
on = ["in.hoard"]
instance = "reuse"

[handlers.hoarder.grants]
emit = ["counts.counted"]
"#;

/// A folder with a manifest, modules and a file of scenarios.
struct Bed(TempDir);

impl Bed {
    fn new(scenarios: &str) -> Bed {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("waxwing.toml"), COUNTS).unwrap();
        fs::copy(module("counter"), folder.path().join("counter.wasm")).unwrap();
        fs::copy(module("hoarder"), folder.path().join("hoarder.wasm")).unwrap();
        fs::create_dir(folder.path().join("scenarios")).unwrap();
        let bed = Bed(folder);
        fs::write(bed.file(), scenarios).unwrap();
        bed
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("scenarios/counts.toml")
    }

    fn test(&self, arguments: &[&str]) -> Output {
        run(self.0.path(), arguments)
    }

    /// Whether all is well, and the outcome of each scenario.
    fn outcomes(&self, arguments: &[&str]) -> (bool, Vec<Value>) {
        outcomes(&self.test(&[arguments, &["-o", "json"]].concat()))
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.current_dir(folder).arg("test").args(arguments);
    command.env("NO_COLOR", "1").env_remove("RUST_LOG").stdin(Stdio::null()).output().unwrap()
}

fn outcomes(output: &Output) -> (bool, Vec<Value>) {
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), report["scenarios"].as_array().unwrap().clone())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const COUNTING: &str = r#"
[[scenario]]
name = "counts each key"
handlers = ["count"]

[[scenario.given.events]]
subject = "in.x"
data = { key = "a", n = 1 }

[[scenario.when]]
events = [
    { subject = "in.x", data = { key = "a", n = 2 } },
    { subject = "in.x", data = { key = "b", n = 3 } },
    { subject = "in.x", data = { key = "c", n = 4 } },
]

[scenario.when.then]
runs.count = 3
state.count.a = { count = 2, last = 2 }
state.count.d = { "$none" = true }

[[scenario.when]]
request = { subject = "cmd.count", data = { key = "a", n = 5 } }
then.reply.data = { key = "a", n = 5, count = 3 }

[[scenario.when]]
request = { subject = "cmd.count.show", data = { key = "a", n = 0 } }
then.reply.data = { key = "a", n = 0, count = 3 }

[[scenario]]
name = "tries again, and gives up"
handlers = ["count"]
given.settings.count.fails = "2"

[[scenario.when]]
event = { subject = "in.x", id = "two", data = { key = "a", n = 2 } }
then.parked = [{ id = "two", attempts = 1, reason = { "$any" = true } }]
then.runs.count = 1

[[scenario.when]]
advance = "10s"

[scenario.when.then]
runs.count = 3
parked = []
dead = [{ id = "two", kind = "retry", attempts = 4, key = "a" }]
"#;

#[test]
fn what_holds_holds_through_every_fault() {
    let bed = Bed::new(COUNTING);
    let output = bed.test(&["--faults", "-o", "json"]);
    let (is_well, outcomes) = outcomes(&output);
    assert!(is_well, "{}", said(&output));
    let names: Vec<&str> = outcomes.iter().map(|outcome| outcome["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["counts each key", "tries again, and gives up"]);
    for outcome in outcomes {
        // Three ways to be gone at each of six commits, at least.
        assert!(outcome["faults"].as_u64().unwrap() > 18, "{outcome}");
    }
}

/// What is kept in memory alone: with effects between, and without any.
const HOARDING: &str = r#"
[[scenario]]
name = "counts"
handlers = ["hoarder"]

[[scenario.when]]
event = { subject = "in.hoard", data = {} }
then.emitted = [{ data = { count = 1 } }]

[[scenario.when]]
event = { subject = "in.hoard", data = {} }
then.emitted = [{ data = { count = 2 } }]

[[scenario]]
name = "counts in silence"
handlers = ["hoarder"]

[[scenario.when]]
events = [
    { subject = "in.hoard", data = { silent = true } },
    { subject = "in.hoard", data = { silent = true } },
    { subject = "in.hoard", data = {} },
]
then.emitted = [{ data = { count = 3 } }]
"#;

#[test]
fn a_handler_that_keeps_state_in_its_memory_is_caught_by_faults_alone() {
    let bed = Bed::new(HOARDING);
    let (is_well, _) = bed.outcomes(&[]);
    assert!(is_well, "it seems to work");
    let (is_well, outcomes) = bed.outcomes(&["--faults"]);
    assert!(!is_well);
    for outcome in &outcomes {
        assert_eq!(
            (&outcome["passed"], outcome["differences"].as_array().unwrap().len()),
            (&false.into(), 0)
        );
        let caught = outcome["underFaults"].as_array().unwrap();
        let by = |kind: &str| caught.iter().any(|fault| fault["kind"] == kind);
        assert!(by("fresh") && by("restart"), "{outcome}");
        assert!(by("crash") || outcome["name"] == "counts in silence", "{outcome}");
    }
    let told = said(&bed.test(&["--faults", "--filter", "counts"]));
    assert!(told.contains("otherwise with a crash of the host after commit"), "{told}");
    assert!(told.contains("(counts.counted)"), "it says what the commit was about: {told}");
    assert!(
        told.contains("step 2: emitted[0].data.count\n        without  2\n        with     1\n"),
        "{told}"
    );
}

const WRONG: &str = r#"# Comments stay.
[[scenario]]
name = "counts"   # as here
handlers = ["count"]

[[scenario.when]]
event = { subject = "in.x", data = { key = "a", n = 1 } }

[scenario.when.then]
# And here.
emitted = [{ subject = "counter.counted", data = { key = "a", n = 1, count = 7 } }]
state.count.a = { count = 1, last = 2 }   # and here

# Nothing is said of this one yet.
[[scenario.when]]
event = { subject = "in.x", data = { key = "a", n = 2 } }
"#;

#[test]
fn says_exactly_what_differs() {
    let bed = Bed::new(WRONG);
    let output = bed.test(&[]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    let told: Vec<&str> = told.lines().filter(|line| !line.starts_with('✗')).collect();
    let expected = [
        "    step 1: emitted[0].data.count",
        "      expected 7",
        "      came     1",
        "    step 1: state.count.a.last",
        "      expected 2",
        "      came     1",
        "scenarios: 0 passed, 1 failed",
    ];
    assert_eq!(told, expected);
}

#[test]
fn accepts_what_came_and_keeps_the_rest() {
    let bed = Bed::new(WRONG);
    let (is_well, outcomes) = bed.outcomes(&["--update"]);
    assert!(is_well && outcomes[0]["updated"] == true);
    let text = fs::read_to_string(bed.file()).unwrap();
    for kept in
        ["# Comments stay.", "# as here", "# And here.", "# and here", "# Nothing is said of this one yet."]
    {
        assert!(text.contains(kept), "{kept} is gone:\n{text}");
    }
    // What was wrong, and all that came of the step of which nothing was said.
    for put in ["count = 1", "last = 1", "[scenario.when.then.state.count]", "count = 2", "last = 2"] {
        assert!(text.contains(put), "{put} is not there:\n{text}");
    }
    assert!(!text.contains("count = 7"), "{text}");
    let (is_well, outcomes) = bed.outcomes(&["--update"]);
    assert!(is_well && outcomes[0]["updated"].is_null(), "what holds is left as it is");
}

#[test]
fn writes_what_ci_reads() {
    let bed = Bed::new(WRONG);
    let output = bed.test(&["--junit", "out.xml"]);
    assert_eq!(output.status.code(), Some(1));
    let text = fs::read_to_string(bed.0.path().join("out.xml")).unwrap();
    assert!(text.contains(r#"<testsuite name="scenarios/counts.toml" tests="1" failures="1""#), "{text}");
    assert!(text.contains(r#"<failure message="step 1: emitted[0].data.count">"#), "{text}");
}

#[test]
fn what_is_no_scenario_is_refused_with_a_way_out() {
    let refused = |text: &str| {
        let output = Bed::new(text).test(&[]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let head = "[[scenario]]\nname = \"x\"\nhandlers = [\"count\"]\n[[scenario.when]]\n";
    let told = refused(&format!("{head}advance = \"soon\""));
    assert!(told.contains("`soon` is no duration: write 250ms, 30s, 15m, 2h or 1d"), "{told}");
    let told = refused(&format!("{head}advance = \"1s\"\nrequest = {{ subject = \"a.b\" }}"));
    assert!(told.contains("a step has one of `event`, `events`, `request`, `live` and `advance`"), "{told}");
    let told = refused(&format!("{head}event = {{ subject = \"a.b\", dat = 1 }}"));
    assert!(told.contains("unknown field `dat`"), "{told}");
    let told = refused("[[scenario]]\nname = \"x\"\nhandlers = [\"nobody\"]\nwhen = []");
    assert!(told.contains("the manifest has no handler `nobody`"), "{told}");
    let told = refused("[[scenario]]\nname = \"x\"\nwhen = []");
    assert!(told.contains("it lies beside no crate: name the `handlers` that take part"), "{told}");
}

#[test]
fn a_request_that_nobody_hears_and_a_subject_that_nobody_keeps_are_errors() {
    let told = |step: &str| {
        let head = "[[scenario]]\nname = \"x\"\nhandlers = [\"count\"]\n[[scenario.when]]\n";
        let (is_well, outcomes) = Bed::new(&format!("{head}{step}")).outcomes(&[]);
        assert!(!is_well);
        outcomes[0]["error"].as_str().unwrap().to_owned()
    };
    let nobody = told(r#"request = { subject = "cmd.nobody" }"#);
    assert_eq!(
        nobody,
        "step 1: nobody answers on `cmd.nobody`: no handler that takes part has it in `request`"
    );
    let nowhere = told(r#"event = { subject = "out.there" }"#);
    assert!(nowhere.starts_with("step 1: nobody can publish on `out.there`: "), "{nowhere}");
}

#[test]
fn the_shops_scenarios_hold_through_every_fault() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../handlers");
    let output = run(&folder, &["--scenarios", "--faults", "-o", "json"]);
    let (is_well, outcomes) = outcomes(&output);
    assert!(is_well, "{}", said(&output));
    let files: std::collections::BTreeSet<&str> =
        outcomes.iter().map(|outcome| outcome["file"].as_str().unwrap()).collect();
    assert!(files.len() >= 5 && files.contains("scenarios/purchase.toml"), "{files:?}");
}
