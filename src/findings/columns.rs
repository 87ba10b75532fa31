//! Counts findings by column.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use foldhash::HashMap;

use super::lists::{begins_array, other_separator};
use super::numbers::decimal_mark;
use super::{CellKind, Finding, Severity};
use crate::plural::plural;

/// Maximum columns that are counted; a sheet can have any number.
const COLUMNS_MAX: usize = 2000;
/// Samples kept of each finding of a column.
const SAMPLES_MAX: usize = 3;
/// Maximum characters of a sample.
const SAMPLE_LENGTH_MAX: usize = 60;
/// Filled cells below which a column is not held.
const FILLED_MIN: u64 = 3;
/// Cells of ten that must show a finding for the column to be held.
const TENTHS_HELD: u64 = 9;
/// Cells of ten that must show a finding that single cells may show: [`Finding::needs_half`].
const TENTHS_SHOWN: u64 = 5;

/// A cell that shows a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The row of the cell.
    pub row: u64,
    /// The cell, shortened.
    pub text: String,
    /// The value in the library that it was compared with; empty if it was not.
    pub library: String,
}

/// A finding of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFinding {
    /// The column.
    pub column: String,
    /// What it shows.
    pub finding: Finding,
    /// Cells that show it.
    pub count: u64,
    /// Cells of the column that are filled.
    pub filled: u64,
    /// The first cells that show it.
    pub samples: Vec<Sample>,
    /// Whether a person accepts it, so that it holds no rows.
    pub is_accepted: bool,
    /// The character at which the lists of the column are split; `None` if they are arrays.
    separator: Option<char>,
    /// Whether a list of the column is split.
    is_split: bool,
    /// Whether the lists of the column that are not split have one separator in common.
    has_one_separator: bool,
}

impl ColumnFinding {
    /// The fix, as an imperative.
    fn fix(&self) -> Cow<'static, str> {
        let sample = self.samples.first().map(|sample| sample.text.as_str()).unwrap_or_default();
        let separator = self.separator.filter(|_| !begins_array(sample));
        let splits_all = self.has_one_separator && (self.is_of_most_cells() || !self.is_split);
        match separator {
            // The option would leave the lists of the other cells unsplit.
            Some(separator) if self.finding == Finding::OtherSeparator && !splits_all => {
                let separator = if separator == ',' { "commas" } else { "the same separator" };
                format!("separate the words of these cells with {separator}").into()
            }
            separator => self.finding.fix_of(sample, separator),
        }
    }

    /// Whether nearly all cells of the column show it.
    fn is_of_most_cells(&self) -> bool {
        self.is_of_tenths(TENTHS_HELD)
    }

    /// Whether at least this many of ten cells show it, in a column with enough filled cells.
    fn is_of_tenths(&self, tenths: u64) -> bool {
        self.filled >= FILLED_MIN && self.count * 10 >= self.filled * tenths
    }

    /// Whether the rows concerned are held back.
    #[must_use]
    pub fn is_held(&self) -> bool {
        if self.is_accepted {
            return false;
        }
        self.finding.severity() == Severity::Hold
            && (self.is_of_most_cells() || self.finding.holds_few())
    }
}

/// The column, how many of its cells show the finding with samples, and the fix of the cells.
impl fmt::Display for ColumnFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, finding, count, filled, samples, .. } = self;
        let cells = plural(*filled, "cell", "cells");
        write!(f, "{column}: in {count} of {cells}, the value {}: ", finding.problem())?;
        for (index, Sample { row, text, library }) in samples.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{text:?} (row {row}")?;
            if !library.is_empty() {
                write!(f, ", the library has {library:?}")?;
            }
            f.write_str(")")?;
        }
        let more = if *count > samples.len() as u64 { ", …" } else { "" };
        write!(f, "{more}; {}", self.fix())
    }
}

