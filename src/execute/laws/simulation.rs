//! Simulates a run on virtual time: performs the dispatcher's actions as the real loop does, responds as
//! the fake API, and records the history.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use crate::execute::event::{Action, Event, Ticket};
use crate::execute::{Dispatcher, EndReason, Stop, from_at_most_once, from_idempotent};
use crate::imagekit::{Accepted, Failure, RateLimitHeaders, SendResult};
use crate::ledger::{Checkpoint, Counters, Op};
use crate::outcome::Code;
use crate::plan::{Batch, RowProgress};
use crate::request::{
    AtMostOnce, Call, Endpoint, Idempotent, Request, Sendable, StepKind, StepRef,
};
use crate::row::FileId;
use crate::sent::Sent;

use super::history::{History, Ledger, Observed, Purpose, SentRequest, Sheet};
use super::scenario::{FIRST_ROW, RealLimit, Response, Scenario, plan};

/// A simulation with more steps is considered an endless loop.
const STEPS_MAX: u64 = 3_000_000;

/// Where a simulated session ends early, and whether its loop is punctual.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SessionOptions {
    /// The run is stopped at this time.
    pub(crate) stop_at: Option<Duration>,
    /// The program crashes after this many steps.
    pub(crate) crash_after: Option<u64>,
    /// The loop wakes up to 3 ms late.
    pub(crate) wakes_late: bool,
}

/// The state left by earlier sessions.
#[derive(Debug, Clone, Default)]
pub(crate) struct PriorState {
    pub(crate) ledger: Ledger,
    /// The first row to plan again; the rows before are settled.
    pub(crate) from: Option<u64>,
}

/// Simulates a whole run.
pub(crate) fn simulate(scenario: &Scenario) -> History {
    simulate_with(scenario, SessionOptions::default(), &PriorState::default())
}

/// Simulates one session.
pub(crate) fn simulate_with(
    scenario: &Scenario,
    options: SessionOptions,
    prior: &PriorState,
) -> History {
    let mut simulation = Simulation::new(scenario, options, prior);
    simulation.run();
    simulation.history.settled = simulation.dispatcher.done_by_status();
    simulation.history.writes = simulation.dispatcher.writes();
    simulation.history
}

enum InFlight {
    Idempotent(Ticket, Idempotent),
    AtMostOnce(Ticket, AtMostOnce),
    Read(Ticket),
    Probe,
}

struct Simulation<'s> {
    scenario: &'s Scenario,
    options: SessionOptions,
    sheet: Sheet,
    dispatcher: Dispatcher,
    history: History,
    now: Duration,
    /// Planned batches and when they arrive.
    batches: VecDeque<(Duration, Batch)>,
    input_ended: bool,
    /// Times of the responses to the requests in flight.
    response_times: BinaryHeap<Reverse<(Duration, usize)>>,
    requests_in_flight: HashMap<usize, (InFlight, Response)>,
    /// Number of attempts by request and purpose.
    attempt_counts: HashMap<(usize, u8), u64>,
    /// The request for which each ticket has read a snapshot.
    snapshot_for: HashMap<Ticket, usize>,
    /// What the last request of each step carried.
    carried: HashMap<StepRef, Sent>,
    ledger: Ledger,
    checkpoint: Checkpoint,
    throttle_once: Vec<(Duration, Endpoint, RateLimitHeaders)>,
    bucket: Option<Bucket>,
    delay_rng: fastrand::Rng,
}

impl<'s> Simulation<'s> {
    fn new(scenario: &'s Scenario, options: SessionOptions, prior: &PriorState) -> Self {
        Self {
            scenario,
            options,
            sheet: Sheet::of(scenario),
            dispatcher: Dispatcher::new(&scenario.execution, Counters::default()),
            history: History::default(),
            now: Duration::ZERO,
            batches: batches(scenario, prior),
            input_ended: false,
            response_times: BinaryHeap::new(),
            requests_in_flight: HashMap::new(),
            attempt_counts: HashMap::new(),
            snapshot_for: HashMap::new(),
            carried: HashMap::new(),
            ledger: prior.ledger.clone(),
            checkpoint: Checkpoint::default(),
            throttle_once: scenario.api.throttle_once.clone(),
            bucket: scenario.api.real_limit.map(Bucket::new),
            delay_rng: fastrand::Rng::with_seed(scenario.api.seed),
        }
    }

