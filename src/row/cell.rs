//! An uninterpreted cell: text from a sheet, or a typed JSON value.

use std::borrow::Cow;

use memchr::memchr;
use serde_json::Value;

use super::locale;
use super::no_duplicate_keys::NoDuplicateKeys;
use super::no_value::{self, NoValue};
use crate::findings::CellKind;

/// A cell of a row.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    /// A cell of a sheet.
    Text(&'a str),
    /// A value of a JSON object.
    Json(&'a Value),
}

impl<'a> Cell<'a> {
    /// Whether the cell leaves its field unchanged. JSON leaves the key out instead, so a JSON
    /// value is never empty.
    pub(crate) fn is_empty(self) -> bool {
        matches!(self, Cell::Text(text) if text.trim_start().is_empty())
    }

    /// Whether the cell clears its field: the clear token in a sheet, `null` in JSON.
    pub(crate) fn is_clear(self, clear_token: &str) -> bool {
        match self {
            Cell::Text(text) => text.trim() == clear_token,
            Cell::Json(value) => value.is_null(),
        }
    }

    /// Whether the cell is a null or empty text in JSON, as programs write for no value.
    pub(crate) fn is_json_blank(self) -> bool {
        matches!(self, Cell::Json(value) if is_json_blank(value))
    }

    /// Whether the cell contains a NUL character, a sign of damaged input.
    pub(crate) fn has_nul(self) -> bool {
        self.text().is_some_and(|text| memchr(0, text.as_bytes()).is_some())
    }

    /// Whether the cell equals the clear token, ignoring case and whitespace.
    pub(crate) fn is_nearly_clear(self, clear_token: &str) -> bool {
        let Cell::Text(text) = self else {
            return false;
        };
        // Fast path: another first letter.
        let first = |text: &str| text.trim_start().as_bytes().first().copied();
        let can_begin = match (first(text), first(clear_token)) {
            (Some(one), Some(other)) if one.is_ascii() && other.is_ascii() => {
                one.eq_ignore_ascii_case(&other)
            }
            _ => true,
        };
        can_begin && normalized(text).eq(normalized(clear_token))
    }

    /// The text that a backslash makes a value, as in `\<clear>` and `\#N/A`; `None` if the cell has
    /// no such backslash. In a list, each word has its own.
    pub(crate) fn literal(self, clear_token: &str, is_list: bool) -> Option<Self> {
        let text = self.text()?;
        let rest = text.strip_prefix('\\')?;
        let bare = rest.trim_start_matches('\\');
        let is_special = match self {
            Cell::Text(_) => !is_list && Cell::Text(bare).is_nearly_clear(clear_token),
            Cell::Json(_) => false,
        };
        let is_escaped = || {
            if is_list {
                NoValue::of_list(bare) == Some(NoValue::Code)
            } else {
                no_value::unescaped(text).is_some()
            }
        };
        (is_special || is_escaped()).then_some(Cell::Text(rest))
    }

    /// The value as shown in error messages.
    pub(crate) fn shown(self) -> Cow<'a, str> {
        match self {
            Cell::Text(text) => Cow::Borrowed(text),
            Cell::Json(Value::String(text)) => Cow::Borrowed(text),
            Cell::Json(value) => Cow::Owned(value.to_string()),
        }
    }

    /// Trimmed text; `None` for JSON of another type.
    pub(crate) fn trimmed_text(self) -> Option<&'a str> {
        self.text().map(str::trim)
    }

    /// The text, or the strings of a JSON array, each with its kind.
    pub(crate) fn texts(self, kind: CellKind) -> impl Iterator<Item = (CellKind, &'a str)> {
        let array = match self {
            Cell::Json(Value::Array(array)) => array.as_slice(),
            _ => &[],
        };
        let kind_of_word = if array.len() == 1 { CellKind::OnlyWord } else { CellKind::Text };
        let words = array.iter().filter_map(Value::as_str).map(move |word| (kind_of_word, word));
        self.text().map(|text| (kind, text)).into_iter().chain(words)
    }

    /// Text as is; `None` for JSON of another type.
    pub(crate) fn text(self) -> Option<&'a str> {
        match self {
            Cell::Text(text) => Some(text),
            Cell::Json(value) => value.as_str(),
        }
    }

    /// The JSON value, or the text parsed as JSON.
    pub(crate) fn json(self) -> Result<Cow<'a, Value>, serde_json::Error> {
        match self {
            Cell::Text(text) => {
                serde_json::from_str(text).map(|NoDuplicateKeys(value)| Cow::Owned(value))
            }
            Cell::Json(value) => Ok(Cow::Borrowed(value)),
        }
    }

    /// `true` or `false`, `yes` or `no`, `1` or `0` in any case and language; `None` for anything else.
    pub(crate) fn boolean(self) -> Option<bool> {
        match self {
            Cell::Json(Value::Bool(boolean)) => Some(*boolean),
            // Databases without booleans write them so.
            Cell::Json(Value::Number(number)) => match number.as_f64()? {
                0.0 => Some(false),
                1.0 => Some(true),
                _ => None,
            },
            other => locale::boolean(other.trimmed_text()?),
        }
    }
}

/// Whether a JSON value is null or empty text.
pub(crate) fn is_json_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// Whether nothing is printed for a character: whitespace, and marks without width.
pub(crate) fn is_unseen(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}')
}

/// The characters in lower case and of usual width, without whitespace and invisible characters, and
/// without the slash that ends an empty element.
fn normalized(text: &str) -> impl Iterator<Item = char> {
    let text = text.trim();
    let (text, end) = match text.strip_suffix("/>") {
        Some(text) => (text, ">"),
        None => (text, ""),
    };
    let of_usual_width = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    };
    text.chars()
        .chain(end.chars())
        .filter(|c| !is_unseen(*c))
        .map(of_usual_width)
        .flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_of_the_clear_token_are_recognized() {
        for text in [
            "<clear>",
            "< Clear >",
            "<clear/>",
            "<clear />",
            "＜clear＞",
            "\u{feff}<clear>",
            "<clear>\u{200b}",
        ] {
            assert!(Cell::Text(text).is_nearly_clear("<clear>"), "{text:?}");
        }
        for text in ["clear", "<clearance>", "<b>", "/>", ""] {
            assert!(!Cell::Text(text).is_nearly_clear("<clear>"), "{text:?}");
        }
    }

    #[test]
    fn boolean_accepts_known_spellings_only() {
        for text in ["true", "TRUE", "Yes", "1", "WAHR"] {
            assert_eq!(Cell::Text(text).boolean(), Some(true), "{text}");
        }
        for text in ["false", "No", " 0 "] {
            assert_eq!(Cell::Text(text).boolean(), Some(false), "{text}");
        }
        for text in ["2", "x", ""] {
            assert_eq!(Cell::Text(text).boolean(), None, "{text}");
        }
    }
}
