//! Reads JSON lines with their positions, and maps their keys to fields.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::names::{Meaning, Names};
use super::{Input, InputError, RECORD_BYTES_MAX};
use crate::row::{Builder, Cell, Field, METADATA, MetadataField, NoDuplicateKeys, Problem, RowPos};

/// Maximum characters of a line in a message.
const SHOWN_MAX: usize = 60;

/// A reader of JSON lines.
pub(super) struct JsonLines {
    reader: BufReader<File>,
    input: Input,
    line: Vec<u8>,
    next: RowPos,
}

impl JsonLines {
    pub(super) fn open(input: &Input, from: Option<RowPos>) -> Result<Self, InputError> {
        let mut file = input.open_file()?;
        let mut next = from.unwrap_or(RowPos { number: 1, line: 1, offset: 0 });
        if next.offset == 0 {
            let mut bom = [0; 3];
            let read = file.read(&mut bom).map_err(|source| input.unreadable(source))?;
            if bom.get(..read) == Some(b"\xEF\xBB\xBF") {
                next.offset = 3;
            }
        }
        file.seek(SeekFrom::Start(next.offset)).map_err(|source| input.unreadable(source))?;
        let reader = BufReader::with_capacity(64 << 10, file);
        Ok(Self { reader, input: input.clone(), line: Vec::new(), next })
    }

    /// The current line, without its line end.
    pub(super) fn line(&self) -> &[u8] {
        self.line.trim_ascii_end()
    }

    /// Reads the next non-blank line; `None` at the end. Truncated input is an error.
    pub(super) fn advance(&mut self) -> Result<Option<RowPos>, InputError> {
        loop {
            let pos = self.next;
            self.line.clear();
            let mut bounded = (&mut self.reader).take(RECORD_BYTES_MAX);
            let read = bounded.read_until(b'\n', &mut self.line);
            let read = read.map_err(|source| self.input.unreadable(source))? as u64;
            if read == 0 {
                return Ok(None);
            }
            if read == RECORD_BYTES_MAX {
                let why = "a line break is missing";
                return Err(InputError::TooLong { pos, why });
            }
            self.next =
                RowPos { number: pos.number + 1, line: pos.line + 1, offset: pos.offset + read };
            let is_unterminated = !self.line.ends_with(b"\n");
            if is_unterminated
                && serde_json::from_slice::<serde::de::IgnoredAny>(&self.line).is_err()
            {
                let why = "the line is not a complete JSON object";
                let text = String::from_utf8_lossy(self.line()).chars().take(SHOWN_MAX).collect();
                return Err(InputError::DamagedEnd { pos, why, text });
            }
            if !self.line().is_empty() {
                return Ok(Some(pos));
            }
        }
    }
}

/// The keys and values of one object in order, including duplicate keys.
#[derive(Debug, Default)]
pub(super) struct Object(pub(super) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(4));
                while let Some((key, NoDuplicateKeys(value))) = map.next_entry()? {
                    pairs.push((key, value));
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl Object {
    pub(super) fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// The value of one of ikbulk's own columns ([`super::own`]), which JSONL stores in a nested
    /// object `ikbulk`.
    pub(super) fn own(&self, key: &str) -> Option<&str> {
        let short = key.strip_prefix("ikbulk.")?;
        let (_, own) = self.0.iter().find(|(key, _)| key == "ikbulk")?;
        own.get(short)?.as_str()
    }

    /// Passes every key and value to the builder.
    pub(super) fn fill(
        &self,
        builder: &mut Builder<'_>,
        names: Names<'_>,
        unread: &mut UnreadKeys,
    ) {
        let mut keys = foldhash::HashSet::default();
        for (key, value) in &self.0 {
            if !keys.insert(key) {
                let shown = value.to_string();
                builder.reject(Problem::new(key, &shown, "has a duplicate key", "keep only one"));
                continue;
            }
            match (key.as_str(), value) {
                ("ikbulk", Value::Object(_)) => {}
                ("publish", Value::Object(nested)) => {
                    for (name, value) in nested {
                        set_key(builder, names, unread, name, value);
                    }
                }
                ("publish", value) => builder.reject(Problem::new(
                    key,
                    &value.to_string(),
                    "is not an object",
                    "write {\"isPublished\":true}, or omit the key",
                )),
                (key, value) => set_key(builder, names, unread, key, value),
            }
        }
    }

    /// Passes the values of an object of custom metadata to the builder.
    pub(super) fn fill_metadata(&self, builder: &mut Builder<'_>, names: Names<'_>) {
        for (name, value) in &self.0 {
            set_metadata(builder, names, name, value);
        }
    }
}

/// The keys that are not read, in the order in which they appeared.
#[derive(Debug, Default)]
pub(super) struct UnreadKeys {
    pub(super) names: Vec<String>,
    known: foldhash::HashSet<String>,
}

impl UnreadKeys {
    /// Maximum keys that are named.
    const NAMED_MAX: usize = 1000;

    fn add(&mut self, key: &str) {
        if self.names.len() < Self::NAMED_MAX && self.known.insert(key.to_owned()) {
            self.names.push(key.to_owned());
        }
    }
}

/// Whether a key holds an object whose keys count as columns.
pub(super) fn is_object_key(key: &str) -> bool {
    matches!(key, "ikbulk" | "publish" | METADATA)
}

fn set_key(
    builder: &mut Builder<'_>,
    names: Names<'_>,
    unread: &mut UnreadKeys,
    key: &str,
    value: &Value,
) {
    // Fast path: the names of the API.
    if let Some(field) = Field::fixed(key).filter(|_| names.options.columns.is_empty()) {
        return builder.set(key, &field, Cell::Json(value));
    }
    if unread.known.contains(key) {
        return;
    }
    let (problem, suggestion) = match names.meaning(key.trim()) {
        Meaning::Field(field) => return builder.set(key, &field, Cell::Json(value)),
        Meaning::MetadataObject => match value {
            Value::Object(nested) => {
                for (name, value) in nested {
                    set_metadata(builder, names, name, value);
                }
                return;
            }
            _ => (
                "is not an object".to_owned(),
                "write {\"name\":value}, where null clears the field, or omit the key".to_owned(),
            ),
        },
        Meaning::Unread if names.options.strict_columns => {
            ("has an unknown key".to_owned(), "remove it, or pass --ignore-columns".to_owned())
        }
        Meaning::Own | Meaning::Ignored | Meaning::Unread => return unread.add(key),
        Meaning::Close(column) => (
            "has an unknown key".to_owned(),
            format!("did you mean {column}? --map reads it so, --ignore-columns ignores it"),
        ),
        Meaning::Invalid(why) => ("cannot be set".to_owned(), why),
    };
    builder.reject(Problem::new(key, &value.to_string(), problem, suggestion));
}

/// Passes the value of a custom metadata field to the builder.
fn set_metadata(builder: &mut Builder<'_>, names: Names<'_>, name: &str, value: &Value) {
    let key = MetadataField::column_of(name);
    match names.metadata(name) {
        Ok(field) => builder.set(&key, &Field::CustomMetadata(field), Cell::Json(value)),
        Err(error) => {
            builder.reject(Problem::new(
                &key,
                &value.to_string(),
                "cannot be set",
                error.to_string(),
            ));
        }
    }
}

/// Every JSON line that sets custom metadata contains these bytes.
pub(super) const METADATA_WORD: &[u8] = METADATA.as_bytes();
