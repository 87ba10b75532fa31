//! Plays a run over virtual time: does what the dispatcher says, as the one loop does, answers as
//! the far end would, and writes down what can be seen.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use ikbulk::execute::{
    Action, Dispatcher, EndReason, Event, Stop, Ticket, from_at_most_once, from_idempotent,
};
use ikbulk::imagekit::{Accepted, Failure, Fate, RateLimitNote};
use ikbulk::ledger::{Checkpoint, Counters, Op};
use ikbulk::outcome::Code;
use ikbulk::plan::{Batch, RowProgress};
use ikbulk::request::{
    AtMostOnce, Call, Endpoint, Idempotent, Request, Sendable, StepKind, StepRef,
};
use ikbulk::row::FileId;

use super::history::{Aim, History, Ledger, Sheet, Shot, What};
use super::world::{FIRST_ROW, RealLimit, Reply, World, plan};

/// Beyond so many steps a run is taken to go round in circles.
const STEPS_MAX: u64 = 3_000_000;

/// How far a run is played.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    /// It is told to stop at this time.
    pub(crate) stop_at: Option<Duration>,
    /// The program is gone after so many steps.
    pub(crate) crash_after: Option<u64>,
    /// The loop comes late by up to a few milliseconds, as loops do.
    pub(crate) late: bool,
}

/// What an earlier session left behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Left {
    pub(crate) ledger: Ledger,
    /// The row from which to go on.
    pub(crate) from: Option<u64>,
}

/// Plays a whole run.
pub(crate) fn play(world: &World) -> History {
    play_with(world, Bounds::default(), &Left::default())
}

/// Plays a session of a run.
pub(crate) fn play_with(world: &World, bounds: Bounds, left: &Left) -> History {
    let mut sim = Sim::new(world, bounds, left);
    sim.run();
    sim.history.settled = sim.dispatcher.settled();
    sim.history.writes = sim.dispatcher.writes();
    sim.history
}

enum Work {
    Idempotent(Ticket, Idempotent),
    AtMostOnce(Ticket, AtMostOnce),
    Read(Ticket),
    Probe,
}

struct Sim<'w> {
    world: &'w World,
    bounds: Bounds,
    sheet: Sheet,
    dispatcher: Dispatcher,
    history: History,
    now: Duration,
    /// Batches and when they come.
    feed: VecDeque<(Duration, Batch)>,
    ended_feed: bool,
    /// Answers on their way, by the time at which they come.
    on_the_way: BinaryHeap<Reverse<(Duration, usize)>>,
    work: HashMap<usize, (Work, Reply)>,
    /// How often each request has been sent, by aim.
    asked: HashMap<(usize, u8), u64>,
    /// The request that each ticket has read the state of its file for.
    read_for: HashMap<Ticket, usize>,
    ledger: Ledger,
    checkpoint: Checkpoint,
    throttle_once: Vec<(Duration, Endpoint, RateLimitNote)>,
    bucket: Option<Bucket>,
    lateness: fastrand::Rng,
}

impl<'w> Sim<'w> {
    fn new(world: &'w World, bounds: Bounds, left: &Left) -> Self {
        Self {
            world,
            bounds,
            sheet: Sheet::of(world),
            dispatcher: Dispatcher::new(&world.execution, Counters::default()),
            history: History::default(),
            now: Duration::ZERO,
            feed: feed(world, left),
            ended_feed: false,
            on_the_way: BinaryHeap::new(),
            work: HashMap::new(),
            asked: HashMap::new(),
            read_for: HashMap::new(),
            ledger: left.ledger.clone(),
            checkpoint: Checkpoint::default(),
            throttle_once: world.far_end.throttle_once.clone(),
            bucket: world.far_end.real_limit.map(Bucket::new),
            lateness: fastrand::Rng::with_seed(world.far_end.seed),
        }
    }

    fn run(&mut self) {
        loop {
            let wake = match self.decide() {
                Decided::Wait(wake) => wake,
                Decided::Over => return,
            };
            if !self.wait(wake) {
                return;
            }
        }
    }

    fn note(&mut self, what: What) {
        if let What::Wrote(op) = &what {
            self.ledger.apply(op);
        }
        self.history.events.push((self.now, what));
    }

    /// One step of the dispatcher is over; says whether the program goes on.
    fn stepped(&mut self) -> bool {
        let ops = std::mem::take(self.dispatcher.ops());
        for op in ops {
            self.note(What::Wrote(op));
        }
        let checkpoint = self.dispatcher.checkpoint();
        if checkpoint.low_water != self.checkpoint.low_water {
            self.note(What::LowWater(checkpoint.low_water.map_or(0, |pos| pos.number)));
        }
        self.checkpoint = checkpoint;
        self.history.steps += 1;
        assert!(self.history.steps < STEPS_MAX, "goes round in circles at {:?}", self.now);
        self.bounds.crash_after.is_none_or(|crash| self.history.steps < crash)
    }

