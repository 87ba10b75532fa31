//! Carries a prepared session out, writes its reports and says what came of it.

use std::future::Future;

use futures_util::FutureExt;

use super::bounds::Deadline;
use super::{Refusal, Screen};
use crate::execute::{Ending, Stop};
use crate::imagekit::Api;
use crate::ledger::{Facts, LedgerFile};
use crate::plan::Planner;
use crate::report::{Progress, closing, write};
use crate::run::{AccountLock, RunDir, Session, SessionError};
use crate::sandbox;

/// A session that only has to be carried out.
pub(super) struct Ready {
    pub(super) session: Session,
    pub(super) planner: Planner,
    pub(super) run: RunDir,
    pub(super) facts: Facts,
    pub(super) ledger: LedgerFile,
    pub(super) api: Api,
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
        let Self { session, planner, run, facts, ledger, api, .. } = *self;
        let context = session.context.clone();
        let settled = ledger.settled_rows().map_err(|error| Refusal::not_written(&error))?;
        let mut progress = Progress::new(screen.bars(), facts.rows, settled);
        let stop = async {
            let signal = std::pin::pin!(signal.fuse());
            let deadline = std::pin::pin!(deadline.passed().fuse());
            let (why, _) = futures_util::future::select(signal, deadline).await.factor_first();
            if why == Stop::Interrupt {
                screen.error("finishing what is under way; Ctrl-C again ends at once");
            }
            Ending::Stopped(why)
        };
        let executed = session.execute(planner, ledger, &api, stop, |dispatcher, now| {
            progress.show(dispatcher, now);
        });
        let executed = executed.await;
        progress.finish();
        let (ending, ledger) = executed.map_err(|error| match error {
            error @ (SessionError::Ledger(_) | SessionError::ReadBack(_)) => {
                Refusal::not_written(&error)
            }
            error @ SessionError::Thread(_) => Refusal::of(&error),
        })?;
        let reports = write(&run, &ledger, &facts, &context, &ending)
            .map_err(|error| Refusal::not_written(&error))?;
        screen.say(&closing(&reports, &ending, run.path(), screen.width()));
        Ok(reports.summary.exit_code)
    }
}
