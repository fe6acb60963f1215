//! Writes what came into a file, in place of what was said, and leaves everything else as it is: comments, order, form.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike};

use super::{came::Came, compare, form::Then, value};

/// A scenario of which some steps came otherwise.
pub struct Accepted<'a> {
    /// Which of the file, from 0.
    pub scenario: usize,
    /// What was said of each step.
    pub said: Vec<Option<&'a Then>>,
    /// What came of it.
    pub came: &'a [Came],
}

/// The text of a file in which these scenarios say what came.
pub fn accept(text: &str, scenarios: &[Accepted<'_>]) -> Result<String> {
    let mut document: DocumentMut = text.parse()?;
    for Accepted { scenario, said, came } in scenarios {
        for (number, (said, came)) in said.iter().zip(*came).enumerate() {
            let differs = !compare::with_file(number + 1, *said, came)?.is_empty();
            if said.is_some() && !differs {
                continue;
            }
            let (step, is_inline) = step_of(&mut document, *scenario, number)?;
            let then = below(step, is_inline, "then")?;
            match said {
                Some(said) => correct(then, said, came)?,
                None => write(then, came)?,
            }
        }
    }
    Ok(document.to_string())
}

/// Puts what came in place of what was said otherwise.
fn correct(then: &mut Item, said: &Then, came: &Came) -> Result<()> {
    for (name, said, came) in [
        ("emitted", said.emitted.as_ref(), &came.emitted),
        ("dead", Some(&said.dead), &came.dead),
        ("parked", said.parked.as_ref(), &came.parked),
    ] {
        if let Some(said) = said {
            put_list(then, name, said, came)?;
        }
    }
    if let (Some(said), Some(came)) = (&said.reply, &came.reply) {
        let fields = fields(said, came)?;
        if fields != *said {
            put(then, "reply", item(&Value::Object(fields)))?;
        }
    }
    let nothing = value::none();
    for (name, said, came) in [("state", &said.state, &came.state), ("timers", &said.timers, &came.timers)] {
        for (handler, keys) in said {
            for (key, said) in keys {
                let came = came.get(handler).and_then(|keys| keys.get(key)).unwrap_or(&nothing);
                let kept = match (name, said.as_object()) {
                    ("timers", Some(said)) if !value::is_none(came) && !value::is_none(&json!(said)) => {
                        Value::Object(fields(said, came)?)
                    }
                    _ if is_met(said, came)? => continue,
                    _ => came.clone(),
                };
                if kept != *said {
                    put_below(then, name, handler, key, &kept)?;
                }
            }
        }
    }
    for (handler, said) in &said.runs {
        let came = came.runs.get(handler).copied().unwrap_or_default();
        if came != *said {
            put(table_in(then, "runs")?, handler, item(&json!(came)))?;
        }
    }
    Ok(())
}

/// Writes all that came of a step of which nothing was said.
fn write(then: &mut Item, came: &Came) -> Result<()> {
    let list = |items: &[Value]| items.iter().map(item_of).collect::<Vec<Value>>();
    put(then, "emitted", lines(&list(&came.emitted)))?;
    for (name, items) in [("dead", &came.dead), ("parked", &came.parked)] {
        if !items.is_empty() {
            put(then, name, lines(&list(items)))?;
        }
    }
    if let Some(reply) = &came.reply {
        put(then, "reply", item(&item_of(reply)))?;
    }
    for (name, all) in [("state", &came.changed), ("timers", &came.timers)] {
        for (handler, keys) in all {
            for (key, value) in keys {
                put_below(then, name, handler, key, value)?;
            }
        }
    }
    Ok(())
}

fn put_list(then: &mut Item, name: &str, said: &[Map<String, Value>], came: &[Value]) -> Result<()> {
    let mut now = Vec::new();
    for (place, came) in came.iter().enumerate() {
        now.push(match said.get(place) {
            Some(said) => Value::Object(fields(said, came)?),
            None => item_of(came),
        });
    }
    let said: Vec<Value> = said.iter().cloned().map(Value::Object).collect();
    if now != said {
        put(then, name, lines(&now))?;
    }
    Ok(())
}

/// The fields that were named, each as it was where it fits, and as it came where it does not.
fn fields(said: &Map<String, Value>, came: &Value) -> Result<Map<String, Value>> {
    let mut fields = Map::new();
    for (name, said) in said {
        let came = came.get(name).cloned().unwrap_or_else(value::none);
        fields.insert(name.clone(), if is_met(said, &came)? { said.clone() } else { came });
    }
    Ok(fields)
}

fn is_met(said: &Value, came: &Value) -> Result<bool> {
    let said: Map<String, Value> = [("it".to_owned(), said.clone())].into_iter().collect();
    let then = Then { reply: Some(said), ..Then::default() };
    let reply = if value::is_none(came) { json!({}) } else { json!({ "it": came }) };
    Ok(compare::with_file(1, Some(&then), &Came { reply: Some(reply), ..Came::default() })?.is_empty())
}

/// An item with the fields that matter.
fn item_of(came: &Value) -> Value {
    let Value::Object(all) = came else { return came.clone() };
    let text = |name: &str| all.get(name).and_then(Value::as_str);
    let mut kept = Map::new();
    for (name, value) in all {
        let matters = match name.as_str() {
            "subject" | "reason" | "kind" | "code" | "data" => true,
            "about" => true,
            "handler" => !all.contains_key("correlation"),
            "type" => text("type") != text("subject"),
            "extensions" | "attributes" => value.as_object().is_some_and(|values| !values.is_empty()),
            "content-type" => value.as_str() != Some("application/json"),
            _ => false,
        };
        if matters && (!value.is_null() || name == "data") {
            kept.insert(name.clone(), value.clone());
        }
    }
    Value::Object(kept)
}

/// A step of a scenario of the document, and whether it is written in one line.
fn step_of(document: &mut DocumentMut, scenario: usize, number: usize) -> Result<(&mut dyn TableLike, bool)> {
    let lost = || format!("step {} of scenario {} is not found in the file", number + 1, scenario + 1);
    let (scenario, _) = table_of(document.get_mut("scenario"), scenario).with_context(lost)?;
    table_of(scenario.get_mut("when"), number).with_context(lost)
}

/// A table of a list of tables.
fn table_of(list: Option<&mut Item>, place: usize) -> Option<(&mut dyn TableLike, bool)> {
    match list? {
        Item::ArrayOfTables(tables) => {
            tables.get_mut(place).map(|table| (table as &mut dyn TableLike, false))
        }
        Item::Value(toml_edit::Value::Array(array)) => {
            array.get_mut(place)?.as_inline_table_mut().map(|table| (table as &mut dyn TableLike, true))
        }
        _ => None,
    }
}

/// The table of this name, made where there is none, in the form that the one around it has.
fn below<'a>(around: &'a mut dyn TableLike, is_inline: bool, name: &str) -> Result<&'a mut Item> {
    if around.get(name).is_none() {
        let empty = match is_inline {
            true => Item::Value(toml_edit::Value::InlineTable(InlineTable::new())),
            false => Item::Table(Table::new()),
        };
        around.insert(name, empty);
    }
    around.get_mut(name).with_context(|| format!("`{name}` cannot be written"))
}

