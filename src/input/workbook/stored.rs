//! Cells as a worksheet stores them: text, and what kind of value it is.

use calamine::ExcelDateTime;

/// What a cell of a worksheet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Stored {
    /// Text, or nothing if it is empty.
    #[default]
    Text = 0,
    /// A number, in decimal notation.
    Number = 1,
    /// `true` or `false`.
    Boolean = 2,
    /// A date, a time or both, in ISO 8601.
    Date = 3,
    /// The error value of a formula, such as `#N/A`.
    Error = 4,
    /// A formula that was never calculated; the text is the formula.
    Formula = 5,
    /// A cell that merged cells cover; the text is their range, such as `C7:C9`.
    Covered = 6,
}

impl Stored {
    /// Room for the numbers of all kinds.
    pub(super) const ROOM: u64 = 8;

    /// The kind with this number.
    pub(super) fn of(number: u64) -> Option<Self> {
        let all = [
            Self::Text,
            Self::Number,
            Self::Boolean,
            Self::Date,
            Self::Error,
            Self::Formula,
            Self::Covered,
        ];
        all.get(usize::try_from(number).ok()?).copied()
    }
}

/// A number in decimal notation, without a fraction if it is whole.
pub(in crate::input) fn number(value: f64) -> String {
    // Adding zero turns -0 into 0.
    (value + 0.0).to_string()
}

/// A date in ISO 8601: with a time unless that is midnight, and without a date if it is a time of day.
pub(super) fn date(value: ExcelDateTime) -> Option<String> {
    let serial = value.as_f64();
    if !(0.0..2_958_466.0).contains(&serial) {
        return None;
    }
    let (year, month, day, hour, minute, second, milli) = value.to_ymd_hms_milli();
    if value.is_duration() {
        return Some(duration(serial));
    }
    let fraction = if milli == 0 { String::new() } else { format!(".{milli:03}") };
    let time = format!("{hour:02}:{minute:02}:{second:02}{fraction}");
    let date = format!("{year:04}-{month:02}-{day:02}");
    Some(match (serial < 1.0, time.as_str()) {
        (true, _) => time,
        (false, "00:00:00") => date,
        (false, _) => format!("{date}T{time}"),
    })
}

/// A span of time in days, as hours, minutes and seconds.
fn duration(days: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "dates are positive and end in the year 9999"
    )]
    let seconds = (days * 86_400.0).round() as u64;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A date that the file has in ISO 8601, without a time if that is midnight.
pub(super) fn iso_date(text: &str) -> &str {
    let midnight = [".000", ""].map(|fraction| format!("T00:00:00{fraction}"));
    let without = midnight.iter().find_map(|time| text.strip_suffix(time.as_str()));
    without.or_else(|| text.strip_suffix("T00:00:00Z")).unwrap_or(text)
}

/// A time of day in the notation of durations, `PT12H30M00S`, as `12:30:00`; other text stays as is.
pub(super) fn iso_duration(text: &str) -> String {
    let parts = || {
        let (hours, rest) = text.strip_prefix("PT")?.split_once('H')?;
        let (minutes, rest) = rest.split_once('M')?;
        let seconds = rest.strip_suffix('S')?;
        let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
        let number = |text: &str| text.parse::<u64>().ok();
        let fraction = fraction.trim_end_matches('0');
        let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
        Some((number(hours)?, number(minutes)?, number(seconds)?, fraction))
    };
    match parts() {
        Some((hours, minutes, seconds, fraction)) => {
            format!("{hours:02}:{minutes:02}:{seconds:02}{fraction}")
        }
        None => text.to_owned(),
    }
}

/// The address of a cell as spreadsheet programs show it: row from 1, column from 0.
pub(crate) fn address(row: u64, column: usize) -> String {
    format!("{}{row}", column_letters(column))
}

/// The letters of a column, from 0: `A`, `Z`, `AA`.
fn column_letters(column: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(b'A' + u8::try_from(rest % 26).unwrap_or_default());
        rest /= 26;
    }
    letters.iter().rev().map(|letter| char::from(*letter)).collect()
}

/// The row, from 1, and the column, from 0, of an address such as `C7`.
pub(super) fn parse_address(text: &str) -> Option<(u32, u32)> {
    let digits = text.find(|c: char| c.is_ascii_digit())?;
    let (letters, row) = text.split_at_checked(digits)?;
    let is_column =
        matches!(letters.len(), 1..=3) && letters.bytes().all(|letter| letter.is_ascii_uppercase());
    if !is_column {
        return None;
    }
    let column =
        letters.bytes().fold(0, |column, letter| column * 26 + u32::from(letter - b'A') + 1);
    let row = row.parse().ok().filter(|row| *row > 0)?;
    Some((row, column - 1))
}

#[cfg(test)]
mod tests {
    use calamine::ExcelDateTimeType::{DateTime, TimeDelta};

    use super::*;

    #[test]
    fn addresses_are_those_of_spreadsheet_programs() {
        for (row, column, text) in
            [(1, 0, "A1"), (7, 2, "C7"), (9, 25, "Z9"), (3, 26, "AA3"), (2, 16_383, "XFD2")]
        {
            assert_eq!(address(row, column), text);
            let parsed = (u32::try_from(row).unwrap(), u32::try_from(column).unwrap());
            assert_eq!(parse_address(text), Some(parsed));
        }
        for text in ["", "7", "C", "C0", "c7", "ABCD1", "C-1", "zzzzzzzzzzzz1", "\u{ff}1"] {
            assert_eq!(parse_address(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        for (value, text) in [
            (5.0, "5"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn dates_have_a_time_where_they_store_one() {
        let read = |value, kind, is_1904| date(ExcelDateTime::new(value, kind, is_1904));
        for (value, text) in [
            (46_350.0, "2026-11-24"),
            (46_350.437_5, "2026-11-24T10:30:00"),
            (0.5, "12:00:00"),
            (0.0, "00:00:00"),
        ] {
            assert_eq!(read(value, DateTime, false).as_deref(), Some(text));
        }
        assert_eq!(read(46_350.0 - 1462.0, DateTime, true).as_deref(), Some("2026-11-24"));
        assert_eq!(read(1.5, TimeDelta, false).as_deref(), Some("36:00:00"));
        assert_eq!(read(-1.0, DateTime, false), None);
        assert_eq!(iso_date("2026-11-24T00:00:00"), "2026-11-24");
        assert_eq!(iso_duration("PT12H30M00S"), "12:30:00");
        assert_eq!(iso_duration("PT08H05M01.5000000S"), "08:05:01.5");
        assert_eq!(iso_duration("P1D"), "P1D");
        assert_eq!(iso_date("2026-11-24T10:00:00"), "2026-11-24T10:00:00");
    }
}
