//! The outcome in the form that CI systems read: JUnit's XML.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use anyhow::{Context, Result};

use super::{Tested, report, scenarios::Outcome};

/// Writes the outcome of scenarios and of the tests of crates.
pub(super) fn write(path: &Path, scenarios: &[Outcome], crates: &[Tested]) -> Result<()> {
    let text = document(scenarios, crates);
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// One case.
struct Case<'a> {
    name: &'a str,
    seconds: f64,
    failure: Option<String>,
}

fn document(scenarios: &[Outcome], crates: &[Tested]) -> String {
    let mut suites: BTreeMap<String, Vec<Case<'_>>> = BTreeMap::new();
    for outcome in scenarios {
        let failure = (!outcome.passed).then(|| report::text(outcome));
        let case = Case { name: &outcome.name, seconds: outcome.elapsed.as_secs_f64(), failure };
        suites.entry(outcome.file.clone()).or_default().push(case);
    }
    for tested in crates {
        let failure = (!tested.passed).then(|| "tests of the crate failed: cargo has said which".to_owned());
        let case = Case { name: "the tests of the crate", seconds: tested.elapsed.as_secs_f64(), failure };
        suites.entry(tested.handler.to_string()).or_default().push(case);
    }
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (suite, cases) in &suites {
        // Writing to a string cannot fail.
        let _ = add(&mut text, suite, cases);
    }
    text.push_str("</testsuites>\n");
    text
}

fn add(text: &mut String, suite: &str, cases: &[Case<'_>]) -> std::fmt::Result {
    let suite = escaped(suite);
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let seconds: f64 = cases.iter().map(|case| case.seconds).sum();
    writeln!(
        text,
        "  <testsuite name=\"{suite}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"{seconds:.3}\">",
        cases.len()
    )?;
    for Case { name, seconds, failure } in cases {
        let name = escaped(name);
        write!(text, "    <testcase classname=\"{suite}\" name=\"{name}\" time=\"{seconds:.3}\"")?;
        match failure {
            None => writeln!(text, "/>")?,
            Some(why) => {
                let first = escaped(why.lines().next().unwrap_or_default());
                let why = escaped(why);
                writeln!(text, ">\n      <failure message=\"{first}\">{why}</failure>\n    </testcase>")?;
            }
        }
    }
    writeln!(text, "  </testsuite>")
}

/// Text as XML has it; what XML cannot hold is shown as a question mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn holds_any_text() {
        let outcome = |name: &str, error: Option<&str>| Outcome {
            file: "a/scenarios/b.toml".to_owned(),
            name: name.to_owned(),
            handlers: Vec::new(),
            passed: error.is_none(),
            updated: false,
            error: error.map(str::to_owned),
            differences: Vec::new(),
            faults: 0,
            under_faults: Vec::new(),
            elapsed: Duration::from_millis(1500),
        };
        let text = document(&[outcome("a < b & \"c\"", None), outcome("x", Some("one\n<two>\u{1b}"))], &[]);
        insta::assert_snapshot!(text, @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites>
          <testsuite name="a/scenarios/b.toml" tests="2" failures="1" errors="0" skipped="0" time="3.000">
            <testcase classname="a/scenarios/b.toml" name="a &lt; b &amp; &quot;c&quot;" time="1.500"/>
            <testcase classname="a/scenarios/b.toml" name="x" time="1.500">
              <failure message="one">one
        &lt;two&gt;?</failure>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
