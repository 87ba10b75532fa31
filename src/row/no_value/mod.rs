//! Text that a program printed instead of a value.
//!
//! Two classes: *artefacts* are never values (`#N/A`, `[object Object]`); *words* can be a brand or
//! a tag of the account (`NULL`, `NA`), and count as no value only in the exact spelling that
//! programs print. A backslash before either makes it a value.

mod printed;
mod spreadsheet;

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::{Field, FieldType};

/// Words that programs print for a missing value, each in its exact spelling.
const WORDS: [&str; 10] =
    ["NULL", "null", "nan", "NaN", "NaT", "None", "undefined", "NA", "nil", "NIL"];
/// Length of the longest of them.
const WORD_BYTES_MAX: usize = 9;
/// The word that PHP prints for a list.
const LIST_WORD: &str = "Array";

/// The fix where a text stands for no id.
pub(super) const NO_ID_FIX: &str =
    "write the id, leave the cell empty if filePath or url names the file, or delete the row";
/// The first byte of U+FFFD in UTF-8.
const REPLACEMENT_FIRST_BYTE: u8 = 0xEF;
/// Maximum length of an artefact other than a list, in bytes: names of types can be long.
const ARTEFACT_BYTES_MAX: usize = 200;

/// The words that can be values: those of [`WORDS`], and the name of a list.
pub(crate) fn words() -> impl Iterator<Item = String> {
    WORDS.into_iter().chain([LIST_WORD]).map(str::to_owned)
}

/// Why a text is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoValue {
    /// The error value of a formula.
    Error,
    /// A formula that was still loading.
    Loading,
    /// A number wider than its column.
    TooNarrow,
    /// A missing value, in marks that no person writes.
    Missing,
    /// The name of an object or list.
    Object,
    /// A list printed as code.
    Code,
    /// Another value printed as code.
    PrintedValue,
    /// A character that could not be decoded.
    Undecoded,
    /// One of [`WORDS`].
    Word,
    /// The name that PHP prints for a list, which can be a word too.
    ListWord,
}

