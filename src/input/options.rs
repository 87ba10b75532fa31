//! How the text of an input is read, apart from the rules for single cells.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::encoding::TextEncoding;
use crate::row::fold;

/// What a person, or the detection that they confirmed, decided about the text of an input. Recorded
/// with the run, so that resuming and reporting read the run's copy in the same way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case")]
pub struct ReadOptions {
    /// The delimiter of CSV cells; `None` for the one under which the header has known columns.
    pub delimiter: Option<Delimiter>,
    /// The encoding of the input, which the run's copy has in UTF-8; `None` for UTF-8.
    pub encoding: Option<TextEncoding>,
    /// Fingerprint of the run's copy, if it was decoded or decompressed.
    pub copy_fingerprint: Option<String>,
    /// Columns that are read as another: name in the header, known column. A table without one of them
    /// is refused.
    pub columns: BTreeMap<String, String>,
    /// Columns that are read as another in every sheet that has them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub usual_columns: BTreeMap<String, String>,
    /// Names of columns that are not read, and not asked about.
    pub ignored: Vec<String>,
    /// Whether a column that is not read refuses the sheet.
    pub strict_columns: bool,
    /// The worksheet of a workbook that is read; `None` for the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worksheet: Option<String>,
}

impl ReadOptions {
    /// The column that a name is to be read as.
    pub(super) fn mapped(&self, name: &str) -> Option<&str> {
        let is_name = |(from, _): &(&String, &String)| is_same(from, name);
        let mut columns = self.columns.iter().chain(&self.usual_columns);
        columns.find(is_name).map(|(_, column)| column.as_str())
    }

    /// Whether a name can be one that is read as another.
    pub(super) fn maps_columns(&self) -> bool {
        !self.columns.is_empty() || !self.usual_columns.is_empty()
    }

    /// Whether a name is to be ignored.
    pub(super) fn ignores(&self, name: &str) -> bool {
        self.ignored.iter().any(|ignored| is_same(ignored, name))
    }
}

/// Whether two names are the same but for case, blanks and punctuation. Names without letters and
/// digits are compared as they are.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one == other || !fold(one).is_empty() && fold(one) == fold(other)
}

/// The character between two cells of CSV: one ASCII character other than a quote or line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "char", into = "char")]
pub struct Delimiter(u8);

impl Delimiter {
    /// The delimiters that are detected, in order of preference.
    pub const DETECTED: [Self; 4] = [Self(b','), Self(b';'), Self(b'\t'), Self(b'|')];

    /// The delimiter as a byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// The delimiter in a sentence: `";"`, or `a tab`.
    pub(super) fn named(self) -> String {
        match self.0 {
            b'\t' => "a tab".to_owned(),
            byte => format!("{:?}", char::from(byte).to_string()),
        }
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        Self(b',')
    }
}

impl TryFrom<char> for Delimiter {
    type Error = &'static str;

    fn try_from(c: char) -> Result<Self, Self::Error> {
        let is_structure = |byte| matches!(byte, b'"' | b'\n' | b'\r' | b'\0');
        match u8::try_from(c) {
            Ok(byte) if byte.is_ascii() && !is_structure(byte) => Ok(Self(byte)),
            _ => Err(
                "not a delimiter: use one ASCII character such as ; or its code such as \\x1f, or the word tab",
            ),
        }
    }
}

impl From<Delimiter> for char {
    fn from(delimiter: Delimiter) -> Self {
        Self::from(delimiter.0)
    }
}

impl FromStr for Delimiter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut letters = text.chars();
        match (text, letters.next(), letters.next()) {
            ("tab" | "\\t", ..) => Ok(Self(b'\t')),
            (_, Some(letter), None) => letter.try_into(),
            _ => char::from(hexadecimal(text).unwrap_or_default()).try_into(),
        }
    }
}

/// The byte of a name such as `\x1f`, or `\u{1f}`.
fn hexadecimal(text: &str) -> Option<u8> {
    let unicode = || text.strip_prefix("\\u{").and_then(|rest| rest.strip_suffix('}'));
    let digits = text.strip_prefix("\\x").or_else(unicode)?;
    u8::from_str_radix(digits, 16).ok()
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\t' => f.write_str("tab"),
            byte if byte.is_ascii_control() => write!(f, "\\x{byte:02x}"),
            byte => write!(f, "{}", char::from(byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiter_is_one_character_or_the_word_tab() {
        for (text, byte) in [(",", b','), (";", b';'), ("tab", b'\t'), ("\\t", b'\t'), ("~", b'~')]
        {
            assert_eq!(text.parse(), Ok(Delimiter(byte)), "{text}");
        }
        for (text, byte) in [("\\x1f", 0x1F), ("\\x01", 1), ("\\u{1f}", 0x1F), ("\\x3B", b';')] {
            let delimiter = Delimiter(byte);
            assert_eq!(text.parse(), Ok(delimiter), "{text}");
            assert_eq!(delimiter.to_string().parse(), Ok(delimiter), "{text}");
        }
        for text in ["", "\\x", "\\x22", "\\x0a", "\\xff", ",,", "\"", "\n", "é", "comma"] {
            assert!(text.parse::<Delimiter>().is_err(), "{text}");
        }
    }

    #[test]
    fn options_of_an_older_run_are_the_defaults() {
        let options: ReadOptions = serde_json::from_str("{}").expect("all fields have defaults");
        assert_eq!(options, ReadOptions::default());
        let options = ReadOptions { delimiter: Some(Delimiter(b'\t')), ..ReadOptions::default() };
        let json = serde_json::to_string(&options).expect("it is plain data");
        assert_eq!(serde_json::from_str::<ReadOptions>(&json).expect("it was written so"), options);
    }
}
