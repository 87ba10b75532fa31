//! Text that somebody else wrote, made harmless for whoever looks at it.

use std::borrow::Cow;

/// The text without orders to a terminal: control characters, line ends and tabs aside, and those
/// that turn the direction of writing around are spelled out.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    // Nearly all text is that plain, and every cell of every report comes through here.
    // A loop that never stops halfway goes over many bytes at once.
    let is_plain = text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    if is_plain || !text.chars().any(is_order) {
        return text.into();
    }
    let mut spelled = String::with_capacity(text.len());
    for c in text.chars() {
        if is_order(c) {
            spelled.extend(c.escape_unicode());
        } else {
            spelled.push(c);
        }
    }
    spelled.into()
}

fn is_order(c: char) -> bool {
    let turns_around = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns_around || c.is_control() && !matches!(c, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::sanitize;

    #[test]
    fn orders_are_spelled_out_and_the_rest_stays() {
        let text = "a\u{1b}[2Jb\r\u{9b}1m\u{202e}c";
        assert_eq!(sanitize(text), r"a\u{1b}[2Jb\u{d}\u{9b}1m\u{202e}c");
        assert_eq!(sanitize("größer\tals\nalles ™"), "größer\tals\nalles ™");
    }
}
