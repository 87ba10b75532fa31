//! Webhooks of the account: created, changed, deleted, and told of changes of files.

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ikbulk_sandbox::{
    CallbackCounts, Callbacks, Config, ExtensionOutcome, FinalStatus, Running, Settlement, Status,
};
use serde_json::{Value, json};

use crate::callback_receiver::{Callback, CallbackReceiver, receive};
use crate::callbacks::until;
use crate::client::{config, get, patch, post, request, start_sandbox};
use crate::schema::schema_at;

const PATH: &str = "/v1/accounts/webhooks";
const HOUR: Duration = Duration::from_hours(1);

fn webhook(endpoint: &str) -> Value {
    json!({"endpoint": endpoint, "events": ["file.updated", "file-version.created"]})
}

/// Creates a webhook; returns its object.
fn create(running: &Running, body: &Value) -> Value {
    let response = post(running, PATH, body);
    assert_eq!(response.status, 201, "{}", response.text);
    response.json()
}

fn change(running: &Running, webhook: &Value, body: &Value) -> u16 {
    let id = webhook["id"].as_str().expect("an id");
    request(running, &format!("PATCH {PATH}/{id}"), &body.to_string()).status
}

/// A sandbox whose extensions are pending for an hour.
fn with_pending_extensions(callbacks: Callbacks) -> Running {
    let settlement = Some(Settlement { after: HOUR, status: FinalStatus::Success });
    let extensions = ExtensionOutcome::Always(Status::Pending);
    start_sandbox(Config { settlement, extensions, callbacks, ..config() })
}

/// The event, whose signature must verify with this secret and no other.
fn verified(callback: &Callback, webhook: &Value) -> Value {
    let header = |name| callback.header(name).expect("an event should have it");
    let signature = header("webhook-signature").strip_prefix("v1,").expect("version 1");
    let signature = STANDARD.decode(signature).expect("base64");
    let signed =
        format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), callback.text);
    let secret = webhook["secret"].as_str().expect("a secret");
    let verify = |secret: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
    };
    assert_eq!((verify(secret), verify("whsec_other")), (true, false));
    let event = callback.json();
    schema_at("event").validate(&event).expect("an event should match the schema");
    assert_eq!(event["id"], header("webhook-id"));
    event
}

#[test]
fn webhook_is_created_changed_and_deleted() {
    let running = start_sandbox(config());
    let created = create(&running, &webhook("http://127.0.0.1:1/a"));
    assert_eq!(created["enabled"], true);
    let id = created["id"].as_str().unwrap();
    assert_eq!(get(&running, &format!("{PATH}/{id}")).json(), created);
    assert_eq!(change(&running, &created, &json!({"enabled": false})), 200);
    let changed = get(&running, PATH).json()[0].clone();
    assert_eq!(changed["enabled"], false);
    for kept in ["endpoint", "events", "secret", "createdAt"] {
        assert_eq!(changed[kept], created[kept]);
    }
    assert_eq!(change(&running, &created, &json!({"endpoint": created["endpoint"]})), 200);
    let delete = || request(&running, &format!("DELETE {PATH}/{id}"), "").status;
    assert_eq!((delete(), delete()), (204, 404));
    assert_eq!(get(&running, PATH).json(), json!([]));
    let other = create(&running, &webhook("http://127.0.0.1:1/a"));
    assert_ne!((&other["id"], &other["secret"]), (&created["id"], &created["secret"]));
}

