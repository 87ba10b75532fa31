//! What leaves the program, and what must not.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use ikbulk::sandbox::{Config, Phase, Tap};

use crate::harness::{KEY, World, files};

#[test]
fn a_hostile_file_id_reaches_no_other_endpoint() {
    let paths = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&paths);
    let tap = Tap::new(move |event| {
        if event.phase == Phase::Arrived {
            seen.lock().unwrap().push(event.path.clone());
        }
    });
    let world = World::new(Config { tap: Some(tap), ..files(["a"]) });
    let hostile = ["../addTags", "a/b", "%2e%2e", "a?x=1", "a#b", "a b", "ä", "..\\x", "a%2Fb"];
    let rows: String = hostile.iter().map(|id| format!("{id},red\n")).collect();
    world.write("sheet.csv", format!("fileId,tags\n{rows}..,red\n"));
    world.apply("sheet.csv --max-bad 50%").exits(1);
    let paths = paths.lock().unwrap();
    assert_eq!(paths.len(), hostile.len(), "{paths:?}");
    for path in paths.iter() {
        let id = path.strip_prefix("/v1/files/").and_then(|rest| rest.strip_suffix("/details"));
        let id = id.unwrap_or_else(|| panic!("{path} is another endpoint"));
        assert!(!id.contains(['/', '?', '#']), "{path}");
    }
    assert_eq!(world.only_run("sheet").row(11)["code"], "invalid");
}

#[test]
fn the_key_is_in_no_log_report_ledger_or_error() {
    let world = World::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags,customMetadata.brand\na,red,x\nmissing,red,y\n");
    let mut said = String::new();
    for arguments in [
        "apply -vv --yes sheet.csv",
        "apply -vv --yes --log-format json --endpoint http://127.0.0.1:1 --down-max 1s --no-schema sheet.csv",
        "apply --help",
        "check -vv sheet.csv",
    ] {
        let done = world.run(arguments);
        said.push_str(&done.out);
        said.push_str(&done.err);
    }
    let encoded = "cHJpdmF0ZV9kb05vdFByaW50TWUxMjM0NT0";
    assert!(!said.contains(KEY) && !said.contains(encoded), "{said}");
    for run in world.runs("sheet") {
        for entry in std::fs::read_dir(run.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(KEY) && !text.contains(encoded), "{}", path.display());
        }
    }
}

#[test]
fn plain_http_to_another_machine_is_refused_before_anything_is_sent() {
    let world = World::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,red\n");
    world.apply("sheet.csv --endpoint http://192.0.2.1").exits(2).says("not https");
}

#[test]
fn a_redirect_is_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).unwrap();
        let answer = "HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    });
    let world = World::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,red\n");
    world.apply(&format!("sheet.csv --endpoint http://127.0.0.1:{port}")).exits(1).says("307");
    assert!(server.join().unwrap().starts_with("PATCH /v1/files/a/details "));
}
