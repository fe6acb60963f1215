//! One key of the manifest: its name, how its value is written, and what it means.
//!
//! The strict reader knows keys by these; the reference is made of them; tests hold the two together.

use std::time::Duration;

/// A key of a table.
pub(crate) struct Key {
    /// How it is written.
    pub(crate) name: &'static str,
    /// What its value is.
    pub(crate) form: Form,
    /// What holds without it.
    pub(crate) usual: Usual,
    /// What it means, in one sentence.
    pub(crate) about: &'static str,
}

/// What the value of a key is.
pub(crate) enum Form {
    /// A text; the words say which.
    Text(&'static str),
    /// A list of texts, or one text; the words say which.
    List(&'static str),
    /// True or false.
    Flag,
    /// A whole number within these bounds.
    Count(u32, u32),
    /// A duration within these bounds.
    Duration(Duration, Duration),
    /// As [`Form::Duration`], in whole seconds.
    Seconds(Duration, Duration),
    /// Two durations within these bounds: the first and the longest.
    Delays(Duration, Duration),
    /// A size in bytes within these bounds.
    Size(u64, u64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Texts under names that the author chooses.
    Texts,
    /// A table with these keys.
    Table(&'static [Key]),
    /// A list of tables with these keys.
    Tables(&'static [Key]),
    /// Tables with these keys, under names that the author chooses; the words stand for such a name.
    Named(&'static str, &'static [Key]),
}

/// What holds without a key.
#[derive(Clone, Copy)]
pub(crate) enum Usual {
    /// It must be there.
    Required,
    /// The same as with this value, as TOML.
    Is(&'static str),
    /// What these words say.
    Means(&'static str),
}

impl Key {
    /// A key with a default that these words tell.
    pub(super) const fn new(name: &'static str, form: Form, usual: Usual, about: &'static str) -> Key {
        Key { name, form, usual, about }
    }
}

/// The names of keys.
pub(super) fn names(keys: &'static [Key]) -> impl Iterator<Item = &'static str> + Clone {
    keys.iter().map(|key| key.name)
}