impl NoValue {
    /// Why the text, without blanks around it, is no value; `None` for a value.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        let (first, last) = (*text.as_bytes().first()?, *text.as_bytes().last()?);
        if let Some(word) = Self::of_word(text) {
            return Some(word);
        }
        let rare = memchr2(REPLACEMENT_FIRST_BYTE, b'@', text.as_bytes()).is_some();
        if rare && text.contains(char::REPLACEMENT_CHARACTER) {
            return Some(Self::Undecoded);
        }
        // The first and the last byte rule out every artefact for nearly every value.
        let is_suspicious = match first {
            b'#' | b'(' | b'<' | b'[' | b'{' | b'\\' | b'%' | b'-' | b';' => true,
            _ => {
                // Besides names of types, only errors with a number end in a letter or digit.
                !last.is_ascii_alphanumeric()
                    || last.is_ascii_digit() && memchr(b':', text.as_bytes()).is_some()
                    || may_be_artefact_of_words(text)
                    || printed::is_bare_address(text)
                    || last == b't' && text.ends_with("dtype: object")
                    || rare && text.contains('@')
                    || matches!(first, b'1') && memchr(b'#', text.as_bytes()).is_some()
                    || first.is_ascii_digit() && printed::is_lookup(text)
            }
        };
        if is_suspicious { Self::artefact(text) } else { None }
    }

    /// Why the text of a list is no value: `{red}` can be a text, but is no list.
    pub(crate) fn of_list(text: &str) -> Option<Self> {
        let is_code = || printed::is_code_for_list(text.trim());
        Self::of(text).or_else(|| is_code().then_some(Self::Code))
    }

    /// The word that the text is.
    fn of_word(text: &str) -> Option<Self> {
        if text.len() > WORD_BYTES_MAX {
            None
        } else if text == LIST_WORD {
            Some(Self::ListWord)
        } else {
            WORDS.contains(&text).then_some(Self::Word)
        }
    }

    /// The artefact that the text is.
    fn artefact(text: &str) -> Option<Self> {
        let is_short = text.len() <= ARTEFACT_BYTES_MAX;
        if is_short && spreadsheet::is_error(text) {
            Some(Self::Error)
        } else if spreadsheet::is_too_narrow(text) {
            Some(Self::TooNarrow)
        } else if spreadsheet::is_loading(text) {
            Some(Self::Loading)
        } else if printed::is_missing(text) {
            Some(Self::Missing)
        } else if is_short && printed::is_object(text) {
            Some(Self::Object)
        } else if printed::is_value(text) {
            Some(Self::PrintedValue)
        } else {
            printed::is_code(text).then_some(Self::Code)
        }
    }

    /// What the text is, as the end of the sentence "value is …".
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Error => "a spreadsheet error value",
            Self::Loading => "what a spreadsheet prints while a formula loads",
            Self::TooNarrow => "what a spreadsheet prints where a column is too narrow",
            Self::PrintedValue => "a value printed as code",
            Self::Object | Self::ListWord => "what a program prints instead of a list or an object",
            Self::Code => "a list printed as code",
            Self::Undecoded => "text with a character that could not be decoded (U+FFFD)",
            Self::Missing | Self::Word => "what a program prints for no value",
        }
    }

    /// The fix; `word` is the text.
    fn suggestion(self, word: &str) -> Cow<'static, str> {
        match self {
            Self::Error => "fix the formula, or leave the cell empty to keep the field".into(),
            Self::Loading => "export the sheet again after it has loaded".into(),
            Self::TooNarrow => "widen the column, and export the sheet again".into(),
            Self::Missing => "leave the cell empty to keep the field".into(),
            Self::Object | Self::Code => "join the list with commas in the export".into(),
            Self::PrintedValue => "export the text or number itself".into(),
            Self::Undecoded => "export the sheet again as UTF-8".into(),
            Self::Word => format!(
                "leave the cell empty to keep the field; if it is a value, write \\{word} or pass \
                 --literal {word}"
            )
            .into(),
            Self::ListWord => format!(
                "join the list with commas in the export; if it is a value, write \\{word} or pass \
                 --literal {word}"
            )
            .into(),
        }
    }

    /// The fix in a cell or list of a field; `word` is the text.
    pub(crate) fn fix(self, word: &str, field: &Field) -> Cow<'static, str> {
        match field {
            Field::FileId => NO_ID_FIX.into(),
            Field::FilePath => "write the path of the file, or delete the row".into(),
            Field::Url => "write the URL of the file, or delete the row".into(),
            _ if self.can_be_value() && !takes_text(field) => match self {
                Self::ListWord => Self::Object.suggestion(word),
                _ => Self::Missing.suggestion(word),
            },
            _ => self.suggestion(word),
        }
    }

    /// Whether the text can be a value where a person or the account says so.
    pub(crate) fn can_be_value(self) -> bool {
        matches!(self, Self::Word | Self::ListWord)
    }
}

/// Whether any word can be a value of the field. Options of a field are values by themselves.
fn takes_text(field: &Field) -> bool {
    field.changes_tags()
        || *field == Field::Description
        || [FieldType::Text, FieldType::Textarea]
            .into_iter()
            .any(|kind| matches!(field, Field::CustomMetadata(_)) && field.takes(kind))
}

/// Whether the text is certainly a value as it is: nothing that a program printed, and nothing with an
/// escape. A fast path for nearly all cells.
pub(crate) fn is_plain(text: &str) -> bool {
    let [first, .., last] = text.as_bytes() else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && text.bytes().fold(true, |is_plain, byte| is_plain & IS_PLAIN[usize::from(byte)])
        && NoValue::of_word(text).is_none()
        && !may_be_artefact_of_words(text)
}

/// Whether the text may be an artefact that looks like words, or a name, of letters and digits.
fn may_be_artefact_of_words(text: &str) -> bool {
    printed::begins_dotnet_type(text)
        || printed::is_missing_phrase(text)
        || spreadsheet::is_error_of_vba(text)
}

/// For each byte, whether artefacts that begin and end with a letter or digit do without it.
const IS_PLAIN: [bool; 256] = {
    let mut is_plain = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        is_plain[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b',' | b'.' | b'-' | b'_' | b'/');
        byte += 1;
    }
    is_plain
};

