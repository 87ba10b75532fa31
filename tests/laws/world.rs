//! What is generated: sheets, settings, and how the far end answers.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use ikbulk::imagekit::RateLimitNote;
use ikbulk::outcome::Status;
use ikbulk::plan::{Batch, PlannedRow, RowProgress, direct};
use ikbulk::request::{BudgetKind, Call, Endpoint, Request, StepKind, StepRef};
use ikbulk::row::{
    Builder, Cell, Content, Field, FileId, Problem, Row, RowPos, Rules, Tags, Update,
};
use ikbulk::settings::{Execution, Halts, Rate, RateLimit};
use proptest::prelude::*;

/// The number of a sheet's first row, as in a CSV.
pub(crate) const FIRST_ROW: u64 = 2;

/// What the details of a row ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Details {
    /// Nothing.
    None,
    /// Fields only.
    Plain,
    /// An extension and a field that it does not write.
    Paid,
    /// An extension and a field that it may write, so that nothing of it may be sent again.
    PaidAlone,
}

/// Where a row goes and what it asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spec {
    /// All cells empty.
    Blank,
    /// A cell is wrong.
    Wrong,
    /// A file and nothing else.
    NoChange,
    /// A row as the direct planner makes requests of it.
    Update { file: u8, details: Details, remove: bool, add: bool, publish: bool },
    /// Two rows settled by one bulk call, on two files or twice the same.
    Pair { files: [u8; 2] },
    /// Two rows of one file merged into one PATCH, which is sent row by row where it is refused.
    Merged { file: u8, paid: bool },
}

impl Spec {
    /// How many rows it stands for.
    pub(crate) fn rows(self) -> u64 {
        match self {
            Self::Pair { .. } | Self::Merged { .. } => 2,
            _ => 1,
        }
    }
}

pub(crate) fn file(number: u8) -> FileId {
    FileId::new(&format!("file{number}")).unwrap()
}

fn pos(number: u64) -> RowPos {
    RowPos { number, offset: number * 10 }
}

fn update(file_number: u8, cells: &[(&str, &str)]) -> Content {
    let rules = Rules::default();
    let mut builder = Builder::new(&rules);
    builder.set("fileId", &Field::FileId, Cell::Text(file(file_number).as_str()));
    for (column, cell) in cells {
        builder.set(column, &Field::fixed(column).unwrap(), Cell::Text(cell));
    }
    let content = builder.finish();
    assert!(matches!(content, Content::Update(_)), "{content:?}");
    content
}

fn details_cells(details: Details) -> &'static [(&'static str, &'static str)] {
    const PAID: &str = r#"[{"name":"aws-auto-tagging","minConfidence":80,"maxTags":5}]"#;
    const DESCRIBE: &str = r#"[{"name":"ai-auto-description"}]"#;
    match details {
        Details::None => &[],
        Details::Plain => &[("description", "red")],
        Details::Paid => &[("description", "red"), ("extensions", PAID)],
        Details::PaidAlone => &[("description", "red"), ("extensions", DESCRIBE)],
    }
}

/// The row of a specification that stands for one.
pub(crate) fn row(spec: Spec, number: u64) -> Row {
    let content = match spec {
        Spec::Blank => Content::Blank,
        Spec::Wrong => {
            let rules = Rules::default();
            let mut builder = Builder::new(&rules);
            builder.reject(Problem::new("tags", "#N/A", "is wrong", "mend it"));
            builder.finish()
        }
        Spec::NoChange => update(0, &[]),
        Spec::Update { file, details, remove, add, publish } => {
            let mut cells = details_cells(details).to_vec();
            cells.extend(remove.then_some(("removeTags", "old")));
            cells.extend(add.then_some(("addTags", "new")));
            cells.extend(publish.then_some(("isPublished", "false")));
            update(file, &cells)
        }
        Spec::Pair { .. } | Spec::Merged { .. } => unreachable!("those stand for two rows"),
    };
    Row { pos: pos(number), content }
}

