//! The kinds of findings.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::accents::has_broken_accents;
use super::glance::NUMBER_BYTES_MAX;
use super::{dates, lists, markup, numbers, text};

/// What a column shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Ids with an exponent, or with zeros after 15 digits: a spreadsheet read them as numbers.
    DamagedIds,
    /// Lists with another separator than the one at which they are split.
    OtherSeparator,
    /// UTF-8 that was read in another encoding.
    BrokenAccents,
    /// Texts and words that a spreadsheet read as long numbers: with an exponent, or with zeros after 15
    /// digits.
    LongNumbers,
    /// Formulas in place of their values.
    Formulas,
    /// Texts of the library with question marks in place of their letters beyond ASCII, or without them.
    LostAccents,
    /// Values that differ from the library only in leading zeros or `.0`.
    LostZeros,
    /// Numbers that are those of the library, rounded to fewer digits.
    RoundedNumbers,
    /// Numbers such as `1.234` in a sheet with decimal commas: the point may separate thousands.
    DecimalOrThousands,
    /// Dates in place of words, such as `1-Mar`.
    Dates,
    /// Booleans of a workbook in place of words.
    Booleans,
    /// Numbers with a fraction of zero, such as `2024.0`, as data frames write whole numbers.
    ZeroFractions,
    /// Lists that may have another separator, which names have as well: `red / blue`.
    PossibleSeparator,
    /// Curly quotes around words of a list.
    CurlyQuotes,
    /// Words of a list with straight quotes or apostrophes that quote nothing.
    WordQuotes,
    /// Straight quotes or apostrophes around texts and lists as a whole, as where a program quotes twice.
    OuterQuotes,
    /// Zero-width, direction, no-break and control characters, which make look-alike words.
    InvisibleCharacters,
    /// Letters with separate accents, which look like composed letters.
    DecomposedLetters,
    /// Tags that differ from tags of the library only in case.
    TagCase,
    /// Tags that differ from tags of the library only in how accents are composed.
    TagAccents,
    /// Tags to remove that the file has only in another spelling.
    #[serde(alias = "removed-tag-case")]
    RemovedTagSpelling,
    /// Paths or URLs in the column of ids.
    IdIsPath,
    /// Blanks at the beginning or end of texts, as in a sheet with aligned columns.
    OuterBlanks,
    /// HTML, such as `&amp;` or `<br>`, from a page or a feed.
    #[serde(alias = "html-entities")]
    Html,
    /// Escapes that a program left in texts, such as `\n` and `_x000D_`.
    Escapes,
}

/// What a finding means for the rows concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The rows are held back, unless the finding is accepted.
    Hold,
    /// The finding is shown.
    Note,
}

/// What a cell holds, as far as findings differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// A file id.
    Id,
    /// A list of words.
    List {
        /// The character between them.
        separator: char,
    },
    /// The only word of a JSON array.
    OnlyWord,
    /// A short text.
    Text,
    /// A text in sentences.
    Prose,
    /// A number, in the spelling of any language.
    Number,
}

impl Finding {
    /// Every finding.
    pub const ALL: [Self; 25] = [
        Self::DamagedIds,
        Self::OtherSeparator,
        Self::BrokenAccents,
        Self::LongNumbers,
        Self::Formulas,
        Self::LostAccents,
        Self::LostZeros,
        Self::RoundedNumbers,
        Self::DecimalOrThousands,
        Self::Dates,
        Self::Booleans,
        Self::ZeroFractions,
        Self::PossibleSeparator,
        Self::CurlyQuotes,
        Self::WordQuotes,
        Self::OuterQuotes,
        Self::InvisibleCharacters,
        Self::DecomposedLetters,
        Self::TagCase,
        Self::TagAccents,
        Self::RemovedTagSpelling,
        Self::IdIsPath,
        Self::OuterBlanks,
        Self::Html,
        Self::Escapes,
    ];

