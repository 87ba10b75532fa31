//! Words that a spreadsheet turned into dates.

use super::numbers::is_digits;

/// Short names of months in lower case, as spreadsheets print them in Western Europe.
const MONTHS: [&str; 38] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    "jän", "mrz", "mär", "mai", "maj", "mrt", "mei", "okt", "dez", "des", "janv", "févr", "mars",
    "avr", "juin", "juil", "août", "déc", "ene", "abr", "ago", "dic", "fev", "giu", "lug",
];

/// Short names of months in other languages, and those that are words too. They count only without a blank:
/// `Set 1` is no date.
const MONTHS_OR_WORDS: [&str; 69] = [
    "gen", "mag", "set", "ott", "out", "sty", "lut", "kwi", "cze", "lip", "sie", "wrz", "paź",
    "lis", "gru", "oca", "şub", "nis", "haz", "tem", "ağu", "eyl", "eki", "kas", "ara", "янв",
    "фев", "мар", "апр", "май", "мая", "июн", "июл", "авг", "сен", "сент", "окт", "ноя", "нояб",
    "дек", "січ", "лют", "бер", "кві", "тра", "чер", "лип", "сер", "вер", "жов", "гру", "márc",
    "ápr", "máj", "jún", "júl", "szept", "ian", "ιαν", "φεβ", "μαρ", "απρ", "ιουν", "ιουλ", "αυγ",
    "σεπ", "οκτ", "νοε", "δεκ",
];

/// Whether a word is a date as spreadsheets print them without a year or a day: `1-Mar`, `Sep-07`, `3月1日`.
/// After a month, a day or year has two digits.
pub(super) fn is_date(word: &str) -> bool {
    let word = word.trim();
    if word.ends_with(['日', '일', '月', '월']) {
        return is_east_asian_date(word);
    }
    let Some((first, second)) = word.split_once(['-', ' ', '/', '.']) else {
        return false;
    };
    let is_apart = second.starts_with(' ') || word[first.len()..].starts_with(' ');
    let (first, second) = (first.trim_end_matches('.'), second.trim().trim_end_matches('.'));
    let is_month = |text: &str| {
        let is_in_capitals = text.chars().nth(1).is_some_and(char::is_uppercase);
        let text = text.to_lowercase();
        !is_in_capitals
            && (MONTHS.contains(&text.as_str())
                || !is_apart && MONTHS_OR_WORDS.contains(&text.as_str()))
    };
    let is_day = |text: &str| matches!(text.len(), 1..=2) && is_digits(text);
    is_day(first) && is_month(second) || is_month(first) && second.len() == 2 && is_digits(second)
}

/// Whether a word is a date as spreadsheets print them in Japanese, Chinese or Korean: `3月1日`, `3월 1일`.
fn is_east_asian_date(word: &str) -> bool {
    let is_number = |text: &str| matches!(text.len(), 1..=2) && is_digits(text);
    let Some((month, day)) = word.split_once(['月', '월']) else { return false };
    let day = day.trim().trim_end_matches(['日', '일']);
    is_number(month.trim()) && is_number(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_place_of_words_are_recognized() {
        for text in [
            "1-Mar",
            "red,2-Sep",
            "Sep-07",
            "03. Mrz",
            "15-Dez",
            "Mrz. 07",
            "Mrz 07",
            "1-мар",
            "01.мар",
            "мар.07",
            "1-sty",
            "01.Oca",
            "1-mrt",
            "1/set",
            "01-maj",
            "03. Jän",
            "3月1日",
            "3월 1일",
            "03월 01일",
        ] {
            assert!(text.split(',').any(is_date), "{text}");
        }
        for text in [
            "March",
            "1-marble",
            "Mar",
            "a-Mar",
            "12-13",
            "may be",
            "May-2026-x",
            "Set 1",
            "Gen 2",
            "May 4",
            "MAR-1",
            "DEC 10",
            "Mag. 3",
            "3月",
            "月",
            "100月1日",
            "毎月1日",
            "1.2",
        ] {
            assert!(!text.split(',').any(is_date), "{text}");
        }
    }
}
