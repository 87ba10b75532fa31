//! Keys, limits, headers, and what is not there.

use std::time::Duration;

use ikbulk::sandbox::{Config, Library, Limit, Quirks, WrongKey, start};
use serde_json::json;

use crate::client::{KEY, ask, ask_with, config, get, patch, post, started};

/// A limit that lets two through and then none for a long time, whatever the speed of the test.
const TWO: Limit = Limit::Bucket { rate: 0.01, burst: 2 };

#[test]
fn without_the_key_there_is_401_or_403() {
    for (wrong_key, status, message) in [
        (WrongKey::Unauthorized, 401, "Your request does not contain private API key."),
        (WrongKey::Forbidden, 403, "Your account cannot be authenticated."),
    ] {
        let quirks = Quirks { wrong_key, ..Quirks::default() };
        let running = started(Config { quirks, ..config() });
        let path = "GET /v1/files/f1/details";
        let wrong = ask_with(&running, path, "Authorization: Basic cHJpdmF0ZV9vdGhlcjo=\r\n");
        assert_eq!((wrong.status, wrong.message().as_str()), (status, message));
        assert_eq!(ask_with(&running, path, "").status, 401);
        assert_eq!(
            ask_with(&running, path, "authorization: Basic private_sandbox\r\n").status,
            200
        );
    }
}

#[test]
fn every_answer_has_its_own_request_id_and_a_type() {
    let running = started(config());
    let replies = [
        get(&running, "/v1/files/f1/details"),
        get(&running, "/v1/files/gone/details"),
        get(&running, "/v1/nothing"),
        ask_with(&running, "GET /v1/files", ""),
    ];
    let mut ids: Vec<&str> =
        replies.iter().map(|reply| reply.header("x-ik-requestid").unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().all(|id| id.len() == 36));
    for reply in &replies {
        assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    }
}

#[test]
fn the_limit_on_writes_lets_exactly_its_burst_through() {
    let running = started(Config { writes: vec![TWO], ..config() });
    let statuses = |_| patch(&running, "f1", &json!({"tags": ["x"]})).status;
    assert_eq!((0..5).map(statuses).collect::<Vec<_>>(), [200, 200, 429, 429, 429]);
    assert_eq!(get(&running, "/v1/files/f1/details").status, 200);
    let stats = running.stats();
    assert_eq!((stats.throttled, stats.statuses[&200]), (3, 3));
    assert_eq!((stats.writes_per_second.arrived, stats.writes_per_second.accepted), (5, 2));
    assert_eq!(stats.reads_per_second.accepted, 1);
}

#[test]
fn a_429_says_how_much_and_how_long() {
    let running = started(Config { reads: vec![TWO], ..config() });
    let read = || get(&running, "/v1/customMetadataFields");
    assert_eq!((read().status, read().status), (200, 200));
    let reply = read();
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("x-ratelimit-limit"), Some("1"));
    assert_eq!(reply.header("x-ratelimit-interval"), Some("100000"));
    let reset: u64 = reply.header("x-ratelimit-reset").unwrap().parse().unwrap();
    assert!((90_000..=100_000).contains(&reset), "{reset}");
    assert!(!reply.message().is_empty());
}

#[test]
fn several_limits_hold_at_once_and_a_429_is_the_word_of_the_one_that_refused() {
    let quarter = Duration::from_mins(15);
    let window = Limit::Window { requests: 3, interval: quarter };
    let running = started(Config { writes: vec![TWO, window], ..config() });
    let write = || patch(&running, "f1", &json!({}));
    let refused_by = |limit: &str| {
        let reply = write();
        assert_eq!((reply.status, reply.header("x-ratelimit-limit")), (429, Some(limit)));
        reply.header("x-ratelimit-reset").unwrap().parse::<u64>().unwrap()
    };
    assert_eq!((write().status, write().status), (200, 200));
    assert!(refused_by("1") <= 100_000);
    running.advance(Duration::from_secs(100));
    assert_eq!(write().status, 200);
    assert!((600_000..=800_000).contains(&refused_by("3")));
    running.advance(quarter);
    assert_eq!(write().status, 200);
}

