//! The forms in which values are written: names, patterns, durations, sizes, counts, choices.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use super::{
    document::{Kind, Value},
    problem::Place,
    quantity,
};

/// Why a value was refused: continues the sentence "`key` in [section] …".
pub(super) struct Refusal {
    pub(super) place: Place,
    pub(super) why: String,
}

type Read<T> = Result<T, Vec<Refusal>>;

/// A value with the place where it was written.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

fn refuse<T>(value: &Value, why: impl Into<String>) -> Read<T> {
    Err(vec![Refusal { place: value.place.clone(), why: why.into() }])
}

/// A text.
pub(super) fn text(value: &Value) -> Read<String> {
    match &value.kind {
        Kind::Text(text) => Ok(text.clone()),
        other => refuse(value, format!("is {}: write a text in quotation marks", other.name())),
    }
}

/// A text that reads as `T`.
pub(super) fn parsed<T: FromStr<Err: Display>>(value: &Value) -> Read<T> {
    match text(value)?.parse() {
        Ok(read) => Ok(read),
        Err(why) => refuse(value, format!("is refused: {why}")),
    }
}

/// A text that reads as `T`, and its place.
pub(super) fn placed<T: FromStr<Err: Display>>(value: &Value) -> Read<Placed<T>> {
    Ok(Placed { value: parsed(value)?, place: value.place.clone() })
}

/// A text and its place.
pub(super) fn placed_text(value: &Value) -> Read<Placed<String>> {
    Ok(Placed { value: text(value)?, place: value.place.clone() })
}

