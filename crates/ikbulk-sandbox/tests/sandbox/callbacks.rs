//! Pending extensions: settled later, with the result written to the file and sent as a callback.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ikbulk_sandbox::{
    CallbackCounts, Callbacks, Config, ExtensionOutcome, FinalStatus, Library, Running, Settlement,
    Status, synthetic_id,
};
use serde_json::{Value, json};

use crate::callback_receiver::{CLOSE_WITHOUT_RESPONSE, CallbackReceiver};
use crate::client::{config, get, patch, request, start_sandbox};
use crate::schema::schema_at;

const SECRET: &str = "whsec_dGhlIHdob2xlIHN0cmluZyBpcyB0aGUga2V5";

/// A sandbox whose extensions are all pending and settle after 20 ms.
fn with_pending_extensions(status: FinalStatus, callbacks: Callbacks) -> Running {
    let after = Duration::from_millis(20);
    let extensions = ExtensionOutcome::Always(Status::Pending);
    start_sandbox(Config {
        extensions,
        settlement: Some(Settlement { after, status }),
        callbacks,
        ..config()
    })
}

fn tagging() -> Value {
    json!({"name": "google-auto-tagging", "minConfidence": 0, "maxTags": 3})
}

/// Requests extensions on a file with a webhook; returns the file.
fn request_extensions(running: &Running, id: &str, extensions: &Value, webhook_url: &str) -> Value {
    let body = json!({"extensions": extensions, "webhookUrl": webhook_url});
    patch(running, id, &body).json()
}

/// Waits until something happens, up to 10 s.
pub(crate) fn until(mut has_happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !has_happened() {
        assert!(start.elapsed() < Duration::from_secs(10), "it should happen within 10 s");
        std::thread::yield_now();
    }
}

/// Waits until the sandbox has counted these callbacks, up to 10 s.
fn until_counted(running: &Running, expected: &CallbackCounts) {
    until(|| running.stats().callbacks == *expected);
}

#[test]
fn pending_extension_settles_writes_and_calls_back() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let running = with_pending_extensions(FinalStatus::Success, Callbacks::default());
    let requested_at = Instant::now();
    let file =
        request_extensions(&running, "f2", &json!([tagging()]), &receiver.url("/done?token=7"));
    assert_eq!(file["extensionStatus"], json!({"google-auto-tagging": "pending"}));
    assert_eq!(file["AITags"], Value::Null);

    let callback = receiver.next();
    assert!(callback.at - requested_at >= Duration::from_millis(20));
    assert_eq!(callback.path(), "/done?token=7");
    assert_eq!(callback.header("content-type"), Some("application/json"));
    for signed in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert_eq!(callback.header(signed), None);
    }
    let callback = callback.json();
    assert_eq!(
        (&callback["service"], &callback["status"]),
        (&json!("google-auto-tagging"), &json!("SUCCESS"))
    );
    assert_eq!(callback["fileObject"]["AITags"].as_array().unwrap().len(), 3);
    assert_eq!(Some(&callback["fileObject"]), running.file("f2").as_ref());
    assert!(callback["fileObject"]["updatedAt"].as_str() > file["updatedAt"].as_str());

    let stats = running.stats();
    assert_eq!((stats.billed_runs_of("f2", "google-auto-tagging"), stats.settled_runs), (1, 1));
    let history = running.history("f2");
    let calls: Vec<&Value> = history.iter().map(|change| &change["call"]).collect();
    assert_eq!(calls, ["patch", "extension"]);
    let end = json!({"service": "google-auto-tagging", "status": "SUCCESS"});
    assert_eq!(history[1]["body"], end);
}

#[test]
fn failed_pending_extension_calls_back_without_writing() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let running = with_pending_extensions(FinalStatus::Failed, Callbacks::default());
    let before =
        request_extensions(&running, "f1", &json!([{"name": "remove-bg"}]), &receiver.url("/"));
    let callback = receiver.next().json();
    assert_eq!(callback["status"], "FAILURE");
    assert_eq!((&callback["service"], &callback["fileId"]), (&json!("remove-bg"), &json!("f1")));
    let after = running.file("f1").unwrap();
    assert_eq!(
        (&after["versionInfo"], &after["updatedAt"]),
        (&before["versionInfo"], &before["updatedAt"])
    );
    assert_eq!(running.stats().billed_runs_of("f1", "remove-bg"), 1);
}

