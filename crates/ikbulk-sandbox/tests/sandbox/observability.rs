//! Statistics, history, hooks, and the `/__sandbox` endpoints.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikbulk_sandbox::{
    Config, ExtensionOutcome, Hook, Library, Limit, Peak, Phase, Status, WindowPeak, synthetic_id,
};
use serde_json::{Value, json};

use crate::client::{config, get, patch, post, request, send, start_sandbox};
use crate::wire::receive;

#[test]
fn requests_are_counted_by_call_and_status() {
    let running = start_sandbox(config());
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
fn file_history_lists_changes_in_order() {
    let running = start_sandbox(config());
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
fn overlapping_requests_of_one_file_are_recorded() {
    let running = start_sandbox(Config { latency: Duration::from_millis(250), ..config() });
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
    assert_eq!((stats.max_in_flight, stats.max_in_flight_per_file), (3, 2));
    assert!(stats.overlapped);
    assert_eq!(stats.overlaps_by_file, [("f1".to_owned(), 2)].into());
}

#[test]
fn peak_rate_per_second_and_window_is_recorded() {
    let minute = Duration::from_mins(1);
    let window = Limit::Window { requests: 3, interval: minute };
    let running = start_sandbox(Config { writes: vec![window], ..config() });
    let write = || patch(&running, "f1", &json!({})).status;
    assert_eq!(write(), 200);
    running.advance(minute / 2);
    assert_eq!([write(), write(), write()], [200, 200, 429]);
    running.advance(minute / 2);
    assert_eq!([write(), write(), write()], [200; 3]);
    let stats = running.stats();
    // Any 60 s count: the last two accepted of one window and all three of the next.
    let peak = Peak { arrived: 6, accepted: 5 };
    assert_eq!(stats.writes_per_window, [WindowPeak { interval_ms: 60_000, peak }]);
    assert_eq!(stats.writes_per_second, Peak { arrived: 3, accepted: 3 });
    assert_eq!(stats.reads_per_window, []);
}

#[test]
fn sequential_requests_do_not_overlap() {
    let running = start_sandbox(Config { latency: Duration::from_millis(2), ..config() });
    for _ in 0..5 {
        patch(&running, "f1", &json!({}));
        post(&running, "/v1/files/addTags", &json!({"fileIds": ["f1"], "tags": ["x"]}));
    }
    let stats = running.stats();
    assert_eq!((stats.max_in_flight_per_file, stats.overlapped), (1, false));
}

#[test]
fn hook_sees_each_request_on_arrival_and_completion() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let hook = Hook::new(move |event| {
        let line = format!("{} {:?} {} {}", event.n, event.phase, event.method, event.path);
        log.lock().expect("no hook panics").push(line);
    });
    let running = start_sandbox(Config { hook: Some(hook), ..config() });
    patch(&running, "f%31", &json!({}));
    get(&running, "/__sandbox/stats");
    get(&running, "/v1/files?limit=1");
    let expected = [
        "1 Arrived PATCH /v1/files/f%31/details",
        "1 Processed PATCH /v1/files/f%31/details",
        "2 Arrived GET /v1/files",
        "2 Processed GET /v1/files",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn blocking_hook_delays_response_after_the_change() {
    let (change_done, after_change) = std::sync::mpsc::channel();
    let hook = Hook::new(move |event| {
        if event.phase == Phase::Processed {
            change_done.send(()).expect("the test should be receiving");
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let running = start_sandbox(Config { hook: Some(hook), ..config() });
    let stream = send(&running, "PATCH /v1/files/f1/details", r#"{"description": "after"}"#);
    after_change.recv().unwrap();
    assert_eq!(running.file("f1").unwrap()["description"], "after");
    stream.set_nonblocking(true).unwrap();
    assert!(stream.peek(&mut [0]).is_err());
    stream.set_nonblocking(false).unwrap();
    assert!(receive(stream).0.starts_with("HTTP/1.1 200"));
}

#[test]
fn library_lists_inserted_and_changed_files() {
    let mut library = Library::synthetic(100, 5);
    library.insert(json!({"fileId": "aaa"}));
    let running = start_sandbox(Config { library, ..config() });
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
fn saved_library_round_trips() {
    let mut library = Library::synthetic(50, 5);
    let ids: Vec<String> = (0..50).map(|index| synthetic_id(5, index)).collect();
    library.insert(json!({"fileId": "bare", "description": null, "tags": null, "more": [1.5]}));
    let always = ExtensionOutcome::Always(Status::Success);
    let running = start_sandbox(Config { library, extensions: always, ..config() });
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
    let listed =
        |library: Library| get(&start_sandbox(Config { library, ..config() }), "/v1/files").json();
    for mut library in [Library::new(), Library::synthetic(50, 5)] {
        library.add_lines(saved.as_slice()).unwrap();
        assert_eq!(listed(library), before.1);
    }
    let lines: Vec<Value> = String::from_utf8(saved)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(json!(lines), before.1);
}

#[test]
fn reset_restores_the_initial_state() {
    let running = start_sandbox(config());
    let before = running.library();
    patch(&running, "f1", &json!({"tags": ["x"]}));
    assert_ne!(running.library(), before);
    assert_eq!(request(&running, "POST /__sandbox/reset", "").status, 200);
    assert_eq!(running.library(), before);
    assert_eq!(running.stats(), start_sandbox(config()).stats());
    assert!(running.history("f1").is_empty());
}

#[test]
fn totals_are_counted_without_recording() {
    let running = start_sandbox(Config { record: false, ..config() });
    patch(&running, "f1", &json!({"extensions": [{"name": "ai-auto-description"}]}));
    let stats = running.stats();
    assert_eq!(
        (stats.requests, stats.changes, stats.billed_runs["ai-auto-description"]),
        (1, 1, 1)
    );
    assert_eq!((stats.max_in_flight_per_file, stats.billed_runs_by_file.len()), (0, 0));
    assert!(running.history("f1").is_empty());
}

#[test]
fn stopped_sandbox_closes_connections_and_port() {
    let running = start_sandbox(Config { latency: Duration::from_mins(1), ..config() });
    let address = running.base_url().replace("http://", "");
    let stream = send(&running, "PATCH /v1/files/f1/details", "{}");
    running.stop();
    assert_eq!(receive(stream).0, "");
    assert!(std::net::TcpStream::connect(address).is_err());
}
