//! Injected faults as seen on the socket, and whether the change was applied.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use ikbulk_sandbox::{Config, Fault, Faults, Running};
use serde_json::json;

use crate::client::{config, connect, get, patch, raw, send, start_sandbox};
use crate::wire::{Response, parse_response, receive};

const PATCH: &str = "PATCH /v1/files/f1/details";
const BODY: &str = r#"{"description": "after"}"#;

/// A sandbox that injects the fault into its n-th request.
fn with_fault(n: u64, fault: Fault) -> Running {
    let faults = Faults { script: vec![(n, fault)], ..Faults::default() };
    start_sandbox(Config { faults, ..config() })
}

fn is_applied(running: &Running) -> bool {
    running.file("f1").expect("f1 exists")["description"] == "after"
}

fn html_error(code: u16) -> (u16, String, String) {
    (code, "<h1>Bad Gateway</h1>".to_owned(), "text/html".to_owned())
}

fn send_patch(running: &Running) -> Response {
    patch(running, "f1", &json!({"description": "after"}))
}

#[test]
fn status_fault_replaces_the_change() {
    let (code, body, content_type) = html_error(502);
    let running = with_fault(1, Fault::Status { code, body, content_type });
    let response = send_patch(&running);
    assert_eq!((response.status, response.text.as_str()), (502, "<h1>Bad Gateway</h1>"));
    assert_eq!(response.header("content-type"), Some("text/html"));
    assert!(!is_applied(&running));
    assert_eq!(send_patch(&running).status, 200);
}

#[test]
fn status_after_fault_follows_the_change() {
    let (code, body, content_type) = html_error(504);
    let running = with_fault(1, Fault::StatusAfter { code, body, content_type });
    assert_eq!(send_patch(&running).status, 504);
    assert!(is_applied(&running));
}

#[test]
fn throttle_fault_with_and_without_headers() {
    let running = with_fault(1, Fault::Throttle { reset_ms: Some(1500), limit: Some((7, 2000)) });
    let response = send_patch(&running);
    assert_eq!(response.status, 429);
    assert_eq!(response.header("x-ratelimit-reset"), Some("1500"));
    assert_eq!(response.header("x-ratelimit-limit"), Some("7"));
    assert_eq!(response.header("x-ratelimit-interval"), Some("2000"));
    let running = with_fault(1, Fault::Throttle { reset_ms: None, limit: None });
    let response = send_patch(&running);
    assert_eq!((response.status, response.header("x-ratelimit-reset")), (429, None));
    assert!(!is_applied(&running));
    assert_eq!(running.stats().throttled, 1);
}

#[test]
fn throttle_fault_can_send_invalid_reset() {
    for reset in ["-1", "99999999999999999999", "soon", ""] {
        let running = with_fault(1, Fault::ThrottleRaw { reset: reset.to_owned() });
        let response = send_patch(&running);
        assert_eq!((response.status, response.header("x-ratelimit-reset")), (429, Some(reset)));
        assert!(!is_applied(&running));
    }
}

#[test]
fn reset_at_accept_hits_the_chosen_connection() {
    let running = with_fault(2, Fault::ResetAtAccept);
    assert_eq!(send_patch(&running).status, 200);
    let stream = connect(&running);
    assert_eq!(receive(stream).1.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(send_patch(&running).status, 200);
    let stats = running.stats();
    assert_eq!((stats.requests, stats.reset_at_accept, stats.no_response), (2, 1, 0));
}

#[test]
fn reset_in_head_truncates_the_headers() {
    let running = with_fault(1, Fault::ResetInHead);
    let (bytes, end) = raw(&running, PATCH, BODY);
    assert!(bytes.starts_with("HTTP/1.1 200") && !bytes.contains("\r\n\r\n"), "{bytes}");
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(is_applied(&running));
}

#[test]
fn reset_in_body_sends_half_the_body() {
    let running = with_fault(1, Fault::ResetInBody);
    let (bytes, end) = raw(&running, PATCH, BODY);
    let response = parse_response(&bytes);
    let announced: usize = response.header("content-length").unwrap().parse().unwrap();
    assert_eq!((response.status, response.text.len()), (200, announced / 2));
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(is_applied(&running));
}

#[test]
fn trickled_body_arrives_whole_but_slowly() {
    let every = Duration::from_millis(20);
    let running = with_fault(1, Fault::Trickle { bytes: 100, every });
    let start = Instant::now();
    let response = send_patch(&running);
    let chunks = u32::try_from(response.text.len().div_ceil(100)).unwrap();
    assert!(chunks > 5 && start.elapsed() >= every * chunks);
    assert_eq!(response.header("content-length"), Some(response.text.len().to_string().as_str()));
    assert_eq!(Some(response.json()), running.file("f1"));
    assert!(is_applied(&running));
}

#[test]
fn huge_body_has_announced_length_and_stays_json() {
    for bytes in [3_000_000, 65_536, 1] {
        let running = with_fault(1, Fault::HugeBody { bytes });
        let response = send_patch(&running);
        let length = response.text.trim_end().len().max(usize::try_from(bytes).unwrap());
        assert_eq!(response.text.len(), length);
        assert_eq!(response.header("content-length"), Some(length.to_string().as_str()));
        assert_eq!(Some(response.json()), running.file("f1"));
    }
}

#[test]
fn reset_before_or_after_the_change_sends_nothing() {
    for (fault, applied) in [(Fault::ResetBefore, false), (Fault::ResetAfter, true)] {
        let running = with_fault(1, fault);
        let (bytes, end) = raw(&running, PATCH, BODY);
        assert_eq!(bytes, "");
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(is_applied(&running), applied);
        assert_eq!(running.stats().no_response, 1);
        assert_eq!(send_patch(&running).status, 200);
    }
}

#[test]
fn cut_body_announces_full_length_sends_half() {
    let running = with_fault(1, Fault::CutBody);
    let (bytes, _) = raw(&running, PATCH, BODY);
    let response = parse_response(&bytes);
    let announced: usize = response.header("content-length").unwrap().parse().unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.text.len(), announced / 2);
    assert!(is_applied(&running));
}

