//! Runs that take time: pending at first, written when they end, and called back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ikbulk::sandbox::{
    CallbackCounts, Callbacks, Config, End, Ending, ExtensionOutcome, Library, Running, Status,
    synthetic_id,
};
use serde_json::{Value, json};

use crate::client::{ask, config, get, patch, started};
use crate::receiver::{HANG_UP, Receiver};
use crate::schema::described;

const SECRET: &str = "whsec_dGhlIHdob2xlIHN0cmluZyBpcyB0aGUga2V5";

/// A sandbox whose runs are all pending and end soon after.
fn ending(end: End, callbacks: Callbacks) -> Running {
    let after = Duration::from_millis(20);
    let extensions = ExtensionOutcome::Always(Status::Pending);
    started(Config { extensions, ending: Some(Ending { after, end }), callbacks, ..config() })
}

fn tagging() -> Value {
    json!({"name": "google-auto-tagging", "minConfidence": 0, "maxTags": 3})
}

/// Asks for these extensions on a file, and for a callback.
fn run(running: &Running, id: &str, extensions: &Value, webhook_url: &str) -> Value {
    let body = json!({"extensions": extensions, "webhookUrl": webhook_url});
    patch(running, id, &body).json()
}

/// Waits until all of these have been counted.
fn until_counted(running: &Running, expected: &CallbackCounts) {
    let began = Instant::now();
    while running.stats().callbacks != *expected && began.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    assert_eq!(running.stats().callbacks, *expected);
}

#[test]
fn a_pending_run_writes_its_result_when_it_ends_and_calls_back() {
    let receiver = Receiver::answering(&[]);
    let running = ending(End::Success, Callbacks::default());
    let asked = Instant::now();
    let file = run(&running, "f2", &json!([tagging()]), &receiver.url("/done?token=7"));
    assert_eq!(file["extensionStatus"], json!({"google-auto-tagging": "pending"}));
    assert_eq!(file["AITags"], Value::Null);

    let call = receiver.next();
    assert!(call.at - asked >= Duration::from_millis(20));
    assert_eq!(call.path(), "/done?token=7");
    assert_eq!(call.header("content-type"), Some("application/json"));
    for signed in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert_eq!(call.header(signed), None);
    }
    let told = call.json();
    assert_eq!(
        (&told["service"], &told["status"]),
        (&json!("google-auto-tagging"), &json!("SUCCESS"))
    );
    assert_eq!(told["fileObject"]["AITags"].as_array().unwrap().len(), 3);
    assert_eq!(Some(&told["fileObject"]), running.file("f2").as_ref());
    assert!(told["fileObject"]["updatedAt"].as_str() > file["updatedAt"].as_str());

    let stats = running.stats();
    assert_eq!((stats.paid_runs_of("f2", "google-auto-tagging"), stats.ended_runs), (1, 1));
    let history = running.history("f2");
    let calls: Vec<&Value> = history.iter().map(|change| &change["call"]).collect();
    assert_eq!(calls, ["patch", "extension"]);
    let end = json!({"service": "google-auto-tagging", "status": "SUCCESS"});
    assert_eq!(history[1]["body"], end);
}

#[test]
fn a_run_that_fails_in_the_end_says_so_and_writes_nothing() {
    let receiver = Receiver::answering(&[]);
    let running = ending(End::Failed, Callbacks::default());
    let before = run(&running, "f1", &json!([{"name": "remove-bg"}]), &receiver.url("/"));
    let told = receiver.next().json();
    assert_eq!(told["status"], "FAILURE");
    assert_eq!((&told["service"], &told["fileId"]), (&json!("remove-bg"), &json!("f1")));
    let after = running.file("f1").unwrap();
    assert_eq!(
        (&after["versionInfo"], &after["updatedAt"]),
        (&before["versionInfo"], &before["updatedAt"])
    );
    assert_eq!(running.stats().paid_runs_of("f1", "remove-bg"), 1);
}

