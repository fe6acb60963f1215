//! Shows a build: a spinner on a terminal, plain lines elsewhere.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use super::style::{DIM, END};
use crate::module;

/// Shows what cargo does.
pub(super) struct Building {
    bar: Option<ProgressBar>,
}

impl Building {
    /// Begins to show; `what` is built.
    pub(super) fn begin(what: &str) -> Building {
        if !std::io::stderr().is_terminal() {
            anstream::eprintln!("building {what}");
            return Building { bar: None };
        }
        let bar = ProgressBar::new_spinner().with_message(what.to_owned()).with_prefix("building");
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Building { bar: Some(bar) }
    }

    /// Takes the spinner away.
    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

impl module::Progress for Building {
    fn status(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            // Without a terminal one line a crate is plenty.
            None if text.starts_with("Compiling") => anstream::eprintln!("  {DIM}{text}{END}"),
            None => {}
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| anstream::eprintln!("{text}")),
            None => anstream::eprintln!("{text}"),
        }
    }
}
