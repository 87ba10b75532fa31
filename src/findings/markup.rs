//! HTML and escapes in texts.

use super::numbers::is_digits;

/// Elements of HTML that are found in texts.
const ELEMENTS: [&str; 24] = [
    "a", "b", "br", "div", "em", "font", "h1", "h2", "h3", "hr", "i", "img", "li", "ol", "p",
    "script", "span", "strong", "style", "table", "td", "tr", "u", "ul",
];

/// HTML entities of signs.
const ENTITIES: [&str; 33] = [
    "amp", "lt", "gt", "quot", "apos", "nbsp", "copy", "reg", "trade", "euro", "pound", "yen",
    "cent", "hellip", "ndash", "mdash", "lsquo", "rsquo", "ldquo", "rdquo", "bdquo", "laquo",
    "raquo", "bull", "middot", "deg", "frac12", "frac14", "frac34", "times", "sup2", "szlig",
    "shy",
];

/// Ends of the HTML entities of letters, such as `eacute`.
const LETTER_MARKS: [&str; 9] =
    ["acute", "grave", "circ", "uml", "tilde", "cedil", "ring", "slash", "lig"];

/// The text without its HTML entities, such as `&amp;` and `&#39;`.
pub(super) fn without_entities(text: &str) -> String {
    let mut parts = text.split('&');
    let mut without = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        without += part.split_once(';').filter(|(name, _)| is_entity(name)).map_or(part, |it| it.1);
    }
    without
}

/// Whether a text ends with an HTML entity that lacks its semicolon.
pub(crate) fn ends_entity(text: &str) -> bool {
    text.rsplit_once('&').is_some_and(|(_, name)| is_entity(name))
}

/// Whether a text has an HTML entity.
pub(super) fn has_entity(text: &str) -> bool {
    let names = text.split('&').skip(1).filter_map(|part| part.split_once(';'));
    names.map(|(name, _)| name).any(is_entity)
}

/// Whether this is what an HTML entity has between `&` and `;`.
fn is_entity(name: &str) -> bool {
    if let Some(number) = name.strip_prefix('#') {
        return match number.strip_prefix(['x', 'X']) {
            Some(hex) => !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
            None => is_digits(number),
        };
    }
    let is_letter = || {
        let mut letters = LETTER_MARKS.iter().filter_map(|mark| name.strip_suffix(mark));
        letters.any(|letter| (1..=2).contains(&letter.len()))
    };
    ENTITIES.contains(&name) || is_letter()
}

/// Whether a text has an element of HTML, such as `<br>` or `</p>`, or a comment.
pub(super) fn has_element(text: &str) -> bool {
    text.contains("<!--") || text.contains("<![CDATA[") || elements(text).any(is_element)
}

/// Whether a text has an element of HTML that breaks lines or ends an item of a list.
pub(super) fn has_break(text: &str) -> bool {
    let breaks = |element: &str| {
        is_element(element)
            && ["br", "hr", "/li"].iter().any(|name| {
                element.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
            })
    };
    elements(text).any(breaks)
}

/// What is between `<` and `>`.
fn elements(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split('<').skip(1).filter_map(|part| part.split_once('>'));
    parts.map(|(element, _)| element)
}

/// Whether this is what an element of HTML has between `<` and `>`.
fn is_element(element: &str) -> bool {
    let inside = element.trim_matches('/').trim_end();
    let (name, attributes) = inside.split_once(char::is_whitespace).unwrap_or((inside, "="));
    attributes.contains('=') && ELEMENTS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a text has an escape that a program left in place of a line end or another character:
/// `\n`, `\u00e9`, `\'`, `_x000D_`.
pub(super) fn has_escape(text: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|it| it.is_ascii_hexdigit());
    let mut after = text.match_indices('\\').filter_map(|(at, _)| text.get(at + 1..));
    let is_escape = |rest: &str| {
        // In a path, a letter of the name follows.
        let ends_line = |rest: &str| !rest.starts_with(|c: char| c.is_lowercase());
        rest.starts_with("r\\n")
            || rest.starts_with(['\'', '"'])
            || rest.strip_prefix('n').is_some_and(ends_line)
            || rest.strip_prefix('u').and_then(|rest| rest.get(..4)).is_some_and(is_hex)
            || rest.starts_with("u{")
            || rest.strip_prefix('x').and_then(|rest| rest.get(..2)).is_some_and(is_hex)
    };
    // Control characters, and the escaped underscore.
    let is_of_cell = |hex: &str| {
        hex.len() == 4
            && is_hex(hex)
            && (hex.starts_with("000")
                || hex.starts_with("001")
                || hex.eq_ignore_ascii_case("005f"))
    };
    let mut cells = text.match_indices("_x").filter_map(|(at, _)| text.get(at + 2..at + 7));
    !is_path_of_windows(text) && after.any(is_escape)
        || cells.any(|it| it.strip_suffix('_').is_some_and(is_of_cell))
}

/// Whether a text is a path in which a backslash escapes nothing.
pub(super) fn is_path_of_windows(text: &str) -> bool {
    text.contains(":\\") || text.starts_with("\\\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_and_escapes_are_recognized() {
        for text in ["A &amp; B", "It&#39;s", "&#x1F600;", "caf&eacute;", "&frac12; price"] {
            assert!(has_entity(text), "{text}");
        }
        for text in ["Salt&Pepper;", "B&Bs;", "A & B; C", "a&b", "&;", "R&D department;", "x&1;"] {
            assert!(!has_entity(text), "{text}");
        }
        for text in ["Line 1\\nLine 2", "a\\r\\nb", "caf\\u00e9", "caf\\xe9", "a_x000D_", "end\\n"]
        {
            assert!(has_escape(text), "{text}");
        }
        for text in [
            "C:\\NEU\\n2\\a.jpg",
            "banner_1920_x1080_final",
            "C:\\new\\user",
            "a_x1_b",
            "\\NULL",
            "a\\b",
            "size_x_large",
        ] {
            assert!(!has_escape(text), "{text}");
        }
    }

    #[test]
    fn html_elements_are_recognized() {
        for text in [
            "<p>New</p>",
            "a<br>b",
            "a<br/>",
            "<BR />",
            "<a href='x'>y</a>",
            "x</li>",
            "<!-- x -->",
        ] {
            assert!(has_element(text), "{text}");
        }
        for text in ["a < b > c", "if a<b and c>d", "<new>", "<clear>", "x <3", "<>", "5 <b"] {
            assert!(!has_element(text), "{text}");
        }
    }
}
