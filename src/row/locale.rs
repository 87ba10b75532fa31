//! Reads numbers, dates and booleans as people write them in their language.
//!
//! The field's type tells what a cell is, and most cells can then be read in one way only: `12,5`,
//! `24.11.2026`, `WAHR`. Cells with two readings (`1,234`, `03/04/2026`) need a [`Locale`].

use std::str::FromStr;

use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::findings::is_number_separator;

/// Languages that write decimals with a comma.
const COMMA_LANGUAGES: &str = "de fr es it nl pl pt ru sv da nb nn no fi cs sk hu tr el hr sl ro bg uk \
                               sr lt lv et is ca gl eu id vi mk sq bs be az hy ka kk";
/// Other languages that are known.
const POINT_LANGUAGES: &str = "en ja zh ko he th ms hi ar";
/// Regions whose decimals have a point although the language has a comma.
const POINT_REGIONS: &str = "CH LI MX PE DO GT HN NI PA PR SV US";

/// Words for yes and no, in lower case, those of databases and data frames among them.
const YES: &str = "true yes 1 t y 1.0 on j s v ✓ ✔ 是 はい 예 wahr ja vrai oui vero sì verdadero sí si verdadeiro sim waar prawda tak \
                   pravda ano áno истина да sant sann sand tosi kyllä igaz igen doğru evet αληθης ναι";
const NO: &str = "false no 0 f n 0.0 off ✗ ✘ 否 いいえ 아니요 falsch nein faux non falso não nao onwaar nee fałsz nie nepravda ne ложь \
                  нет falskt nej usann nei falsk epätosi ei hamis nem yanlış yanliş hayır hayir ψευδης \
                  οχι";

/// How a language and region write numbers and dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locale {
    has_decimal_comma: bool,
    /// Whether dates with two readings begin with the day; `None` if the tag does not tell.
    begins_with_day: Option<bool>,
}

/// Tags of which at least one reads like any locale.
const TAGS: [&str; 5] = ["de", "en-US", "en-GB", "en", "hu"];

impl Locale {
    /// A tag of a locale that reads the same; `None` if none is known.
    #[must_use]
    pub(crate) fn tag(self) -> Option<&'static str> {
        TAGS.into_iter().find(|tag| tag.parse() == Ok(self))
    }
}

impl FromStr for Locale {
    type Err = &'static str;

    /// Parses a tag such as `de`, `en-US` or `pt_BR`.
    fn from_str(tag: &str) -> Result<Self, Self::Err> {
        let (language, region) = tag.split_once(['-', '_']).unwrap_or((tag, ""));
        let (language, region) = (language.to_ascii_lowercase(), region.to_ascii_uppercase());
        let is_in = |list: &str, word: &str| list.split_ascii_whitespace().any(|item| item == word);
        let has_comma = is_in(COMMA_LANGUAGES, &language);
        if !has_comma && !is_in(POINT_LANGUAGES, &language) {
            return Err("not a known language: use a tag such as de, fr-CH or en-US");
        }
        let begins_with_day = match (language.as_str(), region.as_str()) {
            ("en", "" | "CA" | "ZA") | ("ja" | "zh" | "ko" | "hu" | "lt", _) => None,
            ("en", region) => Some(region != "US"),
            _ => Some(true),
        };
        Ok(Self { has_decimal_comma: has_comma && !is_in(POINT_REGIONS, &region), begins_with_day })
    }
}

/// A cell that can be read in two ways.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ambiguous {
    /// Both readings.
    pub(super) readings: [String; 2],
}

/// Whether a word means yes or no, in any language; `None` for anything else.
pub(super) fn boolean(word: &str) -> Option<bool> {
    let lower = word.to_lowercase();
    let is_in = |words: &str| words.split_ascii_whitespace().any(|word| word == lower);
    if is_in(YES) { Some(true) } else { is_in(NO).then_some(false) }
}

