//! Problems of a row, each with a suggestion for the fix.

use std::borrow::Cow;
use std::fmt;

use super::{Change, Field, FileId, Resolved, Target};
use crate::findings::Finding;

/// Maximum characters of an invalid value to show.
const VALUE_SHOWN_MAX: usize = 60;

/// Separates the problems of a row.
pub(crate) const PROBLEM_SEPARATOR: &str = " | ";
/// What is between a column and the address of a cell of it.
pub(crate) const ADDRESS_BEGINS: &str = " (cell ";

/// One invalid cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    column: Box<str>,
    value: Box<str>,
    message: Box<str>,
    suggestion: Box<str>,
    /// The finding for which the cell is held back, if it is valid otherwise.
    finding: Option<Finding>,
    /// The address of the cell in a worksheet.
    address: Option<Box<str>>,
}

impl Problem {
    /// Describes an invalid cell: `problem` continues the sentence "value …"; `suggestion` is the
    /// fix, as an imperative.
    pub fn new(
        column: &str,
        value: &str,
        problem: impl Into<Box<str>>,
        suggestion: impl Into<Box<str>>,
    ) -> Self {
        Self {
            column: column.into(),
            value: Self::shortened(value).into(),
            message: problem.into(),
            suggestion: suggestion.into(),
            finding: None,
            address: None,
        }
    }

    /// A value as far as messages show it.
    pub(super) fn shortened(value: &str) -> String {
        let mut shown: String = value.chars().take(VALUE_SHOWN_MAX).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        shown
    }

    /// A cell that is held back because of a finding, with its fix.
    #[must_use]
    pub fn held(column: &str, value: &str, finding: Finding, fix: &str) -> Self {
        // A damaged id is refused by itself, too.
        let fix = match finding {
            Finding::DamagedIds => fix.to_owned(),
            _ => format!("{fix}, or pass {}", finding.accept_flag()),
        };
        Self { finding: Some(finding), ..Self::new(column, value, finding.problem(), fix) }
    }

    /// The same problem of a column with this name.
    #[must_use]
    pub(crate) fn in_column(self, column: &str) -> Self {
        Self { column: column.into(), ..self }
    }

    /// A problem of the whole row, from its message: the fix follows after `; `.
    #[must_use]
    pub fn of_row(message: &str) -> Self {
        let (problem, fix) = message.split_once("; ").unwrap_or((message, ""));
        Self::new("", "", problem, fix)
    }

    /// The value, shortened; empty if the message has it.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What is wrong: continues the sentence "value …".
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The fix, as an imperative; empty if there is none.
    #[must_use]
    pub fn suggestion(&self) -> &str {
        &self.suggestion
    }

    /// The address of the cell in a worksheet.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// The column's name in the input; empty if the row is invalid as a whole.
    #[must_use]
    pub fn column(&self) -> &str {
        &self.column
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(f, "{}{ADDRESS_BEGINS}{address}): ", self.column)?,
            None => write!(f, "{}: ", self.column)?,
        }
        if !self.value.is_empty() {
            write!(f, "{:?} ", self.value)?;
        }
        write!(f, "{}; {}", self.message, self.suggestion)
    }
}

/// The message of a rejected row without the addresses of its cells, for a sheet in which the row is at
/// another place.
pub(crate) fn without_addresses(message: &str) -> String {
    let without_address = |problem: &str| {
        let (column, rest) = problem.split_once(ADDRESS_BEGINS)?;
        let (address, rest) = rest.split_once("): ")?;
        // After the first colon is the value of the cell.
        let is_address = address.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_address && !column.contains(": ")).then(|| format!("{column}: {rest}"))
    };
    let problems = message.split(PROBLEM_SEPARATOR);
    let problems: Vec<String> =
        problems.map(|it| without_address(it).unwrap_or_else(|| it.to_owned())).collect();
    problems.join(PROBLEM_SEPARATOR)
}

/// The problems of one row; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    first: Problem,
    others: Vec<Problem>,
    target: Option<Target>,
    unless_held: Option<Box<UnlessHeld>>,
}

/// A row whose only problems are words that programs print for no value. It is valid if its file
/// already holds each word in that field: then the word is a value.
#[derive(Debug, Clone, PartialEq)]
pub struct UnlessHeld {
    /// The file; `None` before its path or URL is looked up.
    pub file: Option<FileId>,
    /// The change, with the words as values.
    pub change: Box<Change>,
    /// The words that the file must hold.
    pub words: Vec<HeldWord>,
}

/// A word and the field that must hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldWord {
    /// The field, or the column that changes it.
    pub field: Field,
    /// The word.
    pub word: String,
}

impl Rejection {
    /// Makes a rejection; `None` if there are no problems.
    #[must_use]
    pub fn from_problems(problems: Vec<Problem>) -> Option<Self> {
        let mut problems = problems.into_iter();
        let first = problems.next()?;
        Some(Self { first, others: problems.collect(), target: None, unless_held: None })
    }

    /// Adds the path or URL that identifies the row's file.
    #[must_use]
    pub(super) fn with_target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Adds the address of each cell in a worksheet, by the name of its column.
    pub(crate) fn locate(&mut self, address: impl Fn(&str) -> Option<String>) {
        for problem in std::iter::once(&mut self.first).chain(&mut self.others) {
            problem.address = address(&problem.column).map(Into::into);
        }
    }

    /// Adds what the row is if the library holds its words.
    #[must_use]
    pub(super) fn unless(self, held: UnlessHeld) -> Self {
        Self { unless_held: Some(Box::new(held)), ..self }
    }

    /// What the row is if the library holds its words; `None` for other problems.
    #[must_use]
    pub fn unless_held(&self) -> Option<&UnlessHeld> {
        self.unless_held.as_deref()
    }

    /// Sets the file of a looked-up path or URL.
    pub(super) fn resolve(&mut self, files: &Resolved) {
        if let (Some(target), Some(held)) = (&self.target, &mut self.unless_held)
            && let Some(Ok(file)) = files.get(target)
        {
            held.file = Some(file.clone());
        }
    }

    /// The valid path or URL of the row's file, if any: other rows may change the same file.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// Whether the row is held back only because of findings.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.problems().all(|problem| problem.finding.is_some())
    }

    /// The problems in cell order.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl From<Problem> for Rejection {
    fn from(first: Problem) -> Self {
        Self { first, others: Vec::new(), target: None, unless_held: None }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.others.iter().try_for_each(|problem| write!(f, "{PROBLEM_SEPARATOR}{problem}"))
    }
}

/// A problem and its suggestion, before the column is known.
#[derive(Debug)]
pub(super) struct Invalid {
    pub(super) problem: Cow<'static, str>,
    pub(super) suggestion: Cow<'static, str>,
    /// Whether the cell holds a word that can be a value if the account shows it.
    pub(super) is_word: bool,
}

impl Invalid {
    pub(super) fn new(
        problem: impl Into<Cow<'static, str>>,
        suggestion: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { problem: problem.into(), suggestion: suggestion.into(), is_word: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_out_of_messages() {
        let message = "tags (cell B7): \"a (cell b): c\" is bad; fix | row: is bad; fix | A (b) (cell AB12): x";
        let without = "tags: \"a (cell b): c\" is bad; fix | row: is bad; fix | A (b): x";
        assert_eq!(without_addresses(message), without);
        assert_eq!(without_addresses(without), without);
    }
}
