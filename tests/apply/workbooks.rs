//! Sheets in XLSX and ODS workbooks.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use calamine::{Data, Reader as _, Xlsx, open_workbook};
use ikbulk_sandbox::{ExtensionOutcome, Library};
use rust_xlsxwriter::{Format, Workbook};
use serde_json::json;
use zip::write::SimpleFileOptions;

use crate::harness::{Cases, TestEnv, assert_text, files, ids, with_library};

/// Writes a workbook whose cells are text.
pub(crate) fn write_workbook(path: &Path, rows: &[Vec<String>]) {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (row, cells) in (0..).zip(rows) {
        for (column, cell) in (0..).zip(cells) {
            sheet.write_string(row, column, cell).expect("it fits");
        }
    }
    workbook.save(path).expect("the directory takes files");
}

/// The texts of all cells of the first worksheet.
fn read_workbook(path: &Path) -> Vec<Vec<String>> {
    let mut workbook: Xlsx<_> = open_workbook(path).expect("it is a workbook");
    let range = workbook.worksheet_range_at(0).expect("it has a worksheet").expect("it is read");
    range.rows().map(|row| row.iter().map(Data::to_string).collect()).collect()
}

pub(crate) fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|&cell| cell.to_owned()).collect()
}

#[test]
fn bad_rows_are_returned_as_a_workbook_fixed_and_applied() {
    let ids = ids(1000);
    let env = TestEnv::new(files(ids.clone()));
    let is_bad = |index: usize| index % 33 == 5 && index < 990;
    let rows = ids.iter().enumerate().map(|(index, id)| {
        let tags = if is_bad(index) { "50%" } else { "red" };
        row(&[id, tags, &format!("shoe {index}")])
    });
    let header = row(&["fileId", "tags", "description"]);
    let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
    write_workbook(&env.path("sheet.xlsx"), &rows);
    env.apply("sheet.xlsx --max-bad 5%").exits(1);
    let first = env.only_run("sheet");
    assert_eq!((first.count("updated"), first.count("rejected")), (970, 30));

    let returned = first.path().join("failed.xlsx");
    let mut fixed = read_workbook(&returned);
    assert_eq!(fixed.len(), 31);
    assert_eq!(fixed[0][..3], row(&["fileId", "tags", "description"]));
    assert_eq!(
        fixed[0][3..],
        row(&["ikbulk.status", "ikbulk.code", "ikbulk.message", "ikbulk.done"])
    );
    assert!(fixed[1][5].starts_with("tags: \"50%\" contains %"), "{}", fixed[1][5]);
    for cells in &mut fixed {
        cells[1] = cells[1].replace("50%", "red");
    }
    write_workbook(&env.path("fixed.xlsx"), &fixed);
    env.apply("fixed.xlsx").exits(0);
    let second = env.only_run("fixed");
    assert_eq!(second.count("updated"), 30);

    let mut reported: BTreeMap<String, u32> = BTreeMap::new();
    for run in [first, second] {
        for line in run.report().into_iter().filter(|line| line["status"] == "updated") {
            *reported.entry(line["fileId"].clone()).or_default() += 1;
        }
    }
    assert!(ids.iter().all(|id| reported[id] == 1), "each file is updated once");
    assert!(ids.iter().all(|id| env.file(id)["tags"] == json!(["red"])));
}

#[test]
fn steps_that_are_done_are_not_repeated_from_a_returned_workbook() {
    let env = TestEnv::new(files(["a", "b"]));
    // The publication of a row that is rejected by ImageKit has its own request.
    let rows = [
        row(&["fileId", "tags", "isPublished"]),
        row(&["a", "red", "true"]),
        row(&["gone", "red", ""]),
    ];
    write_workbook(&env.path("sheet.xlsx"), &rows);
    env.apply_direct("sheet.xlsx").exits(1);
    let run = env.only_run("sheet");
    let returned = read_workbook(&run.path().join("failed.xlsx"));
    assert_eq!(returned[1][0], "gone");
    let before = env.sandbox.stats().requests;
    env.run(&format!("report {}", run.name())).exits(1);
    assert_eq!(read_workbook(&run.path().join("failed.xlsx")), returned);
    assert_eq!(env.sandbox.stats().requests, before);
}