/// The findings of all columns, counted cell by cell.
#[derive(Debug, Default)]
pub struct FindingCounts {
    counts: Vec<(String, Counts)>,
    by_name: HashMap<String, usize>,
    /// Index of the column that is probably next: rows have their columns in the same order.
    next: usize,
    /// Numbers of all columns that show the decimal mark of their language.
    decimal_commas: u64,
    decimal_points: u64,
    /// Whether semicolons are between the cells, as where programs write decimal commas.
    is_of_semicolons: bool,
}

#[derive(Debug, Default)]
struct Counts {
    filled: u64,
    /// The character at which lists are split, if the cells are lists.
    separator: Option<char>,
    /// Whether a list has it.
    is_split: bool,
    /// Those in lists that do not have it.
    other_separators: BTreeSet<&'static str>,
    findings: BTreeMap<Finding, (u64, Vec<Sample>)>,
}

impl FindingCounts {
    /// Counts cells with semicolons between them.
    #[must_use]
    pub fn of_semicolons(is_of_semicolons: bool) -> Self {
        Self { is_of_semicolons, ..Self::default() }
    }

    /// Counts a finding in a cell that is counted as filled anyway.
    pub fn note(&mut self, column: &str, finding: Finding, row: u64, cell: &str) {
        if let Some(counts) = self.column(column) {
            counts.add(finding, row, cell, "");
        }
    }

    /// Counts a filled cell.
    pub fn count(&mut self, column: &str, kind: CellKind, row: u64, cell: &str) {
        let mark = if kind == CellKind::Number { decimal_mark(cell) } else { None };
        self.decimal_commas += u64::from(mark == Some(','));
        self.decimal_points += u64::from(mark == Some('.'));
        let Some(counts) = self.column(column) else { return };
        counts.filled += 1;
        if let CellKind::List { separator } = kind {
            counts.separator = Some(separator);
            counts.is_split |= cell.contains(separator);
        }
        if !kind.can_show_finding(cell) {
            return;
        }
        if let CellKind::List { separator } = kind {
            counts.other_separators.extend(other_separator(cell, separator));
        }
        for finding in Finding::OF_CELLS {
            if finding.is_in(kind, cell) {
                counts.add(finding, row, cell, "");
            }
        }
    }

    /// Counts a filled cell that was compared with the library; `found` is what it shows.
    pub fn count_compared(
        &mut self,
        column: &str,
        row: u64,
        cell: &str,
        found: Option<(Finding, &str)>,
    ) {
        let Some(counts) = self.column(column) else { return };
        counts.filled += 1;
        if let Some((finding, library)) = found {
            counts.add(finding, row, cell, library);
        }
    }

    fn column(&mut self, column: &str) -> Option<&mut Counts> {
        let index = match self.counts.get(self.next) {
            Some((name, _)) if name == column => self.next,
            _ => self.index_of(column)?,
        };
        self.next = if index + 1 < self.counts.len() { index + 1 } else { 0 };
        self.counts.get_mut(index).map(|(_, counts)| counts)
    }

    /// The index of a column, which is added if it is new; `None` if there are too many.
    fn index_of(&mut self, column: &str) -> Option<usize> {
        let added = self.counts.len();
        if let Some(index) = self.by_name.get(column) {
            return Some(*index);
        }
        if added == COLUMNS_MAX {
            return None;
        }
        self.by_name.insert(column.to_owned(), added);
        self.counts.push((column.to_owned(), Counts::default()));
        Some(added)
    }

    /// The findings, by column and kind, of which a person accepts some.
    #[must_use]
    pub fn findings(&self, accepted: &BTreeSet<Finding>) -> Vec<ColumnFinding> {
        let commas = self.decimal_commas + u64::from(self.is_of_semicolons);
        let has_decimal_commas = commas > self.decimal_points;
        let is_shown =
            |finding: Finding| finding != Finding::DecimalOrThousands || has_decimal_commas;
        let of_column = |(column, counts): &(String, Counts)| {
            let Counts { filled, separator, is_split, other_separators, findings } = counts;
            let findings = findings.iter().filter(|(finding, _)| is_shown(**finding));
            let findings = findings.map(|(finding, (count, samples))| ColumnFinding {
                column: column.clone(),
                finding: *finding,
                count: *count,
                filled: *filled,
                samples: samples.clone(),
                is_accepted: accepted.contains(finding),
                separator: *separator,
                is_split: *is_split,
                has_one_separator: other_separators.len() == 1,
            });
            let is_shown = |found: &ColumnFinding| {
                !found.finding.needs_half() || found.is_of_tenths(TENTHS_SHOWN)
            };
            findings.filter(is_shown).collect::<Vec<_>>()
        };
        let mut findings: Vec<_> = self.counts.iter().flat_map(of_column).collect();
        findings.sort_by(|one, other| one.column.cmp(&other.column));
        findings
    }
}

