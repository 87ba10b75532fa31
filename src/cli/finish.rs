//! Carries a prepared session out, writes its reports and says what came of it.

use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::ZonedDateTime;

use super::apply::Bounds;
use super::{Refusal, Screen};
use crate::execute::{Ending, Stop};
use crate::imagekit::Api;
use crate::ledger::{Facts, LedgerFile};
use crate::report::{Progress, closing, write};
use crate::run::{AccountLock, RunDir, Session, SessionError};
use crate::sandbox;

/// A session that only has to be carried out.
pub(super) struct Ready {
    pub(super) session: Session,
    pub(super) run: RunDir,
    pub(super) facts: Facts,
    pub(super) ledger: LedgerFile,
    pub(super) api: Api,
    /// Held until the end.
    pub(super) _lock: Option<AccountLock>,
    /// Serves until the end.
    pub(super) _sandbox: Option<sandbox::Running>,
}

/// When a session stops in good order; `None` never.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Duration>);

impl Deadline {
    /// The earlier of the bounds given.
    pub(super) fn of(bounds: &Bounds) -> Result<Self, Refusal> {
        let duration = bounds.max_duration.map(|span| span.0);
        let at = bounds.stop_at.map(|time| until(&ZonedDateTime::now(), time)).transpose()?;
        Ok(Self([duration, at].into_iter().flatten().min()))
    }

    async fn passed(self) -> Stop {
        match self.0 {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
        Stop::Deadline
    }
}

/// How long it is from `now` to the next time that clocks show `time`.
fn until(now: &ZonedDateTime, time: jiff::civil::Time) -> Result<Duration, Refusal> {
    let impossible = |error: jiff::Error| Refusal::new(format!("--stop-at {time}: {error}"));
    let today = now.with().time(time).build().map_err(impossible)?;
    let next = if &today > now {
        today
    } else {
        let tomorrow = now.tomorrow().map_err(impossible)?;
        tomorrow.with().time(time).build().map_err(impossible)?
    };
    Ok(Duration::try_from(now.duration_until(&next)).unwrap_or_default())
}

impl Ready {
    pub(super) async fn finish(
        self: Box<Self>,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
        deadline: Deadline,
    ) -> Result<u8, Refusal> {
        let Self { session, run, facts, ledger, api, .. } = *self;
        let context = session.context.clone();
        let settled = ledger.settled_rows().map_err(|error| Refusal::not_written(&error))?;
        let mut progress = Progress::new(screen.bars(), facts.rows, settled);
        let stop = async {
            let signal = std::pin::pin!(signal.fuse());
            let deadline = std::pin::pin!(deadline.passed().fuse());
            let either = futures_util::future::select(signal, deadline).await;
            Ending::Stopped(either.factor_first().0)
        };
        let executed = session.execute(ledger, &api, stop, |dispatcher, now| {
            progress.show(dispatcher, now);
        });
        let executed = executed.await;
        progress.finish();
        let (ending, ledger) = executed.map_err(|error| match error {
            SessionError::Ledger(error) => Refusal::not_written(&error),
            error @ SessionError::Thread(_) => Refusal::of(&error),
        })?;
        let reports = write(&run, &ledger, &facts, &context, &ending)
            .map_err(|error| Refusal::not_written(&error))?;
        screen.say(&closing(&reports, &ending, run.path()));
        Ok(reports.summary.exit_code)
    }
}