#[test]
fn run_of_a_workbook_is_resumed_from_its_copy() {
    let env = TestEnv::new(files(["a", "b", "c"]));
    let rows = [
        row(&["fileId", "tags"]),
        row(&["a", "red"]),
        row(&[]),
        row(&["b", "50%"]),
        row(&["c", "blue"]),
    ];
    write_workbook(&env.path("sheet.xlsx"), &rows);
    env.apply_direct("sheet.xlsx --max-bad 50% --limit 1").exits(5);
    fs::remove_file(env.path("sheet.xlsx")).expect("it was there");
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {}", run.name())).exits(1);
    assert_eq!(run.statuses(), ["updated", "rejected", "updated"]);
    assert_eq!(run.row(4)["status"], "rejected");
    assert!(run.path().join("input.xlsx").exists(), "the workbook itself is kept");
    fs::write(run.path().join("input.rows"), "edited").expect("it can be written");
    env.run(&format!("undo --yes {}", run.name())).exits(2);
}

#[test]
fn failed_rows_of_a_workbook_are_retried() {
    let mut config = files(["a", "b"]);
    config.extensions = ExtensionOutcome::FailFirst { runs: 1 };
    let env = TestEnv::new(config);
    let rows = [
        row(&["fileId", "description", "extensions"]),
        row(&["a", "A shoe", r#"[{"name":"remove-bg"}]"#]),
        row(&["b", "A boot", ""]),
    ];
    write_workbook(&env.path("sheet.xlsx"), &rows);
    env.apply("sheet.xlsx").exits(1);
    let run = env.only_run("sheet");
    assert_eq!(read_workbook(&run.path().join("failed.xlsx"))[1][0], "a");
    let before = env.sandbox.stats().calls.patch;
    env.run(&format!("retry --yes --rate unlimited --read-rate unlimited {}", run.name())).exits(0);
    assert_eq!(env.sandbox.stats().calls.patch - before, 1);
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 2);
    // The row is retried once: a second retry finds nothing to do.
    env.run(&format!("retry --yes --rate unlimited {}", run.name()));
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 2);
}

#[test]
fn workbook_is_read_from_standard_input() {
    let env = TestEnv::new(files(["a"]));
    write_workbook(&env.path("sheet.xlsx"), &[row(&["fileId", "tags"]), row(&["a", "red"])]);
    let bytes = fs::read(env.path("sheet.xlsx")).expect("it was written");
    env.command(&["check", "-"]).input(bytes.clone()).run().exits(0);
    let zstd = zstd::encode_all(&bytes[..], 1).expect("memory takes it");
    env.command(&["apply", "--direct", "-", "--yes"]).input(zstd).run().exits(0);
    assert_eq!(env.file("a")["tags"], json!(["red"]));
}

/// A sandbox with fields of each type, and files.
fn typed_env() -> TestEnv {
    let library = Library::from_ids(["a", "b", "c"].map(str::to_owned));
    let mut config = with_library(library);
    let field = |name: &str, kind: &str| json!({"id": name, "name": name, "label": name, "schema": {"type": kind}});
    let fields = [("cost", "Number"), ("ends", "Date"), ("ok", "Boolean"), ("ean", "Text")];
    config.fields.extend(fields.map(|(name, kind)| field(name, kind)));
    TestEnv::new(config)
}