/// Reads a number with a decimal comma or with groups of thousands; `None` if it is none.
pub(super) fn number(text: &str, locale: Option<Locale>) -> Result<Option<Number>, Ambiguous> {
    let (sign, digits) = match text.strip_prefix(['-', '−']) {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.chars().all(|c| c.is_ascii_digit() || is_number_separator(c)) {
        return Ok(None);
    }
    let number = |decimal: Option<char>| {
        let (whole, fraction) = match decimal {
            Some(decimal) => digits.rsplit_once(decimal)?,
            None => (digits, ""),
        };
        let whole = ungrouped(whole, |c| Some(c) != decimal && is_number_separator(c))?;
        let is_fraction = fraction.bytes().all(|byte| byte.is_ascii_digit());
        let point = if fraction.is_empty() { "" } else { "." };
        is_fraction.then(|| format!("{sign}{whole}{point}{fraction}"))
    };
    let readings = match locale.map(|locale| locale.has_decimal_comma) {
        Some(true) if digits.contains(',') => [number(Some(',')), None],
        Some(false) if digits.contains('.') => [number(Some('.')), None],
        Some(_) if number(None).is_some() => [number(None), None],
        _ => {
            let decimal = digits.rfind([',', '.']).and_then(|at| digits.get(at..)?.chars().next());
            [decimal.and_then(|decimal| number(Some(decimal))), number(None)]
        }
    };
    match readings {
        [Some(one), Some(other)] if one != other => Err(Ambiguous { readings: [one, other] }),
        [one, other] => Ok(one.or(other).and_then(|text| parse(&text))),
    }
}

fn parse(text: &str) -> Option<Number> {
    match text.parse::<i64>() {
        Ok(number) => Some(number.into()),
        Err(_) => text.parse().ok().and_then(Number::from_f64),
    }
}

/// The digits without the separators of thousands; `None` if they are not groups of three.
fn ungrouped(digits: &str, is_separator: impl Fn(char) -> bool) -> Option<String> {
    let groups: Vec<&str> = digits.split(&is_separator).collect();
    let [first, rest @ ..] = groups.as_slice() else { return None };
    let are_groups = rest.iter().all(|group| group.len() == 3)
        && (rest.is_empty() || matches!(first.len(), 1..=3) && !first.starts_with('0'));
    let is_one_kind = {
        let mut separators = digits.chars().filter(|c| is_separator(*c));
        let kind = separators.next();
        separators.all(|other| Some(other) == kind)
    };
    (are_groups && is_one_kind && !first.is_empty() && groups.iter().all(|group| is_number(group)))
        .then(|| groups.concat())
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a date with its parts in another order than ISO 8601, with or without a time; `None` if it
/// is none.
pub(super) fn date(text: &str, locale: Option<Locale>) -> Result<Option<String>, Ambiguous> {
    let (date, time) = split_time(text);
    let Some(time) = iso_time(time) else { return Ok(None) };
    if let Some(date) = date_with_month_name(date) {
        return Ok(Some(format!("{date}{time}")));
    }
    let Some(separator) = date.chars().find(|c| !c.is_ascii_digit()) else { return Ok(None) };
    let parts: Vec<&str> = date.split(separator).collect();
    let [first, second, third] = parts[..] else { return Ok(None) };
    if !matches!(separator, '.' | '/' | '-') || !parts.iter().all(|part| is_number(part)) {
        return Ok(None);
    }
    let iso = |year: &str, month: &str, day: &str| {
        let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
        Some(format!("{date}{time}"))
    };
    if first.len() == 4 {
        return Ok(iso(first, second, third));
    }
    if third.len() != 4 {
        return Ok(None);
    }
    let (day_first, month_first) = (iso(third, second, first), iso(third, first, second));
    let begins_with_day = locale.and_then(|locale| locale.begins_with_day);
    // Dates with points begin with the day everywhere.
    match (separator == '.', begins_with_day, day_first, month_first) {
        (true, _, day_first, _) => Ok(day_first),
        (_, Some(true), Some(date), _) | (_, Some(false), _, Some(date)) => Ok(Some(date)),
        (_, _, Some(one), Some(other)) if one != other => Err(Ambiguous { readings: [one, other] }),
        (_, _, one, other) => Ok(one.or(other)),
    }
}

/// The date and the time of a text, without what is between them.
fn split_time(text: &str) -> (&str, &str) {
    let Some(colon) = text.find(':') else { return (text, "") };
    let (before, _) = text.split_at(colon);
    let hour = before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (date, time) = text.split_at(hour);
    (date.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ',' | 'T')), time)
}

