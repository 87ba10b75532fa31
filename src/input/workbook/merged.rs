//! Merged cells: only the first cell of a merged range has a value, and the program shows it over all.

use memchr::memmem;

use super::WorkbookError;
use super::limits::{COLUMNS_MAX, MERGED_MAX, too_large};
use super::stored::{address, parse_address};

/// A range of cells, rows from 1 and columns from 0; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) first_row: u32,
    pub(super) first_column: u32,
    pub(super) last_row: u32,
    pub(super) last_column: u32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once(':')?;
        let ((first_row, first_column), (last_row, last_column)) =
            (parse_address(first)?, parse_address(last)?);
        let is_range = first_row <= last_row && first_column <= last_column;
        is_range.then_some(Self { first_row, first_column, last_row, last_column })
    }

    /// The range as spreadsheet programs show it, such as `C7:C9`.
    pub(super) fn text(&self) -> String {
        let address = |row: u32, column: u32| address(row.into(), column as usize);
        let (first, last) =
            (address(self.first_row, self.first_column), address(self.last_row, self.last_column));
        format!("{first}:{last}")
    }

    /// Whether the cell is covered by another cell of the range.
    fn covers(&self, row: u32, column: u32) -> bool {
        (self.first_row..=self.last_row).contains(&row)
            && (self.first_column..=self.last_column).contains(&column)
            && (row, column) != (self.first_row, self.first_column)
    }
}

/// The merged ranges of a worksheet, for reading its rows from top to bottom.
#[derive(Debug, Default)]
pub(super) struct MergedCells {
    /// In order, the first one last.
    ranges: Vec<Range>,
    /// Those with a value that can cover cells of the row that is being read.
    open: Vec<Range>,
}

impl MergedCells {
    pub(super) fn new(mut ranges: Vec<Range>) -> Self {
        ranges.sort_unstable_by(|one, other| other.cmp(one));
        Self { ranges, open: Vec::new() }
    }

    /// Adds a range that begins in the row that is read next.
    pub(super) fn push(&mut self, range: Range) {
        self.ranges.push(range);
    }

    /// Whether any of them can cover cells of a row; rows come in order.
    pub(super) fn reach(&self, row: u32) -> bool {
        !self.open.is_empty() || self.ranges.last().is_some_and(|range| range.first_row <= row)
    }

    /// The covered cells of a row, in order: column, and the range that covers it. The rows come in
    /// order. `is_filled` tells whether a cell of the row has a value.
    ///
    /// # Errors
    /// The ranges overlap, which no program allows.
    pub(super) fn covered(
        &mut self,
        row: u32,
        is_filled: impl Fn(u32) -> bool,
    ) -> Result<Vec<(u32, Range)>, WorkbookError> {
        self.open.retain(|range| range.last_row >= row);
        while let Some(range) = self.ranges.pop_if(|range| range.first_row <= row) {
            if range.first_row == row && is_filled(range.first_column) {
                self.open.push(range);
            }
        }
        if self.open.is_empty() {
            return Ok(Vec::new());
        }
        let width = |range: &Range| u64::from(range.last_column - range.first_column) + 1;
        if self.open.iter().map(width).sum::<u64>() > COLUMNS_MAX {
            return Err(WorkbookError::damaged("its merged cells overlap"));
        }
        let cells = |range: &Range| {
            let (columns, range) = (range.first_column..=range.last_column, *range);
            columns.filter(move |column| range.covers(row, *column)).map(move |it| (it, range))
        };
        let mut covered: Vec<_> = self.open.iter().flat_map(cells).collect();
        covered.sort_unstable();
        covered.dedup_by_key(|(column, _)| *column);
        Ok(covered)
    }
}

/// Finds the merged ranges in the text of a worksheet, wherever it is cut.
#[derive(Debug, Default)]
pub(super) struct MergedFinder {
    ranges: Vec<Range>,
    /// The end of the text before, in which an element may begin.
    tail: Vec<u8>,
}

/// Longer than every such element that a program writes.
const ELEMENT_BYTES_MAX: usize = 128;
const NAME: &[u8] = b"mergeCell ";

