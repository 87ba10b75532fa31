//! The usage reports of the account.

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Deserialize;

use crate::usage::Period;

/// What extensions were charged in a period: `GET /v1/accounts/usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct ChargedUnits {
    /// Units of all extensions.
    #[serde(rename = "extensionUnitsCount")]
    pub(crate) units: u64,
}

/// What ran in a period: `GET /v1/accounts/usage-analytics`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Analytics {
    /// The extensions that ran.
    pub(crate) extensions: Vec<Operations>,
}

/// How often an extension ran.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Operations {
    /// Its name.
    pub(crate) name: String,
    /// Number of runs.
    #[serde(rename = "operationCount")]
    pub(crate) runs: u64,
}

/// Path and query of the units; the API does not include the day `endDate`.
pub(super) fn units_path(period: Period) -> String {
    path("usage", period.first(), day_after(period.last()))
}

/// Path and query of the runs; the API includes the day `endDate`, which must follow `startDate`. Only
/// the current day is a period of its own, and the day after it has no runs yet.
pub(super) fn analytics_path(period: Period) -> String {
    let last = period.last().max(day_after(period.first()));
    path("usage-analytics", period.first(), last)
}

fn path(report: &str, start: Date, end: Date) -> String {
    format!("/v1/accounts/{report}?startDate={start}&endDate={end}")
}

fn day_after(day: Date) -> Date {
    day.saturating_add(1.day())
}
