//! Reads JSON lines with their positions, and maps their keys to fields.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::names::{Meaning, Names, known_columns};
use super::null_keys::NullKeys;
use super::options::is_same;
use super::raw_records::split_line;
use super::{Delimiter, Input, InputError, RECORD_BYTES_MAX, ReadOptions};
use crate::row::{
    Builder, Cell, Field, METADATA, MetadataField, NoDuplicateKeys, Problem, RowPos, closest_name,
    is_json_blank,
};

/// Maximum characters of a line in a message.
const SHOWN_MAX: usize = 60;
/// Maximum bytes of a first line that can be the header of a CSV sheet.
const HEADER_BYTES_MAX: u64 = 16 << 10;

/// A reader of JSON objects: one a line, over several lines, one after the other, or in an array.
pub(super) struct JsonLines {
    reader: BufReader<File>,
    input: Input,
    object: Vec<u8>,
    /// Text that has been read and not returned, from the beginning of a line or the end of an object.
    rest: Vec<u8>,
    /// Offset and line of the rest in the file.
    offset: u64,
    line: u64,
    /// The number of the last object.
    number: u64,
    is_array: bool,
    has_begun: bool,
    /// Arrays that have not ended. Several may follow each other.
    open: u32,
}

impl JsonLines {
    pub(super) fn open(input: &Input, from: Option<RowPos>) -> Result<Self, InputError> {
        let unreadable = |source| input.unreadable(source);
        let mut file = input.open_file()?;
        if from.is_none() && is_header(&mut file, input).map_err(unreadable)? {
            let why = "the input looks like CSV; pass --format csv, or use the extension .csv";
            return Err(InputError::Header { why: why.to_owned() });
        }
        let is_array = is_array(&mut file).map_err(unreadable)?;
        let bom = if input.has_bom() { BOM.len() as u64 } else { 0 };
        let start = RowPos { number: 1, line: 1, offset: bom };
        let RowPos { number, line, offset } = from.unwrap_or(start);
        file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        Ok(Self {
            reader: BufReader::with_capacity(64 << 10, file),
            input: input.clone(),
            object: Vec::new(),
            rest: Vec::new(),
            offset,
            line,
            number: number - 1,
            is_array,
            has_begun: from.is_some(),
            open: u32::from(from.is_some()),
        })
    }

    /// The current object.
    pub(super) fn line(&self) -> &[u8] {
        self.object.trim_ascii_end()
    }

    /// Reads the next object, or a line that is none; `None` at the end. Truncated input is an error.
    pub(super) fn advance(&mut self) -> Result<Option<RowPos>, InputError> {
        loop {
            self.skip_separators();
            if !self.rest.is_empty() {
                break;
            }
            if !self.read_line()? {
                return self.check_end().map(|()| None);
            }
        }
        self.number = self.line.max(self.number + 1);
        let pos = RowPos { number: self.number, line: self.line, offset: self.offset };
        let length = self.object_length(pos)?;
        self.object.clear();
        self.object.extend(self.rest.drain(..length));
        self.count(length as u64);
        Ok(Some(pos))
    }

    /// Fails if the text ends within an array.
    fn check_end(&self) -> Result<(), InputError> {
        if !self.is_array || self.open == 0 && self.has_begun {
            return Ok(());
        }
        let pos = RowPos { number: self.number, line: self.line, offset: self.offset };
        let text = String::from_utf8_lossy(self.line()).chars().take(SHOWN_MAX).collect();
        Err(InputError::DamagedEnd { pos, why: "the array does not end after it", text })
    }

    /// Skips blanks, and what separates the objects of an array.
    fn skip_separators(&mut self) {
        let Self { is_array, has_begun, open, .. } = self;
        let is_array = *is_array;
        // Brackets are skipped wherever they are, so that a position tells all about what follows.
        let is_separator = |byte: &&u8| match **byte {
            b'[' if is_array => {
                *has_begun = true;
                *open += 1;
                true
            }
            b']' if is_array => {
                *open = open.saturating_sub(1);
                true
            }
            b',' => is_array,
            // Files that were joined, and JSON text sequences (RFC 7464).
            b'\xEF' | b'\xBB' | b'\xBF' | b'\x1E' => true,
            byte => byte.is_ascii_whitespace(),
        };
        let length = self.rest.iter().take_while(is_separator).count();
        let skipped = self.rest.get(..length).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', skipped).count() as u64;
        self.offset += length as u64;
        self.rest.drain(..length);
    }

