//! `docs/reference/wit.md`, from the files of the contract with their comments.

use super::begin;

const BEFORE: &str = "
What a handler imports and exports, whatever language it is written in: the files of [`wit/`](../../wit), word for word.
";

/// The page; `files` are the texts of the contract's files, in the order in which they are shown.
pub fn wit(files: &[String]) -> String {
    let mut page = begin("Contract (WIT)", "wit/");
    page.push_str(BEFORE);
    if let Some(package) =
        files.iter().find_map(|text| text.lines().find(|line| line.starts_with("package ")))
    {
        page.push_str(&format!("\n```wit\n{package}\n```\n"));
    }
    files.iter().for_each(|text| file(&mut page, text));
    page
}

/// Interfaces and worlds of a file.
fn file(page: &mut String, text: &str) {
    let mut docs = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(doc) = line.strip_prefix("///") {
            docs.push(doc.strip_prefix(' ').unwrap_or(doc));
        } else if let Some(head) = line.strip_suffix(" {") {
            let (kind, name) = head.split_once(' ').unwrap_or(("interface", head));
            page.push_str(&format!("\n## {kind} `{name}`\n\n{}\n", docs.join("\n")));
            docs.clear();
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
            match kind {
                "world" => code(page, &body),
                _ => items(page, &body),
            }
        }
    }
}

/// What an interface holds, one heading each.
fn items(page: &mut String, body: &[&str]) {
    let mut docs: Vec<&str> = Vec::new();
    let mut item: Vec<&str> = Vec::new();
    for line in body {
        let line = line.strip_prefix("    ").unwrap_or(line);
        if item.is_empty() {
            if let Some(doc) = line.strip_prefix("///") {
                docs.push(doc.strip_prefix(' ').unwrap_or(doc));
                continue;
            }
            if line.is_empty() {
                continue;
            }
        }
        item.push(line);
        let is_closed = item.len() > 1 && line == "}";
        let is_whole = item.len() == 1 && (line.ends_with(';') || line.ends_with('}'));
        if is_closed || is_whole {
            if let Some(title) = item.first().and_then(|line| title(line)) {
                page.push_str(&format!("\n### {title}\n"));
            }
            if !docs.is_empty() {
                page.push_str(&format!("\n{}\n", docs.join("\n")));
            }
            code(page, &item);
            docs.clear();
            item.clear();
        }
    }
}

/// Kind and name of an item; none for `use`.
fn title(line: &str) -> Option<String> {
    let (first, rest) = line.split_once(' ')?;
    match first.strip_suffix(':') {
        Some(function) => Some(format!("func `{function}`")),
        None if first == "use" => None,
        None => Some(format!("{first} `{}`", rest.split([' ', '=', ';']).next()?)),
    }
}

fn code(page: &mut String, lines: &[&str]) {
    let least =
        lines.iter().filter(|line| !line.is_empty()).map(|line| line.len() - line.trim_start().len()).min();
    let dedented = lines.iter().map(|line| line.get(least.unwrap_or_default()..).unwrap_or_default());
    page.push_str(&format!("\n```wit\n{}\n```\n", dedented.collect::<Vec<_>>().join("\n")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_each_item_with_its_comment() {
        let text = "package a:b@0.1.0;\n\n/// Things.\ninterface things {\n    use types.{event};\n\n    /// One.\n    record \
                    one {\n        /// Its name.\n        name: string,\n    }\n\n    /// Gets it.\n    get: func() -> \
                    one;\n}\n";
        let page = wit(&[text.to_owned()]);
        let from = page.find("## interface").unwrap();
        assert_eq!(
            &page[from..],
            "## interface `things`\n\nThings.\n\n```wit\nuse types.{event};\n```\n\n### record `one`\n\nOne.\n\n```wit\n\
             record one {\n    /// Its name.\n    name: string,\n}\n```\n\n### func `get`\n\nGets it.\n\n```wit\nget: \
             func() -> one;\n```\n"
        );
    }
}