    fn run(&mut self) {
        loop {
            let wake = match self.decide() {
                Decision::Wait(wake) => wake,
                Decision::End => return,
            };
            if !self.wait(wake) {
                return;
            }
        }
    }

    fn observe(&mut self, observed: Observed) {
        if let Observed::Recorded(op) = &observed {
            self.check_sent(op);
            self.ledger.apply(op);
        }
        self.history.events.push((self.now, observed));
    }

    /// Checks that an operation records what the last request of its step carried.
    fn check_sent(&self, op: &Op) {
        if let Op::Outcome { step, attempts, sent, .. } = op {
            let carried = self.carried.get(step).filter(|_| *attempts > 0);
            assert_eq!(sent, &carried.cloned().unwrap_or_default(), "{step:?}");
        }
    }

    /// Remembers what a request carries.
    fn carry(&mut self, request: &impl Sendable) {
        let sent = |step: &StepRef| (*step, request.call().sent());
        self.carried.extend(request.steps().iter().map(sent));
    }

    /// Records the effects of a dispatcher step; returns false if the program crashes here.
    fn after_step(&mut self) -> bool {
        let ops = std::mem::take(self.dispatcher.ops());
        for op in ops {
            self.observe(Observed::Recorded(op));
        }
        let checkpoint = self.dispatcher.checkpoint();
        if checkpoint.low_water != self.checkpoint.low_water {
            self.observe(Observed::Checkpoint(checkpoint.low_water.map_or(0, |pos| pos.number)));
        }
        self.checkpoint = checkpoint;
        self.history.steps += 1;
        assert!(self.history.steps < STEPS_MAX, "endless loop at {:?}", self.now);
        self.options.crash_after.is_none_or(|crash| self.history.steps < crash)
    }

    fn decide(&mut self) -> Decision {
        loop {
            let action = self.dispatcher.next(self.now);
            if !self.after_step() {
                return Decision::End;
            }
            match action {
                Action::Send(ticket, Request::Idempotent(request), _) => {
                    self.send_idempotent(ticket, request);
                }
                Action::Send(ticket, Request::AtMostOnce(request), before) => {
                    assert!(before.is_some(), "an at-most-once request needs a snapshot");
                    self.send_at_most_once(ticket, request);
                }
                Action::Read(ticket, file) => {
                    let request = self.request_waiting_to_read(&file);
                    self.snapshot_for.insert(ticket, request);
                    let endpoint = Endpoint::GetDetails;
                    let step_mask = u8::MAX;
                    self.send(
                        SentRequest { purpose: Purpose::Read, request, step_mask, endpoint },
                        InFlight::Read(ticket),
                    );
                }
                Action::Probe => {
                    let (purpose, endpoint) = (Purpose::Probe, Endpoint::List);
                    let sent = SentRequest { purpose, request: 0, step_mask: 0, endpoint };
                    self.send(sent, InFlight::Probe);
                }
                Action::WaitUntil(at) => {
                    assert!(at > self.now, "WaitUntil({at:?}) is in the past at {:?}", self.now);
                    return Decision::Wait(Some(at));
                }
                Action::WaitEvent => return Decision::Wait(None),
                Action::Finished => {
                    assert!(self.requests_in_flight.is_empty(), "finished with requests in flight");
                    let reason = self.dispatcher.end_reason().cloned();
                    self.observe(Observed::Ended(
                        reason.expect("a finished run should have a reason"),
                    ));
                    return Decision::End;
                }
            }
        }
    }

    fn send_idempotent(&mut self, ticket: Ticket, request: Idempotent) {
        self.carry(&request);
        let purpose = match request.steps()[0].kind {
            StepKind::DetailsWithoutExtensions => Purpose::DetailsWithoutExtensions,
            _ => Purpose::Send,
        };
        let sent = self.sent_request(purpose, request.steps(), request.call().endpoint());
        self.send(sent, InFlight::Idempotent(ticket, request));
    }

