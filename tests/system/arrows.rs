//! Dependencies between the crates point one way.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// The crates of this workspace that each of them may depend on, outside its tests.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("waxwing-event", &[]),
    ("waxwing-engine", &["waxwing-event"]),
    ("waxwing-log", &["waxwing-engine", "waxwing-event"]),
    ("waxwing-request", &["waxwing-engine", "waxwing-event"]),
    ("waxwing-sandbox", &["waxwing-engine", "waxwing-event"]),
    ("waxwing", &["waxwing-engine", "waxwing-event", "waxwing-log", "waxwing-request", "waxwing-sandbox"]),
    ("waxwing-sdk-macros", &[]),
    ("waxwing-sdk", &["waxwing-sdk-macros"]),
];

/// What only some crates may know of the outside.
const KEPT_TO: [(&str, &[&str]); 3] = [
    ("async-nats", &["waxwing-log", "waxwing-request", "waxwing"]),
    ("wasmtime", &["waxwing-sandbox"]),
    ("tokio", &["waxwing-engine", "waxwing-log", "waxwing-request", "waxwing-sandbox", "waxwing"]),
];

/// Direct dependencies of each workspace crate, without those of tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let named = |package: &cargo_metadata::Package| {
        let normal = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
        (package.name.to_string(), normal.map(|d| d.name.clone()).collect())
    };
    metadata.packages.iter().map(named).collect()
}

#[test]
fn crates_depend_one_way() {
    let all = dependencies();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    for (name, dependencies) in &all {
        let ours = dependencies.iter().map(String::as_str).filter(|d| all.contains_key(*d));
        // Handlers and guests see the SDK alone.
        let may = allowed.get(name.as_str()).copied().unwrap_or(&["waxwing-sdk"]);
        for dependency in ours {
            assert!(may.contains(&dependency), "`{name}` must not depend on `{dependency}`");
        }
    }
    for name in allowed.keys() {
        assert!(all.contains_key(*name), "`{name}` is gone: take it out of this test");
    }
}

#[test]
fn the_outside_is_known_only_where_it_belongs() {
    for (name, dependencies) in dependencies() {
        for (outside, may) in KEPT_TO {
            assert!(
                !dependencies.contains(outside) || may.contains(&name.as_str()),
                "`{name}` must not know {outside}"
            );
        }
    }
}

#[test]
fn no_test_file_is_forgotten() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/system");
    let main = std::fs::read_to_string(folder.join("main.rs")).unwrap();
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_module = path.extension().is_some_and(|e| e == "rs") || path.join("mod.rs").exists();
        if is_module && name != "main" {
            assert!(main.contains(&format!("mod {name};")), "tests/system/main.rs does not name `{name}`");
        }
    }
}
