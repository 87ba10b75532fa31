//! What billed extensions may still spend: limits per run and per UTC day, and what was spent.
//!
//! A run of an extension is reserved while its request is prepared, so that rows spend in their
//! order, and spent from the moment the request is about to be sent. It is given back only if the
//! request certainly had no effect. So unknown and failed runs count, and the limits hold wherever
//! the process ends.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::plural::{plural, thousands};
use crate::row::{ExtensionName, Extensions, Units};

/// Units per run of each extension: the published ones, and those that a person states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices(BTreeMap<ExtensionName, u64>);

/// The limits of one period. `None` and absent names have no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodLimits {
    /// Maximum units of all extensions together.
    pub units: Option<u64>,
    /// Maximum runs of each extension.
    pub runs: BTreeMap<ExtensionName, u64>,
}

/// The limits of a run and of the day, with the prices that they are calculated with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendingLimits {
    /// For all sessions of a run together.
    pub run: PeriodLimits,
    /// For all runs of the account on one UTC day.
    pub day: PeriodLimits,
    /// Units per run of each extension.
    pub prices: Prices,
}

/// The number of runs of each extension.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs(BTreeMap<ExtensionName, u64>);

/// The extensions that a run spent, by UTC day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent(BTreeMap<Date, Runs>);

/// The extensions of a request that were reserved, and perhaps spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservation {
    day: Date,
    names: Vec<ExtensionName>,
    is_spent: bool,
}

/// Decides whether a request with extensions still fits the limits, and counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowance {
    limits: SpendingLimits,
    /// Of this run, in all of its sessions.
    spent: Spent,
    /// Of requests that are being prepared.
    reserved: Spent,
    /// Of the account's other runs.
    by_others: Spent,
    /// Start of the session; `None` if the limits have no day.
    started: Option<Timestamp>,
}

impl Prices {
    /// States the units per run of an extension.
    pub fn set(&mut self, name: ExtensionName, units: u64) {
        self.0.insert(name, units);
    }

    /// The units per run that a person stated; `None` if none are.
    #[must_use]
    pub fn stated(&self, name: ExtensionName) -> Option<u64> {
        self.0.get(&name).copied()
    }

    /// The units per run: as stated, or as published.
    #[must_use]
    pub fn of(&self, name: ExtensionName) -> Units {
        self.0.get(&name).map_or(name.units(), |units| Units::Known(*units))
    }

    /// The units of runs of an extension; `None` if its price is unknown.
    #[must_use]
    pub fn units(&self, name: ExtensionName, runs: u64) -> Option<u64> {
        match self.of(name) {
            Units::Known(each) => Some(each.saturating_mul(runs)),
            Units::Unknown => None,
        }
    }
}

impl PeriodLimits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.units.is_none() && self.runs.is_empty()
    }

    /// The reason why these runs exceed the limits; `flags` are the suffix of the flags that set
    /// them.
    fn exceeded(&self, runs: &Runs, prices: &Prices, period: &str) -> Option<String> {
        if let Some((name, max)) = self.runs.iter().find(|(name, max)| runs.of(**name) > **max) {
            let max = plural(*max, "run", "runs");
            return Some(format!("the limit of {max} of {} {period} is reached", name.as_str()));
        }
        let max = self.units.filter(|max| runs.units(prices) > *max)?;
        Some(format!("the limit of {} {period} is reached", plural(max, "unit", "units")))
    }
}

impl SpendingLimits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.day.is_empty()
    }

    /// Whether units are limited, for which all prices must be known.
    #[must_use]
    pub fn limits_units(&self) -> bool {
        self.run.units.is_some() || self.day.units.is_some()
    }

    /// Whether the runs of an extension are limited by its name.
    #[must_use]
    pub fn limits_runs_of(&self, name: ExtensionName) -> bool {
        self.run.runs.contains_key(&name) || self.day.runs.contains_key(&name)
    }

    /// The reason why these runs alone exceed a limit; `None` if none does.
    #[must_use]
    pub fn exceeded_by(&self, runs: &Runs) -> Option<String> {
        let of_run = self.run.exceeded(runs, &self.prices, "per run");
        of_run.or_else(|| self.day.exceeded(runs, &self.prices, "per day"))
    }

    /// The flags of the limits that are set, to raise them.
    #[must_use]
    pub fn flags(&self) -> Vec<&'static str> {
        let units = |limits: &PeriodLimits, flag| limits.units.map(|_| flag);
        let runs = |limits: &PeriodLimits, flag| (!limits.runs.is_empty()).then_some(flag);
        let flags = [
            units(&self.run, "--max-units"),
            runs(&self.run, "--max-extension-runs"),
            units(&self.day, "--max-units-per-day"),
            runs(&self.day, "--max-extension-runs-per-day"),
        ];
        flags.into_iter().flatten().collect()
    }

    /// These limits, completed by those that a run has recorded.
    #[must_use]
    pub fn or(self, recorded: Self) -> Self {
        let limits = |given: PeriodLimits, recorded: PeriodLimits| PeriodLimits {
            units: given.units.or(recorded.units),
            runs: recorded.runs.into_iter().chain(given.runs).collect(),
        };
        let prices = recorded.prices.0.into_iter().chain(self.prices.0).collect();
        Self {
            run: limits(self.run, recorded.run),
            day: limits(self.day, recorded.day),
            prices: Prices(prices),
        }
    }
}

