//! Why no rows can be read from a workbook.

use std::io;

/// Why a workbook cannot be used. Nothing of it is sent.
#[derive(Debug, thiserror::Error)]
pub enum WorkbookError {
    /// The workbook is protected with a password.
    #[error(
        "the workbook is encrypted with a password; open it, remove the password and save it again \
         (nothing was sent)"
    )]
    Encrypted,
    /// The file is no workbook that can be read.
    #[error("the input is {what}, not a workbook that can be read; {fix} (nothing was sent)")]
    OtherKind {
        /// The kind of file.
        what: &'static str,
        /// The fix, as an imperative.
        fix: &'static str,
    },
    /// The file is damaged, or not as programs write it.
    #[error(
        "the workbook is damaged: {why}; open it in a spreadsheet program and save it again as XLSX \
         (nothing was sent)"
    )]
    Damaged {
        /// What is wrong.
        why: String,
    },
    /// The workbook exceeds a limit.
    #[error(
        "the workbook {what}; copy the worksheet into a new workbook, or save it as “CSV UTF-8” (nothing \
         was sent)"
    )]
    TooLarge {
        /// What exceeds which limit.
        what: &'static str,
    },
    /// The named worksheet does not exist.
    #[error("there is no worksheet {name:?}; the workbook has {others} (nothing was sent)")]
    NoWorksheet {
        /// The name that was given.
        name: String,
        /// The names of the worksheets.
        others: String,
    },
    /// A worksheet was named for an input that is no workbook.
    #[error(
        "the input is no workbook, so it has no worksheet {name:?}; leave out --worksheet (nothing was \
         sent)"
    )]
    NoWorkbook {
        /// The name that was given.
        name: String,
    },
    /// The workbook has no worksheet, only charts or macros.
    #[error("the workbook has no worksheet with cells (nothing was sent)")]
    NoWorksheets,
    /// The worksheet has no cells.
    #[error(
        "worksheet {name:?} is empty{}; nothing was sent",
        if others.is_empty() { String::new() } else {
            format!("; pass --worksheet with the name of another: {others}")
        }
    )]
    Empty {
        /// The name of the worksheet.
        name: String,
        /// The names of the others.
        others: String,
    },
    /// A cell cannot be read.
    #[error("worksheet {worksheet:?}, cell {cell}: {why} (nothing was sent)")]
    Cell {
        /// The name of the worksheet.
        worksheet: String,
        /// The address of the cell, or of the last cell before it.
        cell: String,
        /// What is wrong, and the fix.
        why: String,
    },
    /// A temporary file cannot be read or written.
    #[error("cannot unpack the workbook")]
    Unpack(#[source] io::Error),
}

impl WorkbookError {
    #[expect(clippy::needless_pass_by_value, reason = "so that it can be passed to map_err")]
    pub(super) fn damaged(why: impl ToString) -> Self {
        Self::Damaged { why: why.to_string() }
    }
}
