//! A text more in a TOML list, written as its neighbours are.

use toml_edit::{Array, RawString, Value};

/// Adds a text at the end: on a line of its own where the last one stands on one. Comments stay where they are.
pub(super) fn append(list: &mut Array, text: &str) {
    let mut added = Value::from(text);
    let has_comma = list.trailing_comma();
    let trailing = list.trailing().as_str().unwrap_or_default().to_owned();
    let Some(last) = list.iter_mut().last() else {
        added.decor_mut().clear();
        return list.push_formatted(added);
    };
    let written = |text: Option<&RawString>| text.and_then(RawString::as_str).unwrap_or_default().to_owned();
    let (before, behind) = (written(last.decor().prefix()), written(last.decor().suffix()));
    // What stands behind the last text, up to its line's end, belongs to that; the rest to the list's end.
    let behind = if has_comma { trailing } else { behind };
    let (comment, end) = behind.split_at(behind.rfind('\n').unwrap_or_default());
    let own = match before.rfind('\n').and_then(|at| before.get(at..)) {
        Some(line) => line,
        None if comment.contains('#') => "\n    ",
        None => " ",
    };
    added.decor_mut().set_prefix(format!("{}{own}", comment.trim_end()));
    if has_comma {
        list.set_trailing(end);
    } else {
        last.decor_mut().set_suffix("");
        added.decor_mut().set_suffix(end);
    }
    list.push_formatted(added);
}

#[cfg(test)]
mod tests {
    use toml_edit::DocumentMut;

    use super::*;

    fn with_b(text: &str) -> String {
        let mut document: DocumentMut = text.parse().unwrap();
        append(document["list"].as_array_mut().unwrap(), "b");
        document.to_string()
    }

    #[test]
    fn writes_as_the_author_does() {
        for (before, after) in [
            ("list = []\n", "list = [\"b\"]\n"),
            ("list = [ \"a\" ]\n", "list = [ \"a\", \"b\" ]\n"),
            ("list = [\n  \"a\" # first\n]\n", "list = [\n  \"a\", # first\n  \"b\"\n]\n"),
            ("list = [\"a\"] # why\n", "list = [\"a\", \"b\"] # why\n"),
            ("list = [\n    \"a\",\n]\n", "list = [\n    \"a\",\n    \"b\",\n]\n"),
            (
                "list = [\n  # one\n  \"a\", # first\n]\n",
                "list = [\n  # one\n  \"a\", # first\n  \"b\",\n]\n",
            ),
        ] {
            assert_eq!(with_b(before), after);
        }
    }
}
