//! Authentication, rate limits, response headers, unknown paths and invalid settings.

use std::time::Duration;

use ikbulk_sandbox::{Config, Library, Limit, Quirks, WrongKey, start};
use serde_json::json;

use crate::client::{config, get, patch, post, request, request_with_headers, start_sandbox};
use crate::wire::KEY;

/// Accepts two requests, then none for longer than any test runs.
const BURST_OF_TWO: Limit = Limit::Bucket { rate: 0.01, burst: 2 };

#[test]
fn wrong_key_gives_401_or_403() {
    for (wrong_key, status, message) in [
        (WrongKey::Unauthorized, 401, "Your request does not contain private API key."),
        (WrongKey::Forbidden, 403, "Your account cannot be authenticated."),
    ] {
        let quirks = Quirks { wrong_key, ..Quirks::default() };
        let running = start_sandbox(Config { quirks, ..config() });
        let path = "GET /v1/files/f1/details";
        let wrong =
            request_with_headers(&running, path, "Authorization: Basic cHJpdmF0ZV9vdGhlcjo=\r\n");
        assert_eq!((wrong.status, wrong.message().as_str()), (status, message));
        assert_eq!(request_with_headers(&running, path, "").status, 401);
        assert_eq!(
            request_with_headers(&running, path, "authorization: Basic private_sandbox\r\n").status,
            200
        );
    }
}

#[test]
fn every_response_has_request_id_and_content_type() {
    let running = start_sandbox(config());
    let responses = [
        get(&running, "/v1/files/f1/details"),
        get(&running, "/v1/files/gone/details"),
        get(&running, "/v1/nothing"),
        request_with_headers(&running, "GET /v1/files", ""),
    ];
    let mut ids: Vec<&str> =
        responses.iter().map(|response| response.header("x-ik-requestid").unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().all(|id| id.len() == 36));
    for response in &responses {
        assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
    }
}

#[test]
fn write_limit_accepts_exactly_its_burst() {
    let running = start_sandbox(Config { writes: vec![BURST_OF_TWO], ..config() });
    let statuses = |_| patch(&running, "f1", &json!({"tags": ["x"]})).status;
    assert_eq!((0..5).map(statuses).collect::<Vec<_>>(), [200, 200, 429, 429, 429]);
    assert_eq!(get(&running, "/v1/files/f1/details").status, 200);
    let stats = running.stats();
    assert_eq!((stats.throttled, stats.statuses[&200]), (3, 3));
    assert_eq!((stats.writes_per_second.arrived, stats.writes_per_second.accepted), (5, 2));
    assert_eq!(stats.reads_per_second.accepted, 1);
}

#[test]
fn throttled_response_states_limit_interval_and_reset() {
    let running = start_sandbox(Config { reads: vec![BURST_OF_TWO], ..config() });
    let read = || get(&running, "/v1/customMetadataFields");
    assert_eq!((read().status, read().status), (200, 200));
    let response = read();
    assert_eq!(response.status, 429);
    assert_eq!(response.header("x-ratelimit-limit"), Some("1"));
    assert_eq!(response.header("x-ratelimit-interval"), Some("100000"));
    let reset: u64 = response.header("x-ratelimit-reset").unwrap().parse().unwrap();
    assert!((90_000..=100_000).contains(&reset), "{reset}");
    assert!(!response.message().is_empty());
}

#[test]
fn throttled_response_states_the_exceeded_limit() {
    let quarter = Duration::from_mins(15);
    let window = Limit::Window { requests: 3, interval: quarter };
    let running = start_sandbox(Config { writes: vec![BURST_OF_TWO, window], ..config() });
    let write = || patch(&running, "f1", &json!({}));
    let throttled_by = |limit: &str| {
        let response = write();
        assert_eq!((response.status, response.header("x-ratelimit-limit")), (429, Some(limit)));
        response.header("x-ratelimit-reset").unwrap().parse::<u64>().unwrap()
    };
    assert_eq!((write().status, write().status), (200, 200));
    assert!(throttled_by("1") <= 100_000);
    running.advance(Duration::from_secs(100));
    assert_eq!(write().status, 200);
    assert!((600_000..=800_000).contains(&throttled_by("3")));
    running.advance(quarter);
    assert_eq!(write().status, 200);
}

