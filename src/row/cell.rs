//! One cell before it has a meaning: text from a sheet, or a typed JSON value.

use std::borrow::Cow;

use memchr::memchr;
use serde_json::Value;

use super::no_duplicate_keys::NoDuplicateKeys;

/// What a formula prints when it failed. In a sheet these are damage, never a value.
const ERROR_CELLS: [&str; 16] = [
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

/// One cell.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    /// A cell of a sheet.
    Text(&'a str),
    /// A value of a JSON object.
    Json(&'a Value),
}

impl<'a> Cell<'a> {
    /// Whether it leaves its field alone. JSON says that by leaving the key out, so a JSON value
    /// is never empty.
    pub(crate) fn is_empty(self) -> bool {
        matches!(self, Cell::Text(text) if text.trim_start().is_empty())
    }

    /// Whether it clears its field: the clear token in a sheet, `null` in JSON.
    pub(crate) fn is_clear(self, clear_token: &str) -> bool {
        match self {
            Cell::Text(text) => text.trim() == clear_token,
            Cell::Json(value) => value.is_null(),
        }
    }

    /// Whether it holds a NUL character, which no text has that somebody wrote.
    pub(crate) fn has_nul(self) -> bool {
        self.text().is_some_and(|text| memchr(0, text.as_bytes()).is_some())
    }

    /// Whether it is the clear token, but for spaces in it and the case of its letters.
    pub(crate) fn is_nearly_clear(self, clear_token: &str) -> bool {
        let Cell::Text(text) = self else {
            return false;
        };
        letters(text).eq(letters(clear_token))
    }

    /// Whether it is what a failed formula prints.
    pub(crate) fn is_error(self) -> bool {
        matches!(self, Cell::Text(text)
            if text.trim_start().starts_with('#') && ERROR_CELLS.contains(&text.trim()))
    }

    /// Text that means itself, whatever it is: that begins like no word that clears its field or is
    /// damage, or stands behind a backslash before one. `\<clear>` and `\#N/A` mean those words as they
    /// stand.
    pub(crate) fn literal(self, clear_token: &str) -> Option<Self> {
        let Cell::Text(text) = self else {
            return None;
        };
        // Nearly every cell is seen by its first letter to be nothing else.
        let first = |text: &str| text.trim_start().bytes().next().filter(u8::is_ascii);
        if let (Some(has), Some(token)) = (first(text), first(clear_token))
            && !matches!(has, b'\\' | b'#')
            && !has.eq_ignore_ascii_case(&token)
        {
            return Some(self);
        }
        let literal = text.strip_prefix('\\')?;
        let behind = Cell::Text(literal.trim_start_matches('\\'));
        (behind.is_nearly_clear(clear_token) || behind.is_error()).then_some(Cell::Text(literal))
    }

    /// How it is shown in an error.
    pub(crate) fn shown(self) -> Cow<'a, str> {
        match self {
            Cell::Text(text) => Cow::Borrowed(text),
            Cell::Json(Value::String(text)) => Cow::Borrowed(text),
            Cell::Json(value) => Cow::Owned(value.to_string()),
        }
    }

    /// Text, trimmed; `None` for JSON of another type.
    pub(crate) fn word(self) -> Option<&'a str> {
        self.text().map(str::trim)
    }

    /// Text as it stands; `None` for JSON of another type.
    pub(crate) fn text(self) -> Option<&'a str> {
        match self {
            Cell::Text(text) => Some(text),
            Cell::Json(value) => value.as_str(),
        }
    }

    /// JSON: the value itself, or the text parsed.
    pub(crate) fn json(self) -> Result<Cow<'a, Value>, serde_json::Error> {
        match self {
            Cell::Text(text) => {
                serde_json::from_str(text).map(|NoDuplicateKeys(value)| Cow::Owned(value))
            }
            Cell::Json(value) => Ok(Cow::Borrowed(value)),
        }
    }

    /// A list of words without duplicates, in the order given: comma-separated text, trimmed, or a
    /// JSON array of strings, which are taken as they stand.
    pub(crate) fn list(self) -> Result<Vec<String>, &'static str> {
        let mut words = Words::default();
        match self {
            Cell::Text(text) if text.trim_start().starts_with('[') => {
                let array: Vec<Cow<'_, str>> = serde_json::from_str(text)
                    .map_err(|_| "begins like a JSON array, but is not one of strings")?;
                for word in array {
                    words.take_named(&word)?;
                }
            }
            Cell::Text(text) => text.split(',').for_each(|word| words.take(word)),
            Cell::Json(Value::Array(array)) => {
                for value in array {
                    words.take_named(value.as_str().ok_or("is not a list of strings only")?)?;
                }
            }
            Cell::Json(Value::String(text)) => text.split(',').for_each(|word| words.take(word)),
            Cell::Json(_) => return Err("is not a list of strings"),
        }
        Ok(words.0)
    }

    /// `true` or `false`, in the spellings of people and spreadsheet programs.
    pub(crate) fn boolean(self) -> Option<bool> {
        if let Cell::Json(value) = self
            && let Some(boolean) = value.as_bool()
        {
            return Some(boolean);
        }
        let word = self.word()?;
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

/// A text without spaces and case.
fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase)
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    /// Comma-separated text: what stands between two commas may be nothing.
    fn take(&mut self, word: &str) {
        let word = word.trim();
        if !word.is_empty() {
            self.add(word);
        }
    }

    /// An array: an empty word was written on purpose, and is wrong.
    fn take_named(&mut self, word: &str) -> Result<(), &'static str> {
        if word.trim().is_empty() {
            return Err("contains an empty word");
        }
        self.add(word);
        Ok(())
    }

    fn add(&mut self, word: &str) {
        if !self.0.iter().any(|known| known == word) {
            self.0.push(word.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_trimmed_and_without_duplicates_in_its_own_order() {
        assert_eq!(
            Cell::Text(" b, a,b , ,c,").list(),
            Ok(vec!["b".into(), "a".into(), "c".into()])
        );
    }

    #[test]
    fn a_json_array_may_hold_commas() {
        assert_eq!(Cell::Text(r#"["a, b","c"]"#).list(), Ok(vec!["a, b".into(), "c".into()]));
    }

    #[test]
    fn a_broken_json_array_is_not_taken_for_words() {
        assert!(Cell::Text(r#"["a, "b"]"#).list().is_err());
        assert!(Cell::Text("[1,2]").list().is_err());
        assert!(Cell::Text(r#"["a",""]"#).list().is_err());
    }

    #[test]
    fn the_error_cells_of_spreadsheet_programs_are_known_with_spaces_around_them() {
        assert!(Cell::Text(" #N/A ").is_error());
        assert!(!Cell::Text("#sale").is_error());
        assert!(!Cell::Json(&Value::from("#N/A")).is_error());
    }

    #[test]
    fn a_boolean_is_known_in_every_spelling_and_nothing_else_is_one() {
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
