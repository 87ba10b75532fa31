//! The body of a callback. From ImageKit's API description:
//! `{"service", "status": "SUCCESS", "fileObject"}` or `{"service", "status": "FAILURE", "fileId",
//! "error"}`.

use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

use crate::extension_results::ExtensionResults;
use crate::row::FileId;

/// The largest body that is read, in bytes. A file object has a few thousand; its embedded metadata
/// can be long.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// The longest name of a service.
const SERVICE_LENGTH_MAX: usize = 64;
/// The longest part of an error that is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// What ImageKit says about an extension that was pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The name of the extension. Lower-case letters, digits, `-` and `_`: safe to print. Not
    /// necessarily one that this program knows.
    pub service: Box<str>,
    /// The file on which it ran.
    pub file: FileId,
    /// How it ended.
    pub result: CallbackResult,
}

/// How an extension ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallbackResult {
    /// It ran, and wrote this; `None` if the file object shows nothing of it.
    Success(Option<Box<ExtensionResults>>),
    /// It failed, with the error in ImageKit's words; empty if there are none.
    Failure(Box<str>),
}

/// Why a body is not a callback.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is larger than [`BODY_BYTES_MAX`].
    #[error("larger than 1 MiB")]
    TooLarge,
    /// It is not JSON, or a field is missing, given twice, or of another type.
    #[error("not a callback: {0}")]
    Json(String),
    /// The name of the service is none.
    #[error("not a callback: the service has no valid name")]
    Service,
    /// The status is neither `SUCCESS` nor `FAILURE`.
    #[error("not a callback: the status is neither SUCCESS nor FAILURE")]
    Status,
    /// The file id is missing or invalid.
    #[error("not a callback: no valid file id")]
    File,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    service: String,
    status: String,
    file_object: Option<Value>,
    file_id: Option<String>,
    error: Option<Value>,
}

impl Callback {
    /// Reads the body of a callback.
    ///
    /// # Errors
    /// The body is too large or not a callback.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        if body.len() > BODY_BYTES_MAX {
            return Err(Malformed::TooLarge);
        }
        let body: Body = serde_json::from_slice(body).map_err(|error| Malformed::json(&error))?;
        let file = |id: Option<&str>| id.and_then(|id| FileId::new(id).ok()).ok_or(Malformed::File);
        if !is_service_name(&body.service) {
            return Err(Malformed::Service);
        }
        let (file, result) = if body.status.eq_ignore_ascii_case("SUCCESS") {
            let object = body.file_object.unwrap_or_default();
            let written = ExtensionResults::in_file(&object, |name| name == body.service);
            (file(object["fileId"].as_str())?, CallbackResult::Success(written.map(Box::new)))
        } else if body.status.eq_ignore_ascii_case("FAILURE") {
            let error = message(body.error.as_ref());
            (file(body.file_id.as_deref())?, CallbackResult::Failure(error))
        } else {
            return Err(Malformed::Status);
        };
        Ok(Self { service: body.service.into(), file, result })
    }
}

impl Malformed {
    /// Keeps the position and what was expected, and none of the text of the body.
    fn json(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let what = match error.classify() {
            Category::Data => "a field is missing, repeated, or of another type",
            Category::Eof => "the JSON ends too early",
            Category::Io | Category::Syntax => "invalid JSON",
        };
        Self::Json(format!("{what} (line {line}, column {column})"))
    }
}

fn is_service_name(text: &str) -> bool {
    let is_part = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=SERVICE_LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_part)
}

