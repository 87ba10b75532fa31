//! Faults, as a bare socket sees them.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use ikbulk::sandbox::{Config, Fault, Faults, Running};
use serde_json::json;

use crate::client::{Reply, config, connect, get, patch, raw, receive, reply, send, started};

const PATCH: &str = "PATCH /v1/files/f1/details";
const BODY: &str = r#"{"description": "after"}"#;

/// A sandbox whose n-th request suffers the fault.
fn with(n: u64, fault: Fault) -> Running {
    let faults = Faults { script: vec![(n, fault)], ..Faults::default() };
    started(Config { faults, ..config() })
}

fn is_done(running: &Running) -> bool {
    running.file("f1").expect("f1 exists")["description"] == "after"
}

fn page(code: u16) -> (u16, String, String) {
    (code, "<h1>Bad Gateway</h1>".to_owned(), "text/html".to_owned())
}

fn asked(running: &Running) -> Reply {
    patch(running, "f1", &json!({"description": "after"}))
}

#[test]
fn a_status_comes_instead_of_the_work() {
    let (code, body, content_type) = page(502);
    let running = with(1, Fault::Status { code, body, content_type });
    let reply = asked(&running);
    assert_eq!((reply.status, reply.text.as_str()), (502, "<h1>Bad Gateway</h1>"));
    assert_eq!(reply.header("content-type"), Some("text/html"));
    assert!(!is_done(&running));
    assert_eq!(asked(&running).status, 200);
}

#[test]
fn a_status_comes_after_the_work() {
    let (code, body, content_type) = page(504);
    let running = with(1, Fault::StatusAfter { code, body, content_type });
    assert_eq!(asked(&running).status, 504);
    assert!(is_done(&running));
}

#[test]
fn a_429_comes_out_of_turn_with_or_without_headers() {
    let running = with(1, Fault::Throttle { reset_ms: Some(1500), limit: Some((7, 2000)) });
    let reply = asked(&running);
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("x-ratelimit-reset"), Some("1500"));
    assert_eq!(reply.header("x-ratelimit-limit"), Some("7"));
    assert_eq!(reply.header("x-ratelimit-interval"), Some("2000"));
    let running = with(1, Fault::Throttle { reset_ms: None, limit: None });
    let reply = asked(&running);
    assert_eq!((reply.status, reply.header("x-ratelimit-reset")), (429, None));
    assert!(!is_done(&running));
    assert_eq!(running.stats().throttled, 1);
}

#[test]
fn a_429_can_say_any_nonsense() {
    for reset in ["-1", "99999999999999999999", "soon", ""] {
        let running = with(1, Fault::ThrottleRaw { reset: reset.to_owned() });
        let reply = asked(&running);
        assert_eq!((reply.status, reply.header("x-ratelimit-reset")), (429, Some(reset)));
        assert!(!is_done(&running));
    }
}

#[test]
fn a_connection_is_reset_as_soon_as_it_is_accepted() {
    let running = with(2, Fault::ResetAtAccept);
    assert_eq!(asked(&running).status, 200);
    let stream = connect(&running);
    assert_eq!(receive(stream).1.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(asked(&running).status, 200);
    let stats = running.stats();
    assert_eq!((stats.requests, stats.reset_at_accept, stats.no_answer), (2, 1, 0));
}

#[test]
fn a_reset_in_the_headers_leaves_a_part_of_them() {
    let running = with(1, Fault::ResetInHead);
    let (bytes, end) = raw(&running, PATCH, BODY);
    assert!(bytes.starts_with("HTTP/1.1 200") && !bytes.contains("\r\n\r\n"), "{bytes}");
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(is_done(&running));
}

#[test]
fn a_reset_in_the_body_comes_after_half_of_it() {
    let running = with(1, Fault::ResetInBody);
    let (bytes, end) = raw(&running, PATCH, BODY);
    let reply = reply(&bytes);
    let announced: usize = reply.header("content-length").unwrap().parse().unwrap();
    assert_eq!((reply.status, reply.text.len()), (200, announced / 2));
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(is_done(&running));
}

#[test]
fn a_trickling_body_comes_whole_after_all_its_pauses() {
    let every = Duration::from_millis(20);
    let running = with(1, Fault::Trickle { bytes: 100, every });
    let began = Instant::now();
    let reply = asked(&running);
    let pieces = u32::try_from(reply.text.len().div_ceil(100)).unwrap();
    assert!(pieces > 5 && began.elapsed() >= every * pieces);
    assert_eq!(reply.header("content-length"), Some(reply.text.len().to_string().as_str()));
    assert_eq!(Some(reply.json()), running.file("f1"));
    assert!(is_done(&running));
}

#[test]
fn a_huge_body_is_as_long_as_it_says_and_still_json() {
    for bytes in [3_000_000, 65_536, 1] {
        let running = with(1, Fault::HugeBody { bytes });
        let reply = asked(&running);
        let length = reply.text.trim_end().len().max(usize::try_from(bytes).unwrap());
        assert_eq!(reply.text.len(), length);
        assert_eq!(reply.header("content-length"), Some(length.to_string().as_str()));
        assert_eq!(Some(reply.json()), running.file("f1"));
    }
}

#[test]
fn a_reset_leaves_no_byte_and_the_work_done_or_not() {
    for (fault, done) in [(Fault::ResetBefore, false), (Fault::ResetAfter, true)] {
        let running = with(1, fault);
        let (bytes, end) = raw(&running, PATCH, BODY);
        assert_eq!(bytes, "");
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(is_done(&running), done);
        assert_eq!(running.stats().no_answer, 1);
        assert_eq!(asked(&running).status, 200);
    }
}

#[test]
fn a_cut_body_is_announced_whole_and_comes_by_half() {
    let running = with(1, Fault::CutBody);
    let (bytes, _) = raw(&running, PATCH, BODY);
    let reply = reply(&bytes);
    let announced: usize = reply.header("content-length").unwrap().parse().unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text.len(), announced / 2);
    assert!(is_done(&running));
}

