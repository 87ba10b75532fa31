//! Objects of the input with their results, as the input has them: one after the other, or in an array.

use std::io::{self, Write as _};

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::encoded_file::EncodedFile;
use super::reason::Reason;
use crate::atomic_file::AtomicFile;
use crate::input::raw_pairs;
use crate::row::{MetadataField, NullMeans, is_json_blank};

/// The key of the result.
const OWN_KEY: &str = "ikbulk";

/// Writes objects.
pub(super) struct JsonWriter {
    file: EncodedFile,
    is_array: bool,
    is_empty: bool,
}

impl JsonWriter {
    /// Begins the array, if the input is one.
    pub(super) fn new(mut file: EncodedFile, is_array: bool) -> io::Result<Self> {
        file.write_all(if is_array { b"[\n" } else { b"" })?;
        Ok(Self { file, is_array, is_empty: true })
    }

    /// Writes an object with the key `ikbulk` added at its end. Text that is not an object is written
    /// as is: it must be fixed first.
    pub(super) fn write(&mut self, text: &[u8], reason: &Reason<'_>) -> io::Result<()> {
        if !self.is_empty {
            self.file.write_all(if self.is_array { b",\n" } else { b"\n" })?;
        }
        self.is_empty = false;
        let rewritten = without_superseded(text, reason);
        let text = rewritten.as_deref().unwrap_or(text);
        let Some(object) = without_own_key(text) else {
            let text = if self.is_array { text.strip_suffix(b",").unwrap_or(text) } else { text };
            return self.file.write_all(text);
        };
        let row = reason.row;
        let own = json!({
            "status": row.status.as_str(),
            "code": row.code.map_or("", crate::outcome::Code::as_str),
            "message": row.message,
            "done": reason.done,
        });
        let comma = if object.ends_with(b"{") { "" } else { "," };
        self.file.write_all(&object)?;
        write!(self.file, "{comma}\"{OWN_KEY}\":{own}}}")
    }

    /// Ends the array.
    pub(super) fn finish(mut self) -> io::Result<AtomicFile> {
        self.file.write_all(if self.is_array { b"\n]\n" } else { b"\n" })?;
        self.file.finish()
    }
}

/// The line without superseded keys, and without nulls that left their field unchanged: in another
/// sheet they could mean to clear it. `None` if the line stays as is.
fn without_superseded(line: &[u8], reason: &Reason<'_>) -> Option<Vec<u8>> {
    let superseded_columns = reason.superseded_columns;
    let drops_nulls = reason.rules.null_means == Some(NullMeans::Leave);
    if superseded_columns.is_empty() && reason.remaining_tag_change.is_none() && !drops_nulls {
        return None;
    }
    let is_superseded = |key: &str| superseded_columns.iter().any(|column| column == key);
    let mut object = serde_json::from_slice::<Map<_, Value>>(line).ok()?;
    let is_dropped = |value: &Value| drops_nulls && is_json_blank(value);
    object.retain(|key, value| {
        !is_dropped(value) && !is_superseded(if key == "publish" { "isPublished" } else { key })
    });
    if let Some(metadata) = object.get_mut("customMetadata").and_then(|value| value.as_object_mut())
    {
        metadata.retain(|key, value| {
            !is_dropped(value) && !is_superseded(&MetadataField::column_of(key))
        });
    }
    object.retain(|column, value| match reason.remaining_tags(column) {
        None => true,
        Some(Value::Array(none)) if none.is_empty() => false,
        Some(remaining_tags) => {
            *value = remaining_tags;
            true
        }
    });
    serde_json::to_vec(&object).ok()
}

/// The text of an object up to its closing brace, without the key `ikbulk` of an earlier run; `None` if
/// it is not an object.
fn without_own_key(text: &[u8]) -> Option<Vec<u8>> {
    let pairs = raw_pairs(std::str::from_utf8(text).ok()?)?;
    let is_own = |(key, _): &&(String, &RawValue)| key == OWN_KEY;
    let object = text.trim_ascii_end().strip_suffix(b"}")?.trim_ascii_end();
    let Some((_, own)) = pairs.iter().find(is_own) else {
        return Some(object.to_vec());
    };
    // As the key is written, it is the last one, and what is before it stays as it is.
    let added = format!("{}\"{OWN_KEY}\":{own}", if pairs.len() > 1 { "," } else { "" });
    if let Some(object) = object.strip_suffix(added.as_bytes()) {
        return Some(object.to_vec());
    }
    let kept = pairs.iter().filter(|pair| !is_own(pair));
    let kept: Vec<String> =
        kept.map(|(key, value)| format!("{}:{value}", Value::from(key.as_str()))).collect();
    Some(format!("{{{}", kept.join(",")).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(text: &str) -> Option<String> {
        without_own_key(text.as_bytes()).map(|rest| String::from_utf8(rest).expect("text"))
    }

    #[test]
    fn own_key_is_taken_off_wherever_it_is() {
        for (text, expected) in [
            (r#"{"a":1}"#, r#"{"a":1"#),
            ("{\n  \"a\": 1\n}", "{\n  \"a\": 1"),
            (r#"{"a":1,"ikbulk":{"status":"x"}}"#, r#"{"a":1"#),
            ("{\n  \"a\": 1,\"ikbulk\":{\"status\":\"x\"}}", "{\n  \"a\": 1"),
            ("{\n  \"ikbulk\": {\"status\": \"x\"},\n  \"a\": 1.50\n}", r#"{"a":1.50"#),
            (r#"{"a":1,"a":2,"ikbulk":{}}"#, r#"{"a":1,"a":2"#),
            (r#"{"ikbulk":{}}"#, "{"),
            (r#"{"m":{"a":1,"ikbulk":{"x":1}}}"#, r#"{"m":{"a":1,"ikbulk":{"x":1}}"#),
        ] {
            assert_eq!(rest(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(rest("[1]"), None);
        assert_eq!(rest(r#"{"a":1"#), None);
    }
}
