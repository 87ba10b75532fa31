//! Laws of sheets: what is written is read as the same cells, in every format, delimiter, encoding and
//! compression; damaged sheets are refused or read to their end, and from each row on as a whole.

use std::io::{Cursor, Read as _, Write as _};
use std::sync::LazyLock;

use crate::input::csv_records::CsvRecords;
use crate::input::{Context, Delimiter, ReadOptions, Record, TextEncoding, stage_input};
use crate::row::Row;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use rust_xlsxwriter::{ExcelDateTime, Format, Workbook, Worksheet};
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

const HEADER: [&str; 3] = ["fileId", "description", "note"];

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

/// A form in which programs write sheets.
#[derive(Debug, Clone, Copy)]
enum Form {
    Cells(&'static str),
    JsonLines,
    JsonPretty,
    JsonArray,
    /// A workbook whose cells share their strings, or have them in themselves.
    Xlsx {
        is_shared: bool,
    },
    Ods,
}

#[derive(Debug, Clone, Copy)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Form {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            5 => prop::sample::select(vec![",", ";", "tab", "|"]).prop_map(Self::Cells),
            3 => Just(Self::JsonLines),
            1 => Just(Self::JsonPretty),
            1 => Just(Self::JsonArray),
            2 => any::<bool>().prop_map(|is_shared| Self::Xlsx { is_shared }),
            1 => Just(Self::Ods),
        ]
    }

    fn is_workbook(self) -> bool {
        matches!(self, Self::Xlsx { .. } | Self::Ods)
    }

    fn delimiter(self) -> Option<Delimiter> {
        match self {
            Self::Cells(delimiter) => delimiter.parse().ok(),
            _ => None,
        }
    }

    /// The sheet as text; empty for a workbook.
    fn text(self, rows: &[Vec<String>]) -> String {
        let object =
            |row: &Vec<String>| json!({"fileId": row[0], "description": row[1], "note": row[2]});
        let objects = || rows.iter().map(object);
        match self {
            Self::Cells(_) => {
                let delimiter = self.delimiter().expect("a delimiter");
                let mut csv =
                    csv::WriterBuilder::new().delimiter(delimiter.byte()).from_writer(Vec::new());
                csv.write_record(HEADER).expect("memory takes it");
                for row in rows {
                    csv.write_record(row).expect("memory takes it");
                }
                String::from_utf8(csv.into_inner().expect("memory takes it")).expect("text")
            }
            Self::JsonLines => objects().map(|object| format!("{object}\n")).collect(),
            Self::JsonPretty => objects().map(|object| format!("{object:#}\n")).collect(),
            Self::JsonArray => objects().collect::<Value>().to_string(),
            Self::Xlsx { .. } | Self::Ods => String::new(),
        }
    }

    /// The sheet as a program writes it.
    fn written(self, rows: &[Vec<String>], encoding: Option<TextEncoding>) -> Vec<u8> {
        match (self, encoding) {
            (Self::Xlsx { is_shared }, _) => xlsx(rows, is_shared),
            (Self::Ods, _) => ods(rows),
            (_, None) => self.text(rows).into_bytes(),
            (_, Some(encoding)) => {
                let text = format!("{}{}", encoding.bom(), self.text(rows));
                encoding.encode(&text).expect("it has these letters")
            }
        }
    }
}

fn xlsx(rows: &[Vec<String>], is_shared: bool) -> Vec<u8> {
    let mut workbook = Workbook::new();
    let sheet = if is_shared {
        workbook.add_worksheet()
    } else {
        workbook.add_worksheet_with_constant_memory().expect("there is a directory for it")
    };
    write_rows(sheet, rows);
    workbook.save_to_buffer().expect("memory takes it")
}