    /// Counts the lines of the object that was taken.
    fn count(&mut self, length: u64) {
        self.offset += length;
        self.line += memchr::memchr_iter(b'\n', &self.object).count() as u64;
    }

    /// Appends a line to the rest; `false` at the end.
    fn read_line(&mut self) -> Result<bool, InputError> {
        let mut bounded = (&mut self.reader).take(RECORD_BYTES_MAX as u64);
        let read = bounded.read_until(b'\n', &mut self.rest);
        let read = read.map_err(|source| self.input.unreadable(source))?;
        if read == RECORD_BYTES_MAX || self.rest.len() > RECORD_BYTES_MAX {
            let pos = RowPos { number: self.number + 1, line: self.line, offset: self.offset };
            return Err(InputError::TooLong { pos, why: "a line break is missing" });
        }
        Ok(read > 0)
    }

    /// The length of the object at the beginning of the rest, or of the line if it is none.
    fn object_length(&mut self, pos: RowPos) -> Result<usize, InputError> {
        let first_line = memchr::memchr(b'\n', &self.rest).map_or(self.rest.len(), |end| end + 1);
        let is_terminated = self.rest.get(..first_line).is_some_and(|it| it.ends_with(b"\n"));
        if !self.rest.starts_with(b"{") {
            if self.is_array
                && let Some(length) =
                    length_in_array(self.rest.get(..first_line).unwrap_or_default())
            {
                return Ok(length);
            }
            let is_value = serde_json::from_slice::<serde::de::IgnoredAny>(&self.rest).is_ok();
            return if is_terminated || is_value { Ok(first_line) } else { Err(self.cut_off(pos)) };
        }
        let mut depth = Depth::default();
        let mut scanned = 0;
        loop {
            match depth.end_of_object(self.rest.get(scanned..).unwrap_or_default()) {
                End::Found(length) => {
                    let end = scanned + length;
                    let after = self.rest.get(end..).unwrap_or_default().trim_ascii_start();
                    // Anything but a further object makes the line invalid as a whole.
                    let is_alone = after.is_empty() || after.starts_with(b"{") || self.is_array;
                    return Ok(if is_alone { end } else { self.rest.len() });
                }
                End::InString => return Ok(first_line),
                End::NotYet => scanned = self.rest.len(),
            }
            if !self.read_line()? {
                return Err(self.cut_off(pos));
            }
            // An object at the beginning of a line does not belong to the one before, unless it is where
            // JSON has a value.
            if !self.is_array && !depth.expects_value() && self.rest.get(scanned) == Some(&b'{') {
                return Ok(first_line);
            }
        }
    }

    fn cut_off(&self, pos: RowPos) -> InputError {
        let why = "the line is not a complete JSON object";
        let text = String::from_utf8_lossy(self.rest.trim_ascii_end());
        InputError::DamagedEnd { pos, why, text: text.chars().take(SHOWN_MAX).collect() }
    }
}

/// Keys of the file objects in ImageKit's list response that no request changes.
const READ_ONLY_KEYS: [&str; 22] = [
    "type",
    "name",
    "createdAt",
    "updatedAt",
    "AITags",
    "versionInfo",
    "isPrivateFile",
    "thumbnail",
    "fileType",
    "mime",
    "width",
    "height",
    "size",
    "hasAlpha",
    "duration",
    "bitRate",
    "audioCodec",
    "videoCodec",
    "embeddedMetadata",
    "selectedFieldsSchema",
    "folderId",
    "folderPath",
];
/// The BOM of UTF-8.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Whether the first line of a file is the header of a CSV sheet.
fn is_header(file: &mut File, input: &Input) -> io::Result<bool> {
    let mut line = Vec::new();
    let mut beginning = BufReader::new(&*file).take(HEADER_BYTES_MAX);
    beginning.read_until(b'\n', &mut line)?;
    file.rewind()?;
    let line = line.strip_prefix(BOM).unwrap_or(&line).trim_ascii();
    if line.first().is_none_or(|first| matches!(first, b'{' | b'[')) {
        return Ok(false);
    }
    let mut headers =
        Delimiter::DETECTED.into_iter().filter_map(|delimiter| split_line(line, delimiter.byte()));
    Ok(headers.any(|cells| known_columns(&cells, &input.options) > 1))
}

