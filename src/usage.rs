//! What the account's extensions cost, by its own usage reports: units per run of those whose price is
//! not published, to be measured and then stated with `--price`.

use jiff::civil::Date;

use crate::row::{ExtensionName, Units};
use crate::spending::Prices;

/// UTC days of a report, both included; at most [`Self::DAYS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    first: Date,
    last: Date,
}

/// Why days are not the period of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// The days are not in order.
    #[error("the period ends on {last}, before its first day, {first}")]
    Order {
        /// The first day.
        first: Date,
        /// The last day.
        last: Date,
    },
    /// A day is in the future.
    #[error("the period ends on {last}, and it is {today} (UTC)")]
    Future {
        /// The last day.
        last: Date,
        /// The current day.
        today: Date,
    },
    /// There are too many days.
    #[error("the period has {0} days; ImageKit reports at most {max}", max = Period::DAYS_MAX)]
    TooLong(i32),
    /// It is one day in the past.
    #[error(
        "the period is one day in the past; ImageKit reports the runs of at least two days, or of \
         today"
    )]
    OneDay,
}

impl Period {
    /// Maximum days: the API's dates are less than 90 days apart, and the last one of its usage is
    /// not included.
    pub const DAYS_MAX: i32 = 89;
    /// Days of a period whose first day is not given.
    pub const DAYS_USUAL: i32 = 30;

    /// A period of UTC days, both included.
    ///
    /// # Errors
    /// ImageKit has no report of these days.
    pub fn new(first: Date, last: Date, today: Date) -> Result<Self, PeriodError> {
        let days = last.since(first).map_or(i32::MAX, |span| span.get_days().saturating_add(1));
        if last < first {
            Err(PeriodError::Order { first, last })
        } else if last > today {
            Err(PeriodError::Future { last, today })
        } else if days > Self::DAYS_MAX {
            Err(PeriodError::TooLong(days))
        } else if days == 1 && last != today {
            Err(PeriodError::OneDay)
        } else {
            Ok(Self { first, last })
        }
    }

    /// The first day.
    #[must_use]
    pub fn first(self) -> Date {
        self.first
    }

    /// The last day.
    #[must_use]
    pub fn last(self) -> Date {
        self.last
    }
}

/// What extensions cost in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The extensions that ran.
    pub extensions: Vec<ExtensionUsage>,
    /// Units that the account was charged.
    pub units: u64,
    /// What the two show together.
    pub measurement: Measurement,
}

/// The runs of an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionUsage {
    /// Its name, which may be one that this program does not know.
    pub name: String,
    /// Number of runs.
    pub runs: u64,
    /// Units per run, and how they are known.
    pub price: Price,
}

/// Units per run of an extension, and how they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Price {
    /// ImageKit publishes them.
    Published(u64),
    /// They were stated with `--price`.
    Stated(u64),
    /// The account was charged them.
    Measured(u64),
    /// They are not known.
    Unknown,
}

/// What units and runs show together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measurement {
    /// The units are those of the known prices.
    AsKnown,
    /// The units per run of the only extension without a known price.
    Measured(ExtensionName, u64),
    /// The units that remain for the only extension without a known price are not a multiple of its
    /// runs.
    Varies {
        /// The extension.
        name: String,
        /// The units that remain for it.
        units: u64,
        /// Its runs.
        runs: u64,
    },
    /// These extensions have no known price, so their units cannot be told apart.
    Several(Vec<String>),
    /// The units are not those of the known prices, which would be this many.
    Differs {
        /// Units by the known prices.
        expected: u64,
    },
}

impl Usage {
    /// Divides the units among the runs, by the prices that are known.
    #[must_use]
    pub fn new(units: u64, runs: impl IntoIterator<Item = (String, u64)>, prices: &Prices) -> Self {
        let mut extensions: Vec<ExtensionUsage> = runs
            .into_iter()
            .filter(|(_, runs)| *runs > 0)
            .map(|(name, runs)| {
                let price = Price::known(ExtensionName::parse(&name), prices);
                ExtensionUsage { name, runs, price }
            })
            .collect();
        let expected = extensions.iter().filter_map(ExtensionUsage::units).sum();
        let mut unknown = extensions.iter_mut().filter(|usage| usage.price == Price::Unknown);
        let measurement = match (unknown.next(), unknown.next()) {
            (None, _) if expected == units => Measurement::AsKnown,
            (None, _) => Measurement::Differs { expected },
            (Some(first), Some(second)) => {
                let names = [first, second].into_iter().chain(unknown);
                Measurement::Several(names.map(|usage| usage.name.clone()).collect())
            }
            (Some(only), None) => only.measure(units, expected),
        };
        Self { extensions, units, measurement }
    }
}