/// A date whose month is an English word, as `Nov 24, 2026` and `24-NOV-2026`.
fn date_with_month_name(text: &str) -> Option<Date> {
    const FORMATS: [&str; 8] = [
        "%b %d, %Y",
        "%B %d, %Y",
        "%b %d %Y",
        "%B %d %Y",
        "%d %b %Y",
        "%d %B %Y",
        "%d-%b-%Y",
        "%d-%B-%Y",
    ];
    if !text.contains(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    // A year of two digits is not one of the first century.
    let is_full = |date: &Date| date.year() >= 1000;
    FORMATS.into_iter().find_map(|format| Date::strptime(format, text).ok()).filter(is_full)
}

/// A time after `T`; empty for no time and for midnight, which spreadsheets add to dates.
fn iso_time(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    let (clock, offset) = match without_end(text, &["UTC", "GMT", "Z"]) {
        Some(clock) => (clock, "Z".to_owned()),
        None => split_offset(text)?,
    };
    let half = |ends: &[&str], added| Some((without_end(clock, ends)?, Some(added)));
    let half = half(&["AM", "a.m."], 0).or_else(|| half(&["PM", "p.m."], 12));
    let (clock, hours_added) = half.unwrap_or((clock, None));
    if !clock.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.')) {
        return None;
    }
    let (hour, rest) = clock.split_at(clock.find(':')?);
    let hour: u8 = hour.parse().ok()?;
    let hour = match hours_added {
        Some(added) => (1..=12).contains(&hour).then_some(hour % 12 + added)?,
        None => hour,
    };
    let time: Time = format!("{hour:02}{rest}").parse().ok()?;
    let is_midnight = time == Time::midnight() && offset.is_empty();
    Some(if is_midnight { String::new() } else { format!("T{time}{offset}") })
}

/// The time and its offset from UTC, such as `+01:00`, which may be empty; `None` if it is none.
fn split_offset(text: &str) -> Option<(&str, String)> {
    let Some(at) = text.find(['+', '-']) else { return Some((text, String::new())) };
    let (clock, offset) = text.split_at(at);
    let (sign, offset) = offset.split_at(1);
    let digits = offset.replacen(':', "", 1);
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { "00" } else { minutes };
    let is_offset = is_number(&digits)
        && minutes.len() == 2
        && hours.parse::<u8>().is_ok_and(|hours| hours <= 14)
        && minutes.parse::<u8>().is_ok_and(|minutes| minutes < 60);
    is_offset.then(|| (clock.trim_end(), format!("{sign}{hours}:{minutes}")))
}

