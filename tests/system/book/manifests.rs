//! Blocks of TOML: manifests, parts of them, and parts of a `Cargo.toml`.

use std::collections::BTreeSet;

use toml::{Table, Value};
use waxwing::{config, module::ModuleSource};

use super::{block::Block, page};

/// What is wrong with a block of TOML; nothing where it is fine.
fn check(block: &Block) -> Result<(), String> {
    let table: Table = block.text.parse().map_err(|error| format!("{error}"))?;
    if table.contains_key("scenario") {
        return scenario(block);
    }
    if ["package", "dependencies", "lib", "profile", "workspace"].iter().any(|key| table.contains_key(*key)) {
        return Ok(());
    }
    let text = if is_whole(&table) { block.text.clone() } else { completed(table).to_string() };
    let place = format!("the manifest of {block}");
    let stored = ModuleSource::Stored(waxwing_event::Digest([7; 32]));
    match config::parse(&place, &text, [], |_| Ok(stored.clone())) {
        Ok(_) => Ok(()),
        Err(problems) => Err(format!("{problems}\n{text}")),
    }
}

/// Scenarios are read as `waxwing test` reads their files.
fn scenario(block: &Block) -> Result<(), String> {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("page.toml");
    std::fs::write(&path, &block.text).unwrap();
    waxwing::scenario::form::File::read(&path).map(drop).map_err(|error| format!("{error:#}"))
}

fn is_whole(table: &Table) -> bool {
    table.contains_key("app") && table.contains_key("handlers")
}

/// A part of a manifest, with the least that the whole needs beside it.
fn completed(mut part: Table) -> Table {
    if !part.contains_key("handlers") {
        part.insert("handlers".to_owned(), Value::Table("basket = {}".parse().unwrap()));
    }
    let Value::Table(handlers) = &mut part["handlers"] else { return part };
    let mut events = BTreeSet::from(["prices.>".to_owned()]);
    for handler in handlers.iter_mut().filter_map(|(_, handler)| handler.as_table_mut()) {
        handler.entry("module").or_insert("basket.wasm".into());
        if !["on", "request", "live"].iter().any(|key| handler.contains_key(*key)) {
            handler.insert("on".to_owned(), vec!["prices.updated"].into());
        }
        let emitted = handler.get("grants").and_then(|grants| grants.get("emit"));
        let heard = handler.get("on").filter(|_| !handler.contains_key("stream"));
        let named = [emitted, heard].into_iter().flatten().filter_map(Value::as_array).flatten();
        let named = named.chain(handler.get("aggregate")).filter_map(Value::as_str);
        events.extend(named.filter_map(|subject| Some(format!("{}.>", subject.split('.').next()?))));
    }
    let app = part.entry("app").or_insert(Table::new().into()).as_table_mut().unwrap();
    app.entry("name").or_insert("shop".into());
    app.entry("events").or_insert(events.into_iter().collect::<Vec<_>>().into());
    part
}

#[test]
fn every_block_of_toml_is_understood() {
    let mut wrong = Vec::new();
    for page in page::all() {
        for block in page.blocks().filter(|block| block.language == "toml") {
            if let Err(why) = check(block) {
                wrong.push(format!("{block}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_part_with_a_wrong_key_is_refused() {
    let block = |text: &str| {
        let parts = super::block::parts("p.md", &format!("```toml\n{text}\n```\n"));
        let [super::block::Part::Block(block)] = parts.as_slice() else { panic!() };
        check(block)
    };
    assert!(block("[handlers.basket]\nretry = { attempts = 3 }").is_ok());
    assert!(block("[host]\nlease = \"10s\"").is_ok());
    let why = block("[handlers.basket]\nretries = { attempts = 3 }").unwrap_err();
    assert!(why.contains("unknown key `retries`"), "{why}");
    assert!(block("retry = {").is_err());
    assert!(block("[[scenario]]\nname = \"x\"\n[[scenario.when]]\nadvance = \"1s\"").is_ok());
    assert!(block("[[scenario]]\nname = \"x\"\nwhenever = []").is_err());
}
