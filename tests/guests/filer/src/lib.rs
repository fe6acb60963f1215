//! The guest of the tests of files: does what its event says, and tells what came of it.

use std::fs;
use std::io::{Result, Write};

use waxwing_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
enum Order {
    /// Tells what is in a file.
    Read { path: String },
    /// Adds a line to a file.
    Append { path: String, line: String },
    /// The same, and then the run is rejected.
    AppendAndFail { path: String, line: String },
    /// Tells what is in a directory.
    List { path: String },
    /// Makes a link.
    Link { path: String, to: String },
}

#[waxwing_sdk::handler]
fn file(event: Event<Order>, cx: &mut Context) -> Outcome {
    let came = match &event.data {
        Order::Read { path } => fs::read_to_string(path),
        Order::Append { path, line } => append(path, line),
        Order::AppendAndFail { path, line } => {
            append(path, line)?;
            return Err(Failure::reject("failed on request"));
        }
        Order::List { path } => list(path),
        Order::Link { path, to } => link(path, to),
    };
    let came = came.unwrap_or_else(|error| format!("error: {error}"));
    cx.emit("files.done", &came)
}

fn append(path: &str, line: &str) -> Result<String> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{line}")?;
    Ok("written".to_owned())
}

fn list(path: &str) -> Result<String> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names.join(" "))
}

#[cfg(target_family = "wasm")]
#[expect(deprecated, reason = "std has no other way to make a link here")]
fn link(path: &str, to: &str) -> Result<String> {
    fs::soft_link(to, path)?;
    Ok("linked".to_owned())
}

#[cfg(not(target_family = "wasm"))]
fn link(path: &str, to: &str) -> Result<String> {
    std::os::unix::fs::symlink(to, path)?;
    Ok("linked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Sandbox, event};

    #[test]
    fn does_what_it_is_told() {
        let folder = std::env::temp_dir().join(format!("waxwing-filer-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let run = |order: Value| Sandbox::new().run(file, event("files.asked").json(&order));
        let append = json!({ "do": "append", "path": at("a"), "line": "1" });
        assert_eq!(run(append).only::<String>("files.done"), "written");
        assert!(!run(json!({ "do": "append-and-fail", "path": at("a"), "line": "2" })).is_done());
        assert_eq!(run(json!({ "do": "read", "path": at("a") })).only::<String>("files.done"), "1\n2\n");
        assert_eq!(
            run(json!({ "do": "link", "path": at("b"), "to": "a" })).only::<String>("files.done"),
            "linked"
        );
        assert_eq!(run(json!({ "do": "list", "path": at("") })).only::<String>("files.done"), "a b");
        fs::remove_dir_all(&folder).unwrap();
    }
}
