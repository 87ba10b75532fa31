//! How the cells of an input are read. Recorded with a run, so that every later reading of its input
//! gives the same rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::id_damage::is_usual_id;
use super::no_value::{self, NoValue};
use super::problem::Invalid;
use super::{ExtensionNames, Field, FileId, Locale};
use crate::findings::{CellKind, ColumnFinding, Finding, Severity};

/// Rules for all cells of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The text that clears a field, `<clear>` unless set otherwise.
    pub clear_token: String,
    /// Words such as `NA` that are values in every field, although programs print them for no
    /// value.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub literals: BTreeSet<String>,
    /// What a JSON null does to its field; `None` if nothing was said, so that it clears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_means: Option<NullMeans>,
    /// The character between the words of a list; `None` for the comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_separator: Option<char>,
    /// The language of numbers and dates that can be read in two ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<Locale>,
    /// Which rows of one file take effect.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// Findings whose rows are not held back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accepted: BTreeSet<Finding>,
    /// Findings by column whose rows are held back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub holds: BTreeMap<String, BTreeSet<Finding>>,
    /// The names that stand for extensions.
    #[serde(default)]
    pub extensions: ExtensionNames,
}

/// Which rows of one file take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicates {
    /// All, one after the other: of each field, the last value remains.
    #[default]
    InOrder,
    /// The last row only.
    Last,
    /// All, or none if they ask for different values.
    Reject,
}

/// The effect of a JSON null or empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NullMeans {
    /// The field stays unchanged, as without the key.
    Leave,
    /// The field is cleared.
    Clear,
}

impl Duplicates {
    /// The value of `--duplicates`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InOrder => "in-order",
            Self::Last => "last",
            Self::Reject => "reject",
        }
    }
}

impl NullMeans {
    /// The value of `--null-means`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leave => "leave",
            Self::Clear => "clear",
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            clear_token: "<clear>".to_owned(),
            literals: BTreeSet::new(),
            null_means: None,
            list_separator: None,
            locale: None,
            duplicates: Duplicates::InOrder,
            accepted: BTreeSet::new(),
            holds: BTreeMap::new(),
            extensions: ExtensionNames::default(),
        }
    }
}

impl Rules {
    /// Rules for a sheet that ikbulk writes itself: null clears, and no finding holds a row.
    #[must_use]
    pub fn of_own_sheet() -> Self {
        Self { accepted: Finding::ALL.into(), ..Self::default() }
    }

    /// Whether the cell leaves its field unchanged.
    pub(crate) fn leaves(&self, cell: Cell<'_>) -> bool {
        cell.is_empty() || self.null_means == Some(NullMeans::Leave) && cell.is_json_blank()
    }

    /// Whether the cell clears its field.
    pub(super) fn clears(&self, cell: Cell<'_>) -> bool {
        cell.is_clear(&self.clear_token)
            || self.null_means == Some(NullMeans::Clear) && cell.is_json_blank()
    }

    /// Holds back the rows of these findings that are held. Returns whether any were not held before.
    pub fn hold(&mut self, findings: &[ColumnFinding]) -> bool {
        let mut has_new = false;
        for ColumnFinding { column, finding, .. } in
            findings.iter().filter(|finding| finding.is_held())
        {
            if !finding.holds_singly() {
                has_new |= self.holds.entry(column.clone()).or_default().insert(*finding);
            }
        }
        has_new
    }

    /// Whether rows of this finding are held back.
    #[must_use]
    pub fn holds(&self, column: &str, finding: Finding) -> bool {
        self.holds.get(column).is_some_and(|findings| findings.contains(&finding))
    }

    /// What the cells of a field hold, as far as findings differ by it. With a locale, a number has one
    /// reading.
    pub(super) fn cell_kind(&self, field: &Field) -> Option<CellKind> {
        let kind = field.cell_kind(self.separator());
        kind.filter(|kind| *kind != CellKind::Number || self.locale.is_none())
    }