#[test]
fn each_extension_of_a_request_has_own_callback() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let running = with_pending_extensions(FinalStatus::Success, Callbacks::default());
    let extensions = json!([
        {"name": "remove-bg"},
        {"name": "ai-auto-description"},
        {"name": "saved-extension", "id": "ext_colour"},
    ]);
    let file = request_extensions(&running, "f1", &extensions, &receiver.url("/"));
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
fn callbacks_match_the_schema() {
    for status in [FinalStatus::Success, FinalStatus::Failed] {
        let receiver = CallbackReceiver::responding_with(&[]);
        let running = with_pending_extensions(status, Callbacks::default());
        request_extensions(&running, "f1", &json!([tagging()]), &receiver.url("/"));
        let callback = receiver.next().json();
        schema_at("callback").validate(&callback).unwrap();
        let mut wrong = callback;
        wrong["id"] = json!("evt_1");
        assert!(!schema_at("callback").is_valid(&wrong));
    }
}

#[test]
fn callback_signature_verifies_with_the_secret() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let secret = Some(SECRET.to_owned());
    let running =
        with_pending_extensions(FinalStatus::Success, Callbacks { secret, ..Callbacks::default() });
    request_extensions(&running, "f1", &json!([tagging()]), &receiver.url("/"));
    let callback = receiver.next();
    let header = |name| callback.header(name).expect("a signed callback should have it");
    let signature = header("webhook-signature").strip_prefix("v1,").unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    let signed =
        format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), callback.text);
    let key = |secret: &str| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    assert!(hmac::verify(&key(SECRET), signed.as_bytes(), &signature).is_ok());
    assert!(hmac::verify(&key("whsec_other"), signed.as_bytes(), &signature).is_err());
    let timestamp_s: i64 = header("webhook-timestamp").parse().unwrap();
    assert!((jiff::Timestamp::now().as_second() - timestamp_s).abs() < 300);
}

#[test]
fn callback_is_retried_with_backoff_until_200() {
    let receiver = CallbackReceiver::responding_with(&[500, CLOSE_WITHOUT_RESPONSE, 201]);
    let retry_after = Duration::from_millis(10);
    let secret = Some(SECRET.to_owned());
    let callbacks = Callbacks { secret, retry_after, ..Callbacks::default() };
    let running = with_pending_extensions(FinalStatus::Success, callbacks);
    request_extensions(&running, "f1", &json!([tagging()]), &receiver.url("/"));
    let callbacks = [receiver.next(), receiver.next(), receiver.next(), receiver.next()];
    for (pair, wait) in callbacks.windows(2).zip([1, 2, 4]) {
        assert!(pair[1].at - pair[0].at >= retry_after * wait);
    }
    assert!(callbacks.iter().all(|callback| callback.text == callbacks[0].text));
    assert!(callbacks.iter().all(|callback| callback.header("webhook-id") == Some("msg_1_0")));
    let expected = CallbackCounts { due: 1, not_called: 0, sent: 4, delivered: 1 };
    until_counted(&running, &expected);
}

#[test]
fn callback_copies_are_delivered_twice() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let secret = Some(SECRET.to_owned());
    let running = with_pending_extensions(
        FinalStatus::Success,
        Callbacks { copies: 2, secret, ..Callbacks::default() },
    );
    request_extensions(&running, "f1", &json!([tagging()]), &receiver.url("/"));
    let callbacks = [receiver.next(), receiver.next()];
    assert_eq!(callbacks[0].text, callbacks[1].text);
    assert_eq!(callbacks[0].header("webhook-id"), callbacks[1].header("webhook-id"));
    let expected = CallbackCounts { due: 1, not_called: 0, sent: 2, delivered: 2 };
    until_counted(&running, &expected);
}

#[test]
fn shuffled_callbacks_arrive_out_of_order() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let callbacks = Callbacks { max_delay: Duration::from_millis(400), ..Callbacks::default() };
    let running = start_sandbox(Config {
        library: Library::synthetic(8, 1),
        extensions: ExtensionOutcome::Always(Status::Pending),
        settlement: Some(Settlement { after: Duration::ZERO, status: FinalStatus::Success }),
        callbacks,
        ..config()
    });
    let ids: Vec<String> = (0..8).map(|index| synthetic_id(1, index)).collect();
    for id in &ids {
        request_extensions(&running, id, &json!([tagging()]), &receiver.url("/"));
    }
    let id = |_| receiver.next().json()["fileObject"]["fileId"].as_str().unwrap().to_owned();
    let called_back: Vec<String> = (0..8).map(id).collect();
    assert_ne!(called_back, ids);
    assert_eq!(called_back.iter().collect::<BTreeSet<_>>(), ids.iter().collect());
}

