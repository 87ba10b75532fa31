//! Damaged inputs: the reason that each is refused for, and that nothing is sent.

use crate::harness::{Cases, CmdResult, TestEnv, assert_text, files};

/// The exit code of `check`: 2 or 1. `apply` exits 2 for all of them.
#[derive(Clone, Copy)]
enum Verdict {
    /// The whole input is refused.
    Refused,
    /// Some rows are bad.
    BadRows,
}
use Verdict::{BadRows, Refused};

/// (content of the file, verdict)
type Table = [(&'static [u8], Verdict)];

const CSV: &Table = &[
    // Nothing, or nothing that is a sheet.
    (b"", Refused),
    (b"\xEF\xBB\xBF", Refused),
    (b"\n\r\n\n", Refused),
    (b",,\na,x,y\n", Refused),
    (b"fileId,tags\n", Refused),
    (b"fileId,tags", Refused),
    (b"\xFF\xFEf\0i\0l\0e\0I\0d\0,\0", Refused),
    (b"\xFE\xFF\0f\0i\0l\0e\0I\0d\0,", Refused),
    (b"f\0i\0l\0e\0I\0d\0,\0t\0a\0g\0s\0\n\0", Refused),
    (b"\0f\0i\0l\0e\0I\0d\0,\0t\0a\0g\0s\0\n", Refused),
    (b"\xFF\xFE\0\0f\0\0\0i\0\0\0", Refused),
    (b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", Refused),
    (b"PK\x03\x04\x14\0\x06\0", Refused),
    (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", Refused),
    (b"\x1F\x8B\x08\0\0\0\0\0", Refused),
    (b"%PDF-1.7\n", Refused),
    (b"<!doctype html><p>Sign in</p>", Refused),
    (b"<?xml version=\"1.0\"?>\n<rows/>", Refused),
    (b"\x89PNG\r\n\x1A\n", Refused),
    // Headers.
    (b"fileId,k\xFCrzel,tags\na,x,y\n", Refused),
    (b"{\"fileId\":\"a\",\"tags\":[\"x\"]}\n", Refused),
    (b"[{\"fileId\":\"a\",\"tags\":[\"x\"]}]\n", Refused),
    (b"[\n  {\"fileId\": \"a\", \"tags\": [\"x\"]}\n]\n", Refused),
    (b"tags\nx\n", Refused),
    (b"id,tags\na,x\n", Refused),
    (b"a,x\nb,y\n", Refused),
    (b"\x1B[2Jid,tags\na,x\n", Refused),
    (b"fileId,tag\na,x\n", Refused),
    (b"fileId,descripton\na,x\n", Refused),
    (b"fileId,tags,tgas\na,x,y\n", Refused),
    (b"fileId,published\na,true\n", Refused),
    (b"fileId,customMetdata.price\na,1\n", Refused),
    (b"fileId,tags,customMetadata\na,x,7\n", BadRows),
    (b"fileId,tags, tags\na,x,y\n", Refused),
    (b"fileId,colour\na,red\n", Refused),
    (b"\"fileId,tags\na,x\nb,y\n", Refused),
    // Ends.
    (b"fileId,tags\na,x\nb,\"y", Refused),
    (b"fileId,tags\na,\"x\nb,y\n", Refused),
    (b"fileId,tags\na,x\nb", Refused),
    (b"fileId,tags\na,x\n\0\0\0\0\0\0", Refused),
    // Quotes that swallow the following rows, or cells of their own row.
    (b"fileId,description\na,\"x\nb,y\nc,\"z\"\n", Refused),
    (b"fileId,description,tags\na,x,y\nb,\"x,y\nc,\"z\",y\n", Refused),
    (b"fileId,tags\na,\"x\nb,y\nc,\"\n", BadRows),
    (b"fileId,tags\na,\"x,y\"z\",w\nb,x\n", BadRows),
    // Rows.
    (b"fileId,tags\na,x,y\nb,z\n", BadRows),
    (b"fileId,tags\na,x\nfileId,tags\nb,y\n", BadRows),
    (b"fileId,tags\n,x\n", BadRows),
    (b"fileId,tags\na\0b,x\n", BadRows),
    (b"fileId,tags\na\x07b,x\n", BadRows),
    (b"fileId,tags\n..,x\n", BadRows),
    (b"fileId,tags\n#REF!,x\n", BadRows),
    // Cells.
    (b"fileId,tags\na,#N/A\n", BadRows),
    (b"fileId,description\na, #DIV/0! \n", BadRows),
    (b"fileId,description\na,M\xFCnchen\n", Refused),
    (b"fileId,note,tags\na,M\xFCnchen,x\n", Refused),
    // One damaged character among whole ones is the problem of its row.
    (b"fileId,description\na,\xC3\xBC\xC3\xBC\nb,M\xFCnchen\n", BadRows),
    (b"fileId,description\na,x\0\0\n", BadRows),
    (b"fileId,tags\na,50%\n", BadRows),
    (b"fileId,tags\na,\"[\"\"x\"\n", BadRows),
    (b"fileId,customCoordinates\na,\"1,2,3,99999999999\"\n", BadRows),
    (b"fileId,extensions\na,\"[{\"\"name\"\":\"\"remove-bg\"\"}\"\n", BadRows),
    (b"fileId,extensions\na,\"[{\"\"name\"\":\"\"x\"\",\"\"name\"\":\"\"remove-bg\"\"}]\"\n", BadRows),
    (b"fileId,extensions\na,\"[{\"\"name\"\":\"\"aws-auto-tagging\"\",\"\"minConfidence\"\":101,\"\"maxTags\"\":3}]\"\n", BadRows),
    (b"fileId,isPublished\na,maybe\n", BadRows),
    (b"fileId,webhookUrl,extensions\na,example.com/hook,\n", BadRows),
];

const JSONL: &Table = &[
    (b"", Refused),
    (b"\n\n\n", Refused),
    (b"\xFF\xFE{\0\"\0", Refused),
    (b"{\0\"\0f\0i\0l\0e\0", Refused),
    (b"\x1F\x8B\x08\0\0\0\0\0", Refused),
    (b"{\"fileId\":\"a\",\"tags\":[\"x\"]}\n{\"fileId\":\"b\",\"ta", Refused),
    (b"{\"fileId\":\"a\",\"tags\":[\"x\"]}\n\0\0\0\0", Refused),
    (b"fileId,tags\na,x\n", Refused),
    (b"[{\"fileId\":\"a\",\"tags\":[\"x\"]},\n", Refused),
    (b"[{\"fileId\":\"a\",\"tags\":[\"x\"]},{\"fileId\"", Refused),
    (b"null\n", BadRows),
    (b"{\"fileId\":\"a\"} \"tags\"\n", BadRows),
    (b"{'fileId':'a'}\n", BadRows),
    (b"{\"fileId\":\"a\" \"tags\":[]}\n", BadRows),
    (b"{\"fileId\":\"a\",\"description\":\"M\xFCnchen\"}\n", Refused),
    (b"{\"fileId\":\"a\",\"description\":\"\\ud800\"}\n", BadRows),
    (b"{\"fileId\":\"a\",\"description\":\"\x01\"}\n", BadRows),
    (b"{\"fileId\":\"a\",\"description\":\"\\u0000\"}\n", BadRows),
    (b"{\"fileId\":\"a\",\"customMetadata\":{\"price\":1e999}}\n", BadRows),
    (b"{\"fileId\":\"a\",\"fileId\":\"b\",\"tags\":[\"x\"]}\n", BadRows),
    (b"{\"fileId\":\"a\",\"customMetadata\":{\"brand\":\"x\",\"brand\":\"y\"}}\n", BadRows),
    (b"{\"fileId\":7,\"tags\":[\"x\"]}\n", BadRows),
    (b"{\"fileId\":null,\"tags\":[\"x\"]}\n", BadRows),
    (b"{\"fileId\":\"a\",\"customMetdata\":{\"price\":1}}\n", BadRows),
    (b"{\"fileId\":\"a\",\"tags\":[\"x\"],\"discription\":\"x\"}\n", BadRows),
    (b"{\"fileId\":\"a\",\"tags\":[1,2]}\n", BadRows),
    (b"{\"fileId\":\"a\",\"tags\":{\"x\":1}}\n", BadRows),
    (b"{\"fileId\":\"a\",\"description\":12}\n", BadRows),
    (b"{\"fileId\":\"a\",\"customCoordinates\":[1,2,3,4]}\n", BadRows),
    (b"{\"fileId\":\"a\",\"extensions\":{\"name\":\"remove-bg\"}}\n", BadRows),
    (b"{\"fileId\":\"a\",\"isPublished\":2}\n", BadRows),
    (b"{\"fileId\":\"a\",\"publish\":true}\n", BadRows),
    (b"{\"fileId\":\"a\",\"customMetadata\":\"brand\"}\n", BadRows),
];

/// What is wrong with what a command did, apart from its wording.
fn complaint(done: &CmdResult, code: i32) -> Option<&'static str> {
    let printed = format!("{}{}", done.out, done.err);
    let is_control = |c: char| c.is_control() && c != '\n';
    if printed.contains("panicked") {
        Some("it panicked")
    } else if done.code != Some(code) {
        Some("another exit code")
    } else if printed.contains(is_control) {
        Some("a control character on the terminal")
    } else {
        None
    }
}

/// Runs both commands on each file of a table. Returns what `check` prints about each, from the
/// first bad row on.
#[track_caller]
fn refuse_all(table: &Table, name: &str) -> Cases {
    let env = TestEnv::new(files(["a", "b", "c"]));
    let mut cases = Cases::default();
    let mut complaints = String::new();
    for (bytes, verdict) in table {
        env.write(name, bytes);
        let code = match verdict {
            Refused => 2,
            BadRows => 1,
        };
        let heading = bytes.escape_ascii().to_string();
        let checked = env.run(&format!("check --no-schema {name}"));
        let problems = checked.out.find("\nbad row").map_or(0, |start| start + 1);
        cases.add(&heading, checked.out[problems..].to_owned() + &checked.err);
        let applied = env.apply_direct(&format!("--no-schema {name}"));
        for (done, code) in [(checked, code), (applied, 2)] {
            if let Some(complaint) = complaint(&done, code) {
                complaints += &format!("{complaint}: {heading}\n{done}\n");
            }
        }
        assert!(!env.path("sheet.ikbulk").exists(), "a run directory was left behind: {heading}");
    }
    assert!(complaints.is_empty(), "\n{complaints}");
    assert_eq!(env.sandbox.stats().requests, 0);
    cases
}

#[test]
fn damaged_sheets_are_refused_with_the_reason() {
    assert_text!(refuse_all(CSV, "sheet.csv"));
}

#[test]
fn damaged_lines_are_refused_with_the_reason() {
    assert_text!(refuse_all(JSONL, "sheet.jsonl"));
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
    (b"fileId;tags\na;x\n", 1),
    (b"FILEID,tags\na,x\n", 1),
    (b"fileId,tags,CustomMetadata.price\na,x,1\n", 1),
    (b"fileId,tags,customMetadata\na,x,{}\n", 1),
    (b"fileId\ttags\na\tx\n", 1),
    (b"fileId,tags,note\na\nb,x,y\n", 2),
    (b"fileId,tags\na,x\n\x1A", 1),
];

#[test]
fn odd_looking_sheets_are_accepted() {
    let env = TestEnv::new(files(["a", "b", "c"]));
    for (bytes, rows) in ODD {
        env.write("sheet.csv", bytes);
        env.run("check sheet.csv").exits(0).output_contains(&format!("rows       {rows}"));
    }
}
