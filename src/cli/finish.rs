//! Carries a prepared session out, writes its reports and says what came of it.

use std::future::Future;

use futures_util::FutureExt;

use super::bounds::Deadline;
use super::{NOT_WRITTEN, Refusal, Screen};
use crate::account::state_dir::StateDir;
use crate::error::chain;
use crate::execute::{Dispatcher, Ending, Reads, Stop};
use crate::imagekit::Api;
use crate::ledger::{Facts, LedgerFile};
use crate::plan::Planner;
use crate::report::{Before, Progress, closing, write};
use crate::run::{AccountLock, Guarded, PaidWork, RunDir, Session, SessionError, note_writing};
use crate::sandbox;

/// A session that only has to be carried out.
pub(super) struct Ready {
    pub(super) session: Session,
    pub(super) planner: Planner,
    pub(super) run: RunDir,
    pub(super) facts: Facts,
    pub(super) ledger: LedgerFile,
    /// Where it is remembered what the run buys; `None` where it buys nothing, or from a sandbox of
    /// its own.
    pub(super) paid: Option<PaidWork>,
    pub(super) api: Api,
    /// Where its writes are noted; `None` for a sandbox of its own.
    pub(super) state: Option<StateDir>,
    /// Held until the end.
    pub(super) _locks: Vec<AccountLock>,
    /// Serves until the end.
    pub(super) _sandbox: Option<sandbox::Running>,
}

impl Ready {
    pub(super) async fn finish(
        self: Box<Self>,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
        deadline: Deadline,
    ) -> Result<u8, Refusal> {
        let Self { session, planner, run, facts, ledger, paid, api, state, .. } = *self;
        if let Some(paid) = &paid {
            paid.register(&run, &facts).map_err(|error| Refusal::not_written(&error))?;
        }
        let wrote = || {
            if let Some(state) = &state
                && let Err(error) =
                    note_writing(state, &facts.account, &run, jiff::Timestamp::now())
            {
                tracing::warn!(
                    "the next run cannot tell which files this one has just written: {error}"
                );
            }
        };
        wrote();
        let context = session.context.clone();
        let before = Before::of(&ledger).map_err(|error| Refusal::not_written(&error))?;
        let mut progress = Progress::new(screen.bars(), facts.rows, facts.writes, before);
        let stop = async {
            let signal = std::pin::pin!(signal.fuse());
            let deadline = std::pin::pin!(deadline.passed().fuse());
            let (why, _) = futures_util::future::select(signal, deadline).await.factor_first();
            if why == Stop::Interrupt {
                screen.error("finishing what is under way; Ctrl-C again ends at once");
            }
            Ending::Stopped(why)
        };
        let watch = |dispatcher: &Dispatcher, now| progress.show(dispatcher, now);
        let executed = if facts.guarded {
            let reads = Reads::new(&session.execution);
            let guarded = Guarded::new(api, &ledger, reads);
            let guarded = guarded.map_err(|error| Refusal::not_written(&error))?;
            session.execute(planner, ledger, &guarded, stop, watch).await
        } else {
            session.execute(planner, ledger, &api, stop, watch).await
        };
        progress.finish();
        wrote();
        let (ending, ledger) = executed.map_err(|error| match error {
            error @ (SessionError::Ledger(_) | SessionError::ReadBack(_)) => {
                Refusal::not_written(&error)
            }
            error @ SessionError::Thread(_) => Refusal::of(&error),
        })?;
        let is_remembered = paid.is_none_or(|paid| remember(&paid, &run, &ledger, screen));
        let reports = write(&run, &ledger, &facts, &context, &ending)
            .map_err(|error| Refusal::not_written(&error))?;
        screen.say(&closing(&reports, &ending, run.path(), screen.width()));
        Ok(if is_remembered { reports.summary.exit_code } else { NOT_WRITTEN })
    }
}

/// Remembers what a run has bought, or says that it cannot.
fn remember(paid: &PaidWork, run: &RunDir, ledger: &LedgerFile, screen: &Screen) -> bool {
    let recorded = paid.record(run, ledger);
    if let Err(error) = &recorded {
        screen.error(&format!(
            "what this run bought is not remembered yet: {}; the next run with extensions on this \
             account tries again, keep {} until then",
            chain(error),
            run.path().display()
        ));
    }
    recorded.is_ok()
}
