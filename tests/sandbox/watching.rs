//! Statistics, history, the tap, and the looks behind the scenes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikbulk::sandbox::{
    Config, ExtensionOutcome, Hook, Library, Limit, Peak, Phase, Status, WindowPeak, synthetic_id,
};
use serde_json::{Value, json};

use crate::client::{ask, config, get, patch, post, receive, send, started};

#[test]
fn requests_are_counted_by_call_and_status() {
    let running = started(config());
    patch(&running, "f1", &json!({"tags": ["x"]}));
    patch(&running, "gone", &json!({"tags": ["x"]}));
    patch(&running, "f1", &json!({"publish": {"isPublished": false}}));
    post(&running, "/v1/files/addTags", &json!({"fileIds": ["f1", "f2"], "tags": ["y"]}));
    get(&running, "/v1/files/f1/details");
    get(&running, "/v1/files");
    let stats = running.stats();
    assert_eq!(stats.requests, 6);
    let calls = &stats.calls;
    assert_eq!(
        (calls.patch, calls.publish, calls.add_tags, calls.get, calls.list),
        (2, 1, 1, 1, 1)
    );
    assert_eq!((stats.statuses[&200], stats.statuses[&404]), (5, 1));
    let calls = json!({
        "patch": {"200": 1, "404": 1}, "publish": {"200": 1}, "add_tags": {"200": 1},
        "get": {"200": 1}, "list": {"200": 1},
    });
    assert_eq!(json!(stats.statuses_by_call), calls);
    assert_eq!(stats.changes, 4);
    assert_eq!(get(&running, "/__sandbox/stats").json(), serde_json::to_value(&stats).unwrap());
}

#[test]
fn the_history_of_a_file_is_its_changes_in_order() {
    let running = started(config());
    patch(&running, "f1", &json!({"tags": ["x"]}));
    patch(&running, "f1", &json!({"tags": 5}));
    post(&running, "/v1/files/removeTags", &json!({"fileIds": ["f1", "f2"], "tags": ["x"]}));
    let history = running.history("f1");
    let calls: Vec<(&Value, &Value)> =
        history.iter().map(|change| (&change["n"], &change["call"])).collect();
    assert_eq!(calls, [(&json!(1), &json!("patch")), (&json!(3), &json!("removeTags"))]);
    assert_eq!(history[0]["body"], json!({"tags": ["x"]}));
    assert_eq!(running.history("f2").len(), 1);
    assert_eq!(get(&running, "/__sandbox/files/f1/history").json(), json!(history));
}

#[test]
fn requests_of_one_file_that_overlap_are_seen() {
    let running = started(Config { latency: Duration::from_millis(250), ..config() });
    let head = "PATCH /v1/files/f1/details";
    let streams = [
        send(&running, head, "{}"),
        send(&running, head, "{}"),
        send(&running, "GET /v1/files/f2/details", ""),
    ];
    for stream in streams {
        drop(receive(stream));
    }
    let stats = running.stats();
    assert_eq!((stats.max_under_way, stats.max_under_way_per_file), (3, 2));
    assert!(stats.overlapped);
    assert_eq!(stats.overlaps_by_file, [("f1".to_owned(), 2)].into());
}

#[test]
fn the_busiest_second_and_the_busiest_window_are_counted() {
    let minute = Duration::from_mins(1);
    let window = Limit::Window { requests: 3, interval: minute };
    let running = started(Config { writes: vec![window], ..config() });
    let write = || patch(&running, "f1", &json!({})).status;
    assert_eq!(write(), 200);
    running.advance(minute / 2);
    assert_eq!([write(), write(), write()], [200, 200, 429]);
    running.advance(minute / 2);
    assert_eq!([write(), write(), write()], [200; 3]);
    let stats = running.stats();
    // The last two thirds of one window and all of the next.
    let peak = Peak { arrived: 6, accepted: 5 };
    assert_eq!(stats.writes_per_window, [WindowPeak { interval_ms: 60_000, peak }]);
    assert_eq!(stats.writes_per_second, Peak { arrived: 3, accepted: 3 });
    assert_eq!(stats.reads_per_window, []);
}

#[test]
fn requests_one_after_the_other_do_not_overlap() {
    let running = started(Config { latency: Duration::from_millis(2), ..config() });
    for _ in 0..5 {
        patch(&running, "f1", &json!({}));
        post(&running, "/v1/files/addTags", &json!({"fileIds": ["f1"], "tags": ["x"]}));
    }
    let stats = running.stats();
    assert_eq!((stats.max_under_way_per_file, stats.overlapped), (1, false));
}

