//! Colours, one a meaning. They vanish where the terminal has none, or `NO_COLOR` is set.

use anstyle::{AnsiColor, Reset, Style};

/// It went well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();

/// It went wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Somebody should look.
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();

/// The name of a handler.
pub(super) const NAME: Style = AnsiColor::Cyan.on_default();

/// A title.
pub(super) const TITLE: Style = Style::new().bold();

/// Less important.
pub(super) const DIM: Style = Style::new().dimmed();

/// Ends any of them.
pub(super) const END: Reset = Reset;