#[test]
fn a_neighbour_uses_up_its_share() {
    let hour = Duration::from_hours(1);
    let window = || vec![Limit::Window { requests: 4, interval: 2 * hour }];
    let running =
        started(Config { reads: window(), writes: window(), background_load: 0.5, ..config() });
    // By now the neighbour has written once and read once, and opened both windows.
    running.advance(hour);
    let statuses = |_| patch(&running, "f1", &json!({})).status;
    assert_eq!((0..4).map(statuses).collect::<Vec<_>>(), [200, 200, 200, 429]);
    assert_eq!(get(&running, "/v1/files").status, 200);
    assert_eq!(running.stats().requests, 5);
}

#[test]
fn requests_without_the_key_use_up_nothing() {
    let running = started(Config { writes: vec![TWO], ..config() });
    for _ in 0..10 {
        assert_eq!(ask_with(&running, "PATCH /v1/files/f1/details", "").status, 401);
    }
    assert_eq!(patch(&running, "f1", &json!({})).status, 200);
}

#[test]
fn every_write_and_every_read_shares_its_kinds_limit() {
    let running = started(Config { writes: vec![TWO], reads: vec![TWO], ..config() });
    assert_eq!(patch(&running, "gone", &json!({})).status, 404);
    assert_eq!(post(&running, "/v1/files/addTags", &json!({})).status, 400);
    assert_eq!(patch(&running, "f1", &json!({})).status, 429);
    assert_eq!(get(&running, "/v1/files").status, 200);
    assert_eq!(get(&running, "/v1/saved-extensions").status, 200);
    assert_eq!(get(&running, "/v1/files/f1/details").status, 429);
}

#[test]
fn rate_headers_are_on_other_answers_only_when_asked() {
    let running = started(Config { writes: vec![TWO], ..config() });
    assert_eq!(patch(&running, "f1", &json!({})).header("x-ratelimit-limit"), None);
    let running = started(Config { writes: vec![TWO], headers_always: true, ..config() });
    let first = patch(&running, "f1", &json!({}));
    assert_eq!(first.header("x-ratelimit-limit"), Some("1"));
    assert_eq!(first.header("x-ratelimit-reset"), Some("0"));
    let second = patch(&running, "f1", &json!({}));
    assert_ne!(second.header("x-ratelimit-reset"), Some("0"));
}

#[test]
fn unknown_paths_are_404_and_known_ones_405_for_other_methods() {
    let running = started(config());
    for path in ["/", "/v1", "/v1/files/f1", "/v1/files/f1/versions", "/v1/files/a/../f1/details"] {
        assert_eq!(get(&running, path).status, 404, "{path}");
    }
    assert_eq!(ask(&running, "DELETE /v1/files/f1/details", "").status, 405);
    assert_eq!(get(&running, "/v1/files/addTags").status, 405);
    assert_eq!(running.stats().calls.other, 7);
}

#[test]
fn settings_that_cannot_be_kept_are_refused_at_the_start() {
    let nothing = vec![Limit::Bucket { rate: 0.0, burst: 1 }];
    assert!(start(Config { writes: nothing, ..Config::default() }).is_err());
    assert!(start(Config { background_load: 2.0, ..Config::default() }).is_err());
    assert!(start(Config { fields: vec![json!({"name": "x"})], ..Config::default() }).is_err());
    assert!(start(Config { saved: vec![json!({"id": "x"})], ..Config::default() }).is_err());
    let running = started(config());
    let port = running.base_url().rsplit(':').next().unwrap().parse().unwrap();
    assert!(start(Config { port, ..Config::default() }).is_err());
}

#[test]
fn the_key_can_be_another_one() {
    let config =
        Config { key: "private_mine".to_owned(), library: Library::new(), ..Config::default() };
    let running = started(config);
    assert_eq!(running.key(), "private_mine");
    let with = |key: &str| {
        ask_with(&running, "GET /v1/files", &format!("Authorization: {key}\r\n")).status
    };
    assert_eq!((with("Basic cHJpdmF0ZV9taW5lOg=="), with(KEY)), (200, 401));
}