#[test]
fn typed_cells_are_read_by_the_type_of_their_field() {
    let env = typed_env();
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let date = Format::new().set_num_format("dd.mm.yyyy");
    for (column, name) in (0..).zip(["fileId", "cost", "ends", "ok", "ean", "description"]) {
        sheet.write_string(0, column, name).expect("it fits");
    }
    let day = rust_xlsxwriter::ExcelDateTime::from_ymd(2026, 11, 24).expect("a day");
    let time = day.clone().and_hms(10, 30, 0).expect("a time");
    for (row, id) in [(1, "a"), (2, "b"), (3, "c")] {
        sheet.write_string(row, 0, id).expect("it fits");
    }
    sheet.write_number(1, 1, 1.234).expect("it fits");
    sheet.write_datetime_with_format(1, 2, &day, &date).expect("it fits");
    sheet.write_boolean(1, 3, true).expect("it fits");
    sheet.write_number(1, 4, 4_006_381_333_931_f64).expect("it fits");
    sheet.write_number(1, 5, 5.0).expect("it fits");
    sheet.write_string(2, 1, "12,5").expect("it fits");
    sheet.write_datetime_with_format(2, 2, &time, &date).expect("it fits");
    sheet.write_number(2, 3, 0.0).expect("it fits");
    sheet.write_string(2, 4, "0012").expect("it fits");
    sheet.write_boolean(2, 5, true).expect("it fits");
    sheet.write_number(3, 4, 1_234_567_890_123_456_f64).expect("it fits");
    workbook.save(env.path("sheet.xlsx")).expect("the directory takes files");
    // A language with decimal commas reads the text 1.234 as 1234, but not the number.
    let run = env.apply_direct("sheet.xlsx --locale de --max-bad 50%").exits(1);
    assert!(run.line("note").starts_with("note       description: in 1 of 2 cells"), "{}", run.out);
    let metadata = |id: &str| {
        let all = &env.file(id)["customMetadata"];
        json!({"cost": all["cost"], "ends": all["ends"], "ok": all["ok"], "ean": all["ean"]})
    };
    let ean = "4006381333931";
    assert_eq!(metadata("a"), json!({"cost": 1.234, "ends": "2026-11-24", "ok": true, "ean": ean}));
    assert_eq!(
        metadata("b"),
        json!({"cost": 12.5, "ends": "2026-11-24T10:30:00", "ok": false, "ean": "0012"})
    );
    assert_eq!(env.file("a")["description"], "5");
    let message = env.only_run("sheet").row(4)["message"].clone();
    assert!(message.contains("(cell E4)") && message.contains("more than 15 digits"), "{message}");
}

/// Writes the content of a part.
type WritePart<'w> = dyn Fn(&mut dyn std::io::Write) + 'w;

