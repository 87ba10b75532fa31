//! Rules out findings by the bytes of a cell, in one pass: nearly every cell can show none.

use super::CellKind;
use super::numbers::DIGITS_KEPT;
use super::text::has_outer_blank;

/// A byte of a character beyond ASCII, or of a control character.
const FOREIGN: u8 = 1;
/// A byte that is in every path, URL, number that lost digits to an exponent, and number with decimals
/// or thousands.
const PATH_OR_NUMBER: u8 = 1 << 1;
/// A separator that people use in place of the comma.
const SEPARATOR: u8 = 1 << 2;
/// A byte that can be between the parts of a date.
const DATE: u8 = 1 << 3;
const DIGIT: u8 = 1 << 4;
const LETTER: u8 = 1 << 5;
/// A byte that is in all HTML and escapes.
const ESCAPE: u8 = 1 << 6;
/// A straight quote or apostrophe.
const QUOTE: u8 = 1 << 7;
/// Maximum bytes of a text in sentences that may be a number.
pub(super) const NUMBER_BYTES_MAX: usize = 40;

/// What each byte can be part of.
const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT,
            b'A'..=b'Z' | b'a'..=b'z' => LETTER,
            b'/' => PATH_OR_NUMBER | DATE | SEPARATOR,
            b'+' | b'.' | b',' => PATH_OR_NUMBER,
            b'-' | b' ' => DATE,
            b';' | b'|' | b'\t' | b'#' | b'~' => SEPARATOR,
            b'&' | b'\\' | b'_' | b'<' => ESCAPE,
            b'"' | b'\'' => QUOTE,
            b'\n' | b'\r' => 0,
            0..=0x1f | 0x7f.. => FOREIGN,
            _ => 0,
        };
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
    }
}

impl CellKind {
    /// Whether a cell can show any finding that needs no library; `false` for nearly all cells.
    #[must_use]
    pub fn can_show_finding(self, cell: &str) -> bool {
        let is_text = matches!(self, Self::Prose | Self::Text | Self::OnlyWord);
        if cell.starts_with('=')
            || is_text && (cell.starts_with(['"', '\'']) || has_outer_blank(cell))
        {
            return true;
        }
        let seen = cell.bytes().fold(0, |seen, byte| seen | CLASSES[usize::from(byte)]);
        let has = |class| seen & class != 0;
        // A long number has an exponent, or many digits.
        let can_be_long = || has(PATH_OR_NUMBER) || !has(LETTER) && cell.len() > DIGITS_KEPT;
        let has_number = || has(DIGIT) && (has(DATE) || can_be_long());
        match self {
            // A number has no letters, unless it has an exponent.
            Self::Id => has(PATH_OR_NUMBER) || !has(LETTER),
            Self::List { separator } => {
                let has_comma = separator != ',' && has(PATH_OR_NUMBER);
                has(FOREIGN | SEPARATOR | ESCAPE | QUOTE) || has_comma || has_number()
            }
            Self::Number => has(PATH_OR_NUMBER),
            Self::OnlyWord => {
                has(FOREIGN | SEPARATOR | ESCAPE | PATH_OR_NUMBER | QUOTE) || has_number()
            }
            Self::Text => has(FOREIGN | ESCAPE) || has_number(),
            Self::Prose => {
                has(FOREIGN | ESCAPE)
                    || cell.len() <= NUMBER_BYTES_MAX && has(DIGIT) && can_be_long()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::findings::Finding;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn no_finding_is_ruled_out_that_a_cell_shows(
            cell in "(([0-9]{1,18}|[a-fE]|mar|Sep|[-+./,;|\t\x0b\x7f ]|é|Ã©|ĂЎ|“|&amp;|&#3;|<br>|\"|'|~| / |月|日|\\[|\\]|2024\\.0|\\\\n|_x00D_|#a #b|=A2|\u{301}|\u{200b}|；){1,6})",
        ) {
            use CellKind::{Id, List, Number, OnlyWord, Prose, Text};
            let lists = [',', ';', '，', ' '].map(|separator| List { separator });
            for kind in [Id, Text, Prose, Number, OnlyWord].into_iter().chain(lists) {
                let shown = Finding::OF_CELLS.iter().find(|finding| finding.is_in(kind, &cell));
                if let Some(shown) = shown {
                    prop_assert!(kind.can_show_finding(&cell), "{kind:?} {cell:?} {shown}");
                }
            }
        }
    }

    #[test]
    fn usual_cells_can_show_no_finding() {
        assert!(!CellKind::Id.can_show_finding("65a1f0c29b41d45b037cc000"));
        let list = CellKind::List { separator: ',' };
        assert!(!list.can_show_finding("red,on sale,summer"));
        assert!(!CellKind::Text.can_show_finding("ACME2026"));
        let prose = "A description, of 1-Mar; in 2.5 lines\nand a person's words";
        assert!(!CellKind::Prose.can_show_finding(prose));
    }
}
