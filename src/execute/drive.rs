//! The one loop: does what the dispatcher says, tells it what came of it, and keeps the ledger
//! behind it. Decides nothing.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::dispatcher::Dispatcher;
use super::event::{Action, EndReason, Event, NotSent, Ticket};
use super::verdict::{Verdict, from_at_most_once, from_idempotent};
use crate::imagekit::{Accepted, Api, Failure, Fate, FileState};
use crate::ledger::{Checkpoint, Counters, Journal, LedgerError, LedgerFile, Recorded, Recording};
use crate::plan::Batch;
use crate::request::{Idempotent, Request, Sendable};
use crate::row::FileId;

/// How long requests under way may take to finish once the run is to stop.
pub const GRACE: Duration = Duration::from_secs(8);
/// How often whoever watches is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// The far end of the wire, so that the loop can be tested without one.
pub trait Transport {
    /// Whether a request may still be sent; asked right before.
    fn look(&self, _request: &impl Sendable) -> impl Future<Output = Result<(), NotSent>> {
        std::future::ready(Ok(()))
    }
    /// What it has read beside what it was told to, as far as [`super::Reads`] counts.
    fn own_reads(&self) -> Counters {
        Counters::default()
    }
    /// Sends a request that may be repeated.
    fn send(&self, request: &Idempotent) -> impl Future<Output = Result<Accepted, Failure>>;
    /// Sends a request that must not be repeated, and uses it up.
    fn send_at_most_once(&self, recorded: Recorded) -> impl Future<Output = Fate>;
    /// Reads what a file is like.
    fn file_state(&self, file: &FileId) -> impl Future<Output = Result<FileState, Failure>>;
    /// Asks whether the service answers.
    fn probe(&self) -> impl Future<Output = Result<(), Failure>>;
}

impl Transport for Api {
    fn send(&self, request: &Idempotent) -> impl Future<Output = Result<Accepted, Failure>> {
        Self::send(self, request)
    }
    fn send_at_most_once(&self, recorded: Recorded) -> impl Future<Output = Fate> {
        Self::send_at_most_once(self, recorded)
    }
    fn file_state(&self, file: &FileId) -> impl Future<Output = Result<FileState, Failure>> {
        Self::file_state(self, file)
    }
    fn probe(&self) -> impl Future<Output = Result<(), Failure>> {
        Self::probe(self)
    }
}

/// What comes from the reader.
#[derive(Debug)]
pub enum PlannerMessage {
    /// Planned rows.
    Rows(Batch),
    /// The input cannot be read any further.
    Failed(String),
}

/// What the loop works with from the beginning of a session to its end.
pub struct Engine<'e, W, S, P> {
    /// Decides.
    pub dispatcher: Dispatcher,
    /// When its time began.
    pub began: Instant,
    /// The far end.
    pub wire: &'e W,
    /// Comes when the session is to stop.
    pub stop: Pin<&'e mut S>,
    /// Is shown the dispatcher now and then.
    pub watch: P,
}

/// Carries out what comes out of `feed` until it is done or told to stop. Why it ended, the
/// dispatcher knows; the ledger, with all that happened in it, comes back.
///
/// # Errors
/// The ledger cannot be written.
pub async fn drive<W: Transport, S: FusedFuture<Output = EndReason>>(
    engine: &mut Engine<'_, W, S, impl FnMut(&Dispatcher, Duration)>,
    mut journal: Journal,
    mut feed: mpsc::Receiver<PlannerMessage>,
) -> Result<LedgerFile, LedgerError> {
    let Engine { dispatcher, began, wire, stop, watch } = engine;
    let (began, wire) = (*began, *wire);
    let mut attempts = FuturesUnordered::new();
    let mut ledger_failed = pin!(journal.failed().fuse());
    let mut watched = Instant::now();
    let mut timer = pin!(sleep_until(watched));
    let mut last_moment: Option<Instant> = None;
    loop {
        let now = began.elapsed();
        let mut wake = watched + PROGRESS_EVERY;
        match decide(dispatcher, &mut journal, now, |work| {
            attempts.push(attempt(wire, work));
        }) {
            Some(Action::Finished) => break,
            Some(Action::WaitUntil(at)) => wake = wake.min(began + at),
            _ => {}
        }
        let has_room = hand_over(&mut journal, || checkpoint(dispatcher, wire), &mut wake);
        if began + now >= watched + PROGRESS_EVERY {
            watched = began + now;
            watch(dispatcher, now);
        }
        wake = last_moment.map_or(wake, |last| last.min(wake));
        if timer.deadline() != wake {
            timer.as_mut().reset(wake);
        }
        tokio::select! {
            biased;
            ending = stop.as_mut() => {
                last_moment = Some(Instant::now() + GRACE);
                dispatcher.on(Event::Stop(ending), now);
            }
            () = &mut ledger_failed => dispatcher.on(Event::Stop(EndReason::Ledger), now),
            Some(event) = attempts.next(), if !attempts.is_empty() => {
                let now = began.elapsed();
                dispatcher.on(event, now);
                while let Some(Some(event)) = attempts.next().now_or_never() {
                    dispatcher.on(event, now);
                }
            }
            rows = feed.recv(), if dispatcher.wants_rows() && !journal.is_full() => dispatcher.on(match rows {
                Some(PlannerMessage::Rows(batch)) => Event::Admit(batch),
                Some(PlannerMessage::Failed(why)) => Event::Stop(EndReason::Input(why)),
                None => Event::InputEnded,
            }, now),
            () = journal.room(), if !has_room && !ledger_failed.is_terminated() => {}
            () = &mut timer => if last_moment.is_some_and(|last| last <= Instant::now()) {
                break;
            }
        }
    }
    watch(dispatcher, began.elapsed());
    journal.append(dispatcher.ops());
    journal.close(checkpoint(dispatcher, wire)).await
}

