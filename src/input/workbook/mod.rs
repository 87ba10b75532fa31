//! Reads a worksheet of an XLSX or ODS workbook into a file of rows, once: what reads the input after
//! that, from its beginning or from a row, holds one row in memory.
//!
//! In reading order: [`unpack`] (limits) → [`xlsx`] and [`ods`] (cells) → [`rows`] → [`row_file`].

mod choice;
mod error;
mod limits;
mod merged;
mod metered;
mod ods;
mod ods_text;
mod row_file;
mod rows;
mod stored;
mod strings;
mod unpack;
mod xlsx;

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) use error::WorkbookError;
pub(super) use limits::{FILE_BYTES_MAX, larger_file};
pub(super) use row_file::{RowReader, WorksheetRow};
pub(crate) use stored::Stored;
pub(crate) use stored::address;
pub(super) use stored::number as number_text;

use super::Format;
use unpack::{Kind, Unpacked};

const BUFFER_BYTES: usize = 256 << 10;
/// How the archive of a workbook begins; the second is an empty archive.
const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
/// How an old or encrypted workbook begins.
const COMPOUND_FILE: &[u8] = b"\xD0\xCF\x11\xE0";

/// A worksheet that was read.
#[derive(Debug)]
pub(super) struct Converted {
    pub(super) format: Format,
    /// The name of the worksheet.
    pub(super) worksheet: String,
    /// The rows.
    pub(super) rows: File,
}

/// Whether a file with these first bytes is a workbook, or an archive that may be one.
pub(super) fn is_workbook(first: &[u8]) -> bool {
    first.starts_with(COMPOUND_FILE) || ZIP.iter().any(|zip| first.starts_with(zip))
}

/// Writes the rows of the worksheet with this name, or of the first one, to `out`, an empty file.
/// `scratch` is another one for the unpacked workbook.
///
/// # Errors
/// The file is no workbook, is damaged or exceeds a limit, or a file cannot be read or written.
pub(super) fn convert(
    workbook: &mut File,
    worksheet: Option<&str>,
    out: File,
    scratch: File,
) -> Result<Converted, WorkbookError> {
    check_kind(workbook)?;
    // The readers of other libraries are not written for hostile files.
    let converted = catch_unwind(AssertUnwindSafe(|| {
        let unpacked = Unpacked::new(workbook, scratch)?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, out);
        let (format, (choice, out)) = match unpacked.kind {
            Kind::Xlsx => (Format::Xlsx, xlsx::convert(unpacked, worksheet, out)?),
            Kind::Ods => (Format::Ods, ods::convert(unpacked, worksheet, out)?),
        };
        let rows = out.into_inner().map_err(|error| WorkbookError::Unpack(error.into_error()))?;
        Ok(Converted { format, worksheet: choice.name, rows })
    }));
    converted.unwrap_or_else(|_| Err(WorkbookError::damaged("its reader failed")))
}

/// Refuses what is no archive of parts.
fn check_kind(workbook: &mut File) -> Result<(), WorkbookError> {
    let mut first = Vec::new();
    workbook.rewind().map_err(WorkbookError::Unpack)?;
    (&mut *workbook).take(8).read_to_end(&mut first).map_err(WorkbookError::Unpack)?;
    let (what, fix) = if ZIP.iter().any(|zip| first.starts_with(zip)) {
        return Ok(());
    } else if !first.starts_with(COMPOUND_FILE) {
        ("text", "give it the extension of its format, such as .csv, or pass --format csv")
    } else if is_encrypted(workbook).map_err(WorkbookError::Unpack)? {
        return Err(WorkbookError::Encrypted);
    } else {
        ("a workbook in the old format XLS", "save it as XLSX")
    };
    Err(WorkbookError::OtherKind { what, fix })
}

/// Whether an old file holds an encrypted workbook: one of its streams has that name.
fn is_encrypted(file: &mut File) -> io::Result<bool> {
    let name: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let finder = memchr::memmem::Finder::new(&name);
    let mut window = Vec::new();
    while (&mut *file).take(BUFFER_BYTES as u64).read_to_end(&mut window)? > 0 {
        if finder.find(&window).is_some() {
            return Ok(true);
        }
        let keep = window.len().saturating_sub(name.len());
        window.drain(..keep);
    }
    Ok(false)
}
