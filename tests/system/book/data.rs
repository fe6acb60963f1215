//! Blocks of JSON, Python and JavaScript parse.

use std::process::{Command, Stdio};

use super::{block::Block, page};

/// Python as an interactive session takes it: `await` may stand outside of functions.
const PYTHON: &str =
    "import ast, sys; compile(sys.stdin.read(), sys.argv[1], 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)";

/// What is wrong with a block; nothing where it is fine or of another kind.
fn check(block: &Block) -> Result<(), String> {
    match block.language.as_str() {
        "json" => serde_json::from_str::<serde_json::Value>(&block.text)
            .map(drop)
            .map_err(|error| error.to_string()),
        "python" => content(Command::new("python3").args(["-c", PYTHON, &block.to_string()]), &block.text),
        "javascript" => {
            content(Command::new("node").args(["--input-type=module", "--check", "-"]), &block.text)
        }
        _ => Ok(()),
    }
}

/// Gives the text to a program, which is content with it or not.
fn content(command: &mut Command, text: &str) -> Result<(), String> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn every_block_of_data_and_of_other_languages_parses() {
    for page in page::all() {
        for block in page.blocks() {
            check(block).unwrap_or_else(|why| panic!("{block}: {why}"));
        }
    }
}

#[test]
fn what_does_not_parse_is_found() {
    for text in ["json\n{", "python\nawait f(\n", "javascript\nexport function {"] {
        let parts = super::block::parts("p.md", &format!("```{text}\n```\n"));
        let [super::block::Part::Block(block)] = parts.as_slice() else { panic!() };
        assert!(check(block).is_err(), "{text}");
    }
    let parts = super::block::parts("p.md", "```python\nasync for x in y():\n    print(await z)\n```\n");
    let [super::block::Part::Block(block)] = parts.as_slice() else { panic!() };
    check(block).unwrap();
}
