//! Templates: one folder each in `host/templates`, part of the program.

use clap::ValueEnum;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

/// What a new handler begins as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Template {
    /// An event in, state, an event out
    #[default]
    Handler,
    /// Event sourcing: what has happened makes the state
    Aggregate,
    /// A view that any NATS client reads as a KV bucket
    Projection,
    /// Work of several steps, done or undone
    Saga,
    /// Learns from events, answers requests
    Query,
}

/// The texts of a template, with `{{ name }}` and the like in them.
pub(super) struct Texts {
    /// The crate's source.
    pub(super) source: &'static str,
    /// The handler's section of the manifest.
    pub(super) section: &'static str,
    /// Commands that show what it does, while it runs.
    pub(super) next: &'static str,
}

/// What templates speak of.
#[derive(Debug, Serialize)]
pub(super) struct Words<'a> {
    /// The app's name.
    pub(super) app: &'a str,
    /// The handler's name.
    pub(super) name: &'a str,
    /// The name of its crate.
    pub(super) package: &'a str,
    /// Where its crate lies, from the manifest.
    pub(super) module: &'a str,
}

macro_rules! texts {
    ($folder:literal) => {
        Texts {
            source: include_str!(concat!("../../templates/", $folder, "/lib.rs")),
            section: include_str!(concat!("../../templates/", $folder, "/section.toml")),
            next: include_str!(concat!("../../templates/", $folder, "/next.sh")),
        }
    };
}

impl Template {
    /// Its texts.
    pub(super) fn texts(self) -> Texts {
        match self {
            Template::Handler => texts!("handler"),
            Template::Aggregate => texts!("aggregate"),
            Template::Projection => texts!("projection"),
            Template::Saga => texts!("saga"),
            Template::Query => texts!("query"),
        }
    }

    /// What a new app calls its handler.
    pub fn handler_name(self) -> &'static str {
        match self {
            Template::Handler => "greeter",
            Template::Aggregate => "account",
            Template::Projection => "sales",
            Template::Saga => "trip",
            Template::Query => "prices",
        }
    }

    /// The subjects that the app's log must keep for a handler of this name.
    pub(super) fn events(self, name: &str) -> Vec<String> {
        let own = format!("{name}.>");
        match self {
            Template::Aggregate => vec![own, format!("{name}-history.*")],
            Template::Handler | Template::Projection | Template::Saga | Template::Query => vec![own],
        }
    }
}

/// Renders a text; what it speaks of and nobody says is an error.
pub(super) fn render(text: &str, words: &impl Serialize) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_keep_trailing_newline(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.render_str(text, words)
}