#[test]
fn the_tap_sees_every_request_before_and_after_its_work() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let hook = Hook::new(move |event| {
        let line = format!("{} {:?} {} {}", event.n, event.phase, event.method, event.path);
        log.lock().expect("no tap panics").push(line);
    });
    let running = started(Config { hook: Some(hook), ..config() });
    patch(&running, "f%31", &json!({}));
    get(&running, "/__sandbox/stats");
    get(&running, "/v1/files?limit=1");
    let expected = [
        "1 Arrived PATCH /v1/files/f%31/details",
        "1 Worked PATCH /v1/files/f%31/details",
        "2 Arrived GET /v1/files",
        "2 Worked GET /v1/files",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_tap_that_blocks_holds_the_answer_back_after_the_work() {
    let (done, is_done) = std::sync::mpsc::channel();
    let hook = Hook::new(move |event| {
        if event.phase == Phase::Worked {
            done.send(()).expect("the test listens");
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let running = started(Config { hook: Some(hook), ..config() });
    let stream = send(&running, "PATCH /v1/files/f1/details", r#"{"description": "after"}"#);
    is_done.recv().unwrap();
    assert_eq!(running.file("f1").unwrap()["description"], "after");
    stream.set_nonblocking(true).unwrap();
    assert!(stream.peek(&mut [0]).is_err());
    stream.set_nonblocking(false).unwrap();
    assert!(receive(stream).0.starts_with("HTTP/1.1 200"));
}

#[test]
fn the_library_shows_what_was_inserted_or_changed() {
    let mut library = Library::synthetic(100, 5);
    library.insert(json!({"fileId": "aaa"}));
    let running = started(Config { library, ..config() });
    let changed = synthetic_id(5, 50);
    patch(&running, &changed, &json!({"tags": ["x"]}));
    let ids: Vec<Value> = running.library().iter().map(|file| file["fileId"].clone()).collect();
    let mut expected = vec![json!("aaa"), json!(changed)];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(ids, expected);
    let lines = get(&running, "/__sandbox/library").text;
    let listed: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed, running.library());
}

#[test]
fn a_library_that_was_saved_is_the_same_again() {
    let mut library = Library::synthetic(50, 5);
    let ids: Vec<String> = (0..50).map(|index| synthetic_id(5, index)).collect();
    library.insert(json!({"fileId": "bare", "description": null, "tags": null, "more": [1.5]}));
    let always = ExtensionOutcome::Always(Status::Success);
    let running = started(Config { library, extensions: always, ..config() });
    let all = json!({
        "tags": ["ä \"quoted\"", "b"], "customMetadata": {"size": 30, "price": 12.5, "brand": null},
        "customCoordinates": "1,2,3,4", "description": "two\nlines",
        "extensions": [{"name": "remove-bg"},
                       {"name": "aws-auto-tagging", "minConfidence": 80, "maxTags": 3}],
    });
    patch(&running, &ids[7], &all);
    patch(&running, &ids[8], &json!({"publish": {"isPublished": false}}));
    for id in &ids[20..30] {
        patch(&running, id, &json!({"tags": null}));
    }
    let before = (running.library(), get(&running, "/v1/files").json());
    assert_eq!(before.0.len(), 13);
    let mut saved = Vec::new();
    running.save(&mut saved).unwrap();
    let mut library = Library::synthetic(50, 5);
    library.add_lines(saved.as_slice()).unwrap();
    let running = started(Config { library, ..config() });
    assert_eq!((running.library(), get(&running, "/v1/files").json()), before);
}

#[test]
fn a_reset_makes_everything_as_it_was_at_the_start() {
    let running = started(config());
    let before = running.library();
    patch(&running, "f1", &json!({"tags": ["x"]}));
    assert_ne!(running.library(), before);
    assert_eq!(ask(&running, "POST /__sandbox/reset", "").status, 200);
    assert_eq!(running.library(), before);
    assert_eq!(running.stats(), started(config()).stats());
    assert!(running.history("f1").is_empty());
}

#[test]
fn without_recording_the_totals_are_counted_all_the_same() {
    let running = started(Config { record: false, ..config() });
    patch(&running, "f1", &json!({"extensions": [{"name": "ai-auto-description"}]}));
    let stats = running.stats();
    assert_eq!((stats.requests, stats.changes, stats.paid_runs["ai-auto-description"]), (1, 1, 1));
    assert_eq!((stats.max_under_way_per_file, stats.paid_runs_by_file.len()), (0, 0));
    assert!(running.history("f1").is_empty());
}

#[test]
fn a_stopped_sandbox_closes_its_connections_and_its_port() {
    let running = started(Config { latency: Duration::from_mins(1), ..config() });
    let address = running.base_url().replace("http://", "");
    let stream = send(&running, "PATCH /v1/files/f1/details", "{}");
    running.stop();
    assert_eq!(receive(stream).0, "");
    assert!(std::net::TcpStream::connect(address).is_err());
}
