//! Unpacks a workbook into an archive of the parts that are read, not compressed: every limit is
//! checked against what the parts really hold, before anything is loaded into memory.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write as _};
use std::rc::Rc;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::WorkbookError;
use super::limits::{
    FILE_BYTES_MAX, PARTS_MAX, SMALL_PART_BYTES_MAX, SMALL_PART_ELEMENTS_MAX, STRINGS_BYTES_MAX,
    UNPACKED_BYTES_MAX, larger_file, too_large,
};
use super::merged::{MergedCells, MergedFinder};
use super::metered::{Meter, Metered};
use super::strings::StringsMemory;

/// The part of an ODS workbook with the cells, and the one that tells whether it is encrypted.
pub(super) const CONTENT: &str = "content.xml";
const MANIFEST: &str = "meta-inf/manifest.xml";
const CHUNK_BYTES: usize = 64 << 10;
/// The end of a ZIP archive: its directory is listed in the last bytes, before a comment.
const END_BYTES_MAX: u64 = (64 << 10) + 1024;
/// The size of the directory of an archive, in bytes.
const DIRECTORY_BYTES_MAX: u32 = 8 << 20;

/// The kind of a workbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Xlsx,
    Ods,
}

/// An unpacked workbook.
pub(super) struct Unpacked {
    pub(super) kind: Kind,
    pub(super) file: File,
    /// Whether the program that wrote the workbook has not calculated its formulas: it leaves that to the
    /// one that opens it.
    pub(super) is_uncalculated: bool,
    parts: Vec<Part>,
}

/// What is found in a part while it is copied.
#[derive(Default)]
pub(super) struct FoundInPart {
    pub(super) merged: MergedCells,
    /// Whether the part is a worksheet in which no formula was found.
    pub(super) has_no_formula: bool,
    is_uncalculated: bool,
}

/// A part of the unpacked workbook.
struct Part {
    name: String,
    /// Where its content is in the unpacked file.
    start: u64,
    end: u64,
    found: FoundInPart,
}

impl Unpacked {
    /// Unpacks `workbook` into `scratch`, an empty file.
    pub(super) fn new(workbook: &mut File, scratch: File) -> Result<Self, WorkbookError> {
        check_directory(workbook)?;
        let mut archive = open_archive(workbook)?;
        let kind = kind(&archive)?;
        let mut out = ZipWriter::new(BufWriter::with_capacity(CHUNK_BYTES, scratch));
        let mut left = UNPACKED_BYTES_MAX;
        let mut parts = Vec::new();
        let mut is_uncalculated = false;
        for index in 0..archive.len() {
            let part = archive.by_index(index).map_err(damaged)?;
            let name = part.name().map_err(damaged)?.into_owned();
            if part.is_dir() || !is_read(&name, kind) {
                continue;
            }
            out.start_file(&*name, stored()).map_err(damaged)?;
            let found = copy_part(part, &name, kind, &mut out, &mut left)?;
            is_uncalculated |= found.is_uncalculated;
            parts.push(Part { name, start: 0, end: 0, found });
        }
        let mut file = out
            .finish()
            .map_err(damaged)?
            .into_inner()
            .map_err(|error| WorkbookError::Unpack(error.into_error()))?;
        locate(&mut parts, &mut file)?;
        Ok(Self { kind, file, is_uncalculated, parts })
    }

    /// What was found in the part with the content at this offset of the unpacked file.
    pub(super) fn found_at(&mut self, offset: u64) -> FoundInPart {
        let part = self.parts.iter_mut().find(|part| (part.start..part.end).contains(&offset));
        part.map(|part| std::mem::take(&mut part.found)).unwrap_or_default()
    }

    /// The content of a part.
    pub(super) fn part(
        &self,
        name: &str,
        meter: Rc<Meter>,
    ) -> Result<std::io::Take<Metered>, WorkbookError> {
        let part = self.parts.iter().find(|part| part.name == name);
        let part = part.ok_or_else(|| WorkbookError::damaged(format!("it has no {name}")))?;
        let open = || {
            let mut file = Metered::new(self.file.try_clone()?, meter)?;
            file.seek(SeekFrom::Start(part.start))?;
            Ok(file.take(part.end - part.start))
        };
        open().map_err(WorkbookError::Unpack)
    }
}