/// A workbook with these parts instead of usual ones, and a worksheet.
fn archive(parts: &[(&str, &WritePart<'_>)]) -> Vec<u8> {
    let namespace = "http://schemas.openxmlformats.org";
    let usual = [
        ("[Content_Types].xml", "<Types/>".to_owned()),
        (
            "_rels/.rels",
            format!(
                "<Relationships><Relationship Id=\"r1\" Type=\"{namespace}/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                "<Relationships><Relationship Id=\"r1\" Type=\"{namespace}/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/workbook.xml",
            "<workbook><sheets><sheet name=\"S\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>"
                .to_owned(),
        ),
    ];
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in usual.iter().filter(|(name, _)| parts.iter().all(|(it, _)| it != name)) {
        zip.start_file(*name, SimpleFileOptions::default()).expect("memory takes it");
        zip.write_all(text.as_bytes()).expect("memory takes it");
    }
    for (name, write) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).expect("memory takes it");
        write(&mut zip);
    }
    zip.finish().expect("memory takes it").into_inner()
}

/// Writes a text many times.
fn repeated(out: &mut dyn std::io::Write, before: &str, text: &str, times: usize) {
    out.write_all(before.as_bytes()).expect("memory takes it");
    let block = text.repeat(1 << 10);
    for _ in 0..times >> 10 {
        out.write_all(block.as_bytes()).expect("memory takes it");
    }
}

const SHEET: &str = "xl/worksheets/sheet1.xml";

#[test]
fn archive_bombs_are_refused_with_the_limit_within_256_mib() {
    let mut cases = Cases::default();
    let cell = "<worksheet><sheetData><row r=\"1\"><c t=\"inlineStr\"><is><t>";
    let bombs: [(&str, Vec<u8>); 8] = [
        ("a cell without end", archive(&[(SHEET, &|out| repeated(out, cell, " ", 40 << 20))])),
        (
            "a cell of many parts",
            archive(&[(SHEET, &|out| repeated(out, cell, "  </t><t>", 40 << 17))]),
        ),
        ("a tag without end", archive(&[(SHEET, &|out| repeated(out, "<c t=\"", " ", 40 << 20))])),
        (
            "more cells than a worksheet has",
            archive(&[(SHEET, &|out| {
                out.write_all(b"<worksheet><sheetData>").expect("memory takes it");
                for row in 1..7000 {
                    let row = format!("<row r=\"{row}\"><c r=\"XFD{row}\"><v>1</v></c></row>");
                    out.write_all(row.as_bytes()).expect("memory takes it");
                }
            })]),
        ),
        (
            "shared strings",
            archive(&[("xl/sharedStrings.xml", &|out| {
                repeated(out, "<sst>", "<si><t>x</t></si>", 4 << 20);
            })]),
        ),
        (
            "declared strings",
            archive(&[("xl/sharedStrings.xml", &|out| {
                repeated(out, "<sst uniqueCount=\"9000000000\">", "<si><t/></si>", 1 << 10);
            })]),
        ),
        (
            "styles",
            archive(&[("xl/styles.xml", &|out| {
                repeated(out, "<styleSheet><cellXfs>", "<xf/>", 1 << 20);
            })]),
        ),
        (
            "merged cells",
            archive(&[(SHEET, &|out| {
                let merged = "<mergeCell ref=\"A1:XFD1048576\"/><mergeCell ref=\"A1:XFD1048575\"/>";
                let before =
                    "<worksheet><sheetData><row r=\"1\"><c r=\"A1\"><v>1</v></c></row></sheetData>";
                repeated(out, before, merged, 1 << 10);
            })]),
        ),
    ];
    for (name, bytes) in bombs {
        let env = TestEnv::new(files(["a"]));
        assert!(bytes.len() < 1 << 20, "{name}: {}", bytes.len());
        env.write("sheet.xlsx", bytes);
        let words = ["check", "--no-schema", "sheet.xlsx"];
        cases.add(name, env.command_after("ulimit -v 262144", &words).run().exits(2));
    }
    assert_text!(cases);
}

#[test]
fn workbooks_beyond_a_limit_are_refused_with_the_limit() {
    let rows = |rows: String| {
        let text = format!("<worksheet><sheetData>{rows}</sheetData></worksheet>");
        archive(&[(SHEET, &|out| out.write_all(text.as_bytes()).expect("memory takes it"))])
    };
    let cell = |name: &str| format!("<c r=\"{name}\"><v>1</v></c>");
    let text = format!("<c t=\"inlineStr\"><is><t>{}</t></is></c>", "x".repeat(3 << 20));
    let merged = (1..=500_001).map(|row| format!("<mergeCell ref=\"A{row}:B{row}\"/>"));
    let merged = format!("</sheetData><mergeCells>{}</mergeCells>", merged.collect::<String>());
    let names: Vec<String> = (0..20_001).map(|number| number.to_string()).collect();
    let empty: &WritePart<'_> = &|_| ();
    let parts: Vec<_> = names.iter().map(|name| (name.as_str(), empty)).collect();
    let mut cases = Cases::default();
    for (name, bytes) in [
        ("a row below the last", rows(format!("<row r=\"1048577\">{}</row>", cell("A1048577")))),
        ("a column after the last", rows(format!("<row r=\"1\">{}</row>", cell("XFE1")))),
        ("a long row", rows(format!("<row r=\"1\">{}</row>", text.repeat(6)))),
        ("merged ranges", rows(format!("<row r=\"1\">{}</row>{merged}", cell("A1")))),
        ("parts", archive(&parts)),
    ] {
        let env = TestEnv::new(files(["a"]));
        env.write("sheet.xlsx", bytes);
        cases.add(name, env.run("check --no-schema sheet.xlsx").exits(2));
    }
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.xlsx", archive(&[]));
    let file = fs::OpenOptions::new().write(true).open(env.path("sheet.xlsx"));
    file.expect("it was just written").set_len(513 << 20).expect("it can grow");
    cases.run(&env, "check --no-schema sheet.xlsx");
    assert_text!(cases);
}

#[test]
#[ignore = "it writes gigabytes; `just slow` runs it"]
fn workbooks_of_gigabytes_are_refused_with_the_limit_within_256_mib() {
    let long = "x".repeat(32_000);
    let strings: &WritePart<'_> = &|out| {
        write!(out, "<sst><si><t>{long}</t></si></sst>").expect("memory takes it");
    };
    let references: &WritePart<'_> = &|out| {
        out.write_all(b"<worksheet><sheetData>").expect("memory takes it");
        for row in 1..70_000 {
            let row = format!("<row r=\"{row}\"><c r=\"A{row}\" t=\"s\"><v>0</v></c></row>");
            out.write_all(row.as_bytes()).expect("memory takes it");
        }
        out.write_all(b"</sheetData></worksheet>").expect("memory takes it");
    };
    let mut cases = Cases::default();
    for (name, bytes) in [
        (
            "a long part",
            archive(&[(SHEET, &|out| repeated(out, "<worksheet>", "<row></row>", 100 << 20))]),
        ),
        (
            "many references to a long text",
            archive(&[("xl/sharedStrings.xml", strings), (SHEET, references)]),
        ),
    ] {
        let env = TestEnv::new(files(["a"]));
        env.write("sheet.xlsx", bytes);
        let words = ["check", "--no-schema", "sheet.xlsx"];
        cases.add(name, env.command_after("ulimit -v 262144", &words).run().exits(2));
    }
    assert_text!(cases);
}

