//! Limits of workbooks: a small file can unpack to more than any memory and disk hold.

use super::WorkbookError;

/// The file, in bytes.
pub(in crate::input) const FILE_BYTES_MAX: u64 = 512 << 20;
/// All parts that are read, unpacked, in bytes.
pub(super) const UNPACKED_BYTES_MAX: u64 = 1 << 30;
/// A part other than worksheets and shared strings, unpacked, in bytes. It is held in memory.
pub(super) const SMALL_PART_BYTES_MAX: u64 = 16 << 20;
/// XML elements of such a part: the reader needs up to some hundred bytes for each.
pub(super) const SMALL_PART_ELEMENTS_MAX: u64 = 300_000;
/// Memory that the shared strings take, in bytes.
pub(super) const STRINGS_BYTES_MAX: u64 = 208 << 20;
/// Parts of the archive.
pub(super) const PARTS_MAX: u64 = 20_000;
/// Merged ranges of a worksheet.
pub(super) const MERGED_MAX: usize = 500_000;
/// Rows of a worksheet, as spreadsheet programs have them.
pub(super) const ROWS_MAX: u32 = 1 << 20;
/// Columns of a worksheet, as spreadsheet programs have them.
pub(super) const COLUMNS_MAX: u64 = 16_384;
/// All rows, written out: a short reference can stand for a long text. In bytes.
pub(super) const ROWS_BYTES_MAX: u64 = 2 << 30;
/// Cells of the worksheet, each counted once more with the empty ones before it in its row.
pub(super) const CELLS_MAX: u64 = 100_000_000;
/// Text from one cell to the next, and one tag of XML, in unpacked bytes. Spreadsheet programs allow
/// 32,767 characters in a cell; the reader needs several times this limit of memory.
pub(super) const CELL_BYTES_MAX: u64 = 4 << 20;

/// The error for a cell above [`CELL_BYTES_MAX`].
pub(super) fn larger_cell() -> WorkbookError {
    too_large("has a cell of more than 4 MiB")
}

/// The error for a file that is larger than [`FILE_BYTES_MAX`].
pub(in crate::input) fn larger_file() -> WorkbookError {
    too_large("is larger than 512 MiB")
}

/// The error for a workbook above a limit.
pub(super) fn too_large(what: &'static str) -> WorkbookError {
    WorkbookError::TooLarge { what }
}