/// Whether a text is a JSON array. Blanks and a BOM may come before it.
pub(super) fn is_array(text: impl Read) -> io::Result<bool> {
    let mut is_first = true;
    for byte in BufReader::new(text).bytes() {
        let byte = byte?;
        match byte {
            b'\xEF' | b'\xBB' | b'\xBF' if is_first => {}
            _ if byte.is_ascii_whitespace() => is_first = false,
            _ => return Ok(byte == b'['),
        }
    }
    Ok(false)
}

/// The length of a value that is no object, up to the comma or bracket that ends it in an array; `None`
/// if none does.
fn length_in_array(line: &[u8]) -> Option<usize> {
    let mut depth = Depth::default();
    let end = line.iter().position(|byte| {
        let is_end = !depth.is_in_string && depth.open.is_empty() && matches!(byte, b',' | b']');
        let is_in_string = depth.end_of_object(std::slice::from_ref(byte)) == End::InString;
        is_end || is_in_string
    });
    end.filter(|end| line.get(*end) != Some(&b'\n'))
}

/// How deep a text is in objects and arrays, and whether it is in a string.
#[derive(Debug, Default)]
struct Depth {
    /// The opening brackets of what has not ended.
    open: Vec<u8>,
    is_in_string: bool,
    is_escaped: bool,
    /// The last byte that is no blank.
    last: u8,
}

/// Where an object ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Found(usize),
    /// A line ends in a string, which JSON does not allow: the object is damaged.
    InString,
    NotYet,
}

impl Depth {
    /// Whether the text so far ends where a value must follow.
    fn expects_value(&self) -> bool {
        let is_in_array = self.open.last() == Some(&b'[');
        !self.is_in_string && (matches!(self.last, b':' | b'[') || self.last == b',' && is_in_array)
    }

