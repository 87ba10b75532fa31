//! What is asked before anything is sent, and which answers count as yes.

use crate::plan::PlanSummary;
use crate::plural::{plural, thousands};
use crate::row::Units;

/// What people put between the thousands of a number.
const SEPARATORS: [char; 9] = [',', '.', '_', '\'', '’', ' ', '\u{a0}', '\u{2009}', '\u{202f}'];

/// A question about what is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Yes or no.
    YesOrNo(String),
    /// About billed work: its number has to be typed, since a `y` is typed by habit.
    Number(String, u64),
}

impl Question {
    /// About what was counted; `None` where nothing is to be sent.
    pub(super) fn about(summary: &PlanSummary, max_bad: f64) -> Option<Self> {
        if summary.writes == 0 {
            return None;
        }
        let is_bad = summary.rejected_share() > max_bad;
        let bad = if is_bad { bad_rows(summary) } else { String::new() };
        if summary.paid_runs.is_empty() {
            let what = if is_bad { "the rest" } else { "this" };
            return Some(Self::YesOrNo(format!("{bad}Send {what}?")));
        }
        let what = if is_bad { "The rest" } else { "This" };
        let Charges { runs, price, number, unit } = Charges::of(summary);
        let text = format!(
            "{bad}{what} runs {runs} ({price}). Type {number}{unit} to send it, anything else to \
             stop:"
        );
        Some(Self::Number(text, number))
    }
}

fn bad_rows(summary: &PlanSummary) -> String {
    let (rows, are) =
        (plural(summary.rows, "row", "rows"), if summary.rejected == 1 { "is" } else { "are" });
    format!("{} of {rows} {are} bad, more than --max-bad allows. ", summary.rejected)
}

/// What billed work comes to.
struct Charges {
    /// How often each extension runs.
    runs: String,
    price: String,
    /// The units, or the runs where some price is not known…
    number: u64,
    /// …and how that is said.
    unit: &'static str,
}

impl Charges {
    fn of(summary: &PlanSummary) -> Self {
        let (mut units, mut times) = (0, 0);
        let (mut runs, mut unpriced) = (Vec::new(), Vec::new());
        for (name, count) in &summary.paid_runs {
            times += count;
            let often = if *count == 1 { "once" } else { &format!("{} times", thousands(*count)) };
            runs.push(format!("{} {often}", name.as_str()));
            match name.units() {
                Units::Known(each) => units += each * count,
                Units::Unknown => unpriced.push(name.as_str()),
            }
        }
        let runs = runs.join(" and ");
        let mut price =
            format!("{} {}", thousands(units), if units == 1 { "unit" } else { "units" });
        if unpriced.is_empty() {
            return Self { runs, price, number: units, unit: "" };
        }
        price = match units {
            0 => "units unknown".to_owned(),
            _ => format!("{price}, and unknown ones for {}", unpriced.join(" and ")),
        };
        Self { runs, price, number: times, unit: ", the number of runs," }
    }
}

/// Whether an answer is a yes.
pub(super) fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Whether an answer is this number, its thousands together or apart.
pub(super) fn is_number(answer: &str, number: u64) -> bool {
    let (first, rest) = match answer.trim().split_once(SEPARATORS) {
        Some((first, rest)) => (first, rest.split(SEPARATORS).collect()),
        None => (answer.trim(), Vec::new()),
    };
    let is_apart = matches!(first.len(), 1..=3) && rest.iter().all(|group| group.len() == 3);
    let digits = format!("{first}{}", rest.concat());
    // A sign would be read as part of a number.
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    (rest.is_empty() || is_apart) && is_plain && digits.parse() == Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::ExtensionName;

    fn asked(rows: u64, rejected: u64, runs: &[(ExtensionName, u64)]) -> Option<Question> {
        let paid_runs = runs.iter().copied().collect();
        let writes = rows - rejected;
        Question::about(
            &PlanSummary { rows, rejected, writes, paid_runs, ..PlanSummary::default() },
            0.02,
        )
    }

    #[test]
    fn unbilled_work_takes_a_yes_and_too_many_bad_rows_are_said() {
        let yes = |text: &str| Some(Question::YesOrNo(text.to_owned()));
        assert_eq!(asked(68, 1, &[]), yes("Send this?"));
        let bad = "7 of 68 rows are bad, more than --max-bad allows. Send the rest?";
        assert_eq!(asked(68, 7, &[]), yes(bad));
        assert_eq!(asked(7, 7, &[]), None, "nothing is to be sent");
        for (answer, means_yes) in [("y\n", true), (" YES ", true), ("", false), ("yep", false)] {
            assert_eq!(is_yes(answer), means_yes, "{answer:?}");
        }
    }

    #[test]
    fn billed_work_takes_its_units_or_where_a_price_is_unknown_its_runs() {
        let number = |text: &str, number| Some(Question::Number(text.to_owned(), number));
        let (remove_bg, describe) = (ExtensionName::RemoveBg, ExtensionName::AiAutoDescription);
        assert_eq!(
            asked(10_000, 0, &[(remove_bg, 10_000)]),
            number(
                "This runs remove-bg 10,000 times (1,300,000 units). Type 1300000 to send it, \
                 anything else to stop:",
                1_300_000
            )
        );
        assert_eq!(
            asked(1, 0, &[(ExtensionName::AwsAutoTagging, 1)]),
            number(
                "This runs aws-auto-tagging once (1 unit). Type 1 to send it, anything else to \
                 stop:",
                1
            )
        );
        assert_eq!(
            asked(10, 4, &[(remove_bg, 2), (describe, 1200)]),
            number(
                "4 of 10 rows are bad, more than --max-bad allows. The rest runs remove-bg 2 times \
                 and ai-auto-description 1,200 times (260 units, and unknown ones for \
                 ai-auto-description). Type 1202, the number of runs, to send it, anything else to \
                 stop:",
                1202
            )
        );
        assert_eq!(
            asked(3, 0, &[(describe, 3)]),
            number(
                "This runs ai-auto-description 3 times (units unknown). Type 3, the number of runs, \
                 to send it, anything else to stop:",
                3
            )
        );
    }

    #[test]
    fn a_number_may_have_its_thousands_apart_and_nothing_else_is_one() {
        for answer in [
            "2300000\n",
            "2,300,000",
            " 2 300 000 ",
            "2.300.000",
            "2'300'000",
            "2_300_000",
            "2\u{a0}300\u{202f}000",
        ] {
            assert!(is_number(answer, 2_300_000), "{answer}");
        }
        for answer in ["", "y", "2300001", "23", "2,3", "2,30,00000", "+2300000", "2300000 units"] {
            assert!(!is_number(answer, 2_300_000), "{answer}");
        }
        assert!(!is_number("2.6", 26) && !is_number("", 0) && !is_number(",260", 260));
    }
}