#[test]
fn words_that_became_dates_are_noted() {
    let ids = ids(3);
    let env = TestEnv::new(files(&ids));
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let date = Format::new().set_num_format("d-mmm");
    for (column, name) in (0..).zip(["fileId", "tags", "rights_until"]) {
        sheet.write_string(0, column, name).expect("it fits");
    }
    for (row, id) in (1..).zip(&ids) {
        sheet.write_string(row, 0, id).expect("it fits");
        for column in [1, 2] {
            sheet.write_number_with_format(row, column, 46_082.0, &date).expect("it fits");
        }
    }
    workbook.save(env.path("sheet.xlsx")).expect("the directory takes files");
    let run = env.apply("sheet.xlsx").exits(0);
    let notes: Vec<_> = run.out.lines().filter(|line| line.starts_with("note")).collect();
    assert_text!(notes.join("\n"));
}

/// A workbook of a German Excel: German headers, cells by type, and some as text.
#[test]
fn german_workbook_is_applied_fixed_and_applied_again_by_the_commands_shown() {
    let ids = ids(3);
    let env = TestEnv::new(files(&ids));
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet().set_name("Tabelle1").expect("a name");
    let date = Format::new().set_num_format("dd.mm.yyyy");
    let header =
        ["Datei-ID", "Schlagw\u{f6}rter", "Beschreibung", "Preis", "rights_until", "approved"];
    for (column, name) in (0..).zip(header) {
        sheet.write_string(0, column, name).expect("it fits");
    }
    for (row, (id, tags)) in (1..).zip(ids.iter().zip(["rot,gr\u{fc}n", "blau", "gelb"])) {
        sheet.write_string(row, 0, id).expect("it fits");
        sheet.write_string(row, 1, tags).expect("it fits");
        sheet.write_string(row, 2, format!("Gr\u{f6}\u{df}e {row}")).expect("it fits");
        sheet.write_boolean(row, 5, row > 1).expect("it fits");
    }
    sheet.write_number(1, 3, 12.5).expect("it fits");
    let day = rust_xlsxwriter::ExcelDateTime::from_ymd(2026, 12, 31).expect("a day");
    sheet.write_datetime_with_format(1, 4, &day, &date).expect("it fits");
    sheet.write_string(2, 3, "1.234,50").expect("it fits");
    sheet.write_string(2, 4, "01.02.2027").expect("it fits");
    sheet.write_string(3, 3, "1.234").expect("it fits");
    sheet.write_string(3, 4, "#NV").expect("it fits");
    workbook.save(env.path("Bilder.xlsx")).expect("the directory takes files");

    let mut cases = Cases::default();
    cases.run(&env, "check Bilder.xlsx");
    let maps = "--map Datei-ID=fileId --map Schlagw\u{f6}rter=tags --map Beschreibung=description \
                --map Preis=price";
    cases.run(&env, &format!("check Bilder.xlsx {maps}"));
    let applied = env.apply(&format!("Bilder.xlsx --max-bad 50% --locale de {maps}")).exits(1);
    cases.add("apply", &applied);
    assert_text!(cases);
    let metadata = |id: &String| env.file(id)["customMetadata"].clone();
    let values = |id| (metadata(id)["price"].clone(), metadata(id)["rights_until"].clone());
    assert_eq!(values(&ids[0]), (json!(12.5), json!("2026-12-31")));
    assert_eq!(values(&ids[1]), (json!(1234.5), json!("2027-02-01")));

    let failed = env.only_run("Bilder").path().join("failed.xlsx");
    let mut rows = read_workbook(&failed);
    rows[1][4].clear();
    write_workbook(&failed, &rows);
    let shown =
        applied.out.lines().find_map(|line| line.split_once("then: ikbulk ")).expect("a command").1;
    let command = shlex::split(shown).expect("a shell reads it");
    let command: Vec<String> = command.into_iter().chain(["--yes".to_owned()]).collect();
    env.command(&command).run().exits(0);
    assert_eq!(metadata(&ids[2])["price"], 1234);
}

