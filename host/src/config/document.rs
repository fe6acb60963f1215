//! The manifest as a tree of values, each with the place where it was written.

use serde_json::Value as Json;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{Place, Problems};

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Text(String),
    Whole(i64),
    /// A number that is no `i64`, as it was written.
    Number(String),
    Flag(bool),
    Time(String),
    List(Vec<Value>),
    Table(Table),
}

/// Named values in the order of their names.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) members: Vec<Member>,
}

/// A name in a table.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) value: Value,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.key == key)
    }

    /// The table of this name, made where there is none; none where the name stands for something else.
    pub(super) fn table_mut(&mut self, key: &str, place: &Place) -> Option<&mut Table> {
        if self.get(key).is_none() {
            self.set(key, Value { place: place.clone(), kind: Kind::Table(Table::default()) });
        }
        match &mut self.members.iter_mut().find(|member| member.key == key)?.value.kind {
            Kind::Table(table) => Some(table),
            _ => None,
        }
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> serde_json::Map<String, Json> {
        self.members.iter().map(|member| (member.key.clone(), member.value.to_json())).collect()
    }

    /// Sets or replaces a value.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        match self.members.iter_mut().find(|member| member.key == key) {
            Some(member) => member.value = value,
            None => self.members.push(Member { key: key.to_owned(), key_place: value.place.clone(), value }),
        }
    }
}

impl Value {
    /// As JSON. Times and numbers that are no `i64` are texts there: no key takes them.
    pub(super) fn to_json(&self) -> Json {
        match &self.kind {
            Kind::Text(text) | Kind::Number(text) | Kind::Time(text) => text.clone().into(),
            Kind::Whole(number) => (*number).into(),
            Kind::Flag(yes) => (*yes).into(),
            Kind::List(items) => items.iter().map(Value::to_json).collect(),
            Kind::Table(table) => table.to_json().into(),
        }
    }

    /// From JSON, everything at one place.
    pub(super) fn from_json(json: &Json, place: &Place) -> Value {
        let kind = match json {
            Json::Null => Kind::Text("null".to_owned()),
            Json::Bool(yes) => Kind::Flag(*yes),
            Json::Number(number) => {
                number.as_i64().map_or_else(|| Kind::Number(number.to_string()), Kind::Whole)
            }
            Json::String(text) => Kind::Text(text.clone()),
            Json::Array(items) => {
                Kind::List(items.iter().map(|item| Value::from_json(item, place)).collect())
            }
            Json::Object(members) => {
                let mut table = Table::default();
                members.iter().for_each(|(key, value)| table.set(key, Value::from_json(value, place)));
                Kind::Table(table)
            }
        };
        Value { place: place.clone(), kind }
    }
}

impl Kind {
    /// What it is, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Text(_) => "a text",
            Kind::Whole(_) | Kind::Number(_) => "a number",
            Kind::Flag(_) => "a boolean",
            Kind::Time(_) => "a time",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }
}

/// Reads the text of a manifest; syntax errors go to `problems`.
pub(super) fn read(text: &str, problems: &mut Problems) -> Table {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = error.span().map_or(Place::File, |span| lines.place(span.start));
        problems.error(&place, format!("this is not TOML: {}", error.message().replace('\n', "; ")));
    }
    lines.table(table.get_ref())
}

/// Reads one TOML value of a variable: a list or a table.
pub(super) fn read_value(text: &str, place: &Place) -> Result<Value, String> {
    let value = DeValue::parse(text).map_err(|error| error.message().replace('\n', "; "))?;
    Ok(Lines { starts: Vec::new(), everywhere: Some(place.clone()) }.value(&value))
}

/// Where the lines of a text begin.
struct Lines {
    starts: Vec<(usize, String)>,
    /// Set where the text is no file but one value from elsewhere.
    everywhere: Option<Place>,
}

impl Lines {
    fn of(text: &str) -> Lines {
        let mut start = 0;
        let mut starts = Vec::new();
        for line in text.split_inclusive('\n') {
            starts.push((start, line.to_owned()));
            start += line.len();
        }
        Lines { starts, everywhere: None }
    }

    fn place(&self, offset: usize) -> Place {
        if let Some(place) = &self.everywhere {
            return place.clone();
        }
        let after = self.starts.partition_point(|(start, _)| *start <= offset);
        match self.starts.get(after.saturating_sub(1)) {
            Some((start, line)) => {
                let column = line.char_indices().take_while(|(i, _)| start + i < offset).count() + 1;
                Place::Line(after.max(1), column)
            }
            None => Place::File,
        }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let mut members: Vec<Member> = table
            .iter()
            .map(|(key, value)| Member {
                key: key.get_ref().to_string(),
                key_place: self.place(key.span().start),
                value: self.value(value),
            })
            .collect();
        members.sort_by(|a, b| a.key_place.cmp(&b.key_place));
        Table { members }
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Value {
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::Text(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(whole) => Kind::Whole(whole),
                Err(_) => Kind::Number(number.as_str().to_owned()),
            },
            DeValue::Float(number) => Kind::Number(number.as_str().to_owned()),
            DeValue::Boolean(yes) => Kind::Flag(*yes),
            DeValue::Datetime(time) => Kind::Time(time.to_string()),
            DeValue::Array(items) => Kind::List(items.iter().map(|item| self.value(item)).collect()),
            DeValue::Table(table) => Kind::Table(self.table(table)),
        };
        Value { place: self.place(value.span().start), kind }
    }
}