    fn send_at_most_once(&mut self, ticket: Ticket, request: AtMostOnce) {
        self.carry(&request);
        for step in request.steps() {
            self.observe(Observed::Recorded(Op::Intent {
                step: *step,
                snapshot: String::new(),
                sent: request.call().sent(),
            }));
        }
        let sent = self.sent_request(Purpose::Send, request.steps(), request.call().endpoint());
        let snapshot_for = self.snapshot_for.remove(&ticket);
        let is_own_snapshot = snapshot_for == Some(sent.request);
        assert!(is_own_snapshot, "the snapshot was read for another request: {snapshot_for:?}");
        self.send(sent, InFlight::AtMostOnce(ticket, request));
    }

    fn sent_request(&self, purpose: Purpose, steps: &[StepRef], endpoint: Endpoint) -> SentRequest {
        let request = self.sheet.request_of(steps[0]);
        let of_request = self.sheet.requests[request].steps.iter();
        let is_in = |step: &StepRef| steps.iter().any(|sent| sent.row == step.row);
        let bits = of_request.enumerate().map(|(index, step)| u8::from(is_in(step)) << index);
        SentRequest { purpose, request, step_mask: bits.sum(), endpoint }
    }

    /// The request that a read is for: the first open request of the file.
    fn request_waiting_to_read(&self, file: &FileId) -> usize {
        let open = self.sheet.requests.iter().enumerate().find(|(index, request)| {
            request.files.contains(file) && !self.sheet.is_settled_on(file, *index, &self.ledger)
        });
        open.expect("a read should belong to a request").0
    }

    /// The 429 of the enforced limit for a write that arrives now, if it is exceeded.
    fn limit_exceeded(&mut self) -> Option<RateLimitHeaders> {
        self.bucket.as_mut()?.take(self.now).err()
    }

    fn send(&mut self, sent: SentRequest, request_in_flight: InFlight) {
        let id = self.history.requests.len();
        self.history.requests.push(sent);
        self.observe(Observed::Sent(id));
        let request = if sent.purpose == Purpose::Probe { usize::MAX } else { sent.request };
        let attempt = self.attempt_counts.entry((request, sent.purpose as u8)).or_default();
        *attempt += 1;
        let api = &self.scenario.api;
        let key = match self.sheet.requests.get(request) {
            Some(planned) => planned.steps[0].row * 64 + planned.steps[0].kind as u64,
            None => u64::MAX,
        };
        let mut rng = api.rng(key ^ ((sent.purpose as u64) << 40), *attempt);
        let throttled = self
            .throttle_once
            .iter()
            .position(|(from, endpoint, _)| *from <= self.now && *endpoint == sent.endpoint);
        let throttled = throttled.map(|index| self.throttle_once.remove(index).2);
        let row = self.sheet.requests.get(request).map(|planned| planned.steps[0].row);
        let limit_exceeded = match sent.purpose {
            Purpose::Send | Purpose::DetailsWithoutExtensions => self.limit_exceeded(),
            Purpose::Read | Purpose::Probe => None,
        };
        let response = match sent.purpose {
            _ if id < api.script.len() => api.script[id],
            _ if throttled.is_some() => Response::Throttled(throttled.unwrap_or_default()),
            _ if limit_exceeded.is_some() => {
                Response::Throttled(limit_exceeded.unwrap_or_default())
            }
            Purpose::Probe => api.probe_response(self.now, &mut rng),
            _ if row.is_some() && row == api.always_fails => Response::ServerError,
            _ => api.response(self.now, &mut rng),
        };
        let arrival = self.now + api.latency(response, &mut rng);
        self.response_times.push(Reverse((arrival, id)));
        self.requests_in_flight.insert(id, (request_in_flight, response));
    }