#[test]
fn formatted_rows_without_cells_are_skipped() {
    let env = TestEnv::new(files(["a"]));
    let cells = "<row r=\"1\"><c r=\"A1\" t=\"str\"><v>fileId</v></c><c r=\"B1\" t=\"str\"><v>tags</v></c>\
                 </row><row r=\"2\"><c r=\"A2\" t=\"str\"><v>a</v></c><c r=\"B2\" t=\"str\"><v>x</v></c></row>";
    let before = format!("<worksheet><sheetData>{cells}");
    let workbook = archive(&[(SHEET, &|out| {
        repeated(
            out,
            &before,
            "<row r=\"9\" s=\"1\" customFormat=\"1\" ht=\"12.8\"/>\n",
            200 << 10,
        );
        out.write_all(b"</sheetData></worksheet>").expect("memory takes it");
    })]);
    env.write("sheet.xlsx", workbook);
    env.run("check --no-schema sheet.xlsx").exits(0).output_contains("rows       1\n");
}

#[test]
fn damaged_workbooks_are_refused_with_the_place() {
    let mut cases = Cases::default();
    let sheet = |cells: &str| {
        let text = format!(
            "<worksheet><sheetData><row r=\"1\"><c r=\"A1\" t=\"str\"><v>fileId</v></c><c r=\"B1\" t=\"str\">\
             <v>tags</v></c></row>{cells}</sheetData></worksheet>"
        );
        archive(&[(SHEET, &|out| out.write_all(text.as_bytes()).expect("memory takes it"))])
    };
    for (name, bytes) in [
        ("unknown error value", sheet("<row r=\"2\"><c r=\"A2\" t=\"e\"><v>#NEW!</v></c></row>")),
        ("missing string", sheet("<row r=\"2\"><c r=\"A2\" t=\"s\"><v>7</v></c></row>")),
        ("rows out of order", sheet("<row r=\"1\"><c r=\"A1\"><v>1</v></c></row>")),
        ("no worksheet", archive(&[])),
        ("not closed", archive(&[(SHEET, &|out| repeated(out, "<worksheet>", "<sheetData>", 1))])),
        ("no workbook", archive(&[("xl/workbook.xml", &|_| ())])),
        ("other archive", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        ("cut off", sheet("")[..300].to_vec()),
    ] {
        let env = TestEnv::new(files(["a"]));
        env.write("sheet.xlsx", bytes);
        cases.add(name, env.run("check sheet.xlsx").exits(2));
    }
    assert_text!(cases);
}

#[test]
fn worksheet_without_files_points_to_the_others() {
    let env = TestEnv::new(files(["a"]));
    write_workbook(&env.path("sheet.xlsx"), &[row(&["Notes", "Author"]), row(&["x", "y"])]);
    env.run("check sheet.xlsx").exits(2).output_contains("pass --worksheet with its name");
}