#[test]
fn background_load_uses_its_share() {
    let hour = Duration::from_hours(1);
    let window = || vec![Limit::Window { requests: 4, interval: 2 * hour }];
    let running = start_sandbox(Config {
        reads: window(),
        writes: window(),
        background_load: 0.5,
        ..config()
    });
    // After an hour the background load has made one write and one read, and opened both windows.
    running.advance(hour);
    let statuses = |_| patch(&running, "f1", &json!({})).status;
    assert_eq!((0..4).map(statuses).collect::<Vec<_>>(), [200, 200, 200, 429]);
    assert_eq!(get(&running, "/v1/files").status, 200);
    assert_eq!(running.stats().requests, 5);
}

#[test]
fn unauthenticated_requests_do_not_count_against_limits() {
    let running = start_sandbox(Config { writes: vec![BURST_OF_TWO], ..config() });
    for _ in 0..10 {
        assert_eq!(request_with_headers(&running, "PATCH /v1/files/f1/details", "").status, 401);
    }
    assert_eq!(patch(&running, "f1", &json!({})).status, 200);
}

#[test]
fn all_writes_share_one_limit_all_reads_another() {
    let running =
        start_sandbox(Config { writes: vec![BURST_OF_TWO], reads: vec![BURST_OF_TWO], ..config() });
    assert_eq!(patch(&running, "gone", &json!({})).status, 404);
    assert_eq!(post(&running, "/v1/files/addTags", &json!({})).status, 400);
    assert_eq!(patch(&running, "f1", &json!({})).status, 429);
    assert_eq!(get(&running, "/v1/files").status, 200);
    assert_eq!(get(&running, "/v1/saved-extensions").status, 200);
    assert_eq!(get(&running, "/v1/files/f1/details").status, 429);
}

#[test]
fn rate_headers_on_every_response_are_optional() {
    let running = start_sandbox(Config { writes: vec![BURST_OF_TWO], ..config() });
    assert_eq!(patch(&running, "f1", &json!({})).header("x-ratelimit-limit"), None);
    let running =
        start_sandbox(Config { writes: vec![BURST_OF_TWO], headers_always: true, ..config() });
    let first = patch(&running, "f1", &json!({}));
    assert_eq!(first.header("x-ratelimit-limit"), Some("1"));
    assert_eq!(first.header("x-ratelimit-reset"), Some("0"));
    let second = patch(&running, "f1", &json!({}));
    assert_ne!(second.header("x-ratelimit-reset"), Some("0"));
}

#[test]
fn unknown_paths_give_404_wrong_methods_405() {
    let running = start_sandbox(config());
    for path in ["/", "/v1", "/v1/files/f1", "/v1/files/f1/versions", "/v1/files/a/../f1/details"] {
        assert_eq!(get(&running, path).status, 404, "{path}");
    }
    assert_eq!(request(&running, "DELETE /v1/files/f1/details", "").status, 405);
    assert_eq!(get(&running, "/v1/files/addTags").status, 405);
    assert_eq!(running.stats().calls.other, 7);
}

#[test]
fn invalid_settings_fail_at_start() {
    let nothing = vec![Limit::Bucket { rate: 0.0, burst: 1 }];
    assert!(start(Config { writes: nothing, ..Config::default() }).is_err());
    assert!(start(Config { background_load: 2.0, ..Config::default() }).is_err());
    assert!(start(Config { fields: vec![json!({"name": "x"})], ..Config::default() }).is_err());
    assert!(start(Config { saved: vec![json!({"id": "x"})], ..Config::default() }).is_err());
    let running = start_sandbox(config());
    let port = running.base_url().rsplit(':').next().unwrap().parse().unwrap();
    assert!(start(Config { port, ..Config::default() }).is_err());
}

#[test]
fn key_is_configurable() {
    let config =
        Config { key: "private_mine".to_owned(), library: Library::new(), ..Config::default() };
    let running = start_sandbox(config);
    assert_eq!(running.key(), "private_mine");
    let with = |key: &str| {
        request_with_headers(&running, "GET /v1/files", &format!("Authorization: {key}\r\n")).status
    };
    assert_eq!((with("Basic cHJpdmF0ZV9taW5lOg=="), with(KEY)), (200, 401));
}