    /// The findings that a cell alone shows.
    pub(super) const OF_CELLS: [Self; 19] = [
        Self::DamagedIds,
        Self::OtherSeparator,
        Self::BrokenAccents,
        Self::LongNumbers,
        Self::Formulas,
        Self::DecimalOrThousands,
        Self::Dates,
        Self::Booleans,
        Self::ZeroFractions,
        Self::PossibleSeparator,
        Self::CurlyQuotes,
        Self::WordQuotes,
        Self::OuterQuotes,
        Self::InvisibleCharacters,
        Self::DecomposedLetters,
        Self::IdIsPath,
        Self::OuterBlanks,
        Self::Html,
        Self::Escapes,
    ];

    /// The name in `--accept` and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DamagedIds => "damaged-ids",
            Self::OtherSeparator => "other-separator",
            Self::BrokenAccents => "broken-accents",
            Self::LongNumbers => "long-numbers",
            Self::Formulas => "formulas",
            Self::LostAccents => "lost-accents",
            Self::LostZeros => "lost-zeros",
            Self::RoundedNumbers => "rounded-numbers",
            Self::DecimalOrThousands => "decimal-or-thousands",
            Self::Dates => "dates",
            Self::Booleans => "booleans",
            Self::ZeroFractions => "zero-fractions",
            Self::PossibleSeparator => "possible-separator",
            Self::CurlyQuotes => "curly-quotes",
            Self::WordQuotes => "word-quotes",
            Self::OuterQuotes => "outer-quotes",
            Self::InvisibleCharacters => "invisible-characters",
            Self::DecomposedLetters => "decomposed-letters",
            Self::TagCase => "tag-case",
            Self::TagAccents => "tag-accents",
            Self::RemovedTagSpelling => "removed-tag-spelling",
            Self::IdIsPath => "id-is-path",
            Self::OuterBlanks => "outer-blanks",
            Self::Html => "html",
            Self::Escapes => "escapes",
        }
    }

    /// The fixed severity.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::DamagedIds
            | Self::OtherSeparator
            | Self::BrokenAccents
            | Self::LongNumbers
            | Self::Formulas
            | Self::LostAccents
            | Self::LostZeros
            | Self::DecimalOrThousands => Severity::Hold,
            _ => Severity::Note,
        }
    }

    /// Whether only a comparison with the library shows the finding.
    #[must_use]
    pub fn needs_library(self) -> bool {
        !Self::OF_CELLS.contains(&self)
    }

    /// Whether one cell alone is enough to hold its row.
    #[must_use]
    pub fn holds_singly(self) -> bool {
        self == Self::DamagedIds
    }

    /// Whether the rows concerned are held even if few cells of the column show the finding.
    pub(super) fn holds_few(self) -> bool {
        self == Self::DecimalOrThousands || self.holds_singly()
    }

    /// Whether the finding is shown only where at least half of the cells have it: a single one is nothing
    /// unusual.
    pub(super) fn needs_half(self) -> bool {
        matches!(
            self,
            Self::OuterBlanks | Self::OuterQuotes | Self::ZeroFractions | Self::PossibleSeparator
        )
    }

    /// Whether a cell shows the finding; `false` for findings that need the library.
    #[must_use]
    pub fn is_in(self, kind: CellKind, cell: &str) -> bool {
        use CellKind::{Id, List, Number, OnlyWord, Prose, Text};
        match (self, kind) {
            (Self::OtherSeparator, OnlyWord) => lists::separator_in_word(cell).is_some(),
            (_, OnlyWord) => self.is_in(Text, cell),
            (Self::DamagedIds, Id) => kind.can_show_finding(cell) && numbers::is_long_number(cell),
            (Self::IdIsPath, Id) => cell.contains('/') && !text::is_not_available(cell),
            (Self::OtherSeparator, List { separator }) => {
                lists::other_separator(cell, separator).is_some()
            }
            (Self::PossibleSeparator, List { separator }) => {
                lists::has_possible_separator(cell, separator)
            }
            (Self::CurlyQuotes, List { separator }) => lists::has_curly_quotes(cell, separator),
            (Self::WordQuotes, List { separator }) => lists::has_quoted_word(cell, separator),
            (Self::OuterQuotes, List { separator }) => {
                let is_one_word = text::is_in_quotes(cell) && cell.contains(separator);
                (is_one_word || text::has_apostrophe(cell))
                    && !lists::has_quoted_word(cell, separator)
            }
            (Self::OuterQuotes, Text | Prose) => {
                text::is_in_quotes(cell) || text::has_apostrophe(cell)
            }
            (Self::ZeroFractions, List { separator }) => {
                cell.split(separator).all(numbers::has_zero_fraction)
            }
            (Self::ZeroFractions, Text) => numbers::has_zero_fraction(cell),
            (Self::BrokenAccents, List { .. } | Text | Prose) => has_broken_accents(cell),
            (Self::Dates, List { separator }) => cell.split(separator).any(dates::is_date),
            (Self::Dates, Text) => cell.split(',').any(dates::is_date),
            (Self::InvisibleCharacters, List { .. } | Text) => text::has_invisible_character(cell),
            (Self::InvisibleCharacters, Prose) => text::has_control_character(cell),
            (Self::DecomposedLetters, List { .. } | Text) => text::has_decomposed_letter(cell),
            (Self::OuterBlanks, Text | Prose) => text::has_outer_blank(cell),
            (Self::LongNumbers, Text) => numbers::has_lost_digits(cell),
            (Self::LongNumbers, Prose) => {
                cell.len() <= NUMBER_BYTES_MAX && numbers::has_lost_digits(cell)
            }
            (Self::LongNumbers, List { separator }) => {
                cell.split(separator).any(numbers::has_lost_digits)
            }
            (Self::Formulas, List { .. } | Text | Prose) => text::is_formula(cell),
            (Self::Html, List { .. } | Text | Prose) => {
                markup::has_entity(cell) || markup::has_element(cell)
            }
            (Self::Escapes, List { separator }) => {
                // A JSON array has escapes of its own, which are decoded.
                !lists::begins_array(cell)
                    && (markup::has_escape(cell) || lists::has_escaped_separator(cell, separator))
            }
            (Self::Escapes, Text | Prose) => markup::has_escape(cell),
            (Self::DecimalOrThousands, Number) => numbers::is_decimal_or_thousands(cell),
            _ => false,
        }
    }

    /// What is wrong with a cell, as the end of the sentence "value …".
    #[must_use]
    pub fn problem(self) -> &'static str {
        match self {
            Self::DamagedIds => "is what a spreadsheet makes of a long number; the id is lost",
            Self::OtherSeparator => "has a separator that is not split",
            Self::BrokenAccents => "is UTF-8 that was read in another encoding",
            Self::LongNumbers => {
                "is what a spreadsheet makes of a long number; its digits are lost"
            }
            Self::Formulas => "is a formula, not its value",
            Self::LostAccents => {
                "is that of the library, with ? in place of some letters or without them"
            }
            Self::LostZeros => "differs from the library only in zeros",
            Self::RoundedNumbers => "is the number of the library with fewer digits",
            Self::DecimalOrThousands => {
                "may mean thousands: the sheet has decimal commas, points for thousands, or semicolons between its cells"
            }
            Self::Dates => "may be a word that a spreadsheet turned into a date",
            Self::Booleans => "is a boolean of the workbook, and is sent as a word",
            Self::ZeroFractions => "has a fraction of zero, as data frames write whole numbers",
            Self::PossibleSeparator => "may be several words with a separator that is not split",
            Self::CurlyQuotes => "has curly quotes, which do not quote",
            Self::WordQuotes => "has quotes around a word, which are sent",
            Self::OuterQuotes => {
                "is in quotes as a whole, or begins with an apostrophe, as where a program quotes twice"
            }
            Self::InvisibleCharacters => "has invisible characters",
            Self::DecomposedLetters => "has letters with separate accents",
            Self::TagCase => "differs from a tag of the library only in case",
            Self::TagAccents => {
                "differs from a tag of the library only in how accents are composed"
            }
            Self::RemovedTagSpelling => "is on the file only in another spelling",
            Self::IdIsPath => "is a path or URL",
            Self::OuterBlanks => "begins or ends with a blank, which is sent",
            Self::Html => "has HTML, which is sent as it is",
            Self::Escapes => "has an escape that a program did not decode",
        }
    }

    /// The fix of a cell. `separator` is the character at which lists are split; `None` for a word of an
    /// array, which is not split.
    pub(crate) fn fix_of(self, cell: &str, separator: Option<char>) -> Cow<'static, str> {
        if self != Self::OtherSeparator {
            return self.fix().into();
        }
        let separator = separator.filter(|_| !lists::begins_array(cell));
        let Some(separator) = separator else {
            return r#"write each word as an element of the array: ["a","b"]"#.into();
        };
        let other = match lists::other_separator(cell, separator) {
            Some("\t") => "tab".to_owned(),
            Some(other) if is_one_printed_character(other) => format!("'{other}'"),
            _ => return "separate the words with commas".into(),
        };
        if separator == ',' {
            return format!("pass --list-separator {other}, or separate the words with commas")
                .into();
        }
        // The option is right for other columns, so it stays.
        format!(
            "separate the words with {separator} as in the other columns, or write a JSON array"
        )
        .into()
    }

    /// The flag that lets rows with the finding pass.
    #[must_use]
    pub fn accept_flag(self) -> String {
        format!("--accept {self}")
    }

    /// The fix, as an imperative.
    #[must_use]
    pub fn fix(self) -> &'static str {
        match self {
            Self::DamagedIds => "export again with the id column as text, or copy the id into it",
            Self::OtherSeparator => "pass --list-separator, or separate the words with commas",
            Self::BrokenAccents => "export the sheet again, and open it as UTF-8",
            Self::LongNumbers | Self::LostZeros => "export again with the column as text",
            Self::Formulas => "show the values instead of the formulas, and export again",
            Self::LostAccents => "export the sheet again as UTF-8",
            Self::RoundedNumbers => {
                "show all digits before saving, or save the sheet as XLSX, which keeps them"
            }
            Self::DecimalOrThousands => "pass --locale, like --locale de or --locale en-US",
            Self::Dates => "check the cells, and format the column as text",
            Self::Booleans => "check whether the cell is in the right column",
            Self::ZeroFractions => "export the column as whole numbers, or as text",
            Self::PossibleSeparator => "separate the words with commas, unless it is one name",
            Self::CurlyQuotes => "replace them by straight quotes around the cell",
            Self::WordQuotes | Self::OuterQuotes => {
                "export the sheet again with \" around cells only, or delete the quotes"
            }
            Self::InvisibleCharacters => "remove them, or two tags will look the same",
            Self::DecomposedLetters => "export the sheet in Unicode's composed form (NFC)",
            Self::TagCase => "use the spelling of the library, or two tags will differ in case",
            Self::TagAccents => "use the letters of the library; the two tags only look the same",
            Self::RemovedTagSpelling => {
                "use the spelling of the file; nothing is removed by this one"
            }
            Self::IdIsPath => "name the column filePath or url",
            Self::OuterBlanks => "write no blanks beside the delimiters",
            Self::Html => "export the text without HTML",
            Self::Escapes => "export the sheet again with the characters themselves",
        }
    }
}

/// Whether a separator can be passed to `--list-separator` as it is seen.
fn is_one_printed_character(separator: &str) -> bool {
    let mut characters = separator.chars();
    characters.next().is_some_and(|c| !c.is_whitespace()) && characters.next().is_none()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Finding {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|finding| finding.as_str() == text);
        known.ok_or("not a finding, such as other-separator; a preview names those of a sheet")
    }
}
