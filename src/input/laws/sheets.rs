//! Law: what is written as a sheet is read as the same cells, in every delimiter and encoding.

use std::io::{Cursor, Read as _, Write as _};
use std::sync::LazyLock;

use crate::input::{Context, Delimiter, ReadOptions, Record, TextEncoding, stage_input};
use proptest::prelude::*;
use rust_xlsxwriter::{ExcelDateTime, Format, Workbook, Worksheet};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// Texts as cells have them: words, what spreadsheet programs convert, and what CSV quotes.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zäöüé ]{0,8}",
        "[=+\\-@']{1,2}[a-z0-9\"]{0,4}",
        "[a-z,;|\t\"\r\n\\\\ ]{0,8}",
        prop_oneof![Just("NULL"), Just("nan"), Just("#N/A"), Just("sep=,"), Just("\\N")]
            .prop_map(str::to_owned),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Vec<String>>> {
    let row = ("[a-z0-9]{20}", proptest::collection::vec(cell(), 2));
    let row = row.prop_map(|(id, cells)| [vec![id], cells].concat());
    proptest::collection::vec(row, 1..6)
}

/// The sheet in an encoding, as a program writes it.
fn written(rows: &[Vec<String>], delimiter: Delimiter, encoding: Option<TextEncoding>) -> Vec<u8> {
    let mut csv = csv::WriterBuilder::new().delimiter(delimiter.byte()).from_writer(Vec::new());
    csv.write_record(["fileId", "description", "note"]).expect("memory takes it");
    for row in rows {
        csv.write_record(row).expect("memory takes it");
    }
    let text = String::from_utf8(csv.into_inner().expect("memory takes it")).expect("text");
    match encoding {
        Some(encoding) => {
            let text = format!("{}{text}", encoding.bom());
            encoding.encode(&text).expect("it has these letters")
        }
        None => text.into_bytes(),
    }
}

/// The cells of the run's copy.
fn read(sheet: &[u8], options: ReadOptions) -> Vec<Vec<String>> {
    let directory = TempDir::new().expect("a directory can be made");
    let staged = stage_input(sheet, "sheet.csv".as_ref(), None, options, directory.path());
    let input = staged.expect("it can be copied").input;
    let mut records = input.records(&Context::default()).expect("the header is good");
    let mut rows = Vec::new();
    while records.advance().expect("the sheet is whole").is_some() {
        let (Record::Cells(cells) | Record::Worksheet { cells, .. }) = records.record() else {
            panic!("a damaged row")
        };
        rows.push(cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect());
    }
    rows
}