/// The text of an error: its format is not documented.
fn message(error: Option<&Value>) -> Box<str> {
    let text = match error {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(error) => match error.get("message") {
            Some(Value::String(text)) => text.clone(),
            _ => error.to_string(),
        },
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line[..line.floor_char_boundary(MESSAGE_BYTES_MAX)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn success() -> Value {
        serde_json::json!({
            "service": "google-auto-tagging", "status": "SUCCESS", "more": 1,
            "fileObject": {
                "fileId": "a", "type": "file", "name": "a.jpg", "tags": null,
                "AITags": [{"name": "Shoe", "confidence": 90.1, "source": "google-auto-tagging"}],
                "versionInfo": {"id": "v2", "name": "Version 2"}, "embeddedMetadata": {"x": [1]},
            },
        })
    }

    fn parse(body: &Value) -> Result<Callback, Malformed> {
        Callback::parse(body.to_string().as_bytes())
    }

    fn failure(error: &Value) -> Callback {
        let body = serde_json::json!(
            {"service": "remove-bg", "status": "FAILURE", "fileId": "a", "error": error});
        parse(&body).unwrap()
    }

    #[test]
    fn success_keeps_what_the_extension_wrote() {
        let callback = parse(&success()).unwrap();
        assert_eq!((&*callback.service, callback.file.as_str()), ("google-auto-tagging", "a"));
        let CallbackResult::Success(Some(written)) = callback.result else { panic!("a success") };
        let expected = ExtensionResults::in_file(&success()["fileObject"], |_| true).unwrap();
        assert_eq!(written.ai_tags, expected.ai_tags);
        assert_eq!((written.ai_tags.len(), &written.version), (1, &None));
    }

    #[test]
    fn failure_keeps_the_message_in_any_form() {
        let text = |error: Value| match failure(&error).result {
            CallbackResult::Failure(text) => text.to_string(),
            CallbackResult::Success(_) => panic!("a failure"),
        };
        assert_eq!(text(Value::Null), "");
        assert_eq!(text("no\n  face".into()), "no face");
        assert_eq!(text(serde_json::json!({"message": "no", "code": 3})), "no");
        assert_eq!(text(serde_json::json!({"code": 3})), r#"{"code":3}"#);
        assert_eq!(text("é".repeat(9999).into()).len(), MESSAGE_BYTES_MAX);
    }

    #[test]
    fn other_bodies_are_refused() {
        use Malformed::{File, Service, Status};
        let change = |key: &str, value: Value| {
            let mut body = success();
            body[key] = value;
            parse(&body)
        };
        for (key, value, expected) in [
            ("service", "".into(), Service),
            ("service", "Remove-BG".into(), Service),
            ("service", "\u{1b}[2J".into(), Service),
            ("service", "a".repeat(65).into(), Service),
            ("status", "DONE".into(), Status),
            ("status", "FAILURE".into(), File),
            ("fileObject", Value::Null, File),
            ("fileObject", "a".into(), File),
            ("fileObject", serde_json::json!({"fileId": 1}), File),
            ("fileObject", serde_json::json!({"fileId": ""}), File),
            ("fileObject", serde_json::json!({"fileId": "a\u{1b}[2J"}), File),
        ] {
            assert_eq!(change(key, value.clone()), Err(expected), "{key} {value}");
        }
        for (key, value) in [("service", Value::Null), ("status", 1.into())] {
            assert!(matches!(change(key, value), Err(Malformed::Json(_))), "{key}");
        }
    }

    #[test]
    fn hostile_json_is_refused_and_not_quoted() {
        let deep = format!(
            r#"{{"service":"a","status":"FAILURE","fileId":"a","error":{}}}"#,
            "[".repeat(500_000)
        );
        let twice = r#"{"service":"a","service":"b","status":"FAILURE","fileId":"a"}"#;
        for body in ["", "null", "[]", "{}", "{", "\u{1b}[2J", &deep, twice, "{} {}"] {
            let error = Callback::parse(body.as_bytes()).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Malformed::Json(_)), "{text}");
            assert!(text.len() < 120 && !text.contains('\u{1b}'), "{text}");
        }
        assert!(matches!(Callback::parse(b"{\"service\":\"\xff\"}"), Err(Malformed::Json(_))));
        let large = " ".repeat(BODY_BYTES_MAX) + &success().to_string();
        assert_eq!(Callback::parse(large.as_bytes()), Err(Malformed::TooLarge));
    }
}
