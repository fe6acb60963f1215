//! What is wrong with a manifest: where, what, and what to write instead.

use std::fmt;

/// Where a value of the manifest was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line and a column, both counted from 1.
    Line(usize, usize),
    /// An environment variable.
    Variable(String),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// What is wrong and what to write instead.
    pub text: String,
}

/// All that is wrong with one manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file, as it is shown.
    pub file: String,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Problems {
    /// No problems of this file yet.
    pub fn new(file: impl Into<String>) -> Problems {
        Problems { file: file.into(), errors: Vec::new(), warnings: Vec::new() }
    }

    /// Adds an error: the manifest will be refused.
    pub fn error(&mut self, place: &Place, text: impl Into<String>) {
        self.errors.push(Problem { place: place.clone(), text: text.into() });
    }

    /// Adds a warning: the manifest is taken.
    pub fn warn(&mut self, place: &Place, text: impl Into<String>) {
        self.warnings.push(Problem { place: place.clone(), text: text.into() });
    }

    /// True without an error.
    pub fn is_fine(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors, one a line, in the order of the file.
    pub fn error_lines(&self) -> Vec<String> {
        self.lines(&self.errors)
    }

    /// The warnings, one a line, in the order of the file.
    pub fn warning_lines(&self) -> Vec<String> {
        self.lines(&self.warnings)
    }

    fn lines(&self, problems: &[Problem]) -> Vec<String> {
        let mut sorted: Vec<&Problem> = problems.iter().collect();
        sorted.sort_by(|a, b| a.place.cmp(&b.place));
        sorted.dedup();
        sorted.into_iter().map(|problem| self.line(problem)).collect()
    }

    fn line(&self, Problem { place, text }: &Problem) -> String {
        match place {
            Place::File => format!("{}: {text}", self.file),
            Place::Line(line, column) => format!("{}:{line}:{column}: {text}", self.file),
            Place::Variable(name) => format!("variable {name}: {text}"),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error_lines().join("\n"))
    }
}

impl std::error::Error for Problems {}