    /// Continues with the next part of the text.
    fn end_of_object(&mut self, text: &[u8]) -> End {
        for (index, byte) in text.iter().enumerate() {
            if !byte.is_ascii_whitespace() {
                self.last = *byte;
            }
            if self.is_in_string {
                match byte {
                    b'\n' => return End::InString,
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.is_in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.is_in_string = true,
                b'{' | b'[' => self.open.push(*byte),
                b'}' | b']' => {
                    self.open.pop();
                    if self.open.is_empty() {
                        return End::Found(index + 1);
                    }
                }
                _ => {}
            }
        }
        End::NotYet
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
    pub(super) fn own(&self, key: &str) -> Option<Cow<'_, str>> {
        let short = key.strip_prefix("ikbulk.")?;
        let (_, own) = self.0.iter().find(|(key, _)| key == "ikbulk")?;
        match own.get(short)? {
            Value::Null => None,
            Value::String(text) => Some(text.into()),
            other => Some(other.to_string().into()),
        }
    }

    /// Passes every key and value to the builder.
    pub(super) fn fill(
        &self,
        builder: &mut Builder<'_>,
        names: Names<'_>,
        seen: &mut SeenKeys,
        nulls: &mut NullKeys,
    ) {
        nulls.begin_row(self.names_file(names));
        let mut keys = foldhash::HashSet::default();
        let is_file = self.is_file();
        if self.is_folder() {
            let suggestion = "leave folders out: jq 'map(select(.type != \"folder\"))' of an array, \
                              jq -c 'select(.type != \"folder\")' of lines";
            builder.reject_as_no_file(Problem::new("type", "folder", "is no file", suggestion));
            return;
        }
        for (key, value) in &self.0 {
            if !keys.insert(key) {
                let shown = value.to_string();
                builder.reject(Problem::new(key, &shown, "has a duplicate key", "keep only one"));
                continue;
            }
            match (key.as_str(), value) {
                (key, _) if is_file && is_read_only(key, names.options) => {
                    seen.name_unread(key);
                }
                (key, value) if self.lacks_name_without_number(key, names) => {
                    builder.reject(numbered_key(key, value));
                }
                ("ikbulk", Value::Object(_)) => nulls.note_returned(),
                ("publish", Value::Object(nested)) => {
                    for (name, value) in nested {
                        set_key(builder, names, seen, nulls, name, value);
                    }
                }
                ("publish", value) => builder.reject(Problem::new(
                    key,
                    &value.to_string(),
                    "is not an object",
                    "write {\"isPublished\":true}, or omit the key",
                )),
                (key, value) => set_key(builder, names, seen, nulls, key, value),
            }
        }
        if builder.is_blank()
            && let Some(problem) = self.names_no_file(names)
        {
            builder.reject(problem);
        }
    }

    /// The problem of an object of which nothing is read although it has values, such as the answer of a
    /// server with the rows in it.
    fn names_no_file(&self, names: Names<'_>) -> Option<Problem> {
        let is_unread = |key: &str| names.meaning(key.trim()) == Meaning::Unread;
        let unread = self.0.iter().filter(|(key, value)| !value.is_null() && is_unread(key));
        let first = unread.clone().next()?;
        let is_of_objects = |value: &Value| match value {
            Value::Array(array) => !array.is_empty() && array.iter().all(Value::is_object),
            Value::Object(_) => true,
            _ => false,
        };
        let mut objects = unread.filter(|(_, value)| is_of_objects(value));
        let array = objects.clone().find(|(_, value)| value.is_array());
        let (key, suggestion) = match array.or_else(|| objects.next()) {
            Some((key, Value::Array(_))) => {
                (key, format!("write each object of {key:?} as a row, as jq '.[{key:?}][]' does"))
            }
            Some((key, _)) => {
                (key, format!("write the keys of the object {key:?} into the row itself"))
            }
            None => (&first.0, "set fileId, filePath or url".to_owned()),
        };
        let problem =
            format!("is missing; the object has only keys that are not read, such as {key:?}");
        Some(Problem::new("fileId", "", problem, suggestion))
    }

    /// Whether a key is a known one but for a number, which the object lacks.
    fn lacks_name_without_number(&self, key: &str, names: Names<'_>) -> bool {
        let Some(field) = names.without_number(key) else { return false };
        let is_field = |other: &str| names.meaning(other.trim()) == Meaning::Field(field.clone());
        !self.0.iter().any(|(other, _)| is_field(other))
    }

    /// Whether a key with a value names the file.
    fn names_file(&self, names: Names<'_>) -> bool {
        let is_name = |key: &str| {
            let fixed = Field::fixed(key).filter(|_| !names.options.maps_columns());
            match fixed.map_or_else(|| names.meaning(key.trim()), Meaning::Field) {
                Meaning::Field(field) => field.names_file(),
                _ => false,
            }
        };
        self.0.iter().any(|(key, value)| !is_json_blank(value) && is_name(key))
    }

    /// Whether it is a folder as ImageKit lists it.
    fn is_folder(&self) -> bool {
        let value = |name: &str| self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        value("type").is_some_and(|kind| kind == "folder")
            && value("folderPath").is_some()
            && value("fileId").is_none_or(Value::is_null)
    }

    /// Whether it is a file as ImageKit lists it, rather than a row that a person wrote.
    pub(super) fn is_file(&self) -> bool {
        is_listed_file(|name| self.0.iter().any(|(key, _)| key == name))
    }

    /// Passes the values of an object of custom metadata to the builder.
    pub(super) fn fill_metadata(
        &self,
        builder: &mut Builder<'_>,
        names: Names<'_>,
        nulls: &mut NullKeys,
    ) {
        for (name, value) in &self.0 {
            set_metadata(builder, names, nulls, name, value);
        }
    }
}

/// Whether keys, or columns, are those of a file as ImageKit lists it.
pub(super) fn is_listed_file(has: impl Fn(&str) -> bool) -> bool {
    has("type") && (has("createdAt") || has("versionInfo"))
}

/// Whether a key of a file, as ImageKit lists it, cannot be changed, and is not read as another column.
/// Such a key is not the label of a custom metadata field.
pub(super) fn is_read_only(key: &str, options: &ReadOptions) -> bool {
    READ_ONLY_KEYS.contains(&key) && options.mapped(key).is_none()
}

/// The keys of all rows, as far as they are not read or are read as other columns.
#[derive(Debug, Default)]
pub(super) struct SeenKeys {
    /// The keys that are not read, in the order in which they appeared.
    pub(super) unread: Vec<String>,
    named: foldhash::HashSet<String>,
    /// Those that are not read in any row, so that their meaning is looked up once.
    skipped: foldhash::HashSet<String>,
    /// The names in `--map` that rows have as keys.
    mapped: BTreeSet<String>,
}

impl SeenKeys {
    /// Maximum keys that are named.
    const NAMED_MAX: usize = 1000;

