//! What a damaged record means for the person, and the fix.

use csv::ByteRecord;
use memchr::memmem;

use super::shown;
use crate::input::Delimiter;
use crate::input::names::own;
use crate::input::raw_records::Quoting;
use crate::plural::plural;
use crate::row::Problem;

const JOIN: &str = "put the cell with the line end into quotes, or join the two lines";
const JOIN_OR_DELETE: &str = "if the second line belongs to the row, put the cell with the line end into \
                              quotes, or join the two lines; if it is a line below the rows, delete it";

/// Why a record is no row, or a damaged one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::input) enum Damage {
    /// A quote closes in the middle of the cell with this index.
    Quote { cell: usize, is_escaped: bool },
    /// The record ends at a line end outside quotes, and continues in that line, unless that is a line
    /// below the rows.
    CutOff { continues_in: u64, may_be_below: bool },
    /// The record is the rest of the one in that line, unless it is a line below the rows.
    RestOf { line: u64, may_be_below: bool },
    /// The record repeats the header.
    Header,
    /// The record is a line of dashes.
    Dashes,
    /// The record is a comment.
    Comment,
    /// The record is a line below the rows.
    Footer,
    /// An earlier run marked the record as none.
    Marked,
    /// A cell contains other rows, because a quote is not closed.
    Rows,
    /// The record has more cells than the header, and they are not empty.
    Surplus,
    /// The record has a cell directly after the last column with a name, which is no note as in most records:
    /// the cell before it is probably split.
    UnnamedColumn,
    /// The record ends with more empty cells than the others: its last cell may have moved there.
    EmptySurplus,
    /// The column for ikbulk's status has something else, because the cells have moved.
    MovedStatus,
    /// The record has this delimiter between its cells, and the header has another.
    OtherDelimiter { row: Delimiter, header: Delimiter },
    /// The record is one cell, because quotes are around the whole line.
    QuotedLine,
    /// The cells are in apostrophes.
    Apostrophes,
    /// The record has a row number in front, for which the header has no name.
    RowNumber,
}

impl Damage {
    /// Whether the record, written back with all cells, would be read without damage.
    pub(in crate::input) fn is_hidden_when_rewritten(&self) -> bool {
        !matches!(
            self,
            Self::Quote { .. } | Self::Rows | Self::Surplus | Self::UnnamedColumn | Self::RowNumber
        )
    }

    /// The problem of the row.
    pub(in crate::input) fn problem(&self, header: &ByteRecord, cells: &ByteRecord) -> Problem {
        let of_row = |problem, suggestion| Problem::new("row", &shown(cells), problem, suggestion);
        match self {
            Self::Quote { cell, is_escaped } => misplaced_quote(*cell, *is_escaped, header, cells),
            Self::EmptySurplus => of_row(
                format!("{}, and ends with an empty one", too_many(header, cells)),
                "quote cells that contain the delimiter, or delete the delimiter at the end of the line",
            ),
            Self::Surplus => Problem::new("row", "", too_many(header, cells), quoting_of(cells)),
            Self::RowNumber => of_row(
                "has a row number in front, and the header has no name for it".to_owned(),
                "write a name for the first column into the header, or export the sheet without row \
                 numbers (R: row.names = FALSE)",
            ),
            Self::UnnamedColumn => of_row(
                format!("has a cell {WITHOUT_NAME}, as where a delimiter splits a cell"),
                "quote cells that contain the delimiter; if the column is yours, write a name for it \
                 into the header",
            ),
            Self::MovedStatus => of_row(
                format!("has something else than a status in the column {}", own::STATUS),
                "quote cells that contain the delimiter, so that the cells after them stay in their \
                 columns",
            ),
            other => {
                let (problem, suggestion) = other.of_line();
                of_row(problem, suggestion)
            }
        }
    }