#[test]
fn invalid_webhooks_are_rejected() {
    let running = start_sandbox(config());
    let first = create(&running, &webhook("http://127.0.0.1:1/a"));
    for bad in [
        json!({"endpoint": "ftp://127.0.0.1"}),
        json!({"endpoint": 5}),
        json!({"events": []}),
        json!({"events": ["extension.succeeded"]}),
        json!({"events": "file.updated"}),
        json!({"enabled": "yes"}),
        json!({"secret": "whsec_mine"}),
    ] {
        assert_eq!(change(&running, &first, &bad), 400, "{bad}");
        let mut body = webhook("http://127.0.0.1:1/b");
        body.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
        assert_eq!(post(&running, PATH, &body).status, 400, "{body}");
    }
    assert_eq!(post(&running, PATH, &webhook("http://127.0.0.1:1/a")).status, 400);
    let second = create(&running, &webhook("http://127.0.0.1:1/b"));
    assert_eq!(change(&running, &second, &json!({"endpoint": first["endpoint"]})), 400);
    create(&running, &webhook("http://127.0.0.1:1/c"));
    assert_eq!(post(&running, PATH, &webhook("http://127.0.0.1:1/d")).status, 400);
    assert_eq!(get(&running, PATH).json().as_array().unwrap().len(), 3);
}

#[test]
fn every_accepted_change_of_a_file_is_an_event() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let running = start_sandbox(config());
    let webhook = create(&running, &webhook(&receiver.url("/events")));
    let next = |file: &str| {
        let callback = receiver.next();
        assert_eq!(callback.path(), "/events");
        let event = verified(&callback, &webhook);
        assert_eq!(
            (&event["type"], &event["data"]["fileId"]),
            (&json!("file.updated"), &json!(file))
        );
        event
    };
    patch(&running, "f1", &json!({"tags": ["new"]}));
    assert_eq!(Some(next("f1")["data"].clone()), running.file("f1"));
    patch(&running, "f1", &json!({"tags": ["50%"]}));
    patch(&running, "f1", &json!({"publish": {"isPublished": false}}));
    assert_eq!(next("f1")["data"]["isPublished"], false);
    post(&running, "/v1/files/addTags", &json!({"fileIds": ["f2", "gone"], "tags": ["x"]}));
    post(&running, "/v1/files/addTags", &json!({"fileIds": ["f2"], "tags": ["x"]}));
    next("f2");
    assert_eq!(change(&running, &webhook, &json!({"events": ["file.deleted"]})), 200);
    patch(&running, "f1", &json!({"tags": ["none"]}));
    assert_eq!(
        change(&running, &webhook, &json!({"events": ["file.updated"], "enabled": false})),
        200
    );
    patch(&running, "f1", &json!({"tags": ["none"]}));
    assert_eq!(change(&running, &webhook, &json!({"enabled": true})), 200);
    patch(&running, "f1", &json!({"tags": ["last"]}));
    assert_eq!(next("f1")["data"]["tags"], json!(["last"]));
}

#[test]
fn result_of_a_pending_extension_is_an_event_and_a_callback() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let events = CallbackReceiver::responding_with(&[]);
    let running = with_pending_extensions(Callbacks::default());
    let webhook = create(&running, &webhook(&events.url("/")));
    let body = json!({"extensions": [{"name": "remove-bg"}], "webhookUrl": receiver.url("/")});
    patch(&running, "f1", &body);
    assert_eq!(verified(&events.next(), &webhook)["data"]["versionInfo"]["name"], "Version 1");
    running.advance(HOUR);
    let callback = receiver.next();
    assert_eq!(callback.header("webhook-signature"), None);
    assert_eq!(callback.json()["fileObject"]["versionInfo"]["name"], "Version 2");
    let told = [events.next(), events.next()].map(|event| verified(&event, &webhook));
    let mut types = told.each_ref().map(|event| event["type"].as_str().unwrap());
    types.sort_unstable();
    assert_eq!(types, ["file-version.created", "file.updated"]);
    assert!(told.iter().all(|event| event["data"]["versionInfo"]["name"] == "Version 2"));
    assert_ne!(told[0]["id"], told[1]["id"]);
}

