//! Arbitrary bytes as a workbook: as the file itself, or as the parts of an archive, so that the XML is
//! reached.

use std::io::{Cursor, Write as _};
use std::panic::{set_hook, take_hook};
use std::path::Path;
use std::sync::LazyLock;

use ikbulk::engine::{Format, ReadOptions};
use ikbulk::internals::stage_unnamed_input;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::reader;

/// The parts of a workbook that are fuzzed, in order; a byte 0xFF separates them.
const PARTS: [&str; 5] = [
    "xl/worksheets/sheet1.xml",
    "xl/sharedStrings.xml",
    "xl/styles.xml",
    "xl/workbook.xml",
    "content.xml",
];
const RELATIONSHIPS: [(&str, &str); 3] = [
    ("[Content_Types].xml", "<Types/>"),
    (
        "_rels/.rels",
        "<Relationships><Relationship Id=\"r1\" Type=\"x/relationships/officeDocument\" \
         Target=\"xl/workbook.xml\"/></Relationships>",
    ),
    (
        "xl/_rels/workbook.xml.rels",
        "<Relationships><Relationship Id=\"r1\" Type=\"x/relationships/worksheet\" \
         Target=\"worksheets/sheet1.xml\"/></Relationships>",
    ),
];
const WORKBOOK: &[u8] =
    b"<workbook><sheets><sheet name=\"S\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>";

/// ikbulk refuses a workbook at which the reader of another library panics, so such a panic is none of
/// ours. What is counted with overflow checks here wraps in a release build.
static HOOK: LazyLock<()> = LazyLock::new(|| {
    let abort = take_hook();
    set_hook(Box::new(move |panic| {
        let is_foreign =
            |file: &str| ["/calamine-", "/quick-xml-", "/zip-"].iter().any(|it| file.contains(it));
        if !panic.location().is_some_and(|at| is_foreign(at.file())) {
            abort(panic);
        }
    }));
});

/// An archive of the parts.
fn archive(bytes: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, content: &[u8]| {
        zip.start_file(name, SimpleFileOptions::default()).expect("memory takes it");
        zip.write_all(content).expect("memory takes it");
    };
    let mut parts: Vec<&[u8]> = bytes.split(|byte| *byte == 0xFF).take(PARTS.len()).collect();
    if parts.len() < 4 {
        parts.resize(3, b"");
        parts.push(WORKBOOK);
    }
    for (name, text) in RELATIONSHIPS {
        add(name, text.as_bytes());
    }
    let filled = PARTS.iter().zip(parts).filter(|(_, part)| !part.is_empty());
    filled.for_each(|(name, part)| add(name, part));
    zip.finish().expect("memory takes it").into_inner()
}

/// Reads the bytes as a workbook, without panicking. The bytes are the file itself if they begin with
/// `P`; otherwise what follows the first byte are parts of an archive.
pub(crate) fn reads_workbook(bytes: &[u8]) {
    LazyLock::force(&HOOK);
    let Some((first, rest)) = bytes.split_first() else { return };
    let workbook = if *first == b'P' { bytes.to_vec() } else { archive(rest) };
    let (format, options) = (Some(Format::Xlsx), ReadOptions::default());
    if let Ok(staged) = stage_unnamed_input(&workbook[..], Path::new("sheet.xlsx"), format, options)
    {
        reader::reads_input(staged.input());
    }
}
