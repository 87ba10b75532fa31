//! Words that programs write into JSON although it has no such value.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_outside_of_strings_only() {
        let word = |line: &str| find(line.as_bytes()).map(|(word, _)| word);
        assert_eq!(word(r#"{"price":NaN}"#), Some("NaN"));
        assert_eq!(word(r#"{"a":"NaN \" NaN","b":-Infinity}"#), Some("Infinity"));
        assert_eq!(word(r#"{"a":[1e5,true,None]}"#), Some("None"));
        assert_eq!(word(r#"{"a":"NaN","b":null,"c":1E5}"#), None);
    }
}