#[test]
fn failed_extension_is_no_event() {
    let receiver = CallbackReceiver::responding_with(&[]);
    let events = CallbackReceiver::responding_with(&[]);
    let settlement = Some(Settlement { after: HOUR, status: FinalStatus::Failed });
    let extensions = ExtensionOutcome::Always(Status::Pending);
    let running = start_sandbox(Config { settlement, extensions, ..config() });
    create(&running, &webhook(&events.url("/")));
    let body = json!({"extensions": [{"name": "remove-bg"}], "webhookUrl": receiver.url("/")});
    patch(&running, "f1", &body);
    events.next();
    running.advance(HOUR);
    assert_eq!(receiver.next().json()["status"], "FAILURE");
    assert_eq!(running.stats().webhook_events.due, 1);
}

#[test]
fn events_are_repeated_late_and_retried_with_the_same_id() {
    let receiver = CallbackReceiver::responding_with(&[503]);
    let running = with_pending_extensions(Callbacks {
        copies: 2,
        max_delay: HOUR,
        retry_after: HOUR,
        ..Callbacks::default()
    });
    let webhook = create(&running, &webhook(&receiver.url("/")));
    patch(&running, "f1", &json!({"tags": ["x"]}));
    assert_eq!(running.stats().webhook_events.sent, 0);
    let mut sent = 0;
    until(|| {
        running.advance(HOUR);
        sent = running.stats().webhook_events.sent;
        sent == 3
    });
    let ids = [receiver.next(), receiver.next(), receiver.next()]
        .map(|callback| verified(&callback, &webhook)["id"].clone());
    assert!(ids.iter().all(|id| *id == ids[0]));
    let expected = CallbackCounts { due: 1, not_called: 0, sent: 3, delivered: 2 };
    until(|| running.stats().webhook_events == expected);
}

#[test]
fn at_most_64_events_are_sent_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let running = with_pending_extensions(Callbacks::default());
    create(&running, &webhook(&format!("http://{}/", listener.local_addr().unwrap())));
    for _ in 0..70 {
        patch(&running, "f1", &json!({"tags": ["x"]}));
    }
    let mut connections = listener.incoming().map(|stream| stream.expect("a connection"));
    let unanswered: Vec<TcpStream> = connections.by_ref().take(64).collect();
    assert_eq!((running.stats().webhook_events.due, running.stats().webhook_events.sent), (70, 64));
    let (received, _events) = sync_channel(70);
    for stream in unanswered.into_iter().chain(connections.take(6)) {
        receive(&stream, 200, &received);
    }
    until(|| running.stats().webhook_events.delivered == 70);
}

#[test]
fn retries_end_after_a_day() {
    let receiver = CallbackReceiver::responding_with(&[500; 100]);
    let retry_after = HOUR;
    let running = with_pending_extensions(Callbacks { retry_after, ..Callbacks::default() });
    create(&running, &webhook(&receiver.url("/")));
    patch(&running, "f1", &json!({"tags": ["x"]}));
    // The first attempt, and after 1, 2, 4 and 8 more hours; another 16 hours exceed the day.
    until(|| {
        running.advance(HOUR * 24);
        running.stats().webhook_events.sent == 5
    });
    for _ in 0..5 {
        assert_eq!(receiver.next().json()["data"]["fileId"], "f1");
    }
    running.advance(HOUR * 24);
    patch(&running, "f2", &json!({"tags": ["x"]}));
    let last = receiver.next().json();
    assert_eq!(last["data"]["fileId"], "f2");
}

#[test]
fn advancing_the_clock_settles_pending_extensions() {
    let running = with_pending_extensions(Callbacks::default());
    patch(&running, "f2", &json!({"extensions": [{"name": "ai-auto-description"}]}));
    running.advance(HOUR / 2);
    get(&running, "/v1/files");
    assert_eq!(running.stats().settled_runs, 0);
    running.advance(HOUR / 2);
    until(|| running.stats().settled_runs == 1);
    assert!(running.file("f2").unwrap()["description"].is_string());
}
