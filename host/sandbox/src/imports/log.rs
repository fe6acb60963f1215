//! Lines for the host's log.

use std::fmt::Write;

use crate::{
    contract::waxwing::events::log::{Field, Host, Level},
    guest::Guest,
};

impl Host for Guest {
    fn write(&mut self, level: Level, message: String, fields: Vec<Field>) {
        let level = match level {
            Level::Trace => tracing::Level::TRACE,
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error => tracing::Level::ERROR,
        };
        self.lines().write(level, &message, &rendered(&fields));
    }
}

fn rendered(fields: &[Field]) -> String {
    let mut text = String::new();
    for Field { name, value } in fields {
        let gap = if text.is_empty() { "" } else { " " };
        let plain =
            !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
        // Writing to a string cannot fail.
        let _ =
            if plain { write!(text, "{gap}{name}={value}") } else { write!(text, "{gap}{name}={value:?}") };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_values_that_would_run_together() {
        let field = |name: &str, value: &str| Field { name: name.into(), value: value.into() };
        let fields = [field("a", "1"), field("b", "two words"), field("c", "")];
        assert_eq!(rendered(&fields), r#"a=1 b="two words" c="""#);
    }
}
