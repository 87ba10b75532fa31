//! The kinds of findings.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::accents::has_broken_accents;
use super::text;

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
    /// Texts of the library with question marks in place of their letters beyond ASCII.
    LostAccents,
    /// Values that differ from the library only in leading zeros or `.0`.
    LostZeros,
    /// Numbers that are those of the library, rounded to fewer digits.
    RoundedNumbers,
    /// Numbers such as `1.234` in a sheet with decimal commas: the point may separate thousands.
    DecimalOrThousands,
    /// Dates in place of words, such as `1-Mar`.
    Dates,
    /// Curly quotes around words of a list.
    CurlyQuotes,
    /// Zero-width, direction, no-break and control characters, which make look-alike words.
    InvisibleCharacters,
    /// Letters with separate accents, which look like composed letters.
    DecomposedLetters,
    /// Tags that differ from tags of the library only in case.
    TagCase,
    /// Tags that differ from tags of the library only in how accents are composed.
    TagAccents,
    /// Tags to remove that the file has only in another case.
    RemovedTagCase,
    /// Paths or URLs in the column of ids.
    IdIsPath,
    /// Blanks at the beginning or end of texts, as in a sheet with aligned columns.
    OuterBlanks,
    /// HTML entities, such as `&amp;`, from a page or a feed.
    HtmlEntities,
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
    /// A short text.
    Text,
    /// A text in sentences.
    Prose,
    /// A number, in the spelling of any language.
    Number,
}

impl Finding {
    /// Every finding.
    pub const ALL: [Self; 20] = [
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
        Self::CurlyQuotes,
        Self::InvisibleCharacters,
        Self::DecomposedLetters,
        Self::TagCase,
        Self::TagAccents,
        Self::RemovedTagCase,
        Self::IdIsPath,
        Self::OuterBlanks,
        Self::HtmlEntities,
        Self::Escapes,
    ];