impl Runs {
    /// The number of runs of an extension.
    #[must_use]
    pub fn of(&self, name: ExtensionName) -> u64 {
        self.0.get(&name).copied().unwrap_or(0)
    }

    /// Adds runs of an extension.
    pub fn add(&mut self, name: ExtensionName, runs: u64) {
        *self.0.entry(name).or_default() += runs;
    }

    /// The number of runs of all extensions.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The extensions with their number of runs.
    pub fn iter(&self) -> impl Iterator<Item = (ExtensionName, u64)> {
        self.0.iter().map(|(name, runs)| (*name, *runs))
    }

    /// These runs and others together.
    #[must_use]
    pub fn and(mut self, others: &Self) -> Self {
        for (name, runs) in others.iter() {
            self.add(name, runs);
        }
        self
    }

    /// Whether no extension runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// The units of all extensions with a known price.
    #[must_use]
    pub fn units(&self, prices: &Prices) -> u64 {
        self.iter().filter_map(|(name, runs)| prices.units(name, runs)).sum()
    }

    /// The runs of extensions whose price is unknown.
    #[must_use]
    pub fn unpriced(&self, prices: &Prices) -> Self {
        let is_unpriced =
            |(name, runs): &(ExtensionName, u64)| *runs > 0 && prices.of(*name) == Units::Unknown;
        self.iter().filter(is_unpriced).collect()
    }

    /// The runs and units for people, such as `2 remove-bg (260 units)`; `None` if there are none.
    #[must_use]
    pub fn describe(&self, prices: &Prices) -> Option<String> {
        let runs: Vec<String> = self
            .iter()
            .filter(|(_, runs)| *runs > 0)
            .map(|(name, runs)| format!("{} {}", thousands(runs), name.as_str()))
            .collect();
        let units = plural(self.units(prices), "unit", "units");
        let more = if self.unpriced(prices).is_empty() { "" } else { " and more, unknown" };
        (!runs.is_empty()).then(|| format!("{} ({units}{more})", runs.join(", ")))
    }
}

impl FromIterator<(ExtensionName, u64)> for Runs {
    fn from_iter<I: IntoIterator<Item = (ExtensionName, u64)>>(runs: I) -> Self {
        Self(runs.into_iter().collect())
    }
}

impl Spent {
    /// Adds runs of an extension on a day.
    pub fn add(&mut self, day: Date, name: ExtensionName, runs: u64) {
        self.0.entry(day).or_default().add(name, runs);
    }

    /// The days with the runs of each.
    pub fn iter(&self) -> impl Iterator<Item = (Date, &Runs)> {
        self.0.iter().map(|(day, runs)| (*day, runs))
    }

    /// All runs.
    #[must_use]
    pub fn total(&self) -> Runs {
        self.0.values().fold(Runs::default(), Runs::and)
    }

    fn on(&self, day: Date) -> Option<&Runs> {
        self.0.get(&day)
    }

    fn add_each(&mut self, day: Date, names: &[ExtensionName]) {
        for name in names {
            self.add(day, *name, 1);
        }
    }

    fn remove_each(&mut self, day: Date, names: &[ExtensionName]) {
        for name in names {
            if let Some(runs) = self.0.get_mut(&day).and_then(|runs| runs.0.get_mut(name)) {
                *runs = runs.saturating_sub(1);
            }
        }
    }
}