fn ods(rows: &[Vec<String>]) -> Vec<u8> {
    let cell = |text: &String| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let text = text.replace('\n', "</text:p><text:p>").replace('\t', "<text:tab/>");
        let text = text.replace(' ', "<text:s/>");
        format!(
            "<table:table-cell office:value-type=\"string\"><text:p>{text}</text:p></table:table-cell>"
        )
    };
    let header = HEADER.map(str::to_owned).to_vec();
    let row = |row: &Vec<String>| {
        let cells: String = row.iter().map(cell).collect();
        format!("<table:table-row>{cells}</table:table-row>")
    };
    let rows: String = std::iter::once(&header).chain(rows).map(row).collect();
    let name = "urn:oasis:names:tc:opendocument:xmlns";
    let content = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><office:document-content \
         xmlns:office=\"{name}:office:1.0\" xmlns:table=\"{name}:table:1.0\" \
         xmlns:text=\"{name}:text:1.0\"><office:body><office:spreadsheet>\
         <table:table table:name=\"Sheet1\">{rows}</table:table>\
         </office:spreadsheet></office:body></office:document-content>"
    );
    let kind = "application/vnd.oasis.opendocument.spreadsheet";
    let manifest = format!(
        "<manifest:manifest xmlns:manifest=\"{name}:manifest:1.0\"><manifest:file-entry \
         manifest:full-path=\"/\" manifest:media-type=\"{kind}\"/></manifest:manifest>"
    );
    archive([
        ("mimetype", kind.as_bytes()),
        ("META-INF/manifest.xml", manifest.as_bytes()),
        ("content.xml", content.as_bytes()),
    ])
}

impl Compression {
    fn compressed(self, sheet: Vec<u8>) -> Vec<u8> {
        match self {
            Self::None => sheet,
            Self::Gzip => {
                let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(&sheet).expect("memory takes it");
                gzip.finish().expect("memory takes it")
            }
            Self::Zstd => zstd::encode_all(&sheet[..], 1).expect("memory takes it"),
        }
    }
}

/// The cells of the run's copy.
fn read(sheet: &[u8], options: ReadOptions) -> Vec<Vec<String>> {
    let directory = TempDir::new().expect("a directory can be made");
    // The content tells the format.
    let staged = stage_input(sheet, "sheet".as_ref(), None, options, directory.path());
    let input = staged.expect("it can be copied").input;
    let mut records = input.records(&Context::default()).expect("the header is good");
    let mut rows = Vec::new();
    while records.advance().expect("the sheet is whole").is_some() {
        let row = match records.record() {
            Record::Cells(cells) | Record::Worksheet { cells, .. } => {
                cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect()
            }
            Record::Line(line) => {
                let object: Value = serde_json::from_slice(line).expect("an object");
                HEADER.map(|key| object[key].as_str().expect("a string").to_owned()).to_vec()
            }
            Record::Text(_) | Record::NoRow(_) => panic!("a damaged row"),
        };
        rows.push(row);
    }
    rows
}