/// A list of texts that read as `T`; a lone text is a list of one, commas part the texts of a variable.
pub(super) fn list<T: FromStr<Err: Display>>(value: &Value) -> Read<Vec<Placed<T>>> {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for item in items(value)? {
        match parsed(&item) {
            Ok(read) => good.push(Placed { value: read, place: item.place }),
            Err(refusals) => bad.extend(refusals),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

/// The values of a list; a lone value is a list of one, commas part the texts of a variable.
pub(super) fn items(value: &Value) -> Read<Vec<Value>> {
    match (&value.kind, &value.place) {
        (Kind::List(items), _) => Ok(items.clone()),
        (Kind::Text(text), Place::Variable(_)) => {
            let parts = text.split(',').map(|part| part.trim().to_owned());
            Ok(parts.map(|part| Value { place: value.place.clone(), kind: Kind::Text(part) }).collect())
        }
        (Kind::Text(_) | Kind::Table(_), _) => Ok(vec![value.clone()]),
        (other, _) => refuse(value, format!("is {}: write a list of texts", other.name())),
    }
}

/// A duration within these bounds.
pub(super) fn duration(value: &Value, bounds: RangeInclusive<Duration>) -> Read<Duration> {
    let written = shown(value);
    let Some(read) = text_of(value).and_then(quantity::duration) else {
        return refuse(
            value,
            format!("is {written}: write a duration such as \"250ms\", \"30s\", \"5m\" or \"30d\""),
        );
    };
    within(value, &written, read, bounds, |bound| quantity::show_duration(*bound))
}

/// Two durations within these bounds, the shorter one first: `"1s..5m"`.
pub(super) fn durations(value: &Value, bounds: RangeInclusive<Duration>) -> Read<(Duration, Duration)> {
    let written = shown(value);
    let read = text_of(value).and_then(|text| text.split_once(".."));
    let read = read.and_then(|(first, most)| Some((quantity::duration(first)?, quantity::duration(most)?)));
    let Some((first, most)) = read else {
        return refuse(
            value,
            format!("is {written}: write the first and the longest delay, such as \"1s..5m\""),
        );
    };
    if first > most {
        return refuse(value, format!("is {written}: the first delay is longer than the longest one"));
    }
    let show = |bound: &Duration| quantity::show_duration(*bound);
    let first = within(value, &written, first, bounds.clone(), show)?;
    Ok((first, within(value, &written, most, bounds, show)?))
}

/// A duration within these bounds, in whole seconds.
pub(super) fn whole_seconds(value: &Value, bounds: RangeInclusive<Duration>) -> Read<Duration> {
    let read = duration(value, bounds)?;
    if read.subsec_nanos() != 0 {
        return refuse(value, format!("is {}: write whole seconds, such as \"2s\"", shown(value)));
    }
    Ok(read)
}

/// A size in bytes within these bounds.
pub(super) fn size(value: &Value, bounds: RangeInclusive<u64>) -> Read<u64> {
    let written = shown(value);
    let Some(read) = text_of(value).and_then(quantity::bytes) else {
        return refuse(value, format!("is {written}: write a size such as \"64KiB\", \"32MiB\" or \"1GiB\""));
    };
    within(value, &written, read, bounds, |bound| quantity::show_bytes(*bound))
}

/// A whole number within these bounds.
pub(super) fn count(value: &Value, bounds: RangeInclusive<u32>) -> Read<u32> {
    let written = shown(value);
    match value.kind {
        Kind::Whole(number) => match u32::try_from(number) {
            Ok(number) => within(value, &written, number, bounds, u32::to_string),
            Err(_) => refuse(value, out_of_bounds(&written, &bounds, u32::to_string)),
        },
        _ => refuse(value, format!("is {written}: write a whole number without quotation marks")),
    }
}

/// One of these words, with what it stands for.
pub(super) fn choice<T: Copy>(value: &Value, choices: &[(&str, T)]) -> Read<T> {
    let written = shown(value);
    match choices.iter().find(|(word, _)| Some(*word) == text_of(value)) {
        Some((_, meant)) => Ok(*meant),
        None => {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            refuse(value, format!("is {written}: write {}", words.join(" or ")))
        }
    }
}

/// True or false; a variable's text says it, too.
pub(super) fn flag(value: &Value) -> Read<bool> {
    match (&value.kind, &value.place) {
        (Kind::Flag(yes), _) => Ok(*yes),
        (Kind::Text(text), Place::Variable(_)) if text == "true" || text == "false" => Ok(text == "true"),
        _ => refuse(value, format!("is {}: write true or false, without quotation marks", shown(value))),
    }
}

/// Named texts; numbers and booleans become texts.
pub(super) fn settings(value: &Value) -> Read<BTreeMap<String, String>> {
    let Kind::Table(table) = &value.kind else {
        return refuse(
            value,
            format!("is {}: write a table such as {{ currency = \"EUR\" }}", value.kind.name()),
        );
    };
    let mut settings = BTreeMap::new();
    let mut bad = Vec::new();
    for member in &table.members {
        let text = match &member.value.kind {
            Kind::Text(text) | Kind::Number(text) | Kind::Time(text) => text.clone(),
            Kind::Whole(number) => number.to_string(),
            Kind::Flag(yes) => yes.to_string(),
            other @ (Kind::List(_) | Kind::Table(_)) => {
                let why = format!("has {} as `{}`: write a text", other.name(), member.key);
                bad.push(Refusal { place: member.value.place.clone(), why });
                continue;
            }
        };
        settings.insert(member.key.clone(), text);
    }
    if bad.is_empty() { Ok(settings) } else { Err(bad) }
}

fn within<T: PartialOrd>(
    value: &Value,
    written: &str,
    read: T,
    bounds: RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Read<T> {
    if bounds.contains(&read) { Ok(read) } else { refuse(value, out_of_bounds(written, &bounds, show)) }
}

fn out_of_bounds<T>(written: &str, bounds: &RangeInclusive<T>, show: impl Fn(&T) -> String) -> String {
    format!("is {written}: {} to {} are allowed", show(bounds.start()), show(bounds.end()))
}

fn text_of(value: &Value) -> Option<&str> {
    match &value.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    match &value.kind {
        Kind::Text(text) => format!("`{text}`"),
        Kind::Whole(number) => format!("`{number}`"),
        Kind::Number(text) => format!("`{text}`"),
        other => other.name().to_owned(),
    }
}
