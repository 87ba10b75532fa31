//! Law: what is written as a sheet is read as the same cells, in every delimiter and encoding.

use crate::input::{Context, Delimiter, ReadOptions, Record, TextEncoding, stage_input};
use proptest::prelude::*;
use tempfile::TempDir;

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
        Some(encoding) => encoding.encode(&format!("{}{text}", encoding.bom())),
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
        let Record::Cells(cells) = records.record() else { panic!("a damaged row") };
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
}