#[test]
fn garbage_is_a_200_that_nobody_can_read() {
    let running = with(1, Fault::Garbage);
    let reply = asked(&running);
    assert_eq!(reply.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&reply.text).is_err());
    assert!(is_done(&running));
}

#[test]
fn a_hang_delays_the_answer_and_work_before_it_or_not() {
    let hang = Duration::from_millis(600);
    for (fault, done_at_once) in [(Fault::HangBefore(hang), false), (Fault::HangAfter(hang), true)]
    {
        let running = with(1, fault);
        let began = Instant::now();
        let stream = send(&running, PATCH, BODY);
        std::thread::sleep(hang / 3);
        assert_eq!(is_done(&running), done_at_once);
        assert_eq!(reply(&receive(stream).0).status, 200);
        assert!(began.elapsed() >= hang);
        assert!(is_done(&running));
    }
}

#[test]
fn what_was_sent_is_done_even_if_the_client_goes_away() {
    let running = with(1, Fault::HangBefore(Duration::from_millis(100)));
    drop(send(&running, PATCH, BODY));
    let until = Instant::now() + Duration::from_secs(5);
    while !is_done(&running) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(is_done(&running));
}

#[test]
fn a_dropped_field_is_accepted_and_ignored() {
    let running = with(1, Fault::DropField("description".to_owned()));
    let file = patch(&running, "f1", &json!({"description": "after", "tags": ["new"]})).json();
    assert_eq!((&file["description"], &file["tags"]), (&json!("before"), &json!(["new"])));
    let running = with(1, Fault::DropField("customMetadata.brand".to_owned()));
    let file =
        patch(&running, "f1", &json!({"customMetadata": {"brand": "Nike", "price": 5}})).json();
    assert_eq!(file["customMetadata"], json!({"brand": "Acme", "color": "red", "price": 5}));
}

#[test]
fn from_its_expiry_on_the_key_opens_nothing() {
    let running = with(2, Fault::Expire);
    assert_eq!(asked(&running).status, 200);
    for _ in 0..3 {
        let reply = get(&running, "/v1/files/f1/details");
        assert_eq!(reply.status, 403);
        assert_eq!(reply.message(), "Your request contains expired private API key.");
    }
}

#[test]
fn random_faults_hit_the_same_requests_every_time() {
    let statuses = |seed| {
        let (code, body, content_type) = page(500);
        let random = vec![(Fault::Status { code, body, content_type }, 0.3)];
        let running =
            started(Config { faults: Faults { random, seed, ..Faults::default() }, ..config() });
        (0..40).map(|_| asked(&running).status).collect::<Vec<_>>()
    };
    let failed = statuses(1).iter().filter(|&&status| status == 500).count();
    assert!((4..25).contains(&failed), "{failed}");
    assert_eq!(statuses(1), statuses(1));
    assert_ne!(statuses(1), statuses(2));
}

#[test]
fn internal_requests_are_neither_numbered_nor_hurt() {
    let running = with(1, Fault::ResetBefore);
    for _ in 0..3 {
        assert_eq!(get(&running, "/__sandbox/stats").status, 200);
    }
    assert_eq!(running.stats().requests, 0);
    assert!(raw(&running, PATCH, BODY).1.is_err());
}