    /// Names a key that is not read in one row.
    fn name_unread(&mut self, key: &str) {
        if self.unread.len() < Self::NAMED_MAX && self.named.insert(key.to_owned()) {
            self.unread.push(key.to_owned());
        }
    }

    /// Names a key that is not read in any row.
    fn skip(&mut self, key: &str) {
        self.name_unread(key);
        if self.skipped.len() < Self::NAMED_MAX {
            self.skipped.insert(key.to_owned());
        }
    }

    /// Notes a key that `--map` reads as another column.
    fn note(&mut self, key: &str, options: &ReadOptions) {
        if self.mapped.len() < options.columns.len() {
            self.mapped.extend(options.columns.keys().find(|name| is_same(name, key)).cloned());
        }
    }

    /// Fails if no row has a key that `--map` reads as another column.
    pub(super) fn check_mapped(&self, options: &ReadOptions) -> Result<(), InputError> {
        let missing = options.columns.iter().filter(|(name, _)| !self.mapped.contains(*name));
        let problem = |(name, column): (&String, &String)| {
            let closest = closest_name(name, self.unread.iter().map(String::as_str));
            let fix = match closest {
                Some(closest) => format!("did you mean {closest:?}?"),
                None if self.unread.is_empty() => "leave the flag out".to_owned(),
                None => format!("keys that are not read: {}", self.unread.join(", ")),
            };
            format!("no row has the key {name:?}, which --map reads as {column:?}; {fix}")
        };
        let problems: Vec<String> = missing.map(problem).collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(InputError::Columns { problems, nearly: Vec::new() })
    }
}

/// The problem of a key that is a known one but for a number.
fn numbered_key(key: &str, value: &Value) -> Problem {
    let suggestion = "write a list as an array in one key, or name the key in --ignore-columns";
    Problem::new(key, &value.to_string(), "has an unknown key", suggestion)
}

/// Whether a key holds an object whose keys count as columns.
pub(super) fn is_object_key(key: &str) -> bool {
    matches!(key, "ikbulk" | "publish" | METADATA)
}

fn set_key(
    builder: &mut Builder<'_>,
    names: Names<'_>,
    seen: &mut SeenKeys,
    nulls: &mut NullKeys,
    key: &str,
    value: &Value,
) {
    seen.note(key, names.options);
    let mut set = |field: &Field| {
        nulls.count(field, value);
        builder.set(key, field, Cell::Json(value));
    };
    // Fast path: the names of the API.
    if let Some(field) = Field::fixed(key).filter(|_| !names.options.maps_columns()) {
        return set(&field);
    }
    if seen.skipped.contains(key) {
        return;
    }
    let (problem, suggestion) = match names.meaning(key.trim()) {
        Meaning::Field(field) => return set(&field),
        Meaning::MetadataObject => match value {
            Value::Object(nested) => {
                for (name, value) in nested {
                    match names.mapped_in_metadata(name) {
                        Some(mapped) => set_key(builder, names, seen, nulls, &mapped, value),
                        None => set_metadata(builder, names, nulls, name, value),
                    }
                }
                return;
            }
            value if names.context.rules.leaves(Cell::Json(value)) => return,
            _ => (
                "is not an object".to_owned(),
                "write {\"name\":value}, where null clears the field, or omit the key".to_owned(),
            ),
        },
        Meaning::Unread if names.options.strict_columns => {
            ("has an unknown key".to_owned(), "remove it, or pass --ignore-columns".to_owned())
        }
        Meaning::Own | Meaning::Ignored | Meaning::Unread => return seen.skip(key),
        Meaning::Close(column) => (
            "has an unknown key".to_owned(),
            format!("did you mean {column}? --map reads it so, --ignore-columns ignores it"),
        ),
        Meaning::Invalid(why) => ("cannot be set".to_owned(), why),
    };
    builder.reject(Problem::new(key, &value.to_string(), problem, suggestion));
}

/// Passes the value of a custom metadata field to the builder.
fn set_metadata(
    builder: &mut Builder<'_>,
    names: Names<'_>,
    nulls: &mut NullKeys,
    name: &str,
    value: &Value,
) {
    let key = MetadataField::column_of(name);
    match names.metadata(name) {
        Ok(field) => {
            let field = Field::CustomMetadata(field);
            nulls.count(&field, value);
            builder.set(&key, &field, Cell::Json(value));
        }
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
