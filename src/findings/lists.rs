//! What a list shows: separators that are not split, and quotes that do not quote.

use std::borrow::Cow;

use super::markup::{has_break, is_path_of_windows, without_entities};

/// Separators that people and programs use, and that no word has between its letters.
const SEPARATORS: [&str; 14] =
    [";", "|", "\t", "；", "，", "、", "､", "،", "؛", "﹐", "\u{2028}", "<br>", "\\n", ","];
/// Separators that names have as well, such as `Biel / Bienne`. A middle dot is none: Japanese has it within
/// words.
const SEPARATORS_OR_SIGNS: [&str; 10] = [" / ", "／", "｜", "•", "▪", "●", " · ", " ¦ ", "¶", "~"];

/// Characters that begin or end a curly quotation.
const CURLY_QUOTES: [char; 9] = ['“', '”', '„', '‟', '«', '»', '‘', '‚', '‹'];

/// The separator in a list that has not the one at which it is split; `None` for words in quotes, an array
/// of several words, and a list that is split.
pub(super) fn other_separator(text: &str, separator: char) -> Option<&'static str> {
    let text = text.trim();
    if begins_array(text) {
        let words: Vec<Cow<'_, str>> = serde_json::from_str(text).ok()?;
        let [word] = words.as_slice() else { return None };
        return separator_in_word(word);
    }
    let outside = outside_quotes(text);
    if outside.contains(separator) { None } else { separator_between(&outside, Some(separator)) }
}

/// The separator in the only word of an array, which makes it several; a comma, if the word is an array
/// itself, or a list of three words.
pub(super) fn separator_in_word(word: &str) -> Option<&'static str> {
    let is_array = |text: &str| {
        let words = serde_json::from_str::<Vec<Cow<'_, str>>>(text);
        begins_array(text) && words.is_ok_and(|words| !words.is_empty())
    };
    if is_array(word.trim()) || word.matches(", ").count() > 1 {
        return Some(",");
    }
    separator_between(word, None)
}

/// The first of [`SEPARATORS`] between the words of a text, other than the one in force.
fn separator_between(text: &str, in_force: Option<char>) -> Option<&'static str> {
    let is_in_force = |other: &str| in_force.is_some_and(|separator| other.contains(separator));
    let is_between_words = |other: &&str| match *other {
        "," => has_comma_between_words(text),
        ";" => has_semicolon_between_words(text),
        "<br>" => has_break(text),
        "\\n" => !is_path_of_windows(text) && text.contains(other),
        other => text.contains(other) && !is_in_force(other),
    };
    let is_hashtag = |word: &str| {
        word.strip_prefix('#').is_some_and(|word| word.starts_with(char::is_alphabetic))
    };
    let is_hashtags = || {
        let mut words = text.split_whitespace();
        words.clone().count() > 1 && words.all(is_hashtag) && !is_in_force("#")
    };
    SEPARATORS.into_iter().find(is_between_words).or_else(|| is_hashtags().then_some("#"))
}

/// Whether a comma separates words: it is not before a blank, as in a name, nor between digits.
fn has_comma_between_words(text: &str) -> bool {
    text.match_indices(',').any(|(at, _)| {
        let (before, after) = (text.get(..at), text.get(at + 1..));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let is_digit = |c: char| c.is_ascii_digit();
        let is_in_number = before.ends_with(is_digit) && after.starts_with(is_digit);
        !after.starts_with(' ') && !is_in_number
    })
}

/// Whether a semicolon separates words: it does not end an HTML entity or a Greek question, and is no part of
/// a smiley or of what `SharePoint` stores.
fn has_semicolon_between_words(text: &str) -> bool {
    let is_greek = |c: char| ('\u{370}'..='\u{3ff}').contains(&c);
    let text = match text.strip_suffix(';') {
        Some(question) if text.contains(is_greek) => question,
        _ => text,
    };
    text.contains(';')
        && !begins_lookup(text)
        && without_entities(text).replace(";)", "").replace(";-)", "").contains(';')
}

/// Whether a list that is not split may be several words, with one of [`SEPARATORS_OR_SIGNS`].
pub(super) fn has_possible_separator(text: &str, separator: char) -> bool {
    let has = |other: &str| {
        let inside = text.trim().trim_matches(|c| other.contains(c));
        // One tilde is between the ends of a range.
        let needed = if other == "~" { 2 } else { 1 };
        !other.contains(separator) && inside.matches(other).count() >= needed
    };
    !begins_array(text)
        && !text.trim_start().starts_with('"')
        && !text.contains(separator)
        && SEPARATORS_OR_SIGNS.into_iter().any(has)
}

/// Whether a text begins as `;#red;#blue;#` and `1;#red;#2;#blue`, in which `SharePoint` stores choices
/// and references.
pub(crate) fn begins_lookup(text: &str) -> bool {
    text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(";#")
}

/// Whether a list is written as a JSON array, if it is one at all.
pub(super) fn begins_array(text: &str) -> bool {
    text.trim_start().starts_with('[')
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

/// Whether a word of a list has quotes that are sent with it: on both sides those that quote nothing in a
/// list, or on one side a straight quote. An inch follows a digit.
pub(super) fn has_quoted_word(text: &str, separator: char) -> bool {
    let is_in = |word: &str, quote: &str| {
        let inside = word.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        inside.is_some_and(|inside| !inside.is_empty())
    };
    let is_unclosed = text.bytes().filter(|byte| *byte == b'"').count() % 2 == 1;
    let has_one_quote = |word: &str| {
        let end = word.strip_suffix('"');
        word.starts_with('"') || end.is_some_and(|end| end.ends_with(char::is_alphabetic))
    };
    let mut words = [text].into_iter().chain(text.split(separator)).map(str::trim);
    !begins_array(text)
        && words.any(|word| {
            ["'", "`", "＂", "\"\""].iter().any(|quote| is_in(word, quote))
                || is_unclosed && has_one_quote(word)
        })
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
            "a<br>b",
            "a<BR class='x'>b",
            "a</li><li>b",
            "red\\nblue",
            "a､b",
            r#""a";"b, c""#,
            r#"["a;b"]"#,
            r#"["a,b"]"#,
            r#"["[\"a\",\"b\"]"]"#,
            r#"["a, b, c"]"#,
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
            "nice ;)",
            "Πού;",
            "#1 #2",
            r#"["1,2-Dichlorethan"]"#,
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
    fn separators_that_are_signs_as_well_are_recognized() {
        for text in ["a / b", "a • b", "a~b~c", "男／女", "A · B"] {
            assert!(has_possible_separator(text, ','), "{text}");
            assert!(other_separator(text, ',').is_none(), "{text}");
        }
        for text in ["men/women", "~5 m", "3~5세", "～京都編～", "｜限定｜", "a / b, c", "• a"]
        {
            assert!(!has_possible_separator(text, ','), "{text}");
        }
        assert!(!has_possible_separator("a / b", '/'));
    }

    #[test]
    fn quotes_that_do_not_quote_are_recognized() {
        for list in [
            "'red','blue'",
            "'red, blue'",
            "red,'blue'",
            "\"red",
            "red, \"blue",
            "red\",blue",
            "`red`,`blue`",
            "\"\"red\"\",\"\"blue\"\"",
        ] {
            assert!(has_quoted_word(list, ','), "{list}");
        }
        for list in
            ["'90s,red", "5\"", "5\" nail", "\"red, blue\"", "[\"'a'\"]", "rock 'n' roll", "''"]
        {
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