#[test]
fn callbacks_go_to_localhost_only() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let running = with_pending_extensions(FinalStatus::Success, Callbacks::default());
    for remote in ["https://127.0.0.1:1/", "http://192.0.2.1/", "http://example.com/"] {
        request_extensions(&running, "f1", &json!([tagging()]), remote);
    }
    request_extensions(&running, "f2", &json!([tagging()]), &receiver.url("/"));
    receiver.next();
    let expected = CallbackCounts { due: 4, not_called: 3, sent: 1, delivered: 1 };
    until_counted(&running, &expected);
    assert_eq!(running.stats().settled_runs, 4);
}

#[test]
fn forged_callbacks_claim_the_other_result() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let secret = Some(SECRET.to_owned());
    let callbacks = Callbacks { forged: true, secret, ..Callbacks::default() };
    let running = with_pending_extensions(FinalStatus::Success, callbacks);
    request_extensions(&running, "f1", &json!([tagging()]), &receiver.url("/token/7"));
    let callbacks = [receiver.next(), receiver.next(), receiver.next(), receiver.next()];
    let is_valid = |callback: &&crate::callback_receiver::Callback| {
        let header = |name| callback.header(name).expect("each is signed");
        let seconds: i64 = header("webhook-timestamp").parse().unwrap();
        let signed = format!("{}.{seconds}.{}", header("webhook-id"), callback.text);
        let signature = header("webhook-signature").strip_prefix("v1,").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = STANDARD.decode(signature).unwrap();
        let is_now = jiff::Timestamp::now().as_second() - seconds < 300;
        let is_signed = hmac::verify(&key, signed.as_bytes(), &signature).is_ok();
        callback.path() == "/token/7" && is_now && is_signed
    };
    let (genuine, forged): (Vec<_>, Vec<_>) = callbacks.iter().partition(is_valid);
    assert_eq!((genuine.len(), &genuine[0].json()["status"]), (1, &json!("SUCCESS")));
    assert!(forged.iter().all(|callback| callback.json()["status"] == "FAILURE"));
    until_counted(&running, &CallbackCounts { due: 1, not_called: 0, sent: 1, delivered: 1 });
    let all = CallbackCounts { due: 3, not_called: 0, sent: 3, delivered: 3 };
    until(|| running.stats().forged_callbacks == all);
}

#[test]
fn extension_without_webhook_settles_without_callback() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let running = with_pending_extensions(FinalStatus::Success, Callbacks::default());
    patch(&running, "f1", &json!({"extensions": [{"name": "ai-auto-description"}]}));
    request_extensions(&running, "f2", &json!([tagging()]), &receiver.url("/"));
    receiver.next();
    assert_ne!(running.file("f1").unwrap()["description"], "before");
    assert_eq!(running.stats().callbacks.due, 1);
}

#[test]
fn only_pending_extensions_get_callbacks() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let running = start_sandbox(Config {
        extensions: ExtensionOutcome::Realistic,
        settlement: Some(Settlement { after: Duration::ZERO, status: FinalStatus::Success }),
        ..config()
    });
    let extensions = json!([{"name": "remove-bg"}, {"name": "ai-auto-description"}]);
    let file = request_extensions(&running, "f2", &extensions, &receiver.url("/"));
    assert_eq!(
        file["extensionStatus"],
        json!({"remove-bg": "pending", "ai-auto-description": "success"})
    );
    assert_eq!(receiver.next().json()["service"], "remove-bg");
    assert_eq!(running.stats().callbacks.due, 1);
}

#[test]
fn reset_drops_pending_extensions() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let settlement =
        Some(Settlement { after: Duration::from_millis(500), status: FinalStatus::Success });
    let extensions = ExtensionOutcome::Always(Status::Pending);
    let running = start_sandbox(Config { extensions, settlement, ..config() });
    request_extensions(&running, "f1", &json!([tagging()]), &receiver.url("/"));
    request(&running, "POST /__sandbox/reset", "");
    let untouched = get(&running, "/v1/files/f1/details").json();
    request_extensions(&running, "f2", &json!([tagging()]), &receiver.url("/"));
    assert_eq!(receiver.next().json()["fileObject"]["fileId"], "f2");
    assert_eq!(get(&running, "/v1/files/f1/details").json(), untouched);
    assert_eq!((running.stats().settled_runs, running.stats().callbacks.due), (1, 1));
}