/// The text without the backslash that makes it a value; `None` if it has none, or none is needed.
pub(crate) fn unescaped(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('\\')?;
    let bare = rest.trim_start_matches('\\');
    // `\N` is an artefact itself, so only a second backslash escapes it.
    let is_escaped_n = rest.starts_with('\\') && bare.trim_end() == "N";
    (is_escaped_n || NoValue::of(bare).is_some()).then_some(rest)
}

/// The text with a backslash where it would not be read as a value without.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if NoValue::of(text).is_some() || unescaped(text).is_some() {
        Cow::Owned(format!("\\{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_count_only_in_the_spelling_of_programs() {
        for word in WORDS {
            assert_eq!(NoValue::of(word), Some(NoValue::Word), "{word}");
        }
        for value in
            ["Nan", "NAN", "none", "NONE", "Nil", "na", "Na", "arrays", "Null", "Undefined"]
        {
            assert_eq!(NoValue::of(value), None, "{value}");
        }
    }

    #[test]
    fn what_programs_print_is_recognized_on_every_path() {
        for text in [
            "Error 2042",
            "Fehler 2015",
            "Erreur 2029",
            "#UNPARSEABLE",
            "#NO MATCH",
            "character(0)",
            "c(1, 2)",
            "Invalid Date",
            "Optional.empty",
            "Optional[red]",
            "Some(red)",
            "WrappedArray(red, blue)",
            "Tag(id=1, name=red)",
            "Tag[name=red]",
            "Row(name='red')",
            "<Tag 1>",
            "<Color.RED: 1>",
            "Tag object (1)",
            "#Ecto.Association.NotLoaded<x>",
            "<<\"red\">>",
            "String[\"red\", \"blue\"]",
            "array (\n  0 => 'red',\n)",
            "Set(2) { 'red', 'blue' }",
            "ARRAY(0x55d0c8a84f28)",
            "table: 0x55d0",
            "-nan",
            "1.#INF",
            "<N/A>",
            "(BOŞ)",
            "(Пусто)",
            "Microsoft.SharePoint.Client.FieldLookupValue",
            "System.Threading.Tasks.Task`1[System.String]",
            ";#red;#blue;#",
            ";#red;#blue",
            "12;#red;#3;#blue",
        ] {
            assert!(NoValue::of(text).is_some(), "{text}");
            assert!(!is_plain(text), "{text}");
        }
        for text in [
            "Error 404",
            "Error 3042",
            "Route 2042",
            "Optional",
            "Some (red)",
            "Set(2)",
            "Area (10)",
            "Tag(red)",
            "c(opyright)",
            "An object (1 kg)",
            "Invalid",
            "A table: 0 left",
            "#winter",
            "(Boşaltma)",
            "x=(a)",
            "E=mc(2)",
        ] {
            assert_eq!(NoValue::of(text), None, "{text}");
        }
    }

    #[test]
    fn usual_text_is_plain() {
        for text in ["65a1f0c29b41d45b037cc000", "red,on sale", "A text, of 1.5 words", "none"] {
            assert!(is_plain(text), "{text}");
        }
        for text in ["", "NULL", "Array", "System.Object", "a\0b", "gr\u{fffd}n", "NaN ", "a:1"] {
            assert!(!is_plain(text), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn plain_text_is_a_value(
            text in "([a-zA-Z0-9]{1,3}|NULL|NaN|Array|System|Err|[- .,/_:@#;$<>()\\[\\]{}'\"\\\\…]){1,8}",
        ) {
            if is_plain(&text) {
                prop_assert_eq!(NoValue::of(&text), None);
                prop_assert_eq!(unescaped(&text), None);
            }
        }
    }

    #[test]
    fn escape_is_undone() {
        for text in [
            "NULL", "\\NULL", "\\\\NULL", "\\N", "\\\\N", "\\\\\\N", "#N/A", "{a,b}", "red",
            "\\red", "\\",
        ] {
            let escaped = escaped(text);
            let read = unescaped(&escaped).unwrap_or(&escaped);
            assert_eq!(read, text);
        }
    }
}
