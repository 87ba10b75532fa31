//! The confirmation question, and which answers confirm.

use ikbulk::engine::{PlanSummary, Prices, Runs};
use ikbulk::internals::{plural, thousands};

/// Thousands separators that people type.
const SEPARATORS: [char; 9] = [',', '.', '_', '\'', '’', ' ', '\u{a0}', '\u{2009}', '\u{202f}'];

/// A question about the previewed requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// Confirmed by `y` or `yes`.
    YesOrNo(String),
    /// Confirmed by typing this number. Used for billed extensions, since people type `y` by habit.
    Number(String, u64),
}

impl Confirmation {
    /// The question for a preview.
    pub(super) fn of(summary: &PlanSummary, prices: &Prices, has_too_many_invalid: bool) -> Self {
        let invalid = if has_too_many_invalid { invalid_rows(summary) } else { String::new() };
        if summary.extension_runs.is_empty() {
            let what = if has_too_many_invalid { "the rest" } else { "this" };
            return Self::YesOrNo(format!("{invalid}Send {what}?"));
        }
        let what = if has_too_many_invalid { "The rest" } else { "This" };
        let BilledRuns { runs, price, number, unit } =
            BilledRuns::of(&summary.extension_runs, prices);
        let text = format!(
            "{invalid}{what} runs {runs} ({price}). Type {number}{unit} to confirm, anything else to \
             cancel:"
        );
        Self::Number(text, number)
    }
}

fn invalid_rows(summary: &PlanSummary) -> String {
    let (rows, are) =
        (plural(summary.rows, "row", "rows"), if summary.rejected == 1 { "is" } else { "are" });
    format!("{} of {rows} {are} invalid, more than --max-bad allows. ", thousands(summary.rejected))
}

/// The billed extension runs of a preview.
struct BilledRuns {
    /// How often each extension runs, as text.
    runs: String,
    price: String,
    /// The number to type: the units, or the number of runs if a price is unknown.
    number: u64,
    /// Text after the number: what it counts, if not units.
    unit: &'static str,
}

impl BilledRuns {
    fn of(billed: &Runs, prices: &Prices) -> Self {
        let runs = billed.iter().map(|(name, count)| {
            let often = if count == 1 { "once" } else { &format!("{} times", thousands(count)) };
            format!("{} {often}", name.as_str())
        });
        let runs = runs.collect::<Vec<_>>().join(" and ");
        let units = billed.units(prices);
        let mut price = plural(units, "unit", "units");
        let unpriced = billed.unpriced(prices);
        if unpriced.is_empty() {
            return Self { runs, price, number: units, unit: "" };
        }
        let unpriced: Vec<_> = unpriced.iter().map(|(name, _)| name.as_str()).collect();
        price = match units {
            0 => "units unknown".to_owned(),
            _ => format!("{price}, plus unknown units for {}", unpriced.join(" and ")),
        };
        Self { runs, price, number: billed.total(), unit: ", the number of runs," }
    }
}

/// Whether an answer is `y` or `yes`.
pub(super) fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Whether an answer is this number, with or without thousands separators.
pub(super) fn is_number(answer: &str, number: u64) -> bool {
    let (first, rest) = match answer.trim().split_once(SEPARATORS) {
        Some((first, rest)) => (first, rest.split(SEPARATORS).collect()),
        None => (answer.trim(), Vec::new()),
    };
    let is_grouped = matches!(first.len(), 1..=3) && rest.iter().all(|group| group.len() == 3);
    let digits = format!("{first}{}", rest.concat());
    // `parse` would accept a sign.
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    (rest.is_empty() || is_grouped) && is_plain && digits.parse() == Ok(number)
}

#[cfg(test)]
mod tests {
    use ikbulk::engine::ExtensionName;

    use super::*;

    fn question(rows: u64, rejected: u64, runs: &[(ExtensionName, u64)]) -> Confirmation {
        let extension_runs = runs.iter().copied().collect();
        let writes = rows - rejected;
        let summary =
            PlanSummary { rows, rejected, writes, extension_runs, ..PlanSummary::default() };
        Confirmation::of(&summary, &Prices::default(), summary.rejected_share() > 0.02)
    }

    #[test]
    fn unbilled_runs_take_yes_and_mention_invalid_rows() {
        let yes = |text: &str| Confirmation::YesOrNo(text.to_owned());
        assert_eq!(question(68, 1, &[]), yes("Send this?"));
        let invalid = "7 of 68 rows are invalid, more than --max-bad allows. Send the rest?";
        assert_eq!(question(68, 7, &[]), yes(invalid));
        for (answer, means_yes) in [("y\n", true), (" YES ", true), ("", false), ("yep", false)] {
            assert_eq!(is_yes(answer), means_yes, "{answer:?}");
        }
    }

    #[test]
    fn billed_runs_require_typing_units_or_run_count() {
        let number = |text: &str, number| Confirmation::Number(text.to_owned(), number);
        let (remove_bg, describe) = (ExtensionName::RemoveBg, ExtensionName::AiAutoDescription);
        assert_eq!(
            question(10_000, 0, &[(remove_bg, 10_000)]),
            number(
                "This runs remove-bg 10,000 times (1,300,000 units). Type 1300000 to confirm, \
                 anything else to cancel:",
                1_300_000
            )
        );
        assert_eq!(
            question(1, 0, &[(ExtensionName::AwsAutoTagging, 1)]),
            number(
                "This runs aws-auto-tagging once (1 unit). Type 1 to confirm, anything else to \
                 cancel:",
                1
            )
        );
        assert_eq!(
            question(10, 4, &[(remove_bg, 2), (describe, 1200)]),
            number(
                "4 of 10 rows are invalid, more than --max-bad allows. The rest runs remove-bg 2 times \
                 and ai-auto-description 1,200 times (260 units, plus unknown units for \
                 ai-auto-description). Type 1202, the number of runs, to confirm, anything else to \
                 cancel:",
                1202
            )
        );
        assert_eq!(
            question(3, 0, &[(describe, 3)]),
            number(
                "This runs ai-auto-description 3 times (units unknown). Type 3, the number of runs, \
                 to confirm, anything else to cancel:",
                3
            )
        );
    }

    #[test]
    fn only_the_exact_number_confirms() {
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
