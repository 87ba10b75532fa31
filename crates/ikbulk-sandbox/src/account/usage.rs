//! Usage of extensions by UTC day, as the account's usage reports count it.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use jiff::civil::Date;

/// Runs and units of extensions by UTC day.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage(BTreeMap<Date, Day>);

#[derive(Debug, Clone, Default)]
struct Day {
    runs: BTreeMap<&'static str, u64>,
    units: u64,
}

impl Usage {
    /// Records one run.
    pub(crate) fn record(&mut self, day: Date, extension: &'static str, units: u64) {
        let day = self.0.entry(day).or_default();
        *day.runs.entry(extension).or_default() += 1;
        day.units += units;
    }

    /// Number of units on these days.
    pub(crate) fn units(&self, days: impl RangeBounds<Date>) -> u64 {
        self.0.range(days).map(|(_, day)| day.units).sum()
    }

    /// Number of runs on these days, by extension.
    pub(crate) fn runs(&self, days: impl RangeBounds<Date>) -> BTreeMap<&'static str, u64> {
        let mut total = BTreeMap::new();
        for (extension, runs) in self.0.range(days).flat_map(|(_, day)| &day.runs) {
            *total.entry(*extension).or_default() += runs;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn days_are_selected_by_range() {
        let (first, second) = (date(2026, 2, 28), date(2026, 3, 1));
        let mut usage = Usage::default();
        usage.record(first, "remove-bg", 130);
        usage.record(second, "remove-bg", 130);
        usage.record(second, "ai-tasks", 7);
        assert_eq!(usage.units(first..second), 130);
        assert_eq!(usage.units(first..=second), 267);
        assert_eq!(usage.runs(first..second), [("remove-bg", 1)].into());
        assert_eq!(usage.runs(first..=second), [("ai-tasks", 1), ("remove-bg", 2)].into());
        assert_eq!(usage.units(..first), 0);
    }
}