fn open_archive(workbook: &mut File) -> Result<ZipArchive<BufReader<&mut File>>, WorkbookError> {
    workbook.rewind().map_err(WorkbookError::Unpack)?;
    ZipArchive::new(BufReader::with_capacity(CHUNK_BYTES, workbook)).map_err(damaged)
}

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
}

/// Refuses an archive whose directory would not fit into memory.
fn check_directory(workbook: &mut File) -> Result<(), WorkbookError> {
    const END: &[u8] = b"PK\x05\x06";
    const END_64: &[u8] = b"PK\x06\x06";
    let unreadable = WorkbookError::Unpack;
    let length = workbook.seek(SeekFrom::End(0)).map_err(unreadable)?;
    if length > FILE_BYTES_MAX {
        return Err(larger_file());
    }
    workbook.seek(SeekFrom::Start(length.saturating_sub(END_BYTES_MAX))).map_err(unreadable)?;
    let mut end = Vec::new();
    workbook.read_to_end(&mut end).map_err(unreadable)?;
    let number = |at: usize, bytes: usize| {
        let bytes = end.get(at..at + bytes).unwrap_or_default().iter().rev();
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let ends =
        memchr::memmem::find_iter(&end, END).map(|at| (number(at + 10, 2), number(at + 12, 4)));
    let ends_64 =
        memchr::memmem::find_iter(&end, END_64).map(|at| (number(at + 32, 8), number(at + 40, 8)));
    // In an archive with 64-bit numbers, all bits of the others are set.
    let is_too_large = |(parts, bytes): (u64, u64)| {
        (parts > PARTS_MAX && parts != u64::from(u16::MAX))
            || (bytes > DIRECTORY_BYTES_MAX.into() && bytes != u64::from(u32::MAX))
    };
    if ends.chain(ends_64).any(is_too_large) {
        return Err(too_large("has more than 20,000 parts"));
    }
    Ok(())
}

/// The kind of a workbook, by the parts of its archive.
fn kind<R: Read + Seek>(archive: &ZipArchive<R>) -> Result<Kind, WorkbookError> {
    let names: Vec<String> =
        archive.file_names().flatten().map(|name| name.to_ascii_lowercase()).collect();
    let has = |end: &str| names.iter().any(|name| name.ends_with(end));
    let other = |what, fix| Err(WorkbookError::OtherKind { what, fix });
    if has("workbook.bin") {
        return other("a binary workbook (XLSB)", "save it as XLSX");
    }
    if has(".iwa") {
        return other("a Numbers spreadsheet", "export it as XLSX");
    }
    if has("word/document.xml") {
        return other("a text document", "copy its table into a spreadsheet");
    }
    if names.iter().any(|name| name == "content.xml") {
        return Ok(Kind::Ods);
    }
    if names.iter().any(|name| name == "[content_types].xml") {
        return Ok(Kind::Xlsx);
    }
    other("a ZIP archive", "unpack it, and pass the sheet in it")
}

/// Whether a part is needed for the cells. Pictures, charts, comments and the like are not.
fn is_read(name: &str, kind: Kind) -> bool {
    const SKIPPED: [&str; 20] = [
        "activex/",
        "calcchain",
        "charts/",
        "chartsheets/",
        "comments",
        "ctrlprops/",
        "customxml/",
        "docprops/",
        "drawings/",
        "embeddings/",
        "externallinks/",
        "media/",
        "persons/",
        "pivotcache/",
        "pivottables/",
        "querytables/",
        "richdata/",
        "slicer",
        "tables/",
        "timeline",
    ];
    let name = name.to_ascii_lowercase();
    match kind {
        Kind::Ods => matches!(name.as_str(), CONTENT | MANIFEST),
        Kind::Xlsx => {
            let extension = name.rsplit('.').next();
            matches!(extension, Some("xml" | "rels"))
                && !SKIPPED.iter().any(|part| name.contains(part))
        }
    }
}

/// Copies a part, within its limits.
fn copy_part(
    mut part: impl Read,
    name: &str,
    kind: Kind,
    out: &mut ZipWriter<BufWriter<File>>,
    left: &mut u64,
) -> Result<FoundInPart, WorkbookError> {
    let lower = name.to_ascii_lowercase();
    let is_content = kind == Kind::Ods && lower == CONTENT;
    let is_worksheet = lower.contains("worksheets/") && !lower.contains("/_rels/");
    let mut merged = MergedFinder::default();
    let (mut formulas, mut has_formulas) = (FormulaFinder::default(), false);
    let mut strings = StringsMemory::default();
    // The part with the names of the worksheets, and how formulas are calculated.
    let is_book = kind == Kind::Xlsx && lower.ends_with("workbook.xml");
    let mut book = Vec::new();
    let (mut bytes, mut elements) = (0, 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = part.read(&mut chunk).map_err(WorkbookError::damaged)?;
        let Some(text) = chunk.get(..read).filter(|text| !text.is_empty()) else { break };
        bytes += read as u64;
        *left =
            left.checked_sub(read as u64).ok_or_else(|| too_large("unpacks to more than 1 GiB"))?;
        if lower == MANIFEST && memchr::memmem::find(text, b"encryption-data").is_some() {
            return Err(WorkbookError::Encrypted);
        }
        if is_worksheet {
            merged.search(text)?;
            has_formulas = has_formulas || formulas.search(text);
        } else if lower.ends_with("sharedstrings.xml") {
            strings.count(text);
            if strings.bytes() > STRINGS_BYTES_MAX {
                return Err(too_large("has shared texts that take more than 208 MiB of memory"));
            }
        } else if !is_content {
            elements += memchr::memchr_iter(b'<', text).count() as u64;
            if bytes > SMALL_PART_BYTES_MAX || elements > SMALL_PART_ELEMENTS_MAX {
                return Err(too_large(
                    "has more than 16 MiB or 300,000 elements of styles or names",
                ));
            }
            if is_book {
                book.extend_from_slice(text);
            }
        }
        out.write_all(text).map_err(WorkbookError::Unpack)?;
    }
    let is_uncalculated = calculates_on_load(&book);
    let has_no_formula = is_worksheet && !has_formulas;
    Ok(FoundInPart { merged: merged.finish()?, has_no_formula, is_uncalculated })
}

/// Whether the program that wrote a workbook leaves it to the one that opens it to calculate the formulas.
fn calculates_on_load(book: &[u8]) -> bool {
    const SETTING: &[u8] = b"fullCalcOnLoad";
    let value = memchr::memmem::find(book, SETTING).and_then(|at| {
        let after = book.get(at + SETTING.len()..)?.trim_ascii_start();
        after.strip_prefix(b"=").map(<[u8]>::trim_ascii_start)
    });
    let is_set = |value: &[u8]| {
        let value = value.get(1..).unwrap_or_default();
        value.starts_with(b"1") || value.starts_with(b"true")
    };
    value.is_some_and(is_set)
}

/// Finds out whether a text may have elements `f`, with or without a prefix.
#[derive(Default)]
struct FormulaFinder {
    /// The last byte of the text before.
    last: u8,
}

impl FormulaFinder {
    /// Searches a further piece of the text.
    fn search(&mut self, text: &[u8]) -> bool {
        let begins_in_last = matches!(self.last, b'<' | b':') && text.first() == Some(&b'f');
        self.last = text.last().copied().unwrap_or(self.last);
        begins_in_last
            || [b"<f", b":f"].iter().any(|name| memchr::memmem::find(text, *name).is_some())
    }
}

/// Notes where the content of each part begins and ends.
fn locate(parts: &mut [Part], file: &mut File) -> Result<(), WorkbookError> {
    file.rewind().map_err(WorkbookError::Unpack)?;
    let mut archive = ZipArchive::new(BufReader::new(&mut *file)).map_err(damaged)?;
    for part in parts {
        let stored = archive.by_name(&part.name).map_err(damaged)?;
        part.start = stored.data_start().unwrap_or_default();
        part.end = part.start + stored.size();
    }
    Ok(())
}

fn damaged(error: zip::result::ZipError) -> WorkbookError {
    match error {
        zip::result::ZipError::UnsupportedArchive(zip::result::ZipError::PASSWORD_REQUIRED) => {
            WorkbookError::Encrypted
        }
        other => WorkbookError::damaged(other),
    }
}