    /// Advances to the next event and passes it to the dispatcher; false if the program crashes.
    fn wait(&mut self, wake: Option<Duration>) -> bool {
        let stop = self.options.stop_at;
        let wants_rows = self.dispatcher.wants_rows();
        let rows = match self.batches.front() {
            _ if !wants_rows => None,
            Some((at, _)) => Some((*at).max(self.now)),
            None => (!self.input_ended).then_some(self.now),
        };
        let next_response = self.response_times.peek().map(|Reverse((at, _))| *at);
        let next = [wake, stop, rows, next_response].into_iter().flatten().min();
        let Some(next) = next else {
            panic!("stuck at {:?}: nothing in flight and nothing to do", self.now)
        };
        self.now = self.now.max(next);
        if self.options.wakes_late && self.delay_rng.u8(0..4) == 0 {
            self.now += Duration::from_micros(self.delay_rng.u64(0..3000));
        }
        if stop.is_some_and(|at| at <= self.now) {
            self.options.stop_at = None;
            self.observe(Observed::StopRequested);
            return self.dispatch(Event::Stop(EndReason::Stopped(Stop::Interrupt)));
        }
        if rows.is_some_and(|at| at <= self.now) {
            let event = if let Some((_, batch)) = self.batches.pop_front() {
                Event::Admit(batch)
            } else {
                self.input_ended = true;
                Event::InputEnded
            };
            if !self.dispatch(event) {
                return false;
            }
        }
        while self.response_times.peek().is_some_and(|Reverse((at, _))| *at <= self.now) {
            let Some(Reverse((_, id))) = self.response_times.pop() else { break };
            let (request_in_flight, response) =
                self.requests_in_flight.remove(&id).expect("the request should be in flight");
            self.observe(Observed::Responded(id, response));
            let event = to_event(request_in_flight, response, self.history.requests[id].request);
            if !self.dispatch(event) {
                return false;
            }
        }
        true
    }

    fn dispatch(&mut self, event: Event) -> bool {
        self.dispatcher.on(event, self.now);
        self.after_step()
    }
}

/// The state of the enforced limit.
struct Bucket {
    limit: RealLimit,
    left: f64,
    at: Duration,
}

impl Bucket {
    fn new(limit: RealLimit) -> Self {
        Self { limit, left: limit.burst, at: Duration::ZERO }
    }

    /// Takes a token, or returns the 429's note.
    fn take(&mut self, now: Duration) -> Result<(), RateLimitHeaders> {
        let RealLimit { rate, burst, is_stated, background_load } = self.limit;
        let our_rate = rate * (1.0 - background_load);
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.left = (self.left + since * our_rate).min(burst);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        // The header has whole milliseconds.
        let wait = Duration::from_secs_f64((1.0 - self.left) / our_rate).as_millis() + 1;
        let reset = Some(Duration::from_millis(u64::try_from(wait).unwrap()));
        Err(RateLimitHeaders { reset, rate: is_stated.then_some(rate) })
    }
}

enum Decision {
    Wait(Option<Duration>),
    End,
}

fn batches(scenario: &Scenario, prior: &PriorState) -> VecDeque<(Duration, Batch)> {
    let progress = prior.ledger.progress(prior.from.unwrap_or(0));
    let no_progress = RowProgress::default();
    let mut batches = VecDeque::new();
    let mut number = FIRST_ROW;
    let mut sheet = scenario.sheet.iter();
    let mut at = Duration::ZERO;
    let mut sizes = scenario.batches.iter().cycle();
    while sheet.len() > 0 {
        let (size, pause_ms) = *sizes.next().expect("there should be a batch size");
        at += Duration::from_millis(pause_ms);
        let mut batch = Batch::default();
        for spec in sheet.by_ref().take(size) {
            if prior.from.is_none_or(|from| number >= from) {
                plan(*spec, number, progress.get(&number).unwrap_or(&no_progress), &mut batch);
            }
            number += spec.rows();
        }
        batches.push_back((at, batch));
    }
    batches
}

