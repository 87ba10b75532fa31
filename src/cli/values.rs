//! Parses values of the command line and of settings files.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use ikbulk::engine::{
    Duplicates, ExtensionName, FileId, Format, Locale, NullMeans, Rate, SkipTagged, Units,
};
use ikbulk::internals::plural;
use serde::{Deserialize, Deserializer};

/// Parses the format of an input.
pub(super) fn format() -> impl TypedValueParser<Value = Format> {
    let csv = PossibleValue::new("csv").help("Comma-separated values with a header");
    let jsonl = PossibleValue::new("jsonl").help("One JSON object a line");
    let xlsx = PossibleValue::new("xlsx").help("A worksheet of an Excel workbook");
    let ods = PossibleValue::new("ods").help("A worksheet of an OpenDocument workbook");
    PossibleValuesParser::new([csv, jsonl, xlsx, ods]).map(|name| match name.as_str() {
        "jsonl" => Format::Jsonl,
        "xlsx" => Format::Xlsx,
        "ods" => Format::Ods,
        _ => Format::Csv,
    })
}

/// Parses the effect of a JSON null.
pub(super) fn null_means() -> impl TypedValueParser<Value = NullMeans> {
    let leave = PossibleValue::new(NullMeans::Leave.as_str()).help("The field stays unchanged");
    let clear = PossibleValue::new(NullMeans::Clear.as_str()).help("The field is cleared");
    PossibleValuesParser::new([leave, clear]).map(|name| {
        if name == NullMeans::Leave.as_str() { NullMeans::Leave } else { NullMeans::Clear }
    })
}

/// Parses the character between the words of a list.
pub(super) fn list_separator(text: &str) -> Result<char, &'static str> {
    let mut letters = text.chars();
    match (text, letters.next(), letters.next()) {
        ("tab" | "\\t", ..) => Ok('\t'),
        (_, Some(letter), None) => Ok(letter),
        _ => Err("not a separator: use one character such as ; or the word tab"),
    }
}

/// Parses which rows of one file take effect.
pub(super) fn duplicates() -> impl TypedValueParser<Value = Duplicates> {
    let in_order =
        PossibleValue::new(Duplicates::InOrder.as_str()).help("All; of each field, the last value");
    let last = PossibleValue::new(Duplicates::Last.as_str()).help("The last row only");
    let reject = PossibleValue::new(Duplicates::Reject.as_str())
        .help("None, if they ask for different values");
    PossibleValuesParser::new([in_order, last, reject]).map(|name| {
        let mut named = [Duplicates::Last, Duplicates::Reject].into_iter();
        named.find(|rule| rule.as_str() == name).unwrap_or_default()
    })
}

/// Parses on which files AI tags hold back a tagging extension.
pub(super) fn skip_tagged() -> impl TypedValueParser<Value = SkipTagged> {
    let always = PossibleValue::new("always").help("On every file that has them");
    let unremembered = PossibleValue::new("unremembered")
        .help("Where no earlier run on this machine ran the extension on the file");
    let never = PossibleValue::new("never").help("On no file");
    PossibleValuesParser::new([always, unremembered, never]).map(|name| match name.as_str() {
        "always" => SkipTagged::Always,
        "never" => SkipTagged::Never,
        _ => SkipTagged::Unremembered,
    })
}

/// Parses the id of a file.
pub(super) fn file_id(text: &str) -> Result<FileId, String> {
    FileId::new(text).map_err(|_| "not a file id".to_owned())
}

/// A rate: requests per second, or `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RateText(pub(super) Rate);

impl FromStr for RateText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unlimited" {
            return Ok(Self(Rate::Unlimited));
        }
        match text.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Self(Rate::PerSecond(rate))),
            _ => Err("not a rate: use requests per second, such as 5 or 2.5, or unlimited"),
        }
    }
}

/// A share from 0 to 1: `10%` or `0.1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share(pub(super) f64);

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = match text.strip_suffix('%') {
            Some(percent) => (percent, 100.0),
            None => (text, 1.0),
        };
        match number.trim().parse::<f64>().map(|number| number / unit) {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            _ => Err("not a share: use a percentage or fraction, such as 10% or 0.1"),
        }
    }
}

/// A duration above zero: `30s`, `15m`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span = text.parse::<jiff::SignedDuration>().ok();
        let span = span.and_then(|span| Duration::try_from(span).ok());
        let span = span.filter(|span| !span.is_zero());
        span.map(Self).ok_or("not a duration above 0: use a value such as 30s, 15m or 1h30m")
    }
}

/// A number for one extension: `remove-bg=10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExtensionNumber(pub(super) ExtensionName, pub(super) u64);