impl Allowance {
    /// The allowance of a session that starts at `started`; `spent` is what earlier sessions of the
    /// run spent, `by_others` what other runs of the account did.
    #[must_use]
    pub(crate) fn new(
        limits: SpendingLimits,
        spent: Spent,
        by_others: Spent,
        started: Timestamp,
    ) -> Self {
        Self { limits, spent, reserved: Spent::default(), by_others, started: Some(started) }
    }

    /// What the run has spent.
    #[must_use]
    pub(crate) fn spent(&self) -> &Spent {
        &self.spent
    }

    /// The units that the run has spent, as far as prices are known.
    #[must_use]
    pub(crate) fn units(&self) -> u64 {
        self.spent.0.values().map(|runs| runs.units(&self.limits.prices)).sum()
    }

    /// Reserves the extensions of a request, `elapsed` after the start of the session.
    ///
    /// # Errors
    /// They do not fit; the reason is for people.
    pub(crate) fn reserve(
        &mut self,
        extensions: &Extensions,
        elapsed: Duration,
    ) -> Result<Reservation, String> {
        let names: Vec<ExtensionName> =
            extensions.as_slice().iter().map(crate::row::Extension::name).collect();
        let day = self.day(elapsed);
        self.check(&names, day)?;
        self.reserved.add_each(day, &names);
        Ok(Reservation { day, names, is_spent: false })
    }

    /// Whether a reservation was made on the current day, `elapsed` after the start of the session: one
    /// of yesterday says nothing about the limit of today.
    pub(crate) fn is_of_today(&self, reservation: &Reservation, elapsed: Duration) -> bool {
        reservation.day == self.day(elapsed)
    }

    /// Counts a reservation as spent: its request is about to be sent.
    pub(crate) fn spend(&mut self, reservation: &mut Reservation) {
        let Reservation { day, names, is_spent } = reservation;
        if !*is_spent {
            self.reserved.remove_each(*day, names);
            self.spent.add_each(*day, names);
            *is_spent = true;
        }
    }

    /// Ends a reservation whose request was not sent, or certainly had no effect.
    pub(crate) fn give_back(&mut self, Reservation { day, names, is_spent }: &Reservation) {
        let from = if *is_spent { &mut self.spent } else { &mut self.reserved };
        from.remove_each(*day, names);
    }

    fn check(&self, names: &[ExtensionName], day: Date) -> Result<(), String> {
        let SpendingLimits { run, day: per_day, prices } = &self.limits;
        if run.is_empty() && per_day.is_empty() {
            return Ok(());
        }
        let with_these = |mut runs: Runs| {
            for name in names {
                runs.add(*name, 1);
            }
            runs
        };
        let of_run = with_these(self.spent.total().and(&self.reserved.total()));
        let of_day = [&self.spent, &self.reserved, &self.by_others].into_iter();
        let of_day = of_day.filter_map(|spent| spent.on(day));
        let of_day = with_these(of_day.fold(Runs::default(), Runs::and));
        let exceeded = run
            .exceeded(&of_run, prices, "per run")
            .or_else(|| per_day.exceeded(&of_day, prices, "per day"));
        exceeded.map_or(Ok(()), Err)
    }

    /// The UTC day, `elapsed` after the start of the session.
    fn day(&self, elapsed: Duration) -> Date {
        utc_day(self.started.unwrap_or_default() + elapsed)
    }
}

