//! An uninterpreted cell: text from a sheet, or a typed JSON value.

use std::borrow::Cow;

use memchr::memchr;
use serde_json::Value;

use super::no_duplicate_keys::NoDuplicateKeys;

/// What spreadsheet programs print for a failed formula; never a value.
const FORMULA_ERRORS: [&str; 16] = [
    "#N/A",
    "#REF!",
    "#VALUE!",
    "#DIV/0!",
    "#NAME?",
    "#NUM!",
    "#NULL!",
    "#ERROR!",
    "#SPILL!",
    "#CALC!",
    "#FIELD!",
    "#BLOCKED!",
    "#CONNECT!",
    "#UNKNOWN!",
    "#BUSY!",
    "#GETTING_DATA",
];

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

    /// Whether the cell contains a NUL character, a sign of damaged input.
    pub(crate) fn has_nul(self) -> bool {
        self.text().is_some_and(|text| memchr(0, text.as_bytes()).is_some())
    }

    /// Whether the cell equals the clear token, ignoring case and whitespace.
    pub(crate) fn is_nearly_clear(self, clear_token: &str) -> bool {
        let Cell::Text(text) = self else {
            return false;
        };
        normalized(text).eq(normalized(clear_token))
    }

    /// Whether the cell is a spreadsheet error value like `#N/A`.
    pub(crate) fn is_error(self) -> bool {
        matches!(self, Cell::Text(text)
            if text.trim_start().starts_with('#') && FORMULA_ERRORS.contains(&text.trim()))
    }

    /// Text to take literally: it cannot be the clear token or an error value, or a backslash
    /// escapes one, as in `\<clear>` and `\#N/A`. `None` if the text must still be checked for
    /// those.
    pub(crate) fn literal(self, clear_token: &str) -> Option<Self> {
        let Cell::Text(text) = self else {
            return None;
        };
        // Fast path: the first character rules out the special values for nearly every cell.
        let first = |text: &str| text.trim_start().bytes().next().filter(u8::is_ascii);
        if let (Some(has), Some(token)) = (first(text), first(clear_token))
            && !matches!(has, b'\\' | b'#')
            && !has.eq_ignore_ascii_case(&token)
        {
            return Some(self);
        }
        let literal = text.strip_prefix('\\')?;
        let unescaped = Cell::Text(literal.trim_start_matches('\\'));
        let is_special = unescaped.is_nearly_clear(clear_token) || unescaped.is_error();
        is_special.then_some(Cell::Text(literal))
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

    /// A list of strings in input order, without duplicates: comma-separated text, trimmed, or a
    /// JSON array of strings, verbatim.
    pub(crate) fn list(self) -> Result<Vec<String>, &'static str> {
        let mut words = Words::default();
        match self {
            Cell::Text(text) if text.trim_start().starts_with('[') => {
                let array: Vec<Cow<'_, str>> = serde_json::from_str(text)
                    .map_err(|_| "looks like a JSON array, but is not a valid array of strings")?;
                for word in array {
                    words.push_from_array(&word)?;
                }
            }
            Cell::Text(text) => text.split(',').for_each(|word| words.push_from_text(word)),
            Cell::Json(Value::Array(array)) => {
                for value in array {
                    words.push_from_array(
                        value.as_str().ok_or("contains an element that is not a string")?,
                    )?;
                }
            }
            Cell::Json(Value::String(text)) => {
                text.split(',').for_each(|word| words.push_from_text(word));
            }
            Cell::Json(_) => return Err("is not a list of strings"),
        }
        Ok(words.0)
    }

    /// `true`, `yes`, `1`, `false`, `no` or `0`, ignoring case; `None` for anything else.
    pub(crate) fn boolean(self) -> Option<bool> {
        if let Cell::Json(value) = self
            && let Some(boolean) = value.as_bool()
        {
            return Some(boolean);
        }
        let word = self.trimmed_text()?;
        let is = |spellings: [&str; 3]| spellings.iter().any(|s| word.eq_ignore_ascii_case(s));
        if is(["true", "yes", "1"]) {
            Some(true)
        } else if is(["false", "no", "0"]) {
            Some(false)
        } else {
            None
        }
    }
}

/// The characters in lower case, without whitespace.
fn normalized(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase)
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    /// Adds an element of comma-separated text; skips empty elements.
    fn push_from_text(&mut self, word: &str) {
        let word = word.trim();
        if !word.is_empty() {
            self.push_new(word);
        }
    }

    /// Adds an array element; rejects empty elements, which someone wrote on purpose.
    fn push_from_array(&mut self, word: &str) -> Result<(), &'static str> {
        if word.trim().is_empty() {
            return Err("contains an empty element");
        }
        self.push_new(word);
        Ok(())
    }

    fn push_new(&mut self, word: &str) {
        if !self.0.iter().any(|known| known == word) {
            self.0.push(word.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_trimmed_and_deduplicated_in_order() {
        assert_eq!(
            Cell::Text(" b, a,b , ,c,").list(),
            Ok(vec!["b".into(), "a".into(), "c".into()])
        );
    }

    #[test]
    fn json_array_elements_may_contain_commas() {
        assert_eq!(Cell::Text(r#"["a, b","c"]"#).list(), Ok(vec!["a, b".into(), "c".into()]));
    }

    #[test]
    fn broken_json_array_is_not_parsed_as_words() {
        assert!(Cell::Text(r#"["a, "b"]"#).list().is_err());
        assert!(Cell::Text("[1,2]").list().is_err());
        assert!(Cell::Text(r#"["a",""]"#).list().is_err());
    }

    #[test]
    fn formula_errors_are_recognized_despite_surrounding_spaces() {
        assert!(Cell::Text(" #N/A ").is_error());
        assert!(!Cell::Text("#sale").is_error());
        assert!(!Cell::Json(&Value::from("#N/A")).is_error());
    }

    #[test]
    fn boolean_accepts_known_spellings_only() {
        for text in ["true", "TRUE", "Yes", "1"] {
            assert_eq!(Cell::Text(text).boolean(), Some(true), "{text}");
        }
        for text in ["false", "No", " 0 "] {
            assert_eq!(Cell::Text(text).boolean(), Some(false), "{text}");
        }
        for text in ["2", "on", "wahr", ""] {
            assert_eq!(Cell::Text(text).boolean(), None, "{text}");
        }
    }
}
