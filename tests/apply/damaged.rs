//! Damaged inputs: what each is told, and that nothing of it is sent.

use crate::harness::{CmdResult, TestEnv, files};

/// What `check` says of an input, and by which exit code. `apply` exits 2 for all of them.
#[derive(Clone, Copy)]
enum Verdict {
    /// The whole input is refused.
    Refused,
    /// Some rows are bad.
    BadRows,
}
use Verdict::{BadRows, Refused};

/// (the file, what is said of it)
type Table = [(&'static [u8], Verdict, &'static str)];

const CSV: &Table = &[
    // Nothing, or nothing that is a sheet.
    (b"", Refused, "there is none; the first line must name the columns, fileId among them"),
    (b"\xEF\xBB\xBF", Refused, "there is none; the first line must name the columns"),
    (b"\n\r\n\n", Refused, "there is none; the first line must name the columns"),
    (b",,\na,x,y\n", Refused, "there is none; the first line must name the columns"),
    (b"fileId,tags\n", Refused, "the input has no rows"),
    (b"fileId,tags", Refused, "the input has no rows"),
    (b"\xFF\xFEf\0i\0l\0e\0I\0d\0,\0", Refused, "the input is UTF-16, not CSV or JSONL in UTF-8; save"),
    (b"\xFE\xFF\0f\0i\0l\0e\0I\0d\0,", Refused, "the input is UTF-16, not CSV or JSONL in UTF-8"),
    (b"f\0i\0l\0e\0I\0d\0,\0t\0a\0g\0s\0\n\0", Refused, "the input is UTF-16, not CSV or JSONL"),
    (b"\0f\0i\0l\0e\0I\0d\0,\0t\0a\0g\0s\0\n", Refused, "the input is UTF-16, not CSV or JSONL"),
    (b"\xFF\xFE\0\0f\0\0\0i\0\0\0", Refused, "the input is UTF-32, not CSV or JSONL in UTF-8"),
    (b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", Refused, "nothing but NUL bytes at its beginning"),
    (b"PK\x03\x04\x14\0\x06\0", Refused, "the input is a spreadsheet or ZIP file, not CSV or JSONL"),
    (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", Refused, "the input is a spreadsheet of an old format"),
    (b"\x1F\x8B\x08\0\0\0\0\0", Refused, "the input is compressed with gzip, not CSV or JSONL in UTF-8; unpack"),
    (b"%PDF-1.7\n", Refused, "the input is a PDF, not CSV or JSONL in UTF-8"),
    (b"<!doctype html><p>Sign in</p>", Refused, "the input is a web page, not CSV or JSONL in UTF-8; download"),
    (b"<?xml version=\"1.0\"?>\n<rows/>", Refused, "the input is an XML file, not CSV or JSONL"),
    (b"\x89PNG\r\n\x1A\n", Refused, "the input is in another encoding, not CSV or JSONL in UTF-8"),
    // Headers.
    (b"fileId,k\xFCrzel,tags\na,x,y\n", Refused, "the input is in another encoding, not CSV or JSONL"),
    (b"{\"fileId\":\"a\",\"tags\":[\"x\"]}\n", Refused, "it looks like JSON; say --format jsonl (a file can end in .jsonl instead)"),
    (b"[{\"fileId\":\"a\",\"tags\":[\"x\"]}]\n", Refused, "it looks like a JSON array, which is not read; write one object a line"),
    (b"[\n  {\"fileId\": \"a\", \"tags\": [\"x\"]}\n]\n", Refused, "it looks like a JSON array, which is not read"),
    (b"fileId;tags\na;x\n", Refused, "it is separated by semicolons; save it with commas"),
    (b"tags\nx\n", Refused, "there is no column fileId, filePath or url, only \"tags\""),
    (b"fileId\ttags\na\tx\n", Refused, "it is separated by tabs; save it with commas"),
    (b"id,tags\na,x\n", Refused, "there is no column fileId, filePath or url, only \"id\", \"tags\""),
    (b"a,x\nb,y\n", Refused, "there is no column fileId, filePath or url, only \"a\", \"x\""),
    (b"\x1B[2Jid,tags\na,x\n", Refused, "only \"\\u{1b}[2Jid\", \"tags\""),
    (b"FILEID,tags\na,x\n", Refused, "the column \"FILEID\" is not one of ikbulk's; did you mean \"fileId\"?"),
    (b"fileId,tag\na,x\n", Refused, "the column \"tag\" is not one of ikbulk's; did you mean \"tags\"?"),
    (b"fileId,descripton\na,x\n", Refused, "the column \"descripton\" is not one of ikbulk's; did you mean \"description\"? rename it to that, or to something else if it is not to be read"),
    (b"fileId,tags,tgas\na,x,y\n", Refused, "did you mean \"tags\"?"),
    (b"fileId,published\na,true\n", Refused, "did you mean \"isPublished\"?"),
    (b"fileId,customMetdata.price\na,1\n", Refused, "did you mean \"customMetadata.price\"?"),
    (b"fileId,tags,CustomMetadata.price\na,x,1\n", Refused, "did you mean \"customMetadata.price\"?"),
    (b"fileId,tags,customMetadata\na,x,{}\n", Refused, "did you mean \"customMetadata.<name>\"?"),
    (b"fileId,tags, tags\na,x,y\n", Refused, "the column \"tags\" is there twice"),
    (b"fileId,colour\na,red\n", Refused, "no column says what to change; there are fileId, filePath, url, tags"),
    (b"\"fileId,tags\na,x\nb,y\n", Refused, "in the middle of a record (row 1, which begins at byte 0): a quote is never closed"),
    // Ends.
    (b"fileId,tags\na,x\nb,\"y", Refused, "(row 3, which begins at byte 16): a quote is never closed"),
    (b"fileId,tags\na,\"x\nb,y\n", Refused, "(row 2, which begins at byte 12): a quote is never closed"),
    (b"fileId,tags\na,x\nb", Refused, "(row 3, which begins at byte 16): it has fewer cells than the header"),
    (b"fileId,tags\na,x\n\0\0\0\0\0\0", Refused, "(row 3, which begins at byte 16): it has fewer cells"),
    // Quotes that swallow the rows behind them, or their own row's cells.
    (b"fileId,description\na,\"x\nb,y\nc,\"z\"\n", Refused, "row 2, which begins at byte 19, has a quote that closes in the middle of a cell"),
    (b"fileId,description,tags\na,x,y\nb,\"x,y\nc,\"z\",y\n", Refused, "row 3, which begins at byte 30, has a quote"),
    (b"fileId,tags\na,\"x\nb,y\nc,\"\n", BadRows, "bad row    2: tags: \"x\\nb,y\\nc,\" has a line end in the tag"),
    (b"fileId,tags\na,\"x,y\"z\",w\nb,x\n", BadRows, "bad row    2: row: has 3 cells where the header has 2"),
    // Rows.
    (b"fileId,tags\na,x,y\nb,z\n", BadRows, "bad row    2: row: has 3 cells where the header has 2; put cells with commas"),
    (b"fileId,tags,note\na\nb,x,y\n", BadRows, "bad row    2: row: has 1 cell where the header has 3"),
    (b"fileId,tags\na,x\nfileId,tags\nb,y\n", BadRows, "bad row    3: row: repeats the header; delete the row"),
    (b"fileId,tags\n,x\n", BadRows, "bad row    2: fileId: is empty; write the file's id"),
    (b"fileId,tags\na\0b,x\n", BadRows, "bad row    2: fileId: \"a\\0b\" holds a NUL character"),
    (b"fileId,tags\na\x07b,x\n", BadRows, "bad row    2: fileId: \"a\\u{7}b\" contains a control character; write the id"),
    (b"fileId,tags\n..,x\n", BadRows, "bad row    2: fileId: \"..\" is a relative path, not a file id"),
    (b"fileId,tags\n#REF!,x\n", BadRows, "bad row    2: fileId: \"#REF!\" is what a failed formula prints"),
    // Cells.
    (b"fileId,tags\na,#N/A\n", BadRows, "bad row    2: tags: \"#N/A\" is what a failed formula prints, not a value; mend the formula"),
    (b"fileId,description\na, #DIV/0! \n", BadRows, "bad row    2: description: \" #DIV/0! \" is what a failed formula"),
    (b"fileId,description\na,M\xFCnchen\n", BadRows, "bad row    2: description: \"M\u{fffd}nchen\" is not UTF-8; save the sheet as"),
    (b"fileId,description\na,x\0\0\n", BadRows, "bad row    2: description: \"x\\0\\0\" holds a NUL character; write the text"),
    (b"fileId,tags\na,50%\n", BadRows, "bad row    2: tags: \"50%\" has a % in the tag \"50%\""),
    (b"fileId,tags\na,\"[\"\"x\"\n", BadRows, "bad row    2: tags: \"[\\\"x\" begins like a JSON array, but is not one of strings"),
    (b"fileId,customCoordinates\na,\"1,2,3,99999999999\"\n", BadRows, "bad row    2: customCoordinates: \"1,2,3,99999999999\" is not an area of an image; write x,y,width,height"),
    (b"fileId,extensions\na,\"[{\"\"name\"\":\"\"remove-bg\"\"}\"\n", BadRows, "bad row    2: extensions: \"[{\\\"name\\\":\\\"remove-bg\\\"}\" is not JSON (EOF"),
    (b"fileId,extensions\na,\"[{\"\"name\"\":\"\"x\"\",\"\"name\"\":\"\"remove-bg\"\"}]\"\n", BadRows, "is not JSON (the key \"name\" is there twice"),
    (b"fileId,extensions\na,\"[{\"\"name\"\":\"\"aws-auto-tagging\"\",\"\"minConfidence\"\":101,\"\"maxTags\"\":3}]\"\n", BadRows, "minConfidence"),
    (b"fileId,isPublished\na,wahr\n", BadRows, "bad row    2: isPublished: \"wahr\" is neither true nor false; write true or false"),
    (b"fileId,webhookUrl,extensions\na,example.com/hook,\n", BadRows, "bad row    2: webhookUrl: \"example.com/hook\" is not a URL; write a whole URL"),
];

const JSONL: &Table = &[
    (b"", Refused, "the input has no rows"),
    (b"\n\n\n", Refused, "the input has no rows"),
    (b"\xFF\xFE{\0\"\0", Refused, "the input is UTF-16, not CSV or JSONL in UTF-8"),
    (b"{\0\"\0f\0i\0l\0e\0", Refused, "the input is UTF-16, not CSV or JSONL in UTF-8"),
    (b"\x1F\x8B\x08\0\0\0\0\0", Refused, "the input is compressed with gzip"),
    (
        b"{\"fileId\":\"a\",\"tags\":[\"x\"]}\n{\"fileId\":\"b\",\"ta",
        Refused,
        "(row 2, which begins at byte 28): its last line is not a whole JSON object",
    ),
    (
        b"{\"fileId\":\"a\",\"tags\":[\"x\"]}\n\0\0\0\0",
        Refused,
        "(row 2, which begins at byte 28): its last line is not a whole JSON object",
    ),
    (
        b"fileId,tags\na,x\n",
        BadRows,
        "bad row    1: line: \"fileId,tags\" is not a JSON object (expected ident at byte 2); write one object",
    ),
    (b"[{\"fileId\":\"a\",\"tags\":[\"x\"]}]\n", BadRows, "bad row    1: line: "),
    (
        b"{\n\"fileId\":\"a\"\n}\n",
        BadRows,
        "bad row    1: line: \"{\" is not a JSON object (EOF while parsing an object at byte 1)",
    ),
    (b"null\n", BadRows, "bad row    1: line: \"null\" is not a JSON object"),
    (
        b"{\"fileId\":\"a\"}{\"fileId\":\"b\"}\n",
        BadRows,
        "is not a JSON object (trailing characters at byte 15)",
    ),
    (b"{'fileId':'a'}\n", BadRows, "is not a JSON object (key must be a string at byte 2)"),
    (
        b"{\"fileId\":\"a\" \"tags\":[]}\n",
        BadRows,
        "is not a JSON object (expected `,` or `}` at byte 15)",
    ),
    (
        b"{\"fileId\":\"a\",\"description\":\"M\xFCnchen\"}\n",
        BadRows,
        "is not a JSON object (invalid unicode code point at byte",
    ),
    (b"{\"fileId\":\"a\",\"description\":\"\\ud800\"}\n", BadRows, "is not a JSON object ("),
    (
        b"{\"fileId\":\"a\",\"description\":\"\x01\"}\n",
        BadRows,
        "is not a JSON object (control character",
    ),
    (
        b"{\"fileId\":\"a\",\"description\":\"\\u0000\"}\n",
        BadRows,
        "bad row    1: description: \"\\0\" holds a NUL character",
    ),
    (
        b"{\"fileId\":\"a\",\"customMetadata\":{\"price\":1e999}}\n",
        BadRows,
        "is not a JSON object (number out of range at byte",
    ),
    (
        b"{\"fileId\":\"a\",\"fileId\":\"b\",\"tags\":[\"x\"]}\n",
        BadRows,
        "bad row    1: fileId: \"\\\"b\\\"\" is there twice; keep one of them",
    ),
    (
        b"{\"fileId\":\"a\",\"customMetadata\":{\"brand\":\"x\",\"brand\":\"y\"}}\n",
        BadRows,
        "is not a JSON object (the key \"brand\" is there twice at byte",
    ),
    (
        b"{\"fileId\":7,\"tags\":[\"x\"]}\n",
        BadRows,
        "bad row    1: fileId: \"7\" is not text; write the id",
    ),
    (
        b"{\"fileId\":null,\"tags\":[\"x\"]}\n",
        BadRows,
        "bad row    1: fileId: \"null\" cannot be cleared",
    ),
    (
        b"{\"fileID\":\"a\",\"tags\":[\"x\"]}\n",
        BadRows,
        "bad row    1: fileID: \"\\\"a\\\"\" is under an unknown key; did you mean fileId?",
    ),
    (
        b"{\"fileId\":\"a\",\"customMetdata\":{\"price\":1}}\n",
        BadRows,
        "is under an unknown key; did you mean customMetadata?",
    ),
    (
        b"{\"fileId\":\"a\",\"tags\":[\"x\"],\"discription\":\"x\"}\n",
        BadRows,
        "is under an unknown key; did you mean description?",
    ),
    (
        b"{\"fileId\":\"a\",\"colour\":\"red\"}\n",
        BadRows,
        "bad row    1: colour: \"\\\"red\\\"\" is under an unknown key; use fileId, filePath, url, tags",
    ),
    (
        b"{\"fileId\":\"a\",\"tags\":[1,2]}\n",
        BadRows,
        "bad row    1: tags: \"[1,2]\" is not a list of strings only",
    ),
    (
        b"{\"fileId\":\"a\",\"tags\":{\"x\":1}}\n",
        BadRows,
        "bad row    1: tags: \"{\\\"x\\\":1}\" is not a list of strings",
    ),
    (
        b"{\"fileId\":\"a\",\"description\":12}\n",
        BadRows,
        "bad row    1: description: \"12\" is not text; write text",
    ),
    (
        b"{\"fileId\":\"a\",\"customCoordinates\":[1,2,3,4]}\n",
        BadRows,
        "bad row    1: customCoordinates: \"[1,2,3,4]\" is not an area of an image",
    ),
    (
        b"{\"fileId\":\"a\",\"extensions\":{\"name\":\"remove-bg\"}}\n",
        BadRows,
        "is not a JSON array; write it as [{\"name\":",
    ),
    (
        b"{\"fileId\":\"a\",\"isPublished\":2}\n",
        BadRows,
        "bad row    1: isPublished: \"2\" is neither true nor false",
    ),
    (b"{\"fileId\":\"a\",\"publish\":true}\n", BadRows, "bad row    1: publish: \"true\" is"),
    (
        b"{\"fileId\":\"a\",\"customMetadata\":\"brand\"}\n",
        BadRows,
        "bad row    1: customMetadata: \"\\\"brand\\\"\" is",
    ),
];

/// What is wrong with what a command did.
fn complaint(done: &CmdResult, code: i32, says: &str) -> Option<&'static str> {
    let said = format!("{}{}", done.out, done.err);
    let is_order = |c: char| c.is_control() && c != '\n';
    if said.contains("panicked") {
        Some("it panicked")
    } else if done.code != Some(code) {
        Some("another exit code")
    } else if !said.contains(says) {
        Some("not said")
    } else if said.contains(is_order) {
        Some("a control character on the terminal")
    } else {
        None
    }
}

/// Runs both commands on each file of a table, which tells all that is wrong at once.
#[track_caller]
fn all_are_told(table: &Table, name: &str) {
    let world = TestEnv::new(files(["a", "b", "c"]));
    let mut complaints = String::new();
    for (bytes, verdict, says) in table {
        world.write(name, bytes);
        let code = match verdict {
            Refused => 2,
            BadRows => 1,
        };
        let checked = world.run(&format!("check --no-schema {name}"));
        let applied = world.apply_direct(&format!("--no-schema {name}"));
        for (done, code) in [(checked, code), (applied, 2)] {
            if let Some(complaint) = complaint(&done, code, says) {
                complaints += &format!("{complaint}: {says}\n{}{}\n", done.out, done.err);
            }
        }
        assert!(!world.path("sheet.ikbulk").exists(), "something was left behind: {says}");
    }
    assert!(complaints.is_empty(), "\n{complaints}");
    assert_eq!(world.sandbox.stats().requests, 0);
}

#[test]
fn a_damaged_sheet_is_told_what_is_wrong_with_it_and_nothing_of_it_is_sent() {
    all_are_told(CSV, "sheet.csv");
}

#[test]
fn damaged_lines_are_told_what_is_wrong_with_them_and_nothing_of_them_is_sent() {
    all_are_told(JSONL, "sheet.jsonl");
}

/// Sheets that look odd and are whole: (the file, its rows).
const ODD: &[(&[u8], u64)] = &[
    (b"fileId,tags\ra,x\rb,y\r", 2),
    (b"fileId,tags\r\na,x\nb,y\rc,z\r\n", 3),
    (b"fileId,tags\na,x\nb,y", 2),
    (b"\xEF\xBB\xBFfileId,tags\n\n\na,x\n\n", 1),
    (b"fileId,tags,,\na,x,,\n,,,\n", 2),
    (b" fileId , tags \na , x \n", 1),
    (b"fileId,tags\na,12\" nail\n", 1),
    (b"fileId,description\na,\"one\ntwo \"\"quoted\"\"\"\nb,\"\"\n", 2),
    (b"fileId,description\na,=1+1\nb,\"=HYPERLINK(\"\"x\"\")\"\n", 2),
    (b"fileId,note,tags\na,M\xFCnchen,x\n", 1),
];

#[test]
fn a_sheet_that_only_looks_odd_is_good() {
    let world = TestEnv::new(files(["a", "b", "c"]));
    for (bytes, rows) in ODD {
        world.write("sheet.csv", bytes);
        world.run("check sheet.csv").exits(0).output_contains(&format!("rows       {rows}"));
    }
}
