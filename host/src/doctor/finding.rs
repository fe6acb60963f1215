//! One thing that the doctor says.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// A promise is weaker than it could be.
    Warning,
    /// A promise is broken, or the app cannot run.
    Problem,
}

/// What was found of one thing, why it matters, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Which check says so: a word that stays the same.
    pub check: &'static str,
    /// What was found.
    pub what: String,
    /// Why it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

impl Finding {
    /// Something that is as it should be.
    pub fn ok(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, check, what: what.into(), why: None, way_out: None }
    }

    /// Something worth knowing.
    pub fn note(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { level: Level::Note, ..Finding::ok(check, what) }
    }

    /// Something that weakens a promise.
    pub fn warning(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, ..Finding::ok(check, what) }
    }

    /// Something that breaks a promise.
    pub fn problem(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { level: Level::Problem, ..Finding::ok(check, what) }
    }

    /// Says why it matters.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Finding {
        self.why = Some(why.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn way_out(mut self, way_out: impl Into<String>) -> Finding {
        self.way_out = Some(way_out.into());
        self
    }
}
