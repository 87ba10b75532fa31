//! The fuzz targets without the fuzzer: what each runs, over the committed sheets and seeded mutations
//! of them, within 256 MiB and a minute. CI has no nightly toolchain, which `just fuzz` needs.

#[path = "../../fuzz/fuzz_targets/bodies.rs"]
mod bodies;
mod mutator;
#[path = "../../fuzz/fuzz_targets/reader.rs"]
mod reader;
#[path = "../../fuzz/fuzz_targets/workbook.rs"]
mod workbook;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ikbulk::engine::Format;

use mutator::Mutator;

/// Mutations of each input; `MUTATIONS` sets another number.
const MUTATIONS: u32 = 20;
/// The address space, in KiB: the limit that the documentation states, and what the test binary itself
/// maps.
const MEMORY_KIB: u32 = (256 + 64) << 10;
/// Seconds of CPU time that a target may take for all of its inputs.
const SECONDS: u32 = 120;

const RESPONSES: [&str; 4] = [
    r#"{"fileId":"a","tags":["x"],"description":"text","customMetadata":{},"extensionStatus":{"aws-auto-tagging":"pending"},"updatedAt":"2026-11-24T10:30:00.000Z"}"#,
    r#"{"successfullyUpdatedFileIds":["a"]}"#,
    r#"{"isPublished":true}"#,
    r#"[{"id":"1","name":"text","label":"Text","schema":{"type":"Text"}}]"#,
];

/// The sheets of the corpus with these endings.
fn sheets(endings: &[&str]) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sheets");
    let directories = fs::read_dir(corpus).expect("the corpus can be read").flatten();
    let files = directories.filter_map(|directory| fs::read_dir(directory.path()).ok()).flatten();
    let mut paths: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        endings.iter().any(|ending| name == format!("sheet.{ending}"))
    });
    paths.sort();
    assert!(!paths.is_empty(), "there are sheets of {endings:?}");
    paths.iter().map(|path| fs::read(path).expect("it can be read")).collect()
}

/// Passes each input and its mutations to a target.
fn each_mutation(inputs: &[Vec<u8>], target: impl Fn(&[u8])) {
    let count = std::env::var("MUTATIONS").ok().and_then(|count| count.parse().ok());
    let mut mutator = Mutator::new(7);
    for input in inputs {
        target(input);
        for _ in 0..count.unwrap_or(MUTATIONS) {
            target(&mutator.mutated(input, inputs));
        }
    }
}

#[test]
#[ignore = "run by each_target_stays_within_its_limits"]
fn csv() {
    each_mutation(&sheets(&["csv", "tsv"]), |bytes| reader::reads(bytes, Format::Csv));
}

#[test]
#[ignore = "run by each_target_stays_within_its_limits"]
fn jsonl() {
    each_mutation(&sheets(&["jsonl", "json"]), |bytes| reader::reads(bytes, Format::Jsonl));
}

#[test]
#[ignore = "run by each_target_stays_within_its_limits"]
fn xlsx() {
    each_mutation(&sheets(&["xlsx", "ods"]), workbook::reads_workbook);
}

/// The parts of a workbook, so that the XML is reached.
#[test]
#[ignore = "run by each_target_stays_within_its_limits"]
fn xlsx_parts() {
    let sheet = "x<worksheet><sheetData><row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"B1\" t=\"str\"><v>tags</v></c></row><row r=\"2\"><c r=\"A2\" t=\"inlineStr\"><is><t>a</t></is></c><c r=\"B2\" s=\"1\"><f>B1</f><v>45000.5</v></c></row></sheetData><mergeCells><mergeCell ref=\"A3:B4\"/></mergeCells></worksheet>";
    let strings =
        "<sst count=\"1\" uniqueCount=\"1\"><si><r><t>file</t></r><r><t>Id</t></r></si></sst>";
    let styles = "<styleSheet><numFmts><numFmt numFmtId=\"164\" formatCode=\"yyyy-mm-dd\"/></numFmts><cellXfs><xf/><xf numFmtId=\"164\"/></cellXfs></styleSheet>";
    let parts =
        [sheet.as_bytes(), b"\xFF", strings.as_bytes(), b"\xFF", styles.as_bytes()].concat();
    each_mutation(&vec![parts; 30], workbook::reads_workbook);
}

#[test]
#[ignore = "run by each_target_stays_within_its_limits"]
fn responses() {
    let bodies = RESPONSES.map(|body| body.as_bytes().to_vec());
    each_mutation(&bodies.map(|body| vec![body; 20]).concat(), bodies::takes_response);
}

#[test]
fn each_target_stays_within_its_limits() {
    let program = std::env::current_exe().expect("the test has a file");
    for target in ["csv", "jsonl", "xlsx", "xlsx_parts", "responses"] {
        let done = Command::new("/bin/sh")
            .args([
                "-c",
                &format!("ulimit -v {MEMORY_KIB}; ulimit -t {SECONDS}; exec \"$0\" \"$@\""),
            ])
            .arg(&program)
            // Under the limit, a backtrace takes the memory that it needs to be printed, and hangs.
            .env("RUST_BACKTRACE", "0")
            .args(["--ignored", "--exact", target, "--test-threads", "1"])
            .output()
            .expect("the test can be started");
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{target}: {said}{}", String::from_utf8_lossy(&done.stderr));
        assert!(said.contains("1 passed"), "{target} ran: {said}");
    }
}
