//! Words that programs write into JSON although it has no such value.

use memchr::memmem;

/// The words, with the fix as an imperative.
const WORDS: [(&str, &str); 9] = [
    ("NaN", "leave the key out (Python: allow_nan=False)"),
    ("nan", "leave the key out"),
    ("Infinity", "leave the key out (Python: allow_nan=False)"),
    ("inf", "leave the key out"),
    ("undefined", "leave the key out"),
    ("None", "leave the key out, and export with json.dumps"),
    ("nil", "leave the key out"),
    ("True", "write true (Python: export with json.dumps)"),
    ("False", "write false (Python: export with json.dumps)"),
];

/// The first word outside of strings that is not JSON, with the fix; `None` if there is none.
pub(super) fn find(line: &[u8]) -> Option<(&'static str, &'static str)> {
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'"' {
            rest = after_string(after);
        } else if byte.is_ascii_alphabetic() {
            let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let (word, after) = rest.split_at(length);
            let known = WORDS.iter().find(|(known, _)| known.as_bytes() == word);
            if let Some(known) = known {
                return Some(*known);
            }
            rest = after;
        } else {
            rest = after;
        }
    }
    None
}

/// The text after the closing quote of a string.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'"' => return after,
            b'\\' => rest = after.get(1..).unwrap_or_default(),
            _ => rest = after,
        }
    }
    rest
}

/// The fix of a line that is nearly JSON; `None` if nothing is known about it.
pub(super) fn fix(line: &[u8], error: &serde_json::Error) -> Option<&'static str> {
    let outside = without_strings(line);
    if outside.contains(&b'\'') {
        return Some("write keys and texts in double quotes (Python: export with json.dumps)");
    }
    let marks: Vec<u8> =
        outside.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if marks.windows(2).any(|pair| matches!(pair, b",}" | b",]")) {
        return Some("delete the comma before the closing bracket");
    }
    if outside.trim_ascii_end().ends_with(b"},") {
        return Some(
            "delete the comma after the object, or write [ before the first and ] after the last",
        );
    }
    if ["“", "”", "„"].iter().any(|quote| memmem::find(&outside, quote.as_bytes()).is_some())
    {
        return Some("write keys and texts in straight double quotes (\")");
    }
    let has_after_colon = |bytes: &[u8]| {
        marks.windows(2).any(|pair| matches!(pair, [b':', next] if bytes.contains(next)))
    };
    if has_after_colon(b"},]") {
        return Some("write a value after the colon, or leave the key out");
    }
    if has_after_colon(b".+") {
        return Some("write numbers as JSON has them: 0.5, without a sign +");
    }
    if has_after_colon(b"#") {
        return Some("fix the formula, or leave the key out");
    }
    let message = error.to_string();
    if message.contains("invalid number") || message.contains("number out of range") {
        return Some("write numbers as JSON has them: without zeros before, up to 1e308");
    }
    if message.contains("control character") {
        return Some(
            "write \\n, \\t or \\u00.. in place of line ends and other control characters in texts",
        );
    }
    if message.contains("duplicate key") {
        return Some("keep only one of the keys");
    }
    if message.contains("key must be a string") {
        return Some("write keys in double quotes, as JSON needs them");
    }
    if message.contains("surrogate") || message.contains("end of hex escape") {
        return Some("write the character itself in place of half a \\u escape");
    }
    None
}

/// The text without its strings.
fn without_strings(line: &[u8]) -> Vec<u8> {
    let (mut rest, mut outside) = (line, Vec::new());
    while let Some((&byte, after)) = rest.split_first() {
        rest = if byte == b'"' { after_string(after) } else { after };
        outside.push(byte);
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_json_gets_its_fix() {
        let fix_of = |line: &str| {
            let error = serde_json::from_str::<serde_json::Value>(line).expect_err(line);
            fix(line.as_bytes(), &error).unwrap_or_default()
        };
        assert!(fix_of("{'fileId':'a'}").contains("double quotes"));
        assert!(fix_of(r#"{"fileId":"it's"},"#).contains("after the object"));
        assert!(fix_of(r#"{"tags":["a",],"b":1}"#).contains("before the closing bracket"));
        assert!(fix_of(r#"{"tags":"a", }"#).contains("before the closing bracket"));
        assert!(fix_of(r#"{"description":"\ud800"}"#).contains("escape"));
        assert!(fix_of(r#"{"description":"\ud800 x"}"#).contains("escape"));
        assert!(fix_of("{fileId:\"a\",tags:[\"x\"]}").contains("keys in double quotes"));
        assert!(fix_of("{“fileId”:“a”}").contains("straight"));
        assert!(fix_of(r#"{"metadata":{"price":}}"#).contains("after the colon"));
        assert!(fix_of(r#"{"price":.5}"#).contains("0.5"));
        assert!(fix_of(r#"{"price":#N/A}"#).contains("formula"));
        assert!(fix_of(r#"{"price":012}"#).contains("zeros"));
        assert!(fix_of(r#"{"price":1e999}"#).contains("1e308"));
        assert!(fix_of("{\"text\":\"a\tb\"}").contains("control characters"));
        assert_eq!(fix_of(r#"{"a":1"#), "");
    }

    #[test]
    fn words_are_found_outside_of_strings_only() {
        let word = |line: &str| find(line.as_bytes()).map(|(word, _)| word);
        assert_eq!(word(r#"{"price":NaN}"#), Some("NaN"));
        assert_eq!(word(r#"{"a":"NaN \" NaN","b":-Infinity}"#), Some("Infinity"));
        assert_eq!(word(r#"{"a":[1e5,true,None]}"#), Some("None"));
        assert_eq!(word(r#"{"a":"NaN","b":null,"c":1E5}"#), None);
    }
}