#[test]
fn each_run_of_a_request_ends_and_is_called_back_by_itself() {
    let receiver = Receiver::answering(&[]);
    let running = ending(End::Success, Callbacks::default());
    let extensions = json!([
        {"name": "remove-bg"},
        {"name": "ai-auto-description"},
        {"name": "saved-extension", "id": "ext_colour"},
    ]);
    let file = run(&running, "f1", &extensions, &receiver.url("/"));
    assert_eq!(file["versionInfo"]["name"], "Version 1");
    let services: BTreeSet<String> =
        (0..3).map(|_| receiver.next().json()["service"].to_string()).collect();
    let expected = [r#""ai-auto-description""#, r#""ai-tasks""#, r#""remove-bg""#];
    assert_eq!(services.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let file = running.file("f1").unwrap();
    assert_eq!(file["versionInfo"], json!({"id": "f1v2", "name": "Version 2"}));
    assert_ne!(file["description"], "before");
    assert_eq!(file["tags"], json!(["old", "sale", "packshot"]));
}

#[test]
fn callbacks_are_as_described() {
    for end in [End::Success, End::Failed] {
        let receiver = Receiver::answering(&[]);
        let running = ending(end, Callbacks::default());
        run(&running, "f1", &json!([tagging()]), &receiver.url("/"));
        let told = receiver.next().json();
        described("callback").validate(&told).unwrap();
        let mut wrong = told;
        wrong["id"] = json!("evt_1");
        assert!(!described("callback").is_valid(&wrong));
    }
}

#[test]
fn a_signed_callback_can_be_verified_with_the_secret() {
    let receiver = Receiver::answering(&[]);
    let secret = Some(SECRET.to_owned());
    let running = ending(End::Success, Callbacks { secret, ..Callbacks::default() });
    run(&running, "f1", &json!([tagging()]), &receiver.url("/"));
    let call = receiver.next();
    let header = |name| call.header(name).expect("a signed callback should have it");
    let signature = header("webhook-signature").strip_prefix("v1,").unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    let signed = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), call.text);
    let key = |secret: &str| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    assert!(hmac::verify(&key(SECRET), signed.as_bytes(), &signature).is_ok());
    assert!(hmac::verify(&key("whsec_other"), signed.as_bytes(), &signature).is_err());
    let timestamp_s: i64 = header("webhook-timestamp").parse().unwrap();
    assert!((jiff::Timestamp::now().as_second() - timestamp_s).abs() < 300);
}

#[test]
fn a_callback_comes_again_after_growing_waits_until_it_gets_a_200() {
    let receiver = Receiver::answering(&[500, HANG_UP, 201]);
    let retry_after = Duration::from_millis(10);
    let secret = Some(SECRET.to_owned());
    let callbacks = Callbacks { secret, retry_after, ..Callbacks::default() };
    let running = ending(End::Success, callbacks);
    run(&running, "f1", &json!([tagging()]), &receiver.url("/"));
    let calls = [receiver.next(), receiver.next(), receiver.next(), receiver.next()];
    for (pair, wait) in calls.windows(2).zip([1, 2, 4]) {
        assert!(pair[1].at - pair[0].at >= retry_after * wait);
    }
    assert!(calls.iter().all(|call| call.text == calls[0].text));
    assert!(calls.iter().all(|call| call.header("webhook-id") == Some("msg_1_0")));
    let expected = CallbackCounts { due: 1, not_called: 0, sent: 4, delivered: 1 };
    until_counted(&running, &expected);
}

#[test]
fn a_callback_comes_twice_where_two_copies_are_asked_for() {
    let receiver = Receiver::answering(&[]);
    let secret = Some(SECRET.to_owned());
    let running = ending(End::Success, Callbacks { copies: 2, secret, ..Callbacks::default() });
    run(&running, "f1", &json!([tagging()]), &receiver.url("/"));
    let calls = [receiver.next(), receiver.next()];
    assert_eq!(calls[0].text, calls[1].text);
    assert_eq!(calls[0].header("webhook-id"), calls[1].header("webhook-id"));
    let expected = CallbackCounts { due: 1, not_called: 0, sent: 2, delivered: 2 };
    until_counted(&running, &expected);
}