/// The day that a limit per day counts this time in.
pub(crate) fn utc_day(time: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(time).date()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::row::testing::extensions_in;

    const HOUR: Duration = Duration::from_hours(1);

    fn remove_bg() -> Extensions {
        extensions_in(r#"[{"name":"remove-bg"}]"#)
    }

    impl Allowance {
        /// Reserves and spends.
        fn take(
            &mut self,
            extensions: &Extensions,
            elapsed: Duration,
        ) -> Result<Reservation, String> {
            let mut reservation = self.reserve(extensions, elapsed)?;
            self.spend(&mut reservation);
            Ok(reservation)
        }
    }

    fn tagging() -> Extensions {
        extensions_in(r#"[{"name":"google-auto-tagging","minConfidence":80,"maxTags":3}]"#)
    }

    fn limits(units: Option<u64>, runs: &[(ExtensionName, u64)]) -> PeriodLimits {
        PeriodLimits { units, runs: runs.iter().copied().collect() }
    }

    /// A session from two hours before midnight in UTC.
    fn allowance(run: PeriodLimits, day: PeriodLimits, by_others: Spent) -> Allowance {
        let started = "2026-11-29T22:00:00Z".parse().expect("a time");
        let limits = SpendingLimits { run, day, prices: Prices::default() };
        Allowance::new(limits, Spent::default(), by_others, started)
    }

    #[test]
    fn units_of_a_run_are_never_exceeded_and_smaller_ones_still_fit() {
        let mut allowance =
            allowance(limits(Some(263), &[]), PeriodLimits::default(), Spent::default());
        let first = allowance.take(&remove_bg(), HOUR).expect("130 of 263");
        allowance.take(&remove_bg(), HOUR).expect("260 of 263");
        let why = allowance.take(&remove_bg(), HOUR).expect_err("390 of 263");
        assert_eq!(why, "the limit of 263 units per run is reached");
        allowance.take(&tagging(), HOUR).expect("262 of 263");
        assert!(allowance.reserve(&tagging(), HOUR).is_err());
        assert_eq!(allowance.units(), 262);
        allowance.give_back(&first);
        assert_eq!(allowance.units(), 132);
        allowance.take(&remove_bg(), HOUR).expect("262 of 263 again");
    }

    #[test]
    fn reservations_count_for_the_limit_but_are_not_spent() {
        let mut allowance =
            allowance(limits(Some(130), &[]), PeriodLimits::default(), Spent::default());
        let reserved = allowance.reserve(&remove_bg(), HOUR).expect("130 of 130");
        assert!(allowance.reserve(&remove_bg(), HOUR).is_err());
        assert_eq!(allowance.units(), 0);
        allowance.give_back(&reserved);
        allowance.take(&remove_bg(), HOUR).expect("130 of 130 again");
        assert_eq!(allowance.units(), 130);
    }

    #[test]
    fn runs_of_one_extension_are_limited_by_its_name() {
        let limits = limits(None, &[(ExtensionName::RemoveBg, 1)]);
        let mut allowance = allowance(limits, PeriodLimits::default(), Spent::default());
        allowance.take(&remove_bg(), HOUR).expect("the first");
        let why = allowance.take(&remove_bg(), HOUR).expect_err("the second");
        assert_eq!(why, "the limit of 1 run of remove-bg per run is reached");
        allowance.take(&tagging(), HOUR).expect("not limited");
    }

    #[test]
    fn a_day_counts_other_runs_and_ends_at_midnight_in_utc() {
        let mut by_others = Spent::default();
        by_others.add(date(2026, 11, 29), ExtensionName::RemoveBg, 1);
        by_others.add(date(2026, 11, 28), ExtensionName::RemoveBg, 5);
        let mut allowance = allowance(PeriodLimits::default(), limits(Some(260), &[]), by_others);
        let today = allowance.take(&remove_bg(), HOUR).expect("260 of 260");
        let why = allowance.take(&remove_bg(), HOUR).expect_err("390 of 260");
        assert_eq!(why, "the limit of 260 units per day is reached");
        allowance.take(&remove_bg(), 2 * HOUR).expect("130 of tomorrow");
        // A reservation of today is none of tomorrow.
        assert!(allowance.is_of_today(&today, HOUR) && !allowance.is_of_today(&today, 2 * HOUR));
        // What was taken today is given back to today.
        allowance.give_back(&today);
        assert_eq!(allowance.spent().on(date(2026, 11, 30)).map(Runs::total), Some(1));
        allowance.take(&remove_bg(), 3 * HOUR).expect("260 of tomorrow");
        assert!(allowance.reserve(&remove_bg(), 3 * HOUR).is_err());
    }

    #[test]
    fn flags_override_recorded_limits_one_by_one() {
        let recorded = SpendingLimits {
            run: limits(Some(5), &[(ExtensionName::RemoveBg, 1), (ExtensionName::AiTasks, 2)]),
            ..SpendingLimits::default()
        };
        let given = SpendingLimits {
            run: limits(None, &[(ExtensionName::RemoveBg, 9)]),
            ..SpendingLimits::default()
        };
        let expected =
            limits(Some(5), &[(ExtensionName::RemoveBg, 9), (ExtensionName::AiTasks, 2)]);
        assert_eq!(given.or(recorded).run, expected);
    }

    #[test]
    fn spent_runs_survive_json_with_their_days_and_names() {
        let mut spent = Spent::default();
        spent.add(date(2026, 11, 29), ExtensionName::GoogleAutoTagging, 3);
        let json = serde_json::to_string(&spent).expect("JSON");
        assert_eq!(json, r#"{"2026-11-29":{"google-auto-tagging":3}}"#);
        assert_eq!(serde_json::from_str::<Spent>(&json).expect("the same"), spent);
    }
}