/// Plans one specification, leaving out what is behind it.
pub(crate) fn plan(spec: Spec, number: u64, behind: &RowProgress, batch: &mut Batch) {
    let kind = match spec {
        Spec::Pair { .. } => StepKind::AddTags,
        Spec::Merged { .. } => StepKind::Details,
        _ => return direct(row(spec, number), behind, batch),
    };
    let steps = [StepRef { row: number, kind }, StepRef { row: number + 1, kind }];
    for step in [number, number + 1] {
        batch.rows.push(PlannedRow {
            pos: pos(step),
            open: 1,
            settled: None,
            so_far: Status::Unchanged,
            not_sent: None,
        });
    }
    batch.requests.push(match spec {
        Spec::Pair { files } => {
            let tags = Tags::new(vec!["new".to_owned()]).unwrap();
            Request::new(Call::AddTags(tags), files.map(file).into(), steps.into())
        }
        Spec::Merged { file: of, paid } => {
            let details = if paid { Details::Paid } else { Details::Plain };
            let Content::Update(merged) = update(of, details_cells(details)) else {
                unreachable!("these cells are right")
            };
            let Update { change, .. } = *merged;
            let (_, call) = ikbulk::plan::steps(change).into_iter().flatten().next().unwrap();
            let apart = steps.map(|step| {
                match Request::new(call.clone(), [file(of)].into(), [step].into()) {
                    Request::Idempotent(safe) => Some(safe),
                    Request::AtMostOnce(_) => None,
                }
            });
            let mut merged = Request::new(call, [file(of), file(of)].into(), steps.into());
            merged.set_fallback(apart.into_iter().flatten().collect());
            merged
        }
        _ => unreachable!("the others are planned directly"),
    });
}

/// One end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reply {
    Accepted,
    /// Accepted, but the object that comes back is another than was asked for.
    Differs,
    /// 404.
    NotFound,
    /// A 400 of its own kind.
    Refused,
    /// The 400 that others get too.
    SameRefusal,
    Throttled(RateLimitNote),
    /// 503.
    Server,
    /// 503 that says when to come back.
    Unavailable(Duration),
    Timeout,
    /// No connection.
    NotSent,
    /// 200 with something else.
    Unreadable,
    /// 401.
    Account,
}

impl Reply {
    /// Whether the request may have been carried out.
    pub(crate) fn may_have_effect(self) -> bool {
        use Reply::{Accepted, Differs};
        matches!(self, Accepted | Differs) || self.is_lost()
    }

    pub(crate) fn is_lost(self) -> bool {
        use Reply::{Server, Timeout, Unavailable, Unreadable};
        matches!(self, Server | Unavailable(_) | Timeout | Unreadable)
    }

    pub(crate) fn is_refused(self) -> bool {
        matches!(self, Self::NotFound | Self::Refused | Self::SameRefusal)
    }

    pub(crate) fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted | Self::Differs)
    }
}

/// How often each end comes, as weights beside the 100 of acceptance.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weights {
    pub(crate) differs: u64,
    pub(crate) refused: u64,
    pub(crate) same_refusal: u64,
    pub(crate) throttled: u64,
    pub(crate) lost: u64,
    pub(crate) not_sent: u64,
    pub(crate) account: u64,
    /// Of 100 probes so many come to nothing.
    pub(crate) probes_lost: u64,
}

/// The far end: what it answers follows from a seed, who asks, and how often it has asked, so that
/// leaving out a row does not change the answers to the others.
#[derive(Debug, Clone)]
pub(crate) struct FarEnd {
    pub(crate) seed: u64,
    pub(crate) weights: Weights,
    /// The slowest answer, in milliseconds.
    pub(crate) latency_max_ms: u64,
    /// From when to when nobody gets through, and whether connections come about meanwhile.
    pub(crate) down: Option<(Duration, Duration, bool)>,
    /// The limit that a 429 states, if it states one.
    pub(crate) stated_rate: Option<f64>,
    /// A row whose requests always get a 503.
    pub(crate) always_fails: Option<u64>,
    /// The ends of the first shots, in order.
    pub(crate) script: Vec<Reply>,
    /// From this time on the next request on each of these endpoints gets a 429 that says to hold
    /// for so long.
    pub(crate) throttle_once: Vec<(Duration, Endpoint, RateLimitNote)>,
    /// The limit on writes that really holds.
    pub(crate) real_limit: Option<RealLimit>,
}

/// A bucket at the far end: requests a second, requests at once, and what it says when it is
/// empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RealLimit {
    pub(crate) rate: f64,
    pub(crate) burst: f64,
    /// Whether a 429 states the rate.
    pub(crate) is_stated: bool,
    /// The share of the rate that somebody else uses up.
    pub(crate) background_load: f64,
}

impl Default for FarEnd {
    fn default() -> Self {
        Self {
            seed: 1,
            weights: Weights::default(),
            latency_max_ms: 100,
            down: None,
            stated_rate: None,
            always_fails: None,
            script: Vec::new(),
            throttle_once: Vec::new(),
            real_limit: None,
        }
    }
}