    fn decide(&mut self) -> Decided {
        loop {
            let action = self.dispatcher.next(self.now);
            if !self.stepped() {
                return Decided::Over;
            }
            match action {
                Action::Send(ticket, Request::Idempotent(safe), _) => {
                    let aim = match safe.steps()[0].kind {
                        StepKind::DetailsWithoutExtensions => Aim::DetailsWithoutExtensions,
                        _ => Aim::Send,
                    };
                    let shot = self.shot(aim, safe.steps(), safe.call().endpoint());
                    self.send(shot, Work::Idempotent(ticket, safe));
                }
                Action::Send(ticket, Request::AtMostOnce(once), before) => {
                    assert!(before.is_some(), "nobody could settle it without the state before");
                    for step in once.steps() {
                        self.note(What::Wrote(Op::Intent {
                            step: *step,
                            before: String::new(),
                            extensions: once.extensions(),
                        }));
                    }
                    let shot = self.shot(Aim::Send, once.steps(), once.call().endpoint());
                    let read_for = self.read_for.remove(&ticket);
                    let was_its_own = read_for == Some(shot.request);
                    assert!(was_its_own, "the state read was another request's: {read_for:?}");
                    self.send(shot, Work::AtMostOnce(ticket, once));
                }
                Action::Read(ticket, file) => {
                    let request = self.request_waiting_to_read(&file);
                    self.read_for.insert(ticket, request);
                    let endpoint = Endpoint::GetDetails;
                    let part = u8::MAX;
                    self.send(Shot { aim: Aim::Read, request, part, endpoint }, Work::Read(ticket));
                }
                Action::Probe => {
                    let (aim, endpoint) = (Aim::Probe, Endpoint::List);
                    let shot = Shot { aim, request: 0, part: 0, endpoint };
                    self.send(shot, Work::Probe);
                }
                Action::WaitUntil(at) => {
                    assert!(at > self.now, "to wait until {at:?} at {:?} is no wait", self.now);
                    return Decided::Wait(Some(at));
                }
                Action::WaitEvent => return Decided::Wait(None),
                Action::Finished => {
                    assert!(self.work.is_empty(), "finished with requests under way");
                    let ending = self.dispatcher.ending().cloned();
                    self.note(What::Ended(ending.expect("there is a reason")));
                    return Decided::Over;
                }
            }
        }
    }

    fn shot(&self, aim: Aim, steps: &[StepRef], endpoint: Endpoint) -> Shot {
        let request = self.sheet.request_of(steps[0]);
        let of_request = self.sheet.requests[request].steps.iter();
        let is_in = |step: &StepRef| steps.iter().any(|aimed| aimed.row == step.row);
        let bits = of_request.enumerate().map(|(index, step)| u8::from(is_in(step)) << index);
        Shot { aim, request, part: bits.sum(), endpoint }
    }

    /// A read names a file only: it is for the first request on it that is not over.
    fn request_waiting_to_read(&self, file: &FileId) -> usize {
        let open = self.sheet.requests.iter().enumerate().find(|(index, request)| {
            request.files.contains(file) && !self.sheet.is_over_on(file, *index, &self.ledger)
        });
        open.expect("somebody wants to know").0
    }

    /// What the limit that really holds says of a write that arrives now.
    fn overflow(&mut self) -> Option<RateLimitNote> {
        self.bucket.as_mut()?.take(self.now).err()
    }

    fn send(&mut self, shot: Shot, work: Work) {
        let id = self.history.shots.len();
        self.history.shots.push(shot);
        self.note(What::Sent(id));
        let request = if shot.aim == Aim::Probe { usize::MAX } else { shot.request };
        let asked = self.asked.entry((request, shot.aim as u8)).or_default();
        *asked += 1;
        let far_end = &self.world.far_end;
        let key = match self.sheet.requests.get(request) {
            Some(planned) => planned.steps[0].row * 64 + planned.steps[0].kind as u64,
            None => u64::MAX,
        };
        let mut chance = far_end.chance(key ^ ((shot.aim as u64) << 40), *asked);
        let throttled = self
            .throttle_once
            .iter()
            .position(|(from, endpoint, _)| *from <= self.now && *endpoint == shot.endpoint);
        let throttled = throttled.map(|index| self.throttle_once.remove(index).2);
        let row = self.sheet.requests.get(request).map(|planned| planned.steps[0].row);
        let overflow = match shot.aim {
            Aim::Send | Aim::DetailsWithoutExtensions => self.overflow(),
            Aim::Read | Aim::Probe => None,
        };
        let reply = match shot.aim {
            _ if id < far_end.script.len() => far_end.script[id],
            _ if throttled.is_some() => Reply::Throttled(throttled.unwrap_or_default()),
            _ if overflow.is_some() => Reply::Throttled(overflow.unwrap_or_default()),
            Aim::Probe => far_end.probe_reply(self.now, &mut chance),
            _ if row.is_some() && row == far_end.always_fails => Reply::Server,
            _ => far_end.reply(self.now, &mut chance),
        };
        let arrival = self.now + far_end.latency(reply, &mut chance);
        self.on_the_way.push(Reverse((arrival, id)));
        self.work.insert(id, (work, reply));
    }