/// The text before one of these ends, in any case.
fn without_end<'t>(text: &'t str, ends: &[&str]) -> Option<&'t str> {
    ends.iter().find_map(|end| {
        let (before, last) = text.split_at_checked(text.len().checked_sub(end.len())?)?;
        last.eq_ignore_ascii_case(end).then(|| before.trim_end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, locale: Option<&str>) -> Option<String> {
        let locale = locale.map(|tag| tag.parse().expect("a locale"));
        number(text, locale).ok().flatten().map(|number| number.to_string())
    }

    #[test]
    fn numbers_with_one_reading_need_no_locale() {
        for (text, expected) in [
            ("12,5", "12.5"),
            ("-0,25", "-0.25"),
            ("1.234,56", "1234.56"),
            ("1,234.56", "1234.56"),
            ("1 234,5", "1234.5"),
            ("1\u{202f}234", "1234"),
            ("1'234.50", "1234.5"),
            ("1.234.567", "1234567"),
            ("12345,678", "12345.678"),
            ("0,123", "0.123"),
        ] {
            assert_eq!(read(text, None).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn numbers_with_two_readings_need_a_locale() {
        assert!(number("1,234", None).is_err());
        assert_eq!(read("1,234", Some("de")).as_deref(), Some("1.234"));
        assert_eq!(read("1,234", Some("en-US")).as_deref(), Some("1234"));
        assert_eq!(read("1.234", Some("de")).as_deref(), Some("1234"));
        assert_eq!(read("1.234", Some("de-CH")).as_deref(), Some("1.234"));
        for text in ["12,5,6", "1,23,456", ",5", "12,5 €", "1.2.3", "", "a"] {
            assert_eq!(number(text, None), Ok(None), "{text}");
        }
    }

    #[test]
    fn dates_with_one_reading_need_no_locale() {
        for (text, expected) in [
            ("24.11.2026", "2026-11-24"),
            ("3.4.2026", "2026-04-03"),
            ("24/11/2026", "2026-11-24"),
            ("11/24/2026", "2026-11-24"),
            ("2026/11/24", "2026-11-24"),
            ("24-11-2026 10:30", "2026-11-24T10:30:00"),
            ("24.11.2026 00:00:00", "2026-11-24"),
            ("04/04/2026", "2026-04-04"),
            ("11/24/2026 9:05", "2026-11-24T09:05:00"),
            ("2026-11-24 9:05", "2026-11-24T09:05:00"),
            ("2026/11/24 9:05:07", "2026-11-24T09:05:07"),
            ("24.11.2026, 09:05", "2026-11-24T09:05:00"),
            ("11/24/2026, 12:05:00 AM", "2026-11-24T00:05:00"),
            ("11/24/2026 9:05\u{202f}PM", "2026-11-24T21:05:00"),
            ("24/11/2026 12:00 p.m.", "2026-11-24T12:00:00"),
            ("2026-11-24 09:05:00 UTC", "2026-11-24T09:05:00Z"),
            ("2026/11/24 00:00:00 GMT", "2026-11-24T00:00:00Z"),
            ("2026-11-24 9:05+09:00", "2026-11-24T09:05:00+09:00"),
            ("24.11.2026 00:00:00 +0100", "2026-11-24T00:00:00+01:00"),
            ("11/24/2026 9:05 PM -05", "2026-11-24T21:05:00-05:00"),
            ("Nov 24, 2026", "2026-11-24"),
            ("24-NOV-2026", "2026-11-24"),
            ("3 November 2026 9:05 am", "2026-11-03T09:05:00"),
        ] {
            assert_eq!(date(text, None), Ok(Some(expected.to_owned())), "{text}");
        }
        for text in [
            "24.11.26",
            "32.1.2026",
            "13/13/2026",
            "soon",
            "2026",
            "1.2",
            "24-Nov-26",
            "24.11.2026 13:05 PM",
            "24.11.2026 25:00",
            "24.11.2026 9:5",
            "9:05",
            ":",
            "24.11.2026 x:05",
            "24.11.2026 10:30[Europe/Berlin]",
            "24.11.2026 10:30+1",
            "24.11.2026 10:30+99:00",
        ] {
            assert_eq!(date(text, None), Ok(None), "{text}");
        }
    }

    #[test]
    fn dates_with_two_readings_need_a_locale() {
        let locale = |tag: &str| Some(tag.parse().expect("a locale"));
        assert!(date("03/04/2026", None).is_err());
        assert!(date("03/04/2026", locale("en")).is_err());
        assert_eq!(date("03/04/2026", locale("en-GB")), Ok(Some("2026-04-03".to_owned())));
        assert_eq!(date("03/04/2026", locale("en-US")), Ok(Some("2026-03-04".to_owned())));
        assert_eq!(date("03/04/2026", locale("fr")), Ok(Some("2026-04-03".to_owned())));
    }

    #[test]
    fn booleans_are_read_in_every_language() {
        for word in
            ["t", "Y", "1.0", "J", "on", "是", "WAHR", "vrai", "ja", "Sí", "ИСТИНА", "DOĞRU"]
        {
            assert_eq!(boolean(word), Some(true), "{word}");
        }
        for word in
            ["f", "N", "0.0", "off", "否", "FALSCH", "faux", "nein", "não", "YANLIŞ", "EPÄTOSI"]
        {
            assert_eq!(boolean(word), Some(false), "{word}");
        }
        assert_eq!(boolean("maybe"), None);
        assert!("xx".parse::<Locale>().is_err());
    }
}