#[test]
fn garbage_is_a_200_with_invalid_json() {
    let running = with_fault(1, Fault::Garbage);
    let response = send_patch(&running);
    assert_eq!(response.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&response.text).is_err());
    assert!(is_applied(&running));
}

#[test]
fn hang_before_or_after_the_change_delays_response() {
    let hang = Duration::from_millis(600);
    for (fault, applied_at_once) in
        [(Fault::HangBefore(hang), false), (Fault::HangAfter(hang), true)]
    {
        let running = with_fault(1, fault);
        let start = Instant::now();
        let stream = send(&running, PATCH, BODY);
        std::thread::sleep(hang / 3);
        assert_eq!(is_applied(&running), applied_at_once);
        assert_eq!(parse_response(&receive(stream).0).status, 200);
        assert!(start.elapsed() >= hang);
        assert!(is_applied(&running));
    }
}

#[test]
fn change_happens_although_the_client_disconnects() {
    let running = with_fault(1, Fault::HangBefore(Duration::from_millis(100)));
    drop(send(&running, PATCH, BODY));
    let until = Instant::now() + Duration::from_secs(5);
    while !is_applied(&running) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(is_applied(&running));
}

#[test]
fn drop_field_accepts_and_ignores_the_field() {
    let running = with_fault(1, Fault::DropField("description".to_owned()));
    let file = patch(&running, "f1", &json!({"description": "after", "tags": ["new"]})).json();
    assert_eq!((&file["description"], &file["tags"]), (&json!("before"), &json!(["new"])));
    let running = with_fault(1, Fault::DropField("customMetadata.brand".to_owned()));
    let file =
        patch(&running, "f1", &json!({"customMetadata": {"brand": "Nike", "price": 5}})).json();
    assert_eq!(file["customMetadata"], json!({"brand": "Acme", "color": "red", "price": 5}));
}

#[test]
fn expired_key_stays_rejected() {
    let running = with_fault(2, Fault::Expire);
    assert_eq!(send_patch(&running).status, 200);
    for _ in 0..3 {
        let response = get(&running, "/v1/files/f1/details");
        assert_eq!(response.status, 403);
        assert_eq!(response.message(), "Your request contains expired private API key.");
    }
}

#[test]
fn random_faults_are_deterministic_by_seed() {
    let statuses = |seed| {
        let (code, body, content_type) = html_error(500);
        let random = vec![(Fault::Status { code, body, content_type }, 0.3)];
        let running = start_sandbox(Config {
            faults: Faults { random, seed, ..Faults::default() },
            ..config()
        });
        (0..40).map(|_| send_patch(&running).status).collect::<Vec<_>>()
    };
    let failed = statuses(1).iter().filter(|&&status| status == 500).count();
    assert!((4..25).contains(&failed), "{failed}");
    assert_eq!(statuses(1), statuses(1));
    assert_ne!(statuses(1), statuses(2));
}

#[test]
fn internal_requests_are_exempt_from_faults() {
    let running = with_fault(1, Fault::ResetBefore);
    for _ in 0..3 {
        assert_eq!(get(&running, "/__sandbox/stats").status, 200);
    }
    assert_eq!(running.stats().requests, 0);
    assert!(raw(&running, PATCH, BODY).1.is_err());
}