impl MergedFinder {
    /// Searches a further piece of the text.
    pub(super) fn search(&mut self, text: &[u8]) -> Result<(), WorkbookError> {
        // Elements that begin in the last bytes are found with the next piece.
        let old = self.tail.len();
        self.tail.extend(text.iter().take(ELEMENT_BYTES_MAX));
        let tail = std::mem::take(&mut self.tail);
        self.find_in(&tail, old.min(tail.len()));
        let begin = text.len().saturating_sub(ELEMENT_BYTES_MAX);
        self.find_in(text, begin);
        if text.len() < ELEMENT_BYTES_MAX {
            let keep = tail.len().saturating_sub(ELEMENT_BYTES_MAX);
            self.tail = tail.get(keep..).unwrap_or_default().to_vec();
        } else {
            self.tail = text.get(begin..).unwrap_or_default().to_vec();
        }
        // Elements in short pieces are found more than once.
        if self.ranges.len() > 2 * MERGED_MAX { self.check_count() } else { Ok(()) }
    }

    /// Fails if there are too many different ranges.
    fn check_count(&mut self) -> Result<(), WorkbookError> {
        self.ranges.sort_unstable();
        self.ranges.dedup();
        if self.ranges.len() > MERGED_MAX {
            return Err(too_large("has more than 500,000 merged ranges in a worksheet"));
        }
        Ok(())
    }

    /// Adds the elements that begin before `end`, with the byte before their name.
    fn find_in(&mut self, text: &[u8], end: usize) {
        for at in memmem::find_iter(text, NAME) {
            let Some(before) = at.checked_sub(1) else { continue };
            if before >= end {
                break;
            }
            if matches!(text.get(before), Some(b'<' | b':')) {
                let rest = text.get(at..(at + ELEMENT_BYTES_MAX).min(text.len()));
                self.ranges.extend(rest.and_then(range_of));
            }
        }
    }

    /// The ranges in all of the text.
    pub(super) fn finish(mut self) -> Result<MergedCells, WorkbookError> {
        let tail = std::mem::take(&mut self.tail);
        self.find_in(&tail, tail.len());
        self.check_count()?;
        Ok(MergedCells::new(self.ranges))
    }
}

/// The range in the attribute `ref` of an element.
fn range_of(element: &[u8]) -> Option<Range> {
    let at = memmem::find(element, b"ref=")? + b"ref=".len();
    let (quote, rest) = element.get(at..)?.split_first()?;
    let end = memchr::memchr(*quote, rest)?;
    Range::parse(std::str::from_utf8(rest.get(..end)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        Range::parse(text).expect("a range")
    }

    #[test]
    fn ranges_are_found_wherever_the_text_is_cut() {
        let text = format!(
            "{}<mergeCells><mergeCell ref=\"A1:B1\"/><x:mergeCell ref='C2:C40'/></mergeCells>",
            "<c/>".repeat(40)
        );
        let text = text.as_bytes();
        for cut in 0..text.len() {
            let mut finder = MergedFinder::default();
            finder.search(&text[..cut]).unwrap();
            finder.search(&text[cut..]).unwrap();
            assert_eq!(finder.finish().unwrap().ranges, [range("C2:C40"), range("A1:B1")], "{cut}");
        }
        let mut finder = MergedFinder::default();
        text.chunks(7).for_each(|chunk| finder.search(chunk).unwrap());
        assert_eq!(finder.finish().unwrap().ranges.len(), 2);
        let many = (1..=2000).map(|row| format!("<mergeCell ref=\"A{row}:B{row}\"/>"));
        let many: String = many.collect();
        for length in (1..600).chain([1 << 10, 1 << 12, 1 << 16]) {
            let mut finder = MergedFinder::default();
            many.as_bytes().chunks(length).for_each(|chunk| finder.search(chunk).unwrap());
            assert_eq!(finder.finish().unwrap().ranges.len(), 2000, "{length}");
        }
    }

    #[test]
    fn cells_are_covered_below_and_beside_a_value() {
        let mut merged = MergedCells::new(vec![range("B2:C3"), range("A2:A4"), range("D5:D6")]);
        let mut covered = |row, is_filled: fn(u32) -> bool| -> Vec<u32> {
            let covered = merged.covered(row, is_filled).unwrap();
            covered.into_iter().map(|(column, _)| column).collect()
        };
        assert_eq!(covered(2, |column| column == 1), [2]);
        assert_eq!(covered(3, |_| true), [1, 2]);
        assert!(covered(6, |_| true).is_empty(), "the first cell has no value");
        assert_eq!(range("B2:C3").text(), "B2:C3");
    }
}