impl FarEnd {
    /// Chance that belongs to one attempt of one request.
    pub(crate) fn chance(&self, key: u64, attempt: u64) -> fastrand::Rng {
        let mixed = (self.seed ^ key.wrapping_mul(0x9e37_79b9_7f4a_7c15)).rotate_left(17);
        fastrand::Rng::with_seed(mixed ^ attempt.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(crate) fn is_down(&self, now: Duration) -> Option<bool> {
        self.down.filter(|(from, to, _)| (*from..*to).contains(&now)).map(|(.., connects)| connects)
    }

    pub(crate) fn reply(&self, now: Duration, chance: &mut fastrand::Rng) -> Reply {
        match self.is_down(now) {
            Some(true) => return Reply::Timeout,
            Some(false) => return Reply::NotSent,
            None => {}
        }
        let w = self.weights;
        let choices = [
            (100, Reply::Accepted),
            (w.differs, Reply::Differs),
            (w.refused, Reply::NotFound),
            (w.refused, Reply::Refused),
            (w.same_refusal, Reply::SameRefusal),
            (w.lost, Reply::Server),
            (w.lost / 4, Reply::Unavailable(Duration::from_secs(chance.u64(0..100)))),
            (w.lost, Reply::Timeout),
            (w.lost, Reply::Unreadable),
            (w.not_sent, Reply::NotSent),
            (w.account, Reply::Account),
            (w.throttled, Reply::Throttled(self.note(chance))),
        ];
        let total = choices.iter().map(|(weight, _)| weight).sum();
        let mut drawn = chance.u64(0..total);
        for (weight, reply) in choices {
            if drawn < weight {
                return reply;
            }
            drawn -= weight;
        }
        Reply::Accepted
    }

    pub(crate) fn probe_reply(&self, now: Duration, chance: &mut fastrand::Rng) -> Reply {
        match self.is_down(now) {
            Some(true) => Reply::Timeout,
            Some(false) => Reply::NotSent,
            None if chance.u64(0..100) < self.weights.probes_lost => {
                if chance.bool() {
                    Reply::Timeout
                } else {
                    Reply::NotSent
                }
            }
            None if self.weights.throttled > 0 && chance.u64(0..10) == 0 => {
                Reply::Throttled(self.note(chance))
            }
            None => Reply::Accepted,
        }
    }

    fn note(&self, chance: &mut fastrand::Rng) -> RateLimitNote {
        let reset = match chance.u32(0..4) {
            0 => None,
            1 => Some(Duration::from_millis(chance.u64(0..50))),
            2 => Some(Duration::from_millis(chance.u64(50..3000))),
            _ => Some(Duration::from_secs(chance.u64(3..90))),
        };
        RateLimitNote { reset, rate: self.stated_rate.filter(|_| chance.bool()) }
    }

    pub(crate) fn latency(&self, reply: Reply, chance: &mut fastrand::Rng) -> Duration {
        match reply {
            Reply::Timeout => Duration::from_secs(30),
            _ => Duration::from_micros(chance.u64(1..=self.latency_max_ms * 1000)),
        }
    }
}

/// All that a run is made of.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) execution: Execution,
    pub(crate) sheet: Vec<Spec>,
    /// How many specifications come in one batch, and the pause before it in milliseconds.
    pub(crate) batches: Vec<(usize, u64)>,
    pub(crate) far_end: FarEnd,
}

/// Settings that never halt by themselves, as a base for others.
pub(crate) fn patient() -> Halts {
    Halts {
        unknown_max: NonZeroU32::MAX,
        same_rejection_max: None,
        rejected_share_max: 1.0,
        down_max: Duration::from_hours(1000),
    }
}

pub(crate) fn limit(rate: f64, burst: u32, leave: f64) -> RateLimit {
    RateLimit { rate: Rate::PerSecond(rate), burst: NonZeroU32::new(burst).unwrap(), leave }
}

/// The execution of a deterministic test.
pub(crate) fn execution(writes: RateLimit, concurrency: usize, attempts: u32) -> Execution {
    Execution {
        writes,
        reads: limit(40.0, 40, 0.0),
        concurrency: NonZeroUsize::new(concurrency).unwrap(),
        attempts: NonZeroU32::new(attempts).unwrap(),
        seed: 7,
        halts: patient(),
    }
}

/// What is left to us of a budget: the rate, and the burst, which is at least one request.
pub(crate) fn left_to_us(execution: &Execution, kind: BudgetKind) -> Option<(f64, f64)> {
    let limit = match kind {
        BudgetKind::Writes => execution.writes,
        BudgetKind::Reads => execution.reads,
    };
    let Rate::PerSecond(rate) = limit.rate else { return None };
    let share = 1.0 - limit.leave;
    Some((rate * share, (f64::from(limit.burst.get()) * share).max(1.0)))
}

fn budgets() -> impl Strategy<Value = RateLimit> {
    let rate = prop_oneof![
        1 => Just(Rate::Unlimited),
        6 => (0.5..60.0).prop_map(Rate::PerSecond),
        1 => (60.0..2000.0).prop_map(Rate::PerSecond),
    ];
    (rate, 1_u32..40, prop_oneof![Just(0.0), Just(0.1), 0.0..0.9]).prop_map(
        |(rate, burst, leave)| RateLimit { rate, burst: NonZeroU32::new(burst).unwrap(), leave },
    )
}

pub(crate) fn executions() -> impl Strategy<Value = Execution> {
    (budgets(), budgets(), 1_usize..17, 1_u32..7, any::<u64>()).prop_map(
        |(writes, reads, concurrency, attempts, seed)| Execution {
            writes,
            reads,
            concurrency: NonZeroUsize::new(concurrency).unwrap(),
            attempts: NonZeroU32::new(attempts).unwrap(),
            seed,
            halts: patient(),
        },
    )
}

/// Rows that the direct planner makes, on a handful of files.
pub(crate) fn direct_specs() -> impl Strategy<Value = Spec> {
    let details = prop_oneof![
        2 => Just(Details::None),
        4 => Just(Details::Plain),
        3 => Just(Details::Paid),
        1 => Just(Details::PaidAlone),
    ];
    let update = (0_u8..6, details, any::<[bool; 3]>()).prop_map(
        |(file, details, [remove, add, publish])| Spec::Update {
            file,
            details,
            remove,
            add,
            publish,
        },
    );
    prop_oneof![
        12 => update,
        1 => Just(Spec::Blank),
        1 => Just(Spec::Wrong),
        1 => Just(Spec::NoChange),
    ]
}

/// The same, and requests that settle two rows.
pub(crate) fn specs() -> impl Strategy<Value = Spec> {
    prop_oneof![
        5 => direct_specs(),
        1 => any::<[u8; 2]>().prop_map(|files| Spec::Pair { files: files.map(|f| f % 6) }),
        1 => (0_u8..6, any::<bool>()).prop_map(|(file, paid)| Spec::Merged { file, paid }),
    ]
}

pub(crate) fn weights() -> impl Strategy<Value = Weights> {
    let low = || prop_oneof![2 => Just(0_u64), 2 => 0_u64..10, 1 => 0_u64..60];
    ([low(), low(), low(), low(), low(), low()], prop_oneof![Just(0_u64), 0_u64..80]).prop_map(
        |([differs, refused, same_refusal, throttled, lost, not_sent], probes_lost)| Weights {
            differs,
            refused,
            same_refusal,
            throttled,
            lost,
            not_sent,
            account: 0,
            probes_lost,
        },
    )
}

pub(crate) fn far_ends() -> impl Strategy<Value = FarEnd> {
    let down = proptest::option::weighted(0.15, (0_u64..5000, 100_u64..120_000, any::<bool>()));
    let stated_rate = proptest::option::weighted(0.3, 0.5..50.0);
    (any::<u64>(), weights(), 1_u64..3000, down, stated_rate).prop_map(
        |(seed, weights, latency_max_ms, down, stated_rate)| FarEnd {
            seed,
            weights,
            latency_max_ms,
            down: down.map(|(from, long, connects)| {
                (Duration::from_millis(from), Duration::from_millis(from + long), connects)
            }),
            stated_rate,
            ..FarEnd::default()
        },
    )
}

/// Worlds of up to `rows` rows made of these specifications.
pub(crate) fn worlds_of(
    specs: impl Strategy<Value = Spec>,
    rows: usize,
) -> impl Strategy<Value = World> {
    let batch = (1_usize..30, prop_oneof![4 => Just(0_u64), 1 => 0_u64..500]);
    let batches = proptest::collection::vec(batch, 1..6);
    let sheet = proptest::collection::vec(specs, 1..rows);
    (executions(), sheet, batches, far_ends()).prop_map(|(execution, sheet, batches, far_end)| {
        World { execution, sheet, batches, far_end }
    })
}

/// Worlds in which nothing halts a run.
pub(crate) fn worlds() -> impl Strategy<Value = World> {
    worlds_of(specs(), 60)
}