fn table_in<'a>(item: &'a mut Item, name: &str) -> Result<&'a mut Item> {
    let is_inline = item.is_inline_table();
    below(fields_of(item)?, is_inline, name)
}

fn fields_of(item: &mut Item) -> Result<&mut dyn TableLike> {
    item.as_table_like_mut().context("what is no table cannot be changed")
}

/// Puts a value in its place, with the comments of the one that was there.
fn put(then: &mut Item, name: &str, mut value: Item) -> Result<()> {
    let fields = fields_of(then)?;
    match fields.get_mut(name) {
        Some(there) => {
            if let (Some(before), Some(now)) = (there.as_value(), value.as_value_mut()) {
                *now.decor_mut() = before.decor().clone();
            }
            *there = value;
        }
        None => {
            fields.insert(name, value);
        }
    }
    Ok(())
}

fn put_below(then: &mut Item, name: &str, handler: &str, key: &str, value: &Value) -> Result<()> {
    let table = table_in(then, name)?;
    if let Some(table) = table.as_table_mut().filter(|table| table.is_empty()) {
        // Its tables are written; it needs no line of its own.
        table.set_implicit(true);
    }
    put(table_in(table, handler)?, key, item(value))
}

fn item(value: &Value) -> Item {
    Item::Value(toml_of(value))
}

/// A list with each item on a line of its own.
fn lines(items: &[Value]) -> Item {
    let mut array: Array = items.iter().map(toml_of).collect();
    if !array.is_empty() {
        array.iter_mut().for_each(|value| value.decor_mut().set_prefix("\n    "));
        array.set_trailing("\n");
        array.set_trailing_comma(true);
    }
    Item::Value(toml_edit::Value::Array(array))
}

/// JSON as TOML; what TOML cannot say has a sign.
fn toml_of(value: &Value) -> toml_edit::Value {
    let sign = |text: String| {
        let mut table = InlineTable::new();
        table.insert("$json", text.into());
        toml_edit::Value::InlineTable(table)
    };
    match value {
        Value::Null => sign("null".to_owned()),
        Value::Bool(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) if !value.is_u64() => number.into(),
            _ => sign(number.to_string()),
        },
        Value::Array(items) => toml_edit::Value::Array(items.iter().map(toml_of).collect()),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.as_str(), toml_of(value)));
            toml_edit::Value::InlineTable(fields.collect())
        }
    }
}