    /// Waits for the next thing that happens, and tells the dispatcher; false at the end.
    fn wait(&mut self, wake: Option<Duration>) -> bool {
        let stop = self.bounds.stop_at;
        let wants_rows = self.dispatcher.wants_rows();
        let rows = match self.feed.front() {
            _ if !wants_rows => None,
            Some((at, _)) => Some((*at).max(self.now)),
            None => (!self.ended_feed).then_some(self.now),
        };
        let answer = self.on_the_way.peek().map(|Reverse((at, _))| *at);
        let next = [wake, stop, rows, answer].into_iter().flatten().min();
        let Some(next) = next else {
            panic!("stuck at {:?}: nothing is under way and nothing is to be done", self.now)
        };
        self.now = self.now.max(next);
        if self.bounds.late && self.lateness.u8(0..4) == 0 {
            self.now += Duration::from_micros(self.lateness.u64(0..3000));
        }
        if stop.is_some_and(|at| at <= self.now) {
            self.bounds.stop_at = None;
            self.note(What::Stop);
            return self.tell(Event::Stop(EndReason::Stopped(Stop::Interrupt)));
        }
        if rows.is_some_and(|at| at <= self.now) {
            let event = if let Some((_, batch)) = self.feed.pop_front() {
                Event::Admit(batch)
            } else {
                self.ended_feed = true;
                Event::InputEnded
            };
            if !self.tell(event) {
                return false;
            }
        }
        while self.on_the_way.peek().is_some_and(|Reverse((at, _))| *at <= self.now) {
            let Some(Reverse((_, id))) = self.on_the_way.pop() else { break };
            let (work, reply) = self.work.remove(&id).expect("it is under way");
            self.note(What::Replied(id, reply));
            let event = arrived(work, reply, self.history.shots[id].request);
            if !self.tell(event) {
                return false;
            }
        }
        true
    }

    fn tell(&mut self, event: Event) -> bool {
        self.dispatcher.on(event, self.now);
        self.stepped()
    }
}

/// A limit at work.
struct Bucket {
    limit: RealLimit,
    left: f64,
    at: Duration,
}

impl Bucket {
    fn new(limit: RealLimit) -> Self {
        Self { limit, left: limit.burst, at: Duration::ZERO }
    }

    /// Takes a place, or says in a note when there is one.
    fn take(&mut self, now: Duration) -> Result<(), RateLimitNote> {
        let RealLimit { rate, burst, is_stated, background_load } = self.limit;
        let for_us = rate * (1.0 - background_load);
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.left = (self.left + since * for_us).min(burst);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        // In whole milliseconds, as the header has them.
        let wait = Duration::from_secs_f64((1.0 - self.left) / for_us).as_millis() + 1;
        let reset = Some(Duration::from_millis(u64::try_from(wait).unwrap()));
        Err(RateLimitNote { reset, rate: is_stated.then_some(rate) })
    }
}

enum Decided {
    Wait(Option<Duration>),
    Over,
}

fn feed(world: &World, left: &Left) -> VecDeque<(Duration, Batch)> {
    let behind = left.ledger.behind(left.from.unwrap_or(0));
    let nothing = RowProgress::default();
    let mut feed = VecDeque::new();
    let mut number = FIRST_ROW;
    let mut sheet = world.sheet.iter();
    let mut at = Duration::ZERO;
    let mut batches = world.batches.iter().cycle();
    while sheet.len() > 0 {
        let (size, pause_ms) = *batches.next().expect("there is one");
        at += Duration::from_millis(pause_ms);
        let mut batch = Batch::default();
        for spec in sheet.by_ref().take(size) {
            if left.from.is_none_or(|from| number >= from) {
                plan(*spec, number, behind.get(&number).unwrap_or(&nothing), &mut batch);
            }
            number += spec.rows();
        }
        feed.push_back((at, batch));
    }
    feed
}

