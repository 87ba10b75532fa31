//! Text that was forced to be text: a spreadsheet program would take `00123` for a number and `-5%`
//! for a formula, so people and programs write `'00123`, `="00123"` or `'-5%`, or a tab in place of the
//! apostrophe.

use std::borrow::Cow;

/// The text that a cell means. `is_id`: the cell identifies a file, so that an apostrophe at its
/// beginning is never part of the text, nor a second one at its end. A backslash keeps the text as
/// written: `\'=1` is the text `'=1`.
pub(crate) fn unforced(text: &str, is_id: bool) -> Cow<'_, str> {
    // Fast path for nearly all cells.
    let first = text.as_bytes().first();
    if !matches!(first, Some(b'\'' | b'\t' | b'=' | b'\\')) {
        return Cow::Borrowed(text);
    }
    if let Some(escaped) = text.strip_prefix('\\') {
        let is_forced = forced(escaped.trim_start_matches('\\'), is_id).is_some();
        return Cow::Borrowed(if is_forced { escaped } else { text });
    }
    forced(text, is_id).unwrap_or(Cow::Borrowed(text))
}

fn forced(text: &str, is_id: bool) -> Option<Cow<'_, str>> {
    if let Some(rest) = text.strip_prefix(['\'', '\t']) {
        let is_digit = |byte: u8| byte.is_ascii_digit();
        // An apostrophe can be part of a text such as '90s, a tab cannot.
        let is_number = if text.starts_with('\t') {
            rest.bytes().next().is_some_and(is_digit)
        } else {
            !rest.is_empty() && rest.bytes().all(is_digit)
        };
        let is_forced = is_id || is_number || rest.starts_with(['=', '+', '-', '@']);
        let inside = rest.strip_suffix('\'').filter(|_| is_id).unwrap_or(rest);
        return is_forced.then_some(Cow::Borrowed(inside));
    }
    let formula = text.strip_prefix('=')?.trim_end();
    let literal = formula.strip_prefix("T(").and_then(|call| call.strip_suffix(')'));
    let quoted = literal.unwrap_or(formula).strip_prefix('"')?.strip_suffix('"')?;
    // Other quotes than doubled ones end the text: the formula computes something.
    let pairs = quoted.replace("\"\"", "");
    (!pairs.contains('"')).then(|| Cow::Owned(quoted.replace("\"\"", "\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forced_text_is_read_as_the_text() {
        for (text, meaning) in [
            ("'00123", "00123"),
            ("'=1+1", "=1+1"),
            ("=\"00125\" ", "00125"),
            ("'-5%", "-5%"),
            ("\t00123", "00123"),
            ("\t=1+1", "=1+1"),
            ("\t1-2", "1-2"),
            ("'@home", "@home"),
            ("=\"00123\"", "00123"),
            ("=\"5\"\" nails\"", "5\" nails"),
            ("=\"\"", ""),
            ("=T(\"00126\")", "00126"),
        ] {
            assert_eq!(unforced(text, false), meaning);
            assert_eq!(unforced(&format!("\\{text}"), false), text);
            assert_eq!(unforced(&format!("\\\\{text}"), false), format!("\\{text}"));
        }
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in [
            "'90s shoes",
            "'n roll",
            "\tred",
            "'",
            "''",
            "=1+1",
            "=\"a\"&\"b\"",
            "=HYPERLINK(\"x\")",
            "=",
            "\\",
            "\\a",
        ] {
            assert_eq!(unforced(text, false), text);
        }
        assert_eq!(unforced("'65a1f0c2", true), "65a1f0c2");
    }
}