proptest! {
    #[test]
    fn written_cells_are_read(
        rows in rows(),
        form in Form::any(),
        encoding in prop::sample::select(vec![
            "", "utf-8", "utf-16le", "utf-16be", "windows-1252", "iso-8859-2", "macintosh",
        ]),
        compression in prop::sample::select(vec![
            Compression::None, Compression::None, Compression::Gzip, Compression::Zstd,
        ]),
        is_given in any::<bool>(),
    ) {
        let mut rows = rows;
        if let Form::Ods = form {
            // The format has no such character.
            rows.iter_mut().flatten().for_each(|cell| cell.retain(|letter| letter != '\r'));
        }
        let encoding: Option<TextEncoding> = encoding.parse().ok();
        let sheet = compression.compressed(form.written(&rows, encoding));
        let options = ReadOptions {
            delimiter: form.delimiter().filter(|_| is_given),
            encoding: encoding.filter(|_| !form.is_workbook()),
            ..ReadOptions::default()
        };
        let mut read = read(&sheet, options);
        if form.is_workbook() {
            // Empty cells at the end of a row are not stored.
            for row in &mut read {
                row.resize(HEADER.len(), String::new());
            }
        }
        prop_assert_eq!(read, rows);
    }

    #[test]
    fn row_of_a_damaged_sheet_is_the_same_if_reading_begins_at_it(
        delimiter in prop::sample::select(vec![',', ';']),
        pieces in proptest::collection::vec(piece(), 1..40),
    ) {
        let body: String = pieces.concat().replace(',', &delimiter.to_string());
        let text = format!("{}\n{body}", HEADER.join(&delimiter.to_string()));
        prop_assert_eq!(row_that_differs(&text), None, "{}", text);
    }

    #[test]
    fn fast_check_of_usual_rows_finds_the_same_damage(
        header in prop::sample::select(vec![
            "fileId,description,note", "description,fileId,note", "fileId,tags", "fileId",
            "fileId,filePath,note", "fileId,description,ikbulk.status",
        ]),
        rows in proptest::collection::vec(usual_row(), 1..20),
    ) {
        let text = format!("{header}\n{}", rows.concat());
        let directory = TempDir::new().expect("a directory can be made");
        let (name, options) = ("sheet.csv".as_ref(), ReadOptions::default());
        let staged = stage_input(text.as_bytes(), name, None, options, directory.path());
        let input = staged.expect("it can be copied").input;
        let open = || CsvRecords::open(&input, None).expect("the header is good");
        let (mut fast, mut slow) = (open(), open().without_usual_rows());
        loop {
            let (one, other) = (fast.advance(), slow.advance());
            prop_assert_eq!(format!("{one:?}"), format!("{other:?}"), "{}", text);
            prop_assert_eq!(fast.damage(), slow.damage(), "{}", text);
            if !matches!(one, Ok(Some(_))) {
                break;
            }
        }
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

/// The first row that differs if reading begins at it.
fn row_that_differs(sheet: &str) -> Option<Row> {
    let directory = TempDir::new().expect("a directory can be made");
    let (name, options) = ("sheet.csv".as_ref(), ReadOptions::default());
    let staged = stage_input(sheet.as_bytes(), name, None, options, directory.path());
    let input = staged.expect("it can be copied").input;
    let context = Context::default();
    let mut rows = input.rows(&context, None).expect("the header is good");
    while let Ok(Some((row, _))) = rows.next_row() {
        let mut again = input.rows(&context, Some(row.pos)).expect("it was opened before");
        if !matches!(again.next_row(), Ok(Some((again, _))) if again == row) {
            return Some(row);
        }
    }
    None
}

#[test]
fn rows_are_known_by_what_precedes_them() {
    for sheet in [
        // A footer is known by the blank line before it.
        "fileId,description,note\n\n\\\"# comment",
        // A stray quote hides whether the line is a whole record.
        "fileId,description,note\na\"b\ntwo words\n",
        "fileId,description,note\nabc,one\ntwo,red\n",
    ] {
        assert_eq!(row_that_differs(sheet), None, "{sheet}");
    }
}

/// Parts of CSV text, of which sheets with all kinds of damage can be made.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-f0-9]{20},",
        4 => Just("\n".to_owned()),
        2 => prop::sample::select(vec![
            ",", "one", "two words", "\"quoted\"", "\"a,b\"", "\"two\nlines\"", "\r\n", "\n\n", "\r",
        ]).prop_map(str::to_owned),
        1 => prop::sample::select(vec![
            "\"", "a\"b", "---,---", "# comment", "fileId,description,note", "Total: 3", "(3 rows)",
            "\\\"", ",,", "\u{1a}",
        ]).prop_map(str::to_owned),
    ]
}

/// Lines of CSV text, most of which are rows of files with ids of ImageKit.
fn usual_row() -> impl Strategy<Value = String> {
    let cell = || {
        prop_oneof![
            3 => "[a-z]{0,6}",
            2 => prop::sample::select(vec![
                "", " ", "\t", "\\", "url", "fileId", "filePath", "--", "# note", "a b", "'a'", "1,2",
                "\"a,b\"", "\"a\nb\"", "\"x\n65a1f0c29b41d45b037cc000,y,z\"", "\"a\"b", "\"a\\\"b\"", "updated", "/a.jpg",
                "Total", "(2 rows)", "a;b", "end\\", " after", "65a1f0c29b41d45b037cc0ff",
            ]).prop_map(str::to_owned),
        ]
    };
    let line = proptest::collection::vec(cell(), 1..4).prop_map(|cells| cells.join(","));
    prop_oneof![
        6 => ("[a-f0-9]{24}", cell(), cell()).prop_map(|(id, one, other)| format!("{id},{one},{other}\n")),
        2 => (cell(), "[a-f0-9]{24}", cell()).prop_map(|(one, id, other)| format!("{one},{id},{other}\n")),
        2 => ("[a-f0-9]{24}", cell()).prop_map(|(id, one)| format!("{id},{one}\n")),
        1 => "[a-f]{24},x,y\n",
        1 => Just("\n".to_owned()),
        2 => line.prop_map(|line| format!("{line}\n")),
    ]
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
    let header = HEADER.map(str::to_owned).to_vec();
    for (number, row) in (0..).zip([header].iter().chain(rows)) {
        for (column, cell) in (0..).zip(row) {
            sheet.write_string(number, column, cell).expect("it fits");
        }
    }
}