/// Lets the dispatcher decide until it wants to wait, and starts what it decides.
fn decide(
    dispatcher: &mut Dispatcher,
    journal: &mut Journal,
    now: Duration,
    mut start: impl FnMut(Work),
) -> Option<Action> {
    // What happened since goes first in any case: the mark that stands beside a group must not be
    // ahead of the group.
    journal.append(dispatcher.ops());
    while !journal.is_full() {
        let action = dispatcher.next(now);
        // What is to be recorded comes behind what has happened.
        journal.append(dispatcher.ops());
        start(match action {
            Action::Send(ticket, Request::Idempotent(safe), _) => Work::Idempotent(ticket, safe),
            Action::Send(ticket, Request::AtMostOnce(once), before) => {
                Work::AtMostOnce(ticket, journal.record(once, &before.unwrap_or_default()))
            }
            Action::Read(ticket, file) => Work::Read(ticket, file),
            Action::Probe => Work::Probe,
            other => return Some(other),
        });
    }
    None
}

/// What stands beside the next group in the ledger, with what the wire has read by itself.
fn checkpoint(dispatcher: &Dispatcher, wire: &impl Transport) -> Checkpoint {
    let checkpoint = dispatcher.checkpoint();
    Checkpoint { counters: checkpoint.counters.and_reads(wire.own_reads()), ..checkpoint }
}

/// Hands the group over to the ledger if it is due; says whether there was room for it.
fn hand_over(
    journal: &mut Journal,
    checkpoint: impl FnOnce() -> Checkpoint,
    wake: &mut Instant,
) -> bool {
    match journal.due() {
        Some(due) if due <= Instant::now() => journal.flush(checkpoint()),
        Some(due) => {
            *wake = due.min(*wake);
            true
        }
        None => true,
    }
}

/// One thing to do on the wire.
enum Work {
    Idempotent(Ticket, Idempotent),
    AtMostOnce(Ticket, Recording),
    Read(Ticket, FileId),
    Probe,
}

async fn attempt<W: Transport>(wire: &W, work: Work) -> Event {
    let event = match work {
        Work::Idempotent(ticket, safe) => match wire.look(&safe).await {
            Ok(()) => {
                let answer = wire.send(&safe).await;
                Event::Answered(ticket, from_idempotent(safe, answer))
            }
            Err(why) => Event::NotSent(ticket, Request::Idempotent(safe), why),
        },
        Work::AtMostOnce(ticket, recording) => attempt_at_most_once(wire, ticket, recording).await,
        Work::Read(ticket, file) => {
            let state = wire.file_state(&file).await;
            let state = state.map(|state| serde_json::to_string(&state).unwrap_or_default());
            Event::Read(ticket, state)
        }
        Work::Probe => Event::Probed(wire.probe().await),
    };
    log(&event);
    event
}

async fn attempt_at_most_once<W: Transport>(
    wire: &W,
    ticket: Ticket,
    recording: Recording,
) -> Event {
    let recorded = match recording.durable().await {
        Ok(recorded) => recorded,
        Err(once) => {
            let (request, message) =
                (Request::AtMostOnce(once), "the ledger cannot be written".into());
            return Event::Answered(ticket, Verdict::NotSent { request, message });
        }
    };
    match wire.look(recorded.once()).await {
        Ok(()) => {
            Event::Answered(ticket, from_at_most_once(wire.send_at_most_once(recorded).await))
        }
        Err(why) => Event::NotSent(ticket, Request::AtMostOnce(recorded.into_request()), why),
    }
}

/// What an operator wants to know of a single answer: nothing of one that is as it should be.
fn log(event: &Event) {
    match event {
        Event::Answered(_, Verdict::Final(outcomes)) => {
            for (step, outcome) in outcomes {
                let (row, kind) = (step.row, step.kind.as_str());
                let message = outcome.message.as_deref().unwrap_or_default();
                tracing::debug!("row {row}, {kind}: {} {message}", outcome.status);
            }
        }
        Event::Answered(_, Verdict::Hold { request, note }) => {
            let endpoint = request.endpoint().as_str();
            let reset = note.reset.map_or("a while".to_owned(), |reset| format!("{reset:?}"));
            tracing::debug!("{endpoint}: 429, to hold for {reset}");
        }
        Event::Answered(_, Verdict::Lost { lost, cause, .. }) => {
            let rows: Vec<String> = lost.steps.iter().map(|step| step.row.to_string()).collect();
            let message = cause.message.as_deref().unwrap_or_default();
            let rows = rows.join(", ");
            tracing::warn!(
                "row {rows}: the answer to a request that must not be repeated is lost: {message}"
            );
        }
        Event::Answered(_, Verdict::Again { cause, .. } | Verdict::Unread { cause, .. }) => {
            tracing::debug!("to be tried again: {}", cause.message.as_deref().unwrap_or_default());
        }
        Event::Answered(_, Verdict::NotSent { message, .. }) => {
            tracing::debug!("not sent: {message}");
        }
        Event::NotSent(_, _, NotSent::Conflict(files)) => {
            let files: Vec<&str> = files.iter().map(FileId::as_str).collect();
            tracing::debug!("moved since it was planned: {}", files.join(", "));
        }
        Event::NotSent(_, _, NotSent::CheckFailed(failure)) => tracing::debug!("{failure}"),
        Event::Read(_, Err(failure)) => tracing::debug!("{failure}"),
        Event::Probed(Err(failure)) => tracing::warn!("ImageKit is out of reach: {failure}"),
        _ => {}
    }
}