/// What the client would make of an answer.
fn arrived(work: Work, reply: Reply, request: usize) -> Event {
    match work {
        Work::Idempotent(ticket, safe) => {
            let answer = match failure(reply, request) {
                None => Ok(accepted(&safe, reply)),
                Some(failure) => Err(naming_the_last(failure, safe.files())),
            };
            Event::Answered(ticket, from_idempotent(safe, answer))
        }
        Work::AtMostOnce(ticket, once) => {
            let fate = match failure(reply, request) {
                None => {
                    let accepted = accepted(&once, reply);
                    Fate::Accepted(once, accepted)
                }
                Some(failure @ Failure::Lost { .. }) => Fate::Lost(once.lost(), failure),
                Some(failure) => Fate::NotDone(once, failure),
            };
            Event::Answered(ticket, from_at_most_once(fate))
        }
        Work::Read(ticket) => {
            let state = match reply {
                Reply::Unreadable => Some(lost(Code::Unreadable, Some(200))),
                reply => failure(reply, request),
            };
            Event::Read(ticket, state.map_or_else(|| Ok("{}".to_owned()), Err))
        }
        Work::Probe => Event::Probed(failure(reply, request).map_or(Ok(()), Err)),
    }
}

fn lost(code: Code, http_status: Option<u16>) -> Failure {
    let message = "lost".into();
    Failure::Lost { code, message, http_status, request_id: None, retry_after: None }
}

/// A 404 to a bulk call names the last of its files.
fn naming_the_last(mut failure: Failure, files: &[FileId]) -> Failure {
    if let Failure::Refused { code: Code::NotFound, missing, .. } = &mut failure {
        missing.extend(files.last().filter(|_| files.len() > 1).map(ToString::to_string));
    }
    failure
}

fn failure(reply: Reply, request: usize) -> Option<Failure> {
    let refused = |code, message: &str, http_status| Failure::Refused {
        code,
        message: message.into(),
        http_status,
        request_id: None,
        missing: Vec::new(),
    };
    Some(match reply {
        Reply::Accepted | Reply::Differs | Reply::Unreadable => return None,
        Reply::NotFound => refused(Code::NotFound, &format!("no such file {request}"), 404),
        Reply::Refused => {
            refused(Code::RejectedByApi, &format!("wrong in its own way {request}"), 400)
        }
        Reply::SameRefusal => refused(Code::RejectedByApi, "the same for all", 400),
        Reply::Throttled(note) => Failure::Throttled(note),
        Reply::Server => lost(Code::Server, Some(503)),
        Reply::Unavailable(retry_after) => Failure::Lost {
            code: Code::Server,
            message: "unavailable".into(),
            http_status: Some(503),
            request_id: None,
            retry_after: Some(retry_after),
        },
        Reply::Timeout => lost(Code::Timeout, None),
        Reply::NotSent => Failure::NotSent { message: "refused".into() },
        Reply::Account => Failure::Account { message: "your account is disabled".into() },
    })
}

fn accepted(request: &impl Sendable, reply: Reply) -> Accepted {
    let as_asked = reply != Reply::Differs;
    let files = request.files();
    let body = match request.call() {
        _ if reply == Reply::Unreadable => "<html>".to_owned(),
        Call::Details(_) => {
            let description = if as_asked { "red" } else { "blue" };
            format!(r#"{{"fileId":"{}","description":"{description}"}}"#, files[0])
        }
        Call::Publish(publish) => {
            let is_published = publish.is_published == as_asked;
            format!(r#"{{"fileId":"{}","isPublished":{is_published}}}"#, files[0])
        }
        Call::AddTags(_) | Call::RemoveTags(_) => bulk(files, as_asked),
        Call::ReadBack(_) => unreachable!("no row asks for it"),
    };
    Accepted { http_status: 200, request_id: None, body: body.into() }
}

/// The answer of a bulk call; where it is not as asked, the last file failed.
fn bulk(files: &[FileId], as_asked: bool) -> String {
    let (mut done, mut failed) = (String::new(), String::new());
    for (index, file) in files.iter().enumerate() {
        if as_asked || index + 1 < files.len() {
            write!(done, "{}\"{file}\"", if done.is_empty() { "" } else { "," }).unwrap();
        } else {
            write!(failed, r#"{{"fileId":"{file}","error":"too long"}}"#).unwrap();
        }
    }
    format!(r#"{{"successfullyUpdatedFileIds":[{done}],"errors":[{failed}]}}"#)
}