    /// The findings that a cell alone shows.
    pub(super) const OF_CELLS: [Self; 14] = [
        Self::DamagedIds,
        Self::OtherSeparator,
        Self::BrokenAccents,
        Self::LongNumbers,
        Self::Formulas,
        Self::DecimalOrThousands,
        Self::Dates,
        Self::CurlyQuotes,
        Self::InvisibleCharacters,
        Self::DecomposedLetters,
        Self::IdIsPath,
        Self::OuterBlanks,
        Self::HtmlEntities,
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
            Self::CurlyQuotes => "curly-quotes",
            Self::InvisibleCharacters => "invisible-characters",
            Self::DecomposedLetters => "decomposed-letters",
            Self::TagCase => "tag-case",
            Self::TagAccents => "tag-accents",
            Self::RemovedTagCase => "removed-tag-case",
            Self::IdIsPath => "id-is-path",
            Self::OuterBlanks => "outer-blanks",
            Self::HtmlEntities => "html-entities",
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

    /// Whether the finding is shown only where most cells of the column have it.
    pub(super) fn needs_most(self) -> bool {
        self == Self::OuterBlanks
    }

    /// Whether a cell shows the finding; `false` for findings that need the library.
    #[must_use]
    pub fn is_in(self, kind: CellKind, cell: &str) -> bool {
        use CellKind::{Id, List, Number, Prose, Text};
        match (self, kind) {
            (Self::DamagedIds, Id) => kind.can_show_finding(cell) && text::is_long_number(cell),
            (Self::IdIsPath, Id) => cell.contains('/') && !text::is_not_available(cell),
            (Self::OtherSeparator, List { separator }) => {
                text::other_separator(cell, separator).is_some()
            }
            (Self::CurlyQuotes, List { separator }) => text::has_curly_quotes(cell, separator),
            (Self::BrokenAccents, List { .. } | Text | Prose) => has_broken_accents(cell),
            (Self::Dates, List { separator }) => cell.split(separator).any(text::is_date),
            (Self::Dates, Text) => cell.split(',').any(text::is_date),
            (Self::InvisibleCharacters, List { .. } | Text) => text::has_invisible_character(cell),
            (Self::InvisibleCharacters, Prose) => text::has_control_character(cell),
            (Self::DecomposedLetters, List { .. } | Text) => text::has_decomposed_letter(cell),
            (Self::OuterBlanks, Text | Prose) => text::has_outer_blank(cell),
            (Self::LongNumbers, Text) => text::has_lost_digits(cell),
            (Self::LongNumbers, List { separator }) => {
                cell.split(separator).any(text::has_lost_digits)
            }
            (Self::Formulas, List { .. } | Text | Prose) => text::is_formula(cell),
            (Self::HtmlEntities, List { .. } | Text | Prose) => text::has_entity(cell),
            (Self::Escapes, List { separator }) => {
                // A JSON array has escapes of its own, which are decoded.
                let is_array = cell.trim_start().starts_with('[');
                !is_array
                    && (text::has_escape(cell) || text::has_escaped_separator(cell, separator))
            }
            (Self::Escapes, Text | Prose) => text::has_escape(cell),
            (Self::DecimalOrThousands, Number) => text::is_decimal_or_thousands(cell),
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
            Self::LostAccents => "is that of the library, with ? in place of its letters",
            Self::LostZeros => "differs from the library only in zeros",
            Self::RoundedNumbers => "is the number of the library with fewer digits",
            Self::DecimalOrThousands => {
                "may mean thousands: the sheet has decimal commas, points for thousands, or semicolons between its cells"
            }
            Self::Dates => "may be a word that a spreadsheet turned into a date",
            Self::CurlyQuotes => "has curly quotes, which do not quote",
            Self::InvisibleCharacters => "has invisible characters",
            Self::DecomposedLetters => "has letters with separate accents",
            Self::TagCase => "differs from a tag of the library only in case",
            Self::TagAccents => {
                "differs from a tag of the library only in how accents are composed"
            }
            Self::RemovedTagCase => "is on the file only in another case",
            Self::IdIsPath => "is a path or URL",
            Self::OuterBlanks => "begins or ends with a blank, which is sent",
            Self::HtmlEntities => "has an HTML entity, which is sent as it is",
            Self::Escapes => "has an escape that a program did not decode",
        }
    }

    /// The fix of a cell, if lists are split at this character.
    pub(crate) fn fix_of(self, cell: &str, separator: char) -> Cow<'static, str> {
        let other = Some(self).filter(|it| *it == Self::OtherSeparator);
        match other.and_then(|_| text::other_separator(cell, separator)) {
            None => Cow::Borrowed(self.fix()),
            Some(other) if separator == ',' => {
                let shown = if other == '\t' { "tab".to_owned() } else { format!("'{other}'") };
                format!("pass --list-separator {shown}, or separate the words with commas").into()
            }
            // The option is right for other columns, so it stays.
            Some(_) => format!(
                "separate the words with {separator} as in the other columns, or write a JSON array"
            )
            .into(),
        }
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
            Self::DamagedIds => "export again with the id column as text",
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
            Self::CurlyQuotes => "replace them by straight quotes around the cell",
            Self::InvisibleCharacters => "remove them, or two tags will look the same",
            Self::DecomposedLetters => "export the sheet in Unicode's composed form (NFC)",
            Self::TagCase => "use the spelling of the library, or two tags will differ in case",
            Self::TagAccents => "use the letters of the library; the two tags only look the same",
            Self::RemovedTagCase => "use the spelling of the file; nothing is removed by this one",
            Self::IdIsPath => "name the column filePath or url",
            Self::OuterBlanks => "write no blanks beside the delimiters",
            Self::HtmlEntities => "export the text without HTML",
            Self::Escapes => "export the sheet again with the characters themselves",
        }
    }
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
        known.ok_or("not a finding: see docs/reference/findings.md for their names")
    }
}