    /// The problem of a whole line, and the fix.
    fn of_line(&self) -> (String, &'static str) {
        match self {
            Self::CutOff { continues_in, may_be_below } => (
                format!(
                    "is cut off by a line end outside quotes, and continues in line {continues_in}"
                ),
                if *may_be_below { JOIN_OR_DELETE } else { JOIN },
            ),
            Self::RestOf { line, may_be_below } => (
                format!(
                    "names no file, and is probably the rest of line {line}, which a line end cuts off"
                ),
                if *may_be_below { JOIN_OR_DELETE } else { JOIN },
            ),
            Self::Header => (
                "repeats the header".to_owned(),
                "delete the row, which is left over from joining two sheets",
            ),
            Self::Dashes => ("is a line of dashes, not a row".to_owned(), "delete the line"),
            Self::Comment => ("is a comment, not a row".to_owned(), "delete the line"),
            Self::Footer => ("is a line below the rows, not a row".to_owned(), "delete the line"),
            Self::Marked => (
                "is no row of the table, as an earlier run has found".to_owned(),
                "fix the row, and delete the cell at its end; or delete the row",
            ),
            Self::Rows => (
                "has other rows in a cell, because a quote is not closed".to_owned(),
                "close the quote at the end of its cell; the rows after it are read then",
            ),
            Self::OtherDelimiter { row, header } => (
                format!(
                    "has {} between its cells, and the header has {}",
                    row.named(),
                    header.named()
                ),
                "export the sheet again with the same delimiter in all lines",
            ),
            Self::QuotedLine => (
                "has quotes around the whole line, so that it is one cell".to_owned(),
                "export the sheet again without quotes around lines",
            ),
            Self::Apostrophes => (
                "is in apostrophes, which do not quote in CSV".to_owned(),
                "export the sheet again with \" around cells",
            ),
            Self::Quote { .. }
            | Self::EmptySurplus
            | Self::Surplus
            | Self::RowNumber
            | Self::UnnamedColumn
            | Self::MovedStatus => {
                unreachable!("it is a problem of cells")
            }
        }
    }
}

/// The fix of a row in which cells are not quoted.
fn quoting_of(cells: &ByteRecord) -> &'static str {
    let has = |quote: &str| memmem::find(cells.as_slice(), quote.as_bytes()).is_some();
    if ["“", "”"].into_iter().any(has) {
        "quote cells that contain the delimiter or line breaks with straight quotes; curly quotes do not \
         quote"
    } else {
        "quote cells that contain the delimiter or line breaks"
    }
}

/// Part of the message of a row with too many cells.
const HEADER_HAS: &str = "the header has";

fn too_many(header: &ByteRecord, cells: &ByteRecord) -> String {
    let has = plural(cells.len() as u64, "cell", "cells");
    format!("has {has}, {HEADER_HAS} {}", header.len())
}

/// Part of the message of a row with a cell in a column without a name.
const WITHOUT_NAME: &str = "in a column without a name";

/// Whether this is the message of a row with a cell in a column without a name.
pub(super) fn is_of_unnamed_column(message: &[u8]) -> bool {
    memmem::find(message, WITHOUT_NAME.as_bytes()).is_some()
}

/// Whether this is the message of a row with too many cells.
pub(super) fn is_of_too_many_cells(message: &[u8]) -> bool {
    memmem::find(message, HEADER_HAS.as_bytes()).is_some()
}

fn misplaced_quote(
    cell: usize,
    is_escaped: bool,
    header: &ByteRecord,
    cells: &ByteRecord,
) -> Problem {
    let text = |record: &ByteRecord| {
        String::from_utf8_lossy(record.get(cell).unwrap_or_default()).into_owned()
    };
    let column = Some(text(header)).filter(|name| !name.trim().is_empty());
    let (problem, suggestion) = if is_escaped {
        (
            "has a quote after a backslash, which closes the cell: CSV does not know \\\"",
            "write a quote in a cell twice: \"\"",
        )
    } else {
        (
            "has a quote that closes in the middle of the cell",
            "close the quote at the end of the cell, and write a quote in a cell twice: \"\"",
        )
    };
    Problem::new(column.as_deref().unwrap_or("row"), &text(cells), problem, suggestion)
}

/// The damage to the quotes of a record.
pub(in crate::input) fn quote_damage(quoting: Quoting) -> Option<Damage> {
    match quoting {
        Quoting::Misplaced { cell, is_escaped, .. } => Some(Damage::Quote { cell, is_escaped }),
        Quoting::Balanced | Quoting::Open => None,
    }
}
