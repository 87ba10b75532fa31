//! Reads what the account's extensions cost.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};

use super::Engine;
use super::access::Client;
use super::connection::Connection;
use super::error::{Error, ReadPurpose};
use super::settings::{Consent, prompt};
use super::ui::Ui;
use crate::account::Identity;
use crate::request::Endpoint;
use crate::spending::utc_day;
use crate::usage::{Period, PeriodError, Usage};

/// The usage of an account.
#[derive(Debug)]
pub struct AccountUsage {
    /// The account of the key.
    pub account: Identity,
    /// URL of the API.
    pub endpoint: String,
    /// The UTC days, both included.
    pub period: Period,
    /// Whether the days are over, so that neither units nor runs are added.
    pub is_over: bool,
    /// Units and runs.
    pub usage: Usage,
}

/// The period between these UTC days, both included. It ends today, and has
/// [`Period::DAYS_USUAL`] days, unless they are given.
///
/// # Errors
/// ImageKit has no report of these days.
pub fn usage_period(since: Option<Date>, until: Option<Date>) -> Result<Period, PeriodError> {
    let today = utc_day(Timestamp::now());
    let last = until.unwrap_or(today);
    let usual = || last.saturating_sub((Period::DAYS_USUAL - 1).days());
    Period::new(since.unwrap_or_else(usual), last, today)
}

impl Engine {
    /// Reads the units and the runs of the account's extensions, and measures the price of one that
    /// is not known.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn usage(&self, period: Period, ui: &impl Ui) -> Result<AccountUsage, Error> {
        let settings = &self.settings;
        let client = settings.access.client(prompt(ui, Consent::Ask)).await?;
        let state = settings.open_state()?;
        let connection = Connection::open(client, state, &settings.execution, None).await?;
        let Connection { client, reads, .. } = connection;
        let failed = |failure| Error::Read { purpose: ReadPurpose::Usage, failure };
        let runs = reads.read(Endpoint::Usage, || client.api.analytics(period)).await;
        let runs = runs.map_err(failed)?.extensions.into_iter();
        let units = reads.read(Endpoint::Usage, || client.api.charged_units(period)).await;
        let units = units.map_err(failed)?.units;
        let prices = &settings.spending.prices;
        let usage = Usage::new(units, runs.map(|found| (found.name, found.runs)), prices);
        let Client { identity, endpoint, .. } = client;
        let is_over = period.last() < utc_day(Timestamp::now());
        Ok(AccountUsage { account: identity, endpoint, period, is_over, usage })
    }
}