/// The event that the client makes of a response.
fn to_event(in_flight: InFlight, response: Response, planned: usize) -> Event {
    match in_flight {
        InFlight::Idempotent(ticket, request) => {
            let result = match failure(response, planned) {
                None => Ok(accepted(&request, response)),
                Some(failure) => Err(with_last_file_missing(failure, request.files())),
            };
            Event::Completed(ticket, from_idempotent(request, result))
        }
        InFlight::AtMostOnce(ticket, request) => {
            let fate = match failure(response, planned) {
                None => {
                    let accepted = accepted(&request, response);
                    SendResult::Accepted(request, accepted)
                }
                Some(failure @ Failure::Lost { .. }) => SendResult::Lost(request.lost(), failure),
                Some(failure) => SendResult::NotDone(request, failure),
            };
            Event::Completed(ticket, from_at_most_once(fate))
        }
        InFlight::Read(ticket) => {
            let state = match response {
                Response::Unreadable => Some(lost(Code::Unreadable, Some(200))),
                response => failure(response, planned),
            };
            Event::Read(ticket, state.map_or_else(|| Ok("{}".to_owned()), Err))
        }
        InFlight::Probe => Event::Probed(failure(response, planned).map_or(Ok(()), Err)),
    }
}

fn lost(code: Code, http_status: Option<u16>) -> Failure {
    let message = "lost".into();
    Failure::Lost { code, message, http_status, request_id: None, retry_after: None }
}

/// Lists the last file as missing in the 404 of a bulk call.
fn with_last_file_missing(mut failure: Failure, files: &[FileId]) -> Failure {
    if let Failure::Rejected { code: Code::NotFound, missing, .. } = &mut failure {
        missing.extend(files.last().filter(|_| files.len() > 1).map(ToString::to_string));
    }
    failure
}

fn failure(response: Response, request: usize) -> Option<Failure> {
    let rejected = |code, message: &str, http_status| Failure::Rejected {
        code,
        message: message.into(),
        http_status,
        request_id: None,
        missing: Vec::new(),
    };
    Some(match response {
        Response::Accepted | Response::Mismatch | Response::Unreadable => return None,
        Response::NotFound => rejected(Code::NotFound, &format!("no such file {request}"), 404),
        Response::Rejected => {
            rejected(Code::RejectedByApi, &format!("rejected for reason {request}"), 400)
        }
        Response::SameRejection => rejected(Code::RejectedByApi, "the same for all", 400),
        Response::Throttled(note) => Failure::Throttled(note),
        Response::ServerError => lost(Code::Server, Some(503)),
        Response::Unavailable(retry_after) => Failure::Lost {
            code: Code::Server,
            message: "unavailable".into(),
            http_status: Some(503),
            request_id: None,
            retry_after: Some(retry_after),
        },
        Response::Timeout => lost(Code::Timeout, None),
        Response::NotSent => Failure::NotSent { message: "connection refused".into() },
        Response::AccountRejected => {
            Failure::Account { message: "your account is disabled".into() }
        }
    })
}

fn accepted(request: &impl Sendable, response: Response) -> Accepted {
    let as_requested = response != Response::Mismatch;
    let files = request.files();
    let body = match request.call() {
        _ if response == Response::Unreadable => "<html>".to_owned(),
        Call::Details(_) => {
            let description = if as_requested { "red" } else { "blue" };
            format!(r#"{{"fileId":"{}","description":"{description}"}}"#, files[0])
        }
        Call::Publish(publish) => {
            let is_published = publish.is_published == as_requested;
            format!(r#"{{"fileId":"{}","isPublished":{is_published}}}"#, files[0])
        }
        Call::AddTags(_) | Call::RemoveTags(_) | Call::RemoveAiTags(_) => bulk(files, as_requested),
        Call::ReadBack(_) => unreachable!("no row reads back"),
    };
    Accepted { http_status: 200, request_id: None, body: body.into() }
}

/// The body of a bulk call; unless `as_requested`, the last file failed.
fn bulk(files: &[FileId], as_requested: bool) -> String {
    let (mut succeeded, mut failed) = (String::new(), String::new());
    for (index, file) in files.iter().enumerate() {
        if as_requested || index + 1 < files.len() {
            write!(succeeded, "{}\"{file}\"", if succeeded.is_empty() { "" } else { "," }).unwrap();
        } else {
            write!(failed, r#"{{"fileId":"{file}","error":"too long"}}"#).unwrap();
        }
    }
    format!(r#"{{"successfullyUpdatedFileIds":[{succeeded}],"errors":[{failed}]}}"#)
}