proptest! {
    #[test]
    fn written_cells_are_read(
        rows in rows(),
        delimiter in prop_oneof![Just(","), Just(";"), Just("tab"), Just("|")],
        encoding in prop_oneof![Just(""), Just("utf-16le"), Just("utf-16be"), Just("windows-1252")],
        is_given in any::<bool>(),
    ) {
        let delimiter: Delimiter = delimiter.parse().expect("a delimiter");
        let encoding: Option<TextEncoding> = encoding.parse().ok();
        let sheet = written(&rows, delimiter, encoding);
        let options = ReadOptions {
            delimiter: is_given.then_some(delimiter),
            encoding,
            ..ReadOptions::default()
        };
        prop_assert_eq!(read(&sheet, options), rows);
    }

    #[test]
    fn written_cells_of_a_worksheet_are_read(rows in rows(), is_constant in any::<bool>()) {
        let mut workbook = Workbook::new();
        // One way of writing shares the strings, the other has them in the cells.
        let sheet = if is_constant {
            workbook.add_worksheet_with_constant_memory().expect("there is a directory for it")
        } else {
            workbook.add_worksheet()
        };
        write_rows(sheet, &rows);
        let sheet = workbook.save_to_buffer().expect("memory takes it");
        let mut read = read(&sheet, ReadOptions::default());
        // Empty cells at the end of a row are not stored.
        for row in &mut read {
            row.resize(3, String::new());
        }
        prop_assert_eq!(read, rows);
    }

    #[test]
    fn damaged_workbook_is_refused_or_read_to_its_end(
        part in any::<prop::sample::Index>(),
        damages in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..20, damage()), 1..4),
        is_cut in any::<bool>(),
    ) {
        let parts = &*PARTS;
        let part = part.index(parts.len());
        let mut text = parts[part].1.clone();
        for (at, length, new) in &damages {
            let at = at.index(text.len() + 1);
            text.splice(at..(at + length).min(text.len()), new.iter().copied());
        }
        let part_text = |(index, (name, whole)): (usize, &'static (String, Vec<u8>))| {
            (name.as_str(), if index == part { &*text } else { &**whole })
        };
        let mut sheet = archive(parts.iter().enumerate().map(part_text));
        if is_cut {
            sheet.truncate(damages[0].0.index(sheet.len() + 1));
        }
        let directory = TempDir::new().expect("a directory can be made");
        let name = "sheet.xlsx".as_ref();
        let staged = stage_input(&sheet[..], name, None, ReadOptions::default(), directory.path());
        let Ok(staged) = staged else { return Ok(()) };
        let context = Context::default();
        let Ok(mut rows) = staged.input.rows(&context, None) else { return Ok(()) };
        while let Ok(Some((row, _))) = rows.next_row() {
            let mut again = staged.input.rows(&context, Some(row.pos)).expect("it was opened before");
            let again = again.next_row().expect("it was read before");
            prop_assert_eq!(again.map(|(row, _)| row), Some(row));
        }
    }

    #[test]
    fn written_numbers_of_a_worksheet_are_read(number in proptest::num::f64::NORMAL) {
        let mut workbook = Workbook::new();
        let sheet = workbook.add_worksheet();
        write_rows(sheet, &[vec!["a".to_owned()]]);
        sheet.write_number(1, 1, number).expect("it fits");
        let sheet = workbook.save_to_buffer().expect("memory takes it");
        let read = read(&sheet, ReadOptions::default());
        prop_assert_eq!(read[0][1].parse(), Ok(number));
    }
}

/// A workbook with cells of every kind, and the texts of its parts.
static PARTS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    write_rows(sheet, &[["a", "x", "y"].map(str::to_owned).to_vec()]);
    sheet.write_number(2, 0, 1.5).expect("it fits");
    sheet.write_boolean(2, 1, true).expect("it fits");
    sheet.write_formula(3, 1, "=A1").expect("it fits");
    sheet.merge_range(4, 0, 5, 2, "merged", &Format::new()).expect("it fits");
    let day = ExcelDateTime::from_ymd(2026, 11, 24).expect("a day");
    let format = Format::new().set_num_format("yyyy-mm-dd");
    sheet.write_datetime_with_format(6, 0, &day, &format).expect("it fits");
    let bytes = workbook.save_to_buffer().expect("memory takes it");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).expect("it is an archive");
    let count = archive.len();
    let part = |index| {
        let mut part = archive.by_index(index).expect("it is there");
        let mut text = Vec::new();
        part.read_to_end(&mut text).expect("it is whole");
        (part.name().expect("it has a name").into_owned(), text)
    };
    (0..count).map(part).collect()
});

/// An archive of parts.
fn archive<'p>(parts: impl IntoIterator<Item = (&'p str, &'p [u8])>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        zip.start_file(name, SimpleFileOptions::default()).expect("memory takes it");
        zip.write_all(text).expect("memory takes it");
    }
    zip.finish().expect("memory takes it").into_inner()
}

/// What a damaged text may have in place of some of its bytes.
fn damage() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        proptest::collection::vec(any::<u8>(), 1..4),
        prop_oneof![
            Just("<"),
            Just(">"),
            Just("\""),
            Just("</c>"),
            Just("<c>"),
            Just("<row r=\"0\">"),
            Just("r=\"XFE1048577\""),
            Just("t=\"s\""),
            Just("t=\"e\""),
            Just("99999999999"),
            Just("-1"),
            Just("<!--"),
            Just("&x;"),
            Just("<![CDATA["),
        ]
        .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

/// Writes a header, and these cells as text.
fn write_rows(sheet: &mut Worksheet, rows: &[Vec<String>]) {
    let header = ["fileId", "description", "note"].map(str::to_owned).to_vec();
    for (number, row) in (0..).zip([header].iter().chain(rows)) {
        for (column, cell) in (0..).zip(row) {
            sheet.write_string(number, column, cell).expect("it fits");
        }
    }
}
