//! Reads lists of words: comma-separated text, or a JSON array of strings.

use std::borrow::Cow;

use serde_json::Value;

use super::cell::Cell;
use super::problem::Invalid;
use super::{Field, Rules};
use crate::findings::ends_entity;

const SUGGESTION: &str = r#"separate values with commas, or write a JSON array: ["a","b"]"#;

/// The words of a cell in input order, without duplicates. Words of text are trimmed, and those of
/// arrays are verbatim.
pub(super) fn list(cell: Cell<'_>, field: &Field, rules: &Rules) -> Result<Vec<String>, Invalid> {
    let mut words = Words { rules, field, read: Vec::new() };
    match (cell.text(), cell) {
        (Some(text), _) if is_array(cell, text) => {
            let array: Vec<Cow<'_, str>> = serde_json::from_str(text).map_err(|_| {
                let problem = "looks like a JSON array, but is not a valid array of strings";
                Invalid::new(problem, format!(r"{SUGGESTION}; if a word begins with [, write \["))
            })?;
            array.iter().try_for_each(|word| words.push_from_array(word))?;
        }
        (Some(text), Cell::Text(_)) if text.trim_start().starts_with("\\[") => {
            words.split(text.trim_start().get(1..).unwrap_or_default())?;
        }
        (Some(text), _) => words.split(text)?,
        (None, Cell::Json(Value::Array(array))) => {
            for value in array {
                let word = value.as_str();
                let word = word.ok_or_else(|| {
                    let suggestion = r#"write only texts in the array, such as ["a","b"]"#;
                    Invalid::new("contains an element that is not a text", suggestion)
                })?;
                words.push_from_array(word)?;
            }
        }
        (None, _) => return Err(invalid("is not a list of strings")),
    }
    Ok(words.read)
}

/// Whether a text is meant as a JSON array. In JSON, where a list needs no text, only a valid one is.
fn is_array(cell: Cell<'_>, text: &str) -> bool {
    let is_valid = || serde_json::from_str::<Vec<serde::de::IgnoredAny>>(text).is_ok();
    text.trim_start().starts_with('[') && (matches!(cell, Cell::Text(_)) || is_valid())
}

fn invalid(problem: &'static str) -> Invalid {
    Invalid::new(problem, SUGGESTION)
}

struct Words<'r> {
    rules: &'r Rules,
    field: &'r Field,
    read: Vec<String>,
}

impl Words<'_> {
    /// Adds the words of separated text.
    fn split(&mut self, text: &str) -> Result<(), Invalid> {
        words_of_text(text, self.rules.separator()).try_for_each(|word| self.push_from_text(&word))
    }

    /// Adds a word of separated text; rejects the clear token, which clears only as the whole cell.
    fn push_from_text(&mut self, word: &str) -> Result<(), Invalid> {
        let is_token = |word: &str| Cell::Text(word).is_nearly_clear(&self.rules.clear_token);
        if is_token(word) {
            return Err(Invalid::new(
                format!("contains {word:?}, which clears only as the whole cell"),
                format!("write it alone to clear the field, or \\{word} for the word"),
            ));
        }
        match word.strip_prefix('\\') {
            Some(escaped) if is_token(escaped.trim_start_matches('\\')) => self.add(escaped),
            _ => self.push(word)?,
        }
        Ok(())
    }

    /// Adds an array element; rejects empty elements, which someone wrote on purpose.
    fn push_from_array(&mut self, word: &str) -> Result<(), Invalid> {
        if word.trim().is_empty() {
            return Err(Invalid::new("contains an empty element", "remove the empty element"));
        }
        self.push(word)
    }

    fn push(&mut self, word: &str) -> Result<(), Invalid> {
        self.add(self.rules.word(self.field, word)?);
        Ok(())
    }

    fn add(&mut self, word: &str) {
        if !self.read.iter().any(|known| known == word) {
            self.read.push(word.to_owned());
        }
    }
}

/// The words of separated text, without empty ones and blanks around them. A word in quotes can contain
/// separators, as in CSV.
pub(super) fn words_of_text(text: &str, separator: char) -> impl Iterator<Item = Cow<'_, str>> {
    let mut rest = Some(text);
    let words = std::iter::from_fn(move || {
        let text = rest?;
        if let Some((word, after)) = quoted_word(text, separator) {
            rest = after;
            return Some(Cow::Owned(word.trim().to_owned()));
        }
        let (word, after) = match split_once(text, separator) {
            Some((word, after)) => (word, Some(after)),
            None => (text, None),
        };
        rest = after;
        Some(Cow::Borrowed(word.trim()))
    });
    words.filter(|word| !word.is_empty())
}

