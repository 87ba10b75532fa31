//! Makes text from other sources safe for terminals and reports.

use std::borrow::Cow;

/// Escapes characters that control a terminal or the direction of writing, as Rust does: `\u{202e}`. Line
/// ends and tabs stay.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    escaped(text, |c, escaped| escaped.extend(c.escape_unicode()))
}

/// Escapes the same characters in JSON, as JSON does: `\u202e`.
#[must_use]
pub fn sanitize_json(json: &str) -> Cow<'_, str> {
    escaped(json, |c, escaped| {
        // All of them have four hexadecimal digits.
        escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
    })
}

/// The text, in which `escape` adds each character that controls to the text so far.
fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    // Fast path: nearly all text is printable ASCII, and every cell of every report is checked. The
    // loop has no early exit, so that the compiler can vectorize it.
    let is_plain = text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    if is_plain || !text.chars().any(is_control) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control(c) {
            escape(c, &mut escaped);
        } else {
            escaped.push(c);
        }
    }
    escaped.into()
}

/// Escapes text that a spreadsheet program would take for a formula, and control characters. Only
/// for text of this program or of ImageKit: cells of the input are returned verbatim.
#[must_use]
pub(crate) fn escape_formula(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t']) {
        format!("'{}", sanitize(text)).into()
    } else {
        sanitize(text)
    }
}

fn is_control(c: char) -> bool {
    let is_bidi = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_bidi || c.is_control() && !matches!(c, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::{sanitize, sanitize_json};

    #[test]
    fn control_characters_are_escaped() {
        let text = "a\u{1b}[2Jb\r\u{9b}1m\u{202e}c";
        assert_eq!(sanitize(text), r"a\u{1b}[2Jb\u{d}\u{9b}1m\u{202e}c");
        assert_eq!(sanitize("größer\tals\nalles ™"), "größer\tals\nalles ™");
    }

    #[test]
    fn json_with_escapes_is_json() {
        let text = "a\u{7f}\u{85}\u{202e}\u{1b}é\n";
        let json = serde_json::to_string_pretty(&[text]).expect("it is a text");
        let safe = sanitize_json(&json);
        assert!(safe.contains("\\u007f\\u0085\\u202e\\u001bé"), "{safe}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&safe).expect("it is JSON"), [text]);
    }
}
