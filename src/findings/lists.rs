//! What a list shows: separators that are not split, and quotes that do not quote.

use std::borrow::Cow;

use super::markup::{is_path_of_windows, without_entities};

/// Separators that people and programs use. A middle dot is none: Japanese has it within words.
const SEPARATORS: [&str; 18] = [
    ";", "|", "\t", "；", "，", "、", "،", "؛", "｜", "／", "•", " / ", "~", "<br>", "<br/>",
    "<br />", "\\n", ",",
];

/// Characters that begin or end a curly quotation.
const CURLY_QUOTES: [char; 9] = ['“', '”', '„', '‟', '«', '»', '‘', '‚', '‹'];

/// The separator in a list that has not the one at which it is split; `None` for words in quotes, an array
/// of several words, and a list that is split.
pub(super) fn other_separator(text: &str, separator: char) -> Option<&'static str> {
    let text = text.trim();
    if text.starts_with('[') {
        let words: Vec<Cow<'_, str>> = serde_json::from_str(text).ok()?;
        let [word] = words.as_slice() else { return None };
        return separator_in_word(word);
    }
    let outside = outside_quotes(text);
    if outside.contains(separator) { None } else { separator_between(&outside, separator) }
}

/// The separator in the only word of an array, which makes it several; a comma, if the word is an array
/// itself.
pub(super) fn separator_in_word(word: &str) -> Option<&'static str> {
    let is_array = |text: &str| {
        let words = serde_json::from_str::<Vec<Cow<'_, str>>>(text);
        text.starts_with('[') && words.is_ok_and(|words| !words.is_empty())
    };
    if is_array(word.trim()) { Some(",") } else { separator_between(word, '\0') }
}

/// The first of [`SEPARATORS`] between the words of a text, other than this one.
fn separator_between(text: &str, separator: char) -> Option<&'static str> {
    let is_between_words = |other: &&str| match *other {
        // A comma before a blank is in a word, such as a name.
        "," => text.replace(", ", "").contains(','),
        ";" => text.contains(';') && without_entities(text).contains(';') && !begins_lookup(text),
        // `~5 m` is a word.
        "~" => text.find('~').is_some_and(|at| at > 0),
        "\\n" => !is_path_of_windows(text) && text.contains(other),
        other => text.contains(other) && !other.contains(separator),
    };
    let is_hashtags = || {
        let mut words = text.split_whitespace();
        words.clone().count() > 1 && words.all(|word| word.starts_with('#')) && separator != '#'
    };
    SEPARATORS.into_iter().find(is_between_words).or_else(|| is_hashtags().then_some("#"))
}

/// Whether a text begins as `;#red;#blue;#` and `1;#red;#2;#blue`, in which `SharePoint` stores choices
/// and references.
pub(crate) fn begins_lookup(text: &str) -> bool {
    text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(";#")
}

/// What a list has outside words in quotes. Quotes within words, as in `5" nail`, quote nothing.
fn outside_quotes(text: &str) -> Cow<'_, str> {
    if !text.starts_with('"') {
        return Cow::Borrowed(text);
    }
    text.split('"').step_by(2).collect::<String>().into()
}

/// Whether a word of a list ends in a backslash: before the separator, it is an escape of a program that
/// meant one word.
pub(super) fn has_escaped_separator(text: &str, separator: char) -> bool {
    let mut words = text.split(separator);
    words.next_back();
    words.any(|word| word.ends_with('\\'))
}

/// Whether a word of a list begins or ends with a curly quote.
pub(super) fn has_curly_quotes(text: &str, separator: char) -> bool {
    !text.is_ascii()
        && text
            .split(separator)
            .map(str::trim)
            .any(|word| word.starts_with(CURLY_QUOTES) || word.ends_with(CURLY_QUOTES))
}

/// Whether a word of a list has quotes that are sent with it: apostrophes on both sides, or a straight
/// quote that is not closed.
pub(super) fn has_quoted_word(text: &str, separator: char) -> bool {
    let is_in_apostrophes =
        |word: &str| word.len() > 2 && word.starts_with('\'') && word.ends_with('\'');
    let is_unclosed = text.bytes().filter(|byte| *byte == b'"').count() % 2 == 1;
    let mut words = [text].into_iter().chain(text.split(separator)).map(str::trim);
    !text.trim_start().starts_with('[')
        && words.any(|word| is_in_apostrophes(word) || is_unclosed && word.starts_with('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_count_only_without_the_one_in_force() {
        for text in [
            "a;b",
            "a|b",
            "green;",
            "a；b",
            "a、b",
            "a / b",
            "a • b",
            "a<br>b",
            "red\\nblue",
            "a~b",
            "a｜b",
            r#""a";"b, c""#,
            r#"["a;b"]"#,
            r#"["a,b"]"#,
            r#"["[\"a\",\"b\"]"]"#,
        ] {
            assert!(other_separator(text, ',').is_some(), "{text}");
        }
        for text in [
            "a,b;c",
            "a",
            r#"["a;b","c"]"#,
            r#"["a, b"]"#,
            r#""a;b""#,
            r#""a;b","c""#,
            "a b",
            "",
            "men/women",
            "~5 m",
            "C:\\new\\n",
            "レディース・ファッション",
        ] {
            assert!(other_separator(text, ',').is_none(), "{text}");
        }
        assert_eq!(other_separator("a,b", ';'), Some(","));
        assert_eq!(other_separator("a|b", ';'), Some("|"));
        assert_eq!(other_separator("a,b;c", ';'), None);
        assert_eq!(other_separator("Smith, John", ';'), None);
        assert_eq!(other_separator("R&amp;D", ','), None);
        assert_eq!(other_separator("R&amp;D; x", ','), Some(";"));
        assert_eq!(other_separator("#red #blue", ','), Some("#"));
        assert_eq!(other_separator("#red", ','), None);
        assert_eq!(other_separator("#1 of #2", ','), None);
    }

    #[test]
    fn quotes_that_do_not_quote_are_recognized() {
        for list in ["'red','blue'", "'red, blue'", "red,'blue'", "\"red", "red, \"blue"] {
            assert!(has_quoted_word(list, ','), "{list}");
        }
        for list in ["'90s,red", "5\" nail", "\"red, blue\"", "[\"'a'\"]", "rock 'n' roll", "''"] {
            assert!(!has_quoted_word(list, ','), "{list}");
        }
        assert!(has_curly_quotes("“red”,white", ',') && has_curly_quotes("“red, white”", ','));
        assert!(has_curly_quotes("red;“white”", ';') && !has_curly_quotes("a,“white”,b", ';'));
        assert!(!has_curly_quotes("rock’n’roll,\"a\"", ','));
    }

    #[test]
    fn escapes_of_separators_are_recognized() {
        assert!(has_escaped_separator("red\\,blue", ','));
        assert!(!has_escaped_separator("red,blue\\", ','));
    }
}