    /// The character between the words of a list.
    pub(super) fn separator(&self) -> char {
        self.list_separator.unwrap_or(',')
    }

    /// The finding for which a cell is held back; `before` are those for which the row was.
    pub(super) fn held(
        &self,
        column: &str,
        field: &Field,
        cell: Cell<'_>,
        before: &[Finding],
    ) -> Option<Finding> {
        let kind = self.cell_kind(field)?;
        let shows = |finding: &Finding| {
            let mut texts = cell.texts(kind);
            texts.any(|(kind, text)| finding.is_in(kind, text))
        };
        let damaged = (kind == CellKind::Id).then_some(Finding::DamagedIds);
        let mut findings = damaged.into_iter().chain(before.iter().copied());
        let found = findings.find(|finding| self.can_hold(*finding) && shows(finding));
        found.or_else(|| self.holds.get(column)?.iter().copied().find(shows))
    }

    /// Whether a finding can hold rows: it is severe, and not accepted.
    #[must_use]
    pub fn can_hold(&self, finding: Finding) -> bool {
        finding.severity() == Severity::Hold && !self.accepted.contains(&finding)
    }

    /// Whether a cell is certainly a value as it is; a fast path for nearly all cells.
    pub(super) fn is_plain(&self, cell: Cell<'_>) -> bool {
        matches!(cell, Cell::Text(text) if no_value::is_plain(text))
            && self.has_marked_clear_token()
    }

    /// The id that a cell certainly is, by its shape; a fast path for nearly all cells with ids.
    pub(super) fn usual_id(&self, cell: Cell<'_>) -> Option<FileId> {
        let is_usual = |text: &&str| is_usual_id(text) && self.has_marked_clear_token();
        cell.text().filter(is_usual).map(|text| FileId(text.into()))
    }

    /// Whether the clear token begins with a mark, so that text which begins with a letter or digit is no
    /// such token, nor nearly one.
    fn has_marked_clear_token(&self) -> bool {
        self.clear_token.starts_with(|c: char| c.is_ascii_punctuation())
    }

    /// Why a whole cell is no value of the field; `None` for a value.
    pub(super) fn no_value(&self, field: &Field, cell: Cell<'_>) -> Option<NoValue> {
        let text = cell.text()?;
        let no_value = if field.is_list() { NoValue::of_list(text) } else { NoValue::of(text) };
        match no_value? {
            word if word.can_be_value() && self.is_value(field, text.trim()) => None,
            // Extensions are JSON, with messages of their own.
            NoValue::Code if *field == Field::Extensions => None,
            no_value => Some(no_value),
        }
    }

    /// One word of a list without its escape.
    ///
    /// # Errors
    /// The word is what a program printed for no value.
    pub(super) fn word<'t>(&self, field: &Field, word: &'t str) -> Result<&'t str, Invalid> {
        if let Some(escaped) = no_value::unescaped(word) {
            return Ok(escaped);
        }
        match NoValue::of(word) {
            None => Ok(word),
            Some(no_value) if no_value.can_be_value() && self.is_value(field, word.trim()) => {
                Ok(word)
            }
            Some(no_value) => {
                let problem = format!("contains {word:?}, {}", no_value.description());
                let invalid = Invalid::new(problem, no_value.fix(word.trim(), field));
                Err(Invalid { is_word: no_value.can_be_value(), ..invalid })
            }
        }
    }

    /// These rules, with every word as a value.
    pub(super) fn with_all_words(&self) -> Self {
        let mut rules = self.clone();
        rules.literals.extend(no_value::words());
        rules
    }

    /// Whether a word is a value of the field only if the library holds it.
    pub(super) fn is_undecided(&self, field: &Field, word: &str) -> bool {
        let is_word = NoValue::of(word).is_some_and(NoValue::can_be_value);
        is_word && !self.is_value(field, word.trim())
    }

    /// Whether a word that programs print for no value is a value of the field.
    fn is_value(&self, field: &Field, word: &str) -> bool {
        self.literals.contains(word) || field.has_option(word)
    }
}