#[test]
fn shuffled_callbacks_come_in_another_order_than_the_runs_ended() {
    let receiver = Receiver::answering(&[]);
    let callbacks = Callbacks { shuffled_over: Duration::from_millis(400), ..Callbacks::default() };
    let running = started(Config {
        library: Library::synthetic(8, 1),
        extensions: ExtensionOutcome::Always(Status::Pending),
        ending: Some(Ending { after: Duration::ZERO, end: End::Success }),
        callbacks,
        ..config()
    });
    let ids: Vec<String> = (0..8).map(|index| synthetic_id(1, index)).collect();
    for id in &ids {
        run(&running, id, &json!([tagging()]), &receiver.url("/"));
    }
    let id = |_| receiver.next().json()["fileObject"]["fileId"].as_str().unwrap().to_owned();
    let told: Vec<String> = (0..8).map(id).collect();
    assert_ne!(told, ids);
    assert_eq!(told.iter().collect::<BTreeSet<_>>(), ids.iter().collect());
}

#[test]
fn nobody_is_called_outside_this_machine() {
    let receiver = Receiver::answering(&[]);
    let running = ending(End::Success, Callbacks::default());
    for elsewhere in ["https://127.0.0.1:1/", "http://192.0.2.1/", "http://example.com/"] {
        run(&running, "f1", &json!([tagging()]), elsewhere);
    }
    run(&running, "f2", &json!([tagging()]), &receiver.url("/"));
    receiver.next();
    let expected = CallbackCounts { due: 4, not_called: 3, sent: 1, delivered: 1 };
    until_counted(&running, &expected);
    assert_eq!(running.stats().ended_runs, 4);
}

#[test]
fn a_run_without_a_webhook_ends_without_a_word() {
    let receiver = Receiver::answering(&[]);
    let running = ending(End::Success, Callbacks::default());
    patch(&running, "f1", &json!({"extensions": [{"name": "ai-auto-description"}]}));
    run(&running, "f2", &json!([tagging()]), &receiver.url("/"));
    receiver.next();
    assert_ne!(running.file("f1").unwrap()["description"], "before");
    assert_eq!(running.stats().callbacks.due, 1);
}

#[test]
fn runs_that_are_not_pending_are_not_called_back() {
    let receiver = Receiver::answering(&[]);
    let running = started(Config {
        extensions: ExtensionOutcome::Realistic,
        ending: Some(Ending { after: Duration::ZERO, end: End::Success }),
        ..config()
    });
    let extensions = json!([{"name": "remove-bg"}, {"name": "ai-auto-description"}]);
    let file = run(&running, "f2", &extensions, &receiver.url("/"));
    assert_eq!(
        file["extensionStatus"],
        json!({"remove-bg": "pending", "ai-auto-description": "success"})
    );
    assert_eq!(receiver.next().json()["service"], "remove-bg");
    assert_eq!(running.stats().callbacks.due, 1);
}

#[test]
fn a_reset_leaves_nothing_of_what_is_pending() {
    let receiver = Receiver::answering(&[]);
    let ending = Some(Ending { after: Duration::from_millis(500), end: End::Success });
    let extensions = ExtensionOutcome::Always(Status::Pending);
    let running = started(Config { extensions, ending, ..config() });
    run(&running, "f1", &json!([tagging()]), &receiver.url("/"));
    ask(&running, "POST /__sandbox/reset", "");
    let untouched = get(&running, "/v1/files/f1/details").json();
    run(&running, "f2", &json!([tagging()]), &receiver.url("/"));
    assert_eq!(receiver.next().json()["fileObject"]["fileId"], "f2");
    assert_eq!(get(&running, "/v1/files/f1/details").json(), untouched);
    assert_eq!((running.stats().ended_runs, running.stats().callbacks.due), (1, 1));
}
