//! The run loop: performs the dispatcher's actions, reports results back to it, and appends its
//! operations to the ledger. Makes no decisions.

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
use crate::imagekit::{Accepted, Api, Failure, FileState, SendResult};
use crate::ledger::{Checkpoint, Counters, Journal, LedgerError, LedgerFile, Recorded, Recording};
use crate::plan::Batch;
use crate::request::{Idempotent, Request, Sendable};
use crate::row::FileId;

/// How long requests in flight may take to finish after a stop.
pub(crate) const GRACE: Duration = Duration::from_secs(8);
/// Interval between calls of [`Executor::on_progress`].
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// Sends requests. A trait so that tests can run the loop without a network.
pub(crate) trait Transport {
    /// Checks right before sending whether a request may still be sent.
    fn check(&self, _request: &impl Sendable) -> impl Future<Output = Result<(), NotSent>> {
        std::future::ready(Ok(()))
    }
    /// Reads that the transport made on its own, in addition to requested ones. Only the fields
    /// that [`super::Reads`] counts are set.
    fn own_reads(&self) -> Counters {
        Counters::default()
    }
    /// Sends an idempotent request.
    fn send(&self, request: &Idempotent) -> impl Future<Output = Result<Accepted, Failure>>;
    /// Sends an at-most-once request, which consumes it.
    fn send_at_most_once(&self, recorded: Recorded) -> impl Future<Output = SendResult>;
    /// Reads a snapshot of a file.
    fn file_state(&self, file: &FileId) -> impl Future<Output = Result<FileState, Failure>>;
    /// Probes whether the service responds.
    fn probe(&self) -> impl Future<Output = Result<(), Failure>>;
}

impl Transport for Api {
    fn send(&self, request: &Idempotent) -> impl Future<Output = Result<Accepted, Failure>> {
        Self::send(self, request)
    }
    fn send_at_most_once(&self, recorded: Recorded) -> impl Future<Output = SendResult> {
        Self::send_at_most_once(self, recorded)
    }
    fn file_state(&self, file: &FileId) -> impl Future<Output = Result<FileState, Failure>> {
        Self::file_state(self, file)
    }
    fn probe(&self) -> impl Future<Output = Result<(), Failure>> {
        Self::probe(self)
    }
}

/// What the planner sends to the run loop.
#[derive(Debug)]
pub(crate) enum PlannerMessage {
    /// Planned rows and their requests.
    Rows(Batch),
    /// The input cannot be read any further; contains the reason.
    Failed(String),
}

/// The parts of the run loop that outlive one call of [`drive`].
pub(crate) struct Executor<'e, W, S, P> {
    /// Decides what to send.
    pub dispatcher: Dispatcher,
    /// Origin of the dispatcher's [`Time`](super::Time).
    pub started: Instant,
    /// Sends the requests.
    pub transport: &'e W,
    /// Resolves when the session is to stop.
    pub stop: Pin<&'e mut S>,
    /// Called every 250 ms with the dispatcher and the current time.
    pub on_progress: P,
}

/// Executes what the planner sends through `feed` until everything is done or a stop arrives. The
/// dispatcher holds the end reason. Returns the ledger with every outcome written.
///
/// # Errors
/// The ledger cannot be written.
pub(crate) async fn drive<W: Transport, S: FusedFuture<Output = EndReason>>(
    executor: &mut Executor<'_, W, S, impl FnMut(&Dispatcher, Duration)>,
    mut journal: Journal,
    mut feed: mpsc::Receiver<PlannerMessage>,
) -> Result<LedgerFile, LedgerError> {
    let Executor { dispatcher, started, transport, stop, on_progress } = executor;
    let (started, transport) = (*started, *transport);
    let mut attempts = FuturesUnordered::new();
    let mut ledger_failed = pin!(journal.failed().fuse());
    let mut last_progress = Instant::now();
    let mut timer = pin!(sleep_until(last_progress));
    let mut grace_end: Option<Instant> = None;
    loop {
        let now = started.elapsed();
        let mut wake = last_progress + PROGRESS_INTERVAL;
        match start_ready(dispatcher, &mut journal, now, |work| {
            // Boxed, because it has some thousand bytes, which the collection would move twice.
            attempts.push(Box::pin(attempt(transport, work)));
        }) {
            Some(Action::Finished) => break,
            Some(Action::WaitUntil(at)) => wake = wake.min(started + at),
            _ => {}
        }
        let has_room = flush_if_due(&mut journal, || checkpoint(dispatcher, transport), &mut wake);
        if started + now >= last_progress + PROGRESS_INTERVAL {
            last_progress = started + now;
            on_progress(dispatcher, now);
        }
        wake = grace_end.map_or(wake, |end| end.min(wake));
        if timer.deadline() != wake {
            timer.as_mut().reset(wake);
        }
        tokio::select! {
            biased;
            reason = stop.as_mut() => {
                grace_end = Some(Instant::now() + GRACE);
                dispatcher.on(Event::Stop(reason), now);
            }
            () = &mut ledger_failed => dispatcher.on(Event::Stop(EndReason::Ledger), now),
            Some(event) = attempts.next(), if !attempts.is_empty() => {
                let now = started.elapsed();
                dispatcher.on(event, now);
                while let Some(Some(event)) = attempts.next().now_or_never() {
                    dispatcher.on(event, now);
                }
            }
            rows = feed.recv(), if dispatcher.wants_rows() && !journal.is_full() => dispatcher.on(match rows {
                Some(PlannerMessage::Rows(batch)) => Event::Admit(batch),
                Some(PlannerMessage::Failed(reason)) => Event::Stop(EndReason::Input(reason)),
                None => Event::InputEnded,
            }, now),
            () = journal.room(), if !has_room && !ledger_failed.is_terminated() => {}
            () = &mut timer => if grace_end.is_some_and(|end| end <= Instant::now()) {
                break;
            }
        }
    }
    on_progress(dispatcher, started.elapsed());
    journal.append(dispatcher.ops());
    journal.close(checkpoint(dispatcher, transport)).await
}