impl Counts {
    fn add(&mut self, finding: Finding, row: u64, cell: &str, library: &str) {
        let (count, samples) = self.findings.entry(finding).or_default();
        *count += 1;
        if samples.len() < SAMPLES_MAX {
            let short = |text: &str| text.chars().take(SAMPLE_LENGTH_MAX).collect();
            samples.push(Sample { row, text: short(cell), library: short(library) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: CellKind = CellKind::List { separator: ',' };

    fn held(cells: &[&str]) -> bool {
        let mut columns = FindingCounts::default();
        for (row, cell) in (2..).zip(cells) {
            columns.count("tags", LIST, row, cell);
        }
        columns.findings(&BTreeSet::new()).iter().any(ColumnFinding::is_held)
    }

    #[test]
    fn column_is_held_from_nine_of_ten_and_three_cells() {
        assert!(held(&["a;b", "a;b", "a;b"]));
        assert!(!held(&["a;b", "a;b"]));
        assert!(held(&["a;b", "a;b", "a;b", "a;b", "a;b", "a;b", "a;b", "a;b", "a;b", "a"]));
        assert!(!held(&["a;b", "a;b", "a;b", "a;b", "a;b", "a;b", "a;b", "a;b", "a", "a"]));
        assert!(!held(&["“a”", "“b”", "“c”"]));
    }

    #[test]
    fn number_in_thousands_is_held_in_a_sheet_with_decimal_commas() {
        let held = |cells: &[(&str, &str)]| {
            let mut columns = FindingCounts::default();
            for (row, (column, cell)) in (2..).zip(cells) {
                columns.count(column, CellKind::Number, row, cell);
            }
            let findings = columns.findings(&BTreeSet::new());
            findings.iter().filter(|finding| finding.is_held()).map(|it| it.count).sum::<u64>()
        };
        assert_eq!(held(&[("a", "12,5"), ("a", "1.234"), ("a", "3"), ("a", "4")]), 1);
        assert_eq!(held(&[("a", "12,5"), ("b", "1.234"), ("b", "-12.500")]), 2, "other column");
        assert_eq!(held(&[("a", "1.234"), ("a", "2.345")]), 0, "no decimal comma");
        assert_eq!(held(&[("a", "12.5"), ("a", "1,5"), ("a", "1.234")]), 0, "as many points");
        assert_eq!(held(&[("a", "1.234.567"), ("a", "1.234")]), 1, "thousands");
        assert_eq!(held(&[("a", "1\u{a0}234,50"), ("a", "1.234")]), 1, "groups");
        assert_eq!(held(&[("a", "1,234,567"), ("a", "1.234")]), 0, "English thousands");
        for number in ["0.125", "1234.567", "1.23", "1.2345", "1,234", "12"] {
            assert_eq!(held(&[("a", "12,5"), ("a", number)]), 0, "{number}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut columns = FindingCounts::default();
        for number in 0..COLUMNS_MAX * 2 {
            columns.count(&number.to_string(), LIST, 2, "a;b");
            columns.count("0", LIST, 3, "a;b");
        }
        let findings = columns.findings(&BTreeSet::new());
        assert_eq!(findings.len(), COLUMNS_MAX);
        assert!(findings.iter().all(|finding| finding.samples.len() <= SAMPLES_MAX));
    }
}
