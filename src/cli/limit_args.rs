//! How far a session goes, and when it stops.

use std::time::Duration;

use clap::Args;
use jiff::ZonedDateTime;
use tokio::time::{Instant, sleep_until};

use super::values::{Span, TimeOfDay, row_count};
use super::{CliError, NOT_ATTEMPTED};
use crate::execute::Stop;

/// How far a session goes.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LimitArgs {
    /// Send only the first N rows, as a pilot, or the next N of a run that is resumed; `ikbulk resume`
    /// does the rest
    #[arg(long, value_name = "N", value_parser = row_count)]
    pub(super) limit: Option<u64>,
    /// Stop in good order after this time
    #[arg(long, value_name = "TIME")]
    pub(super) max_duration: Option<Span>,
    /// Stop in good order at this local time, like 06:00
    #[arg(long, value_name = "HH:MM")]
    pub(super) stop_at: Option<TimeOfDay>,
    /// Wait for another run on this account to end, instead of giving up
    #[arg(long)]
    pub(super) wait_lock: bool,
}

/// When a command stops gracefully, counted from its start: reading and waiting for a lock take time,
/// too. `None` never.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// The earlier of the bounds given, for a command that starts now.
    pub(super) fn of(limits: &LimitArgs) -> Result<Self, CliError> {
        let duration = limits.max_duration.map(|span| span.0);
        let at = limits.stop_at.map(|at| until(&ZonedDateTime::now(), at.0)).transpose()?;
        let first = [duration, at].into_iter().flatten().min();
        Ok(Self(first.and_then(|duration| Instant::now().checked_add(duration))))
    }

    /// Comes back when it is time.
    pub(super) async fn passed(self) -> Stop {
        match self.0 {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
        Stop::Deadline
    }

    /// Prepares a run until it is time.
    pub(super) async fn within<T>(
        self,
        prepare: impl Future<Output = Result<T, CliError>>,
    ) -> Result<T, CliError> {
        tokio::select! {
            biased;
            prepared = prepare => prepared,
            _ = self.passed() => Err(CliError {
                message: "the deadline was reached before anything was sent; every row is still open"
                    .to_owned(),
                exit_code: NOT_ATTEMPTED,
            }),
        }
    }
}

/// How long it is from `now` to the next time that clocks show `time`.
fn until(now: &ZonedDateTime, time: jiff::civil::Time) -> Result<Duration, CliError> {
    let impossible = |error: jiff::Error| CliError::new(format!("--stop-at {time}: {error}"));
    let today = now.with().time(time).build().map_err(impossible)?;
    let next = if &today > now {
        today
    } else {
        let tomorrow = now.tomorrow().map_err(impossible)?;
        tomorrow.with().time(time).build().map_err(impossible)?
    };
    Ok(Duration::try_from(now.duration_until(&next)).unwrap_or_default())
}
