//! What is wrong with a row, said so that the person who wrote the cell can mend it.

use std::borrow::Cow;
use std::fmt;

use super::Target;

/// How much of a wrong value is shown, in characters.
const VALUE_SHOWN_MAX: usize = 60;

/// One cell that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    column: Box<str>,
    value: Box<str>,
    problem: Box<str>,
    suggestion: Box<str>,
}

impl Problem {
    /// The cell of `column` holds `value`; `problem` continues the sentence «value …», `suggestion` says
    /// what to write instead.
    pub fn new(
        column: &str,
        value: &str,
        problem: impl Into<Box<str>>,
        suggestion: impl Into<Box<str>>,
    ) -> Self {
        let mut shown: String = value.chars().take(VALUE_SHOWN_MAX).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Self {
            column: column.into(),
            value: shown.into(),
            problem: problem.into(),
            suggestion: suggestion.into(),
        }
    }

    /// The column's name as the input writes it.
    #[must_use]
    pub fn column(&self) -> &str {
        &self.column
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.column)?;
        if !self.value.is_empty() {
            write!(f, "{:?} ", self.value)?;
        }
        write!(f, "{}; {}", self.problem, self.suggestion)
    }
}

/// All that is wrong with one row; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    first: Problem,
    others: Vec<Problem>,
    target: Option<Target>,
}

impl Rejection {
    /// Collects problems; `None` where there are none.
    #[must_use]
    pub fn of(problems: Vec<Problem>) -> Option<Self> {
        let mut problems = problems.into_iter();
        let first = problems.next()?;
        Some(Self { first, others: problems.collect(), target: None })
    }

    /// The same of a row that names its file by where it is.
    #[must_use]
    pub(super) fn at(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Where the file is that the row names, if nothing is wrong with that: other rows may be about
    /// the same file.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// Every problem, in the order of the cells.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl From<Problem> for Rejection {
    fn from(first: Problem) -> Self {
        Self { first, others: Vec::new(), target: None }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.others.iter().try_for_each(|problem| write!(f, " | {problem}"))
    }
}

/// What is wrong with a value and what would be right, before the column is known.
#[derive(Debug)]
pub(super) struct Invalid {
    pub(super) problem: Cow<'static, str>,
    pub(super) suggestion: Cow<'static, str>,
}

impl Invalid {
    pub(super) fn new(
        problem: impl Into<Cow<'static, str>>,
        suggestion: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { problem: problem.into(), suggestion: suggestion.into() }
    }
}