/// Starts the dispatcher's actions until it wants to wait; returns that last action, or `None` when
/// the journal is full.
fn start_ready(
    dispatcher: &mut Dispatcher,
    journal: &mut Journal,
    now: Duration,
    mut start: impl FnMut(Work),
) -> Option<Action> {
    // Append first, even if nothing is sent: the checkpoint of a group must not be ahead of its
    // operations.
    journal.append(dispatcher.ops());
    while !journal.is_full() {
        let action = dispatcher.next(now);
        // Intents come after the outcomes that precede them.
        journal.append(dispatcher.ops());
        start(match action {
            Action::Send(ticket, Request::Idempotent(request), _) => {
                Work::Idempotent(ticket, request)
            }
            Action::Send(ticket, Request::AtMostOnce(request), snapshot) => {
                Work::AtMostOnce(ticket, journal.record(request, &snapshot.unwrap_or_default()))
            }
            Action::Read(ticket, file) => Work::Read(ticket, file),
            Action::Probe => Work::Probe,
            other => return Some(other),
        });
    }
    None
}

/// The checkpoint for the next group, including the transport's own reads.
fn checkpoint(dispatcher: &Dispatcher, transport: &impl Transport) -> Checkpoint {
    let checkpoint = dispatcher.checkpoint();
    Checkpoint { counters: checkpoint.counters.and_reads(transport.own_reads()), ..checkpoint }
}

/// Hands the group to the ledger writer if due; returns whether the writer had room.
fn flush_if_due(
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

/// A request that the loop runs concurrently with others.
enum Work {
    Idempotent(Ticket, Idempotent),
    AtMostOnce(Ticket, Recording),
    Read(Ticket, FileId),
    Probe,
}

async fn attempt<W: Transport>(transport: &W, work: Work) -> Event {
    let event = match work {
        Work::Idempotent(ticket, request) => match transport.check(&request).await {
            Ok(()) => {
                let result = transport.send(&request).await;
                Event::Completed(ticket, from_idempotent(request, result))
            }
            Err(reason) => Event::NotSent(ticket, Request::Idempotent(request), reason),
        },
        Work::AtMostOnce(ticket, recording) => {
            attempt_at_most_once(transport, ticket, recording).await
        }
        Work::Read(ticket, file) => {
            let state = transport.file_state(&file).await;
            let state = state.map(|state| serde_json::to_string(&state).unwrap_or_default());
            Event::Read(ticket, state)
        }
        Work::Probe => Event::Probed(transport.probe().await),
    };
    log(&event);
    event
}

async fn attempt_at_most_once<W: Transport>(
    transport: &W,
    ticket: Ticket,
    recording: Recording,
) -> Event {
    let recorded = match recording.durable().await {
        Ok(recorded) => recorded,
        Err(request) => {
            let (request, message) =
                (Request::AtMostOnce(request), "the ledger cannot be written".into());
            return Event::Completed(ticket, Verdict::NotSent { request, message });
        }
    };
    match transport.check(recorded.request()).await {
        Ok(()) => {
            Event::Completed(ticket, from_at_most_once(transport.send_at_most_once(recorded).await))
        }
        Err(reason) => Event::NotSent(ticket, Request::AtMostOnce(recorded.into_request()), reason),
    }
}

/// Logs failures and 429s; successful responses are logged at debug level only.
fn log(event: &Event) {
    match event {
        Event::Completed(_, Verdict::Final(outcomes)) => {
            for (step, outcome) in outcomes {
                let (row, kind) = (step.row, step.kind.as_str());
                let message = outcome.message.as_deref().unwrap_or_default();
                tracing::debug!("row {row}, {kind}: {} {message}", outcome.status);
            }
        }
        Event::Completed(_, Verdict::Throttled { request, note }) => {
            let endpoint = request.endpoint().as_str();
            let reset =
                note.reset.map_or("an unstated time".to_owned(), |reset| format!("{reset:?}"));
            tracing::debug!("{endpoint}: throttled (429), cooling down for {reset}");
        }
        Event::Completed(_, Verdict::ResponseLost { lost, cause, .. }) => {
            let rows: Vec<String> = lost.steps.iter().map(|step| step.row.to_string()).collect();
            let message = cause.message.as_deref().unwrap_or_default();
            let rows = rows.join(", ");
            tracing::warn!(
                "row {rows}: the response to an at-most-once request was lost, its outcome is unknown: {message}"
            );
        }
        Event::Completed(_, Verdict::Retry { cause, .. } | Verdict::ReadFailed { cause, .. }) => {
            tracing::debug!("retrying: {}", cause.message.as_deref().unwrap_or_default());
        }
        Event::Completed(_, Verdict::NotSent { message, .. }) => {
            tracing::debug!("not sent, retrying: {message}");
        }
        Event::NotSent(_, _, NotSent::Conflict(files)) => {
            let files: Vec<&str> = files.iter().map(FileId::as_str).collect();
            tracing::debug!("conflict, changed since it was planned: {}", files.join(", "));
        }
        Event::NotSent(_, _, NotSent::CheckFailed(failure)) => tracing::debug!("{failure}"),
        Event::Read(_, Err(failure)) => tracing::debug!("{failure}"),
        Event::Probed(Err(failure)) => tracing::warn!("ImageKit is unreachable: {failure}"),
        _ => {}
    }
}
