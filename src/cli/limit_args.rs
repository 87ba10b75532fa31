//! Flags that limit a session: rows, duration and end time.

use std::time::Duration;

use clap::Args;
use ikbulk::engine::{Limits, Settings};
use jiff::ZonedDateTime;
use tokio::time::Instant;

use super::CliError;
use super::help::RUN;
use super::values::{Span, TimeOfDay, row_count};

/// Limits of a session.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LimitArgs {
    /// Send only the next N valid rows, as a pilot; `ikbulk resume` sends the rest
    #[arg(long, value_name = "N", value_parser = row_count)]
    pub(super) limit: Option<u64>,
    /// Stop gracefully after this duration, such as 2h
    #[arg(long, value_name = "DURATION", help_heading = RUN)]
    pub(super) max_duration: Option<Span>,
    /// Stop gracefully at this local time, such as 06:00
    #[arg(long, value_name = "HH:MM", help_heading = RUN)]
    pub(super) stop_at: Option<TimeOfDay>,
    /// Wait for another run on the account instead of exiting with code 75
    #[arg(long, help_heading = RUN)]
    pub(super) wait_lock: bool,
}

/// What a session does with results.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ResultArgs {
    /// Exit with code 1 if extensions are pending at the end
    #[arg(long, help_heading = RUN, hide_short_help = true)]
    fail_on_pending: bool,
    /// Save every file object that ImageKit returns, in responses.jsonl of the run directory
    #[arg(long, help_heading = RUN, hide_short_help = true)]
    save_responses: bool,
}

impl ResultArgs {
    /// Adds these flags to the settings.
    pub(super) fn apply_to(&self, settings: &mut Settings) {
        settings.fails_on_pending = self.fail_on_pending;
        settings.saves_responses = self.save_responses;
    }
}

impl LimitArgs {
    /// The limits of a command that starts now.
    pub(super) fn to_limits(&self) -> Result<Limits, CliError> {
        let duration = self.max_duration.map(|span| span.0);
        let at = self.stop_at.map(|at| until(&ZonedDateTime::now(), at.0)).transpose()?;
        let first = [duration, at].into_iter().flatten().min();
        let deadline = first.and_then(|duration| Instant::now().checked_add(duration));
        Ok(Limits { rows: self.limit, deadline, settle: None, wait_lock: self.wait_lock })
    }
}

/// The time from `now` to the next occurrence of a local time of day.
fn until(now: &ZonedDateTime, time: jiff::civil::Time) -> Result<Duration, CliError> {
    let invalid =
        |error: jiff::Error| CliError::new(format!("--stop-at {time} is not possible: {error}"));
    let today = now.with().time(time).build().map_err(invalid)?;
    let next = if &today > now {
        today
    } else {
        let tomorrow = now.tomorrow().map_err(invalid)?;
        tomorrow.with().time(time).build().map_err(invalid)?
    };
    Ok(Duration::try_from(now.duration_until(&next)).unwrap_or_default())
}