impl FromStr for ExtensionNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, number) = text
            .split_once('=')
            .ok_or("use the name of an extension and a number, such as remove-bg=10")?;
        // A saved extension counts as the one that it stands for.
        let known =
            || ExtensionName::ALL.into_iter().filter(|it| *it != ExtensionName::SavedExtension);
        let name = known().find(|it| it.as_str() == name.trim()).ok_or_else(|| {
            let known: Vec<_> = known().map(ExtensionName::as_str).collect();
            format!("{name:?} is not an extension: use one of {}", known.join(", "))
        })?;
        let number = number.trim().parse();
        number.map(|number| Self(name, number)).map_err(|_| "not a whole number".to_owned())
    }
}

/// The units per run of an extension whose price is not published: `ai-tasks=5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExtensionPrice(pub(super) ExtensionName, pub(super) u64);

impl FromStr for ExtensionPrice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // More would be no price, and the units of a run no number.
        const UNITS_MAX: u64 = 1_000_000_000;
        let ExtensionNumber(name, units) = text.parse()?;
        if units > UNITS_MAX {
            return Err(format!("not a price: use at most {UNITS_MAX} units"));
        }
        match name.units() {
            Units::Known(published) if published != units => Err(format!(
                "the price of {} is published: {}",
                name.as_str(),
                plural(published, "unit", "units")
            )),
            _ => Ok(Self(name, units)),
        }
    }
}

/// A local time of day: `06:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeOfDay(pub(super) jiff::civil::Time);

impl FromStr for TimeOfDay {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "not a time of day: use a value such as 06:00 or 18:30")
    }
}

/// Parses a number of rows above zero.
pub(super) fn row_count(text: &str) -> Result<u64, &'static str> {
    let rows = text.parse().ok().filter(|rows| *rows > 0);
    rows.ok_or("not a number of rows: use a number above 0")
}

/// The cell text that clears a field; not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClearToken(pub(super) String);

impl FromStr for ClearToken {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "" => Err("blank: an empty cell leaves its field unchanged, so use a word"),
            token => Ok(Self(token.to_owned())),
        }
    }
}

/// The language and region of numbers and dates: `de`, `en-US`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocaleTag(pub(super) Locale);

impl FromStr for LocaleTag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A limit that can be disabled: a whole number above zero, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CountOrOff(pub(super) Option<std::num::NonZeroU32>);

impl FromStr for CountOrOff {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|number| Self(Some(number))).map_err(|_| "use a number above 0, or off")
    }
}

/// Deserializes a value in the syntax of the command line, from a string or a bare number.
fn deserialize_text<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Integer(i64),
        Float(f64),
        Quoted(String),
    }
    let text = match Value::deserialize(from)? {
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Quoted(text) => text,
    };
    text.parse().map_err(serde::de::Error::custom)
}

macro_rules! deserialize_text {
    ($($value:ty),*) => {$(
        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                deserialize_text(from)
            }
        }
    )*};
}
deserialize_text!(
    RateText,
    Share,
    Span,
    CountOrOff,
    ClearToken,
    ExtensionNumber,
    ExtensionPrice,
    LocaleTag
);

/// Parses a number of a non-zero type.
pub(super) fn above_zero<N: FromStr>(text: &str) -> Result<N, &'static str> {
    text.parse().map_err(|_| "use a whole number above 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_shares_and_durations_are_parsed() {
        assert_eq!("2.5".parse(), Ok(RateText(Rate::PerSecond(2.5))));
        assert_eq!("unlimited".parse(), Ok(RateText(Rate::Unlimited)));
        assert_eq!("10%".parse(), Ok(Share(0.1)));
        assert_eq!("0.25".parse(), Ok(Share(0.25)));
        assert_eq!("1h30m".parse(), Ok(Span(Duration::from_mins(90))));
    }

    #[test]
    fn invalid_rates_shares_and_durations_are_rejected() {
        for text in ["0", "-1", "NaN", "inf", "five", ""] {
            assert!(text.parse::<RateText>().is_err(), "{text}");
        }
        for text in ["101%", "-1%", "1.5", "%", ""] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        for text in ["", "15", "-5m", "0s", "soon"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_row_counts_and_clear_tokens_are_parsed() {
        assert_eq!("06:00".parse(), Ok(TimeOfDay(jiff::civil::time(6, 0, 0, 0))));
        assert!("25:00".parse::<TimeOfDay>().is_err());
        assert_eq!(row_count("1"), Ok(1));
        assert!(row_count("0").is_err());
        assert_eq!(" - ".parse(), Ok(ClearToken("-".to_owned())));
        assert!("  ".parse::<ClearToken>().is_err());
    }
}