/// The text before and after the first separator. The end of an HTML entity, as in `R&amp;D`, is none.
fn split_once(text: &str, separator: char) -> Option<(&str, &str)> {
    let is_separator =
        |at: usize| separator != ';' || !ends_entity(text.get(..at).unwrap_or_default());
    let (at, _) = text.match_indices(separator).find(|(at, _)| is_separator(*at))?;
    Some((text.get(..at)?, text.get(at + separator.len_utf8()..)?))
}

/// A word in quotes at the beginning of the text, and the text after its separator; `None` if the text
/// begins with none, or the quotes do not end with the word.
fn quoted_word(text: &str, separator: char) -> Option<(String, Option<&str>)> {
    let inside = text.trim_start().strip_prefix('"')?;
    let mut quotes = inside.match_indices('"').map(|(at, _)| at);
    let mut end = quotes.next()?;
    // A doubled quote is a quote of the word.
    while inside.get(end + 1..)?.starts_with('"') {
        quotes.next();
        end = quotes.next()?;
    }
    let after = inside.get(end + 1..)?.trim_start();
    let rest = if after.is_empty() { None } else { Some(after.strip_prefix(separator)?) };
    Some((inside.get(..end)?.replace("\"\"", "\""), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<String>, Invalid> {
        list(Cell::Text(text), &Field::Tags, &Rules::default())
    }

    #[track_caller]
    fn assert_words(text: &str, expected: &[&str]) {
        assert_eq!(
            words(text).ok().as_deref(),
            Some(&*expected.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        );
    }

    #[test]
    fn list_is_trimmed_and_deduplicated_in_order() {
        assert_words(" b, a,b , ,c,", &["b", "a", "c"]);
    }

    #[test]
    fn json_array_elements_may_contain_commas() {
        assert_words(r#"["a, b","c"]"#, &["a, b", "c"]);
    }

    #[test]
    fn words_in_quotes_may_contain_commas() {
        assert_words(r#""Smith, John",Acme, "Doe, Jane" "#, &["Smith, John", "Acme", "Doe, Jane"]);
        assert_words(r#""say ""hi""",b"#, &[r#"say "hi""#, "b"]);
        // Quotes that do not end with the word are part of it.
        assert_words(r#""a" b,5" nail,"c"#, &[r#""a" b"#, r#"5" nail"#, r#""c"#]);
    }

    #[test]
    fn broken_json_array_is_not_parsed_as_words() {
        for text in [r#"["a, "b"]"#, "[1,2]", r#"["a",""]"#] {
            assert!(words(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_without_value_are_refused_unless_escaped() {
        for text in ["red,#N/A", "NULL", "red, nan", r#"["red","None"]"#, "red,(null)", "####"] {
            assert!(words(text).is_err(), "{text}");
        }
        assert_words(r"red,\NULL,\#N/A,#sale,nano", &["red", "NULL", "#N/A", "#sale", "nano"]);
        assert_words(r#"["\\NULL"]"#, &["NULL"]);
    }

    #[test]
    fn bracket_after_a_backslash_begins_no_array() {
        assert_words(r"\[x],y", &["[x]", "y"]);
        assert_words(r"\[True story]", &["[True story]"]);
    }

    #[test]
    fn semicolon_of_an_entity_separates_nothing() {
        let rules = Rules { list_separator: Some(';'), ..Rules::default() };
        let words = list(Cell::Text("red;R&amp;D;caf&eacute;"), &Field::Tags, &rules);
        assert_eq!(words.unwrap_or_default(), ["red", "R&amp;D", "caf&eacute;"]);
    }

    #[test]
    fn clear_token_is_no_word() {
        for text in ["<clear>,red", "red, <Clear>"] {
            assert!(words(text).is_err(), "{text}");
        }
        assert_words(r"red,\<clear>", &["red", "<clear>"]);
        assert_words(r#"["<clear>","red"]"#, &["<clear>", "red"]);
    }
}