impl ExtensionUsage {
    /// The units of its runs; `None` if its price is not known.
    #[must_use]
    pub fn units(&self) -> Option<u64> {
        Some(self.price.units()?.saturating_mul(self.runs))
    }

    /// Measures the units per run from what the others leave.
    fn measure(&mut self, units: u64, of_others: u64) -> Measurement {
        let Some(left) = units.checked_sub(of_others).filter(|left| *left > 0) else {
            return Measurement::Differs { expected: of_others };
        };
        match ExtensionName::parse(&self.name) {
            Some(name) if left % self.runs == 0 => {
                let each = left / self.runs;
                self.price = Price::Measured(each);
                Measurement::Measured(name, each)
            }
            _ => Measurement::Varies { name: self.name.clone(), units: left, runs: self.runs },
        }
    }
}

impl Price {
    fn known(name: Option<ExtensionName>, prices: &Prices) -> Self {
        let Some(name) = name else { return Self::Unknown };
        match (prices.stated(name), name.units()) {
            (Some(units), _) => Self::Stated(units),
            (None, Units::Known(units)) => Self::Published(units),
            (None, Units::Unknown) => Self::Unknown,
        }
    }

    /// Units per run; `None` if they are not known.
    #[must_use]
    pub fn units(self) -> Option<u64> {
        match self {
            Self::Published(units) | Self::Stated(units) | Self::Measured(units) => Some(units),
            Self::Unknown => None,
        }
    }

    /// How they are known, in one word.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::Published(_) => "published",
            Self::Stated(_) => "stated",
            Self::Measured(_) => "measured",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn measured(units: u64, runs: &[(&str, u64)], prices: &Prices) -> Measurement {
        let runs = runs.iter().map(|(name, runs)| ((*name).to_owned(), *runs));
        Usage::new(units, runs, prices).measurement
    }

    #[test]
    fn only_one_unknown_price_is_measured() {
        let mut prices = Prices::default();
        let (ai_tasks, description) = ("ai-tasks", "ai-auto-description");
        let both = [(ai_tasks, 2), (description, 3), ("remove-bg", 1)];
        let names = [ai_tasks, description].map(str::to_owned);
        assert_eq!(measured(164, &both, &prices), Measurement::Several(names.into()));
        prices.set(ExtensionName::AiAutoDescription, 4);
        let found = Measurement::Measured(ExtensionName::AiTasks, 11);
        assert_eq!(measured(130 + 12 + 22, &both, &prices), found);
        let varies = Measurement::Varies { name: ai_tasks.to_owned(), units: 23, runs: 2 };
        assert_eq!(measured(130 + 12 + 23, &both, &prices), varies);
        // Units are reported late.
        let differs = Measurement::Differs { expected: 142 };
        assert_eq!(measured(142, &both, &prices), differs);
        assert_eq!(measured(0, &both, &prices), differs);
        assert_eq!(measured(130, &[("remove-bg", 1)], &prices), Measurement::AsKnown);
        let newer = [("a-newer-extension", 2)];
        assert!(matches!(measured(4, &newer, &prices), Measurement::Varies { .. }));
    }

    #[test]
    fn period_is_one_that_imagekit_reports() {
        let (today, day) = (date(2026, 11, 30), |n| date(2026, 11, n));
        let period = |first, last| Period::new(first, last, today).map(|_| ());
        assert_eq!(period(day(1), today), Ok(()));
        assert_eq!(period(today, today), Ok(()));
        assert_eq!(period(day(3), day(3)), Err(PeriodError::OneDay));
        assert!(matches!(period(day(4), day(3)), Err(PeriodError::Order { .. })));
        assert!(matches!(period(day(4), date(2026, 12, 1)), Err(PeriodError::Future { .. })));
        assert_eq!(period(date(2026, 9, 3), today), Ok(()));
        assert_eq!(period(date(2026, 9, 2), today), Err(PeriodError::TooLong(90)));
    }

    proptest! {
        #[test]
        fn measured_prices_add_up_to_the_units(
            each in 1..1000_u64, runs in 1..1000_u64, others in 0..1000_u64,
        ) {
            let units = each * runs + 2 * others;
            let all = [("ai-tasks", runs), ("google-auto-tagging", others)];
            let all = all.map(|(name, runs)| (name.to_owned(), runs));
            let usage = Usage::new(units, all, &Prices::default());
            let sum: u64 = usage.extensions.iter().filter_map(ExtensionUsage::units).sum();
            prop_assert_eq!(sum, units);
            prop_assert_eq!(usage.measurement, Measurement::Measured(ExtensionName::AiTasks, each));
        }
    }
}
