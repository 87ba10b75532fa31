//! Generated scenarios: sheets, settings, and the responses of a fake API.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::imagekit::RateLimitHeaders;
use crate::outcome::Status;
use crate::plan::{Batch, PlannedRow, RowProgress, RowSteps, direct};
use crate::request::{BudgetKind, Call, Endpoint, Request, StepKind, StepRef};
use crate::row::{Builder, Cell, Content, Field, FileId, Problem, Row, RowPos, Rules, Tags};
use crate::settings::{AbortLimits, Execution, Rate, RateLimit};
use proptest::prelude::*;

/// The number of a sheet's first row, as in a CSV.
pub(crate) const FIRST_ROW: u64 = 2;

/// The PATCH of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Details {
    None,
    /// Sets fields.
    Plain,
    /// Runs an extension and sets a field that the extension does not write.
    Billed,
    /// Runs an extension and sets a field that the extension may write, so that no part is idempotent.
    BilledWithoutIdempotentPart,
}

/// A generated row, or two rows that share a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RowSpec {
    /// All cells empty.
    Blank,
    /// A cell is invalid.
    Invalid,
    /// A file id and no change.
    NoChange,
    /// A row for the direct planner.
    Update { file: u8, details: Details, remove: bool, add: bool, publish: bool },
    /// Two rows, of two files or of one, settled by one bulk call.
    Pair { files: [u8; 2] },
    /// Two rows of one file merged into one PATCH, with a fallback to one PATCH per row if it is rejected.
    Merged { file: u8, billed: bool },
}

impl RowSpec {
    /// Number of rows in the sheet.
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
    RowPos { number, line: number, offset: number * 10 }
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
    const TAGGING: &str = r#"[{"name":"aws-auto-tagging","minConfidence":80,"maxTags":5}]"#;
    const DESCRIBE: &str = r#"[{"name":"ai-auto-description"}]"#;
    match details {
        Details::None => &[],
        Details::Plain => &[("description", "red")],
        Details::Billed => &[("description", "red"), ("extensions", TAGGING)],
        Details::BilledWithoutIdempotentPart => &[("description", "red"), ("extensions", DESCRIBE)],
    }
}

/// The row of a specification for one row.
pub(crate) fn row(spec: RowSpec, number: u64) -> Row {
    let content = match spec {
        RowSpec::Blank => Content::Blank,
        RowSpec::Invalid => {
            let rules = Rules::default();
            let mut builder = Builder::new(&rules);
            builder.reject(Problem::new("tags", "#N/A", "is invalid", "fix it"));
            builder.finish()
        }
        RowSpec::NoChange => update(0, &[]),
        RowSpec::Update { file, details, remove, add, publish } => {
            let mut cells = details_cells(details).to_vec();
            cells.extend(remove.then_some(("removeTags", "old")));
            cells.extend(add.then_some(("addTags", "new")));
            cells.extend(publish.then_some(("isPublished", "false")));
            update(file, &cells)
        }
        RowSpec::Pair { .. } | RowSpec::Merged { .. } => unreachable!("these are two rows"),
    };
    Row { pos: pos(number), content }
}

/// Plans one specification, without the steps that are done according to `progress`.
pub(crate) fn plan(spec: RowSpec, number: u64, progress: &RowProgress, batch: &mut Batch) {
    let kind = match spec {
        RowSpec::Pair { .. } => StepKind::AddTags,
        RowSpec::Merged { .. } => StepKind::Details,
        _ => return direct(row(spec, number), progress, &mut batch.rows, &mut batch.requests),
    };
    let steps = [StepRef { row: number, kind }, StepRef { row: number + 1, kind }];
    for step in [number, number + 1] {
        batch.rows.push(PlannedRow {
            pos: pos(step),
            open: 1,
            outcome: None,
            worst: Status::Unchanged,
            not_sent: None,
            rejection: None,
            left_out: None,
        });
    }
    batch.requests.push(match spec {
        RowSpec::Pair { files } => {
            let tags = Tags::new(vec!["new".to_owned()]).unwrap();
            Request::new(Call::AddTags(tags), files.map(file).into(), steps.into())
        }
        RowSpec::Merged { file: file_number, billed } => {
            let details = if billed { Details::Billed } else { Details::Plain };
            let Content::Update(merged) = update(file_number, details_cells(details)) else {
                unreachable!("the cells should be valid")
            };
            let (_, call) = RowSteps::of(&merged.change).next().unwrap();
            let fallback = steps.map(|step| {
                match Request::new(call.clone(), [file(file_number)].into(), [step].into()) {
                    Request::Idempotent(request) => Some(request),
                    Request::AtMostOnce(_) => None,
                }
            });
            let mut merged =
                Request::new(call, [file(file_number), file(file_number)].into(), steps.into());
            merged.set_fallback(fallback.into_iter().flatten().collect());
            merged
        }
        _ => unreachable!("the other specifications are planned directly"),
    });
}

/// The API's response to one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Response {
    Accepted,
    /// Accepted, but the returned object differs from the request.
    Mismatch,
    /// 404.
    NotFound,
    /// A 400 with a message of its own.
    Rejected,
    /// A 400 with the same message as others.
    SameRejection,
    Throttled(RateLimitHeaders),
    /// 503.
    ServerError,
    /// 503 with `Retry-After`.
    Unavailable(Duration),
    Timeout,
    /// No connection.
    NotSent,
    /// 200 with a body that is not ImageKit's.
    Unreadable,
    /// 401.
    AccountRejected,
}

impl Response {
    /// Whether the request may have taken effect.
    pub(crate) fn may_have_effect(self) -> bool {
        use Response::{Accepted, Mismatch};
        matches!(self, Accepted | Mismatch) || self.is_lost()
    }

    pub(crate) fn is_lost(self) -> bool {
        use Response::{ServerError, Timeout, Unavailable, Unreadable};
        matches!(self, ServerError | Unavailable(_) | Timeout | Unreadable)
    }

    pub(crate) fn is_rejected(self) -> bool {
        matches!(self, Self::NotFound | Self::Rejected | Self::SameRejection)
    }

    pub(crate) fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted | Self::Mismatch)
    }
}

/// Relative frequency of each response; acceptance has weight 100.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weights {
    pub(crate) mismatch: u64,
    pub(crate) rejected: u64,
    pub(crate) same_rejection: u64,
    pub(crate) throttled: u64,
    pub(crate) lost: u64,
    pub(crate) not_sent: u64,
    pub(crate) account_rejected: u64,
    /// Percentage of probes that fail.
    pub(crate) probe_failures_percent: u64,
}

/// A fake API. A response depends only on the seed, the request and its attempt number, so that removing
/// a row does not change the responses to the others.
#[derive(Debug, Clone)]
pub(crate) struct FakeApi {
    pub(crate) seed: u64,
    pub(crate) weights: Weights,
    /// Maximum latency in milliseconds.
    pub(crate) latency_max_ms: u64,
    /// Start and end of an outage, and whether connections succeed meanwhile (and time out).
    pub(crate) outage: Option<(Duration, Duration, bool)>,
    /// The limit stated by a 429, if any, in requests per second.
    pub(crate) stated_rate: Option<f64>,
    /// A row whose requests always fail with 503.
    pub(crate) always_fails: Option<u64>,
    /// The responses to the first requests, in order.
    pub(crate) script: Vec<Response>,
    /// From this time on, the next request to the endpoint gets this 429, once per entry.
    pub(crate) throttle_once: Vec<(Duration, Endpoint, RateLimitHeaders)>,
    /// The write limit that the API enforces.
    pub(crate) real_limit: Option<RealLimit>,
}

/// A token bucket that the API enforces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RealLimit {
    /// Requests per second.
    pub(crate) rate: f64,
    pub(crate) burst: f64,
    /// Whether a 429 states the rate.
    pub(crate) is_stated: bool,
    /// The share of the rate that other clients use.
    pub(crate) background_load: f64,
}

impl Default for FakeApi {
    fn default() -> Self {
        Self {
            seed: 1,
            weights: Weights::default(),
            latency_max_ms: 100,
            outage: None,
            stated_rate: None,
            always_fails: None,
            script: Vec::new(),
            throttle_once: Vec::new(),
            real_limit: None,
        }
    }
}

impl FakeApi {
    /// The random generator of one attempt of one request.
    pub(crate) fn rng(&self, key: u64, attempt: u64) -> fastrand::Rng {
        let mixed = (self.seed ^ key.wrapping_mul(0x9e37_79b9_7f4a_7c15)).rotate_left(17);
        fastrand::Rng::with_seed(mixed ^ attempt.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(crate) fn outage_at(&self, now: Duration) -> Option<bool> {
        self.outage
            .filter(|(from, to, _)| (*from..*to).contains(&now))
            .map(|(.., connects)| connects)
    }

    pub(crate) fn response(&self, now: Duration, rng: &mut fastrand::Rng) -> Response {
        match self.outage_at(now) {
            Some(true) => return Response::Timeout,
            Some(false) => return Response::NotSent,
            None => {}
        }
        let weights = self.weights;
        let choices = [
            (100, Response::Accepted),
            (weights.mismatch, Response::Mismatch),
            (weights.rejected, Response::NotFound),
            (weights.rejected, Response::Rejected),
            (weights.same_rejection, Response::SameRejection),
            (weights.lost, Response::ServerError),
            (weights.lost / 4, Response::Unavailable(Duration::from_secs(rng.u64(0..100)))),
            (weights.lost, Response::Timeout),
            (weights.lost, Response::Unreadable),
            (weights.not_sent, Response::NotSent),
            (weights.account_rejected, Response::AccountRejected),
            (weights.throttled, Response::Throttled(self.rate_limit_note(rng))),
        ];
        let total = choices.iter().map(|(weight, _)| weight).sum();
        let mut random = rng.u64(0..total);
        for (weight, response) in choices {
            if random < weight {
                return response;
            }
            random -= weight;
        }
        Response::Accepted
    }

    pub(crate) fn probe_response(&self, now: Duration, rng: &mut fastrand::Rng) -> Response {
        match self.outage_at(now) {
            Some(true) => Response::Timeout,
            Some(false) => Response::NotSent,
            None if rng.u64(0..100) < self.weights.probe_failures_percent => {
                if rng.bool() {
                    Response::Timeout
                } else {
                    Response::NotSent
                }
            }
            None if self.weights.throttled > 0 && rng.u64(0..10) == 0 => {
                Response::Throttled(self.rate_limit_note(rng))
            }
            None => Response::Accepted,
        }
    }

    fn rate_limit_note(&self, rng: &mut fastrand::Rng) -> RateLimitHeaders {
        let reset = match rng.u32(0..4) {
            0 => None,
            1 => Some(Duration::from_millis(rng.u64(0..50))),
            2 => Some(Duration::from_millis(rng.u64(50..3000))),
            _ => Some(Duration::from_secs(rng.u64(3..90))),
        };
        RateLimitHeaders { reset, rate: self.stated_rate.filter(|_| rng.bool()) }
    }

    pub(crate) fn latency(&self, response: Response, rng: &mut fastrand::Rng) -> Duration {
        match response {
            Response::Timeout => Duration::from_secs(30),
            _ => Duration::from_micros(rng.u64(1..=self.latency_max_ms * 1000)),
        }
    }
}

/// A complete run: settings, sheet, batches and API.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) execution: Execution,
    pub(crate) sheet: Vec<RowSpec>,
    /// Number of specifications per batch, and the pause before the batch in milliseconds; repeated.
    pub(crate) batches: Vec<(usize, u64)>,
    pub(crate) api: FakeApi,
}

/// Abort limits that are never reached.
pub(crate) fn never_aborting() -> AbortLimits {
    AbortLimits {
        unknown_max: NonZeroU32::MAX,
        same_rejection_max: None,
        rejected_share_max: 1.0,
        down_max: Duration::from_hours(1000),
    }
}

pub(crate) fn limit(rate: f64, burst: u32, leave: f64) -> RateLimit {
    RateLimit { rate: Rate::PerSecond(rate), burst: NonZeroU32::new(burst).unwrap(), leave }
}

/// Settings of a deterministic test.
pub(crate) fn execution(writes: RateLimit, concurrency: usize, attempts: u32) -> Execution {
    Execution {
        writes,
        reads: limit(40.0, 40, 0.0),
        concurrency: NonZeroUsize::new(concurrency).unwrap(),
        attempts: NonZeroU32::new(attempts).unwrap(),
        seed: 7,
        abort_limits: never_aborting(),
    }
}

/// Our share of a budget: rate in requests per second, and burst, at least one request.
pub(crate) fn our_share(execution: &Execution, kind: BudgetKind) -> Option<(f64, f64)> {
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
            abort_limits: never_aborting(),
        },
    )
}

/// Rows for the direct planner, on six files.
pub(crate) fn direct_specs() -> impl Strategy<Value = RowSpec> {
    let details = prop_oneof![
        2 => Just(Details::None),
        4 => Just(Details::Plain),
        3 => Just(Details::Billed),
        1 => Just(Details::BilledWithoutIdempotentPart),
    ];
    let update = (0_u8..6, details, any::<[bool; 3]>()).prop_map(
        |(file, details, [remove, add, publish])| RowSpec::Update {
            file,
            details,
            remove,
            add,
            publish,
        },
    );
    prop_oneof![
        12 => update,
        1 => Just(RowSpec::Blank),
        1 => Just(RowSpec::Invalid),
        1 => Just(RowSpec::NoChange),
    ]
}

/// These rows, and pairs of rows that share a request.
pub(crate) fn specs() -> impl Strategy<Value = RowSpec> {
    prop_oneof![
        5 => direct_specs(),
        1 => any::<[u8; 2]>().prop_map(|files| RowSpec::Pair { files: files.map(|f| f % 6) }),
        1 => (0_u8..6, any::<bool>()).prop_map(|(file, billed)| RowSpec::Merged { file, billed }),
    ]
}

pub(crate) fn weights() -> impl Strategy<Value = Weights> {
    let low = || prop_oneof![2 => Just(0_u64), 2 => 0_u64..10, 1 => 0_u64..60];
    ([low(), low(), low(), low(), low(), low()], prop_oneof![Just(0_u64), 0_u64..80]).prop_map(
        |(
            [mismatch, rejected, same_rejection, throttled, lost, not_sent],
            probe_failures_percent,
        )| Weights {
            mismatch,
            rejected,
            same_rejection,
            throttled,
            lost,
            not_sent,
            account_rejected: 0,
            probe_failures_percent,
        },
    )
}

pub(crate) fn fake_apis() -> impl Strategy<Value = FakeApi> {
    let outage = proptest::option::weighted(0.15, (0_u64..5000, 100_u64..120_000, any::<bool>()));
    let stated_rate = proptest::option::weighted(0.3, 0.5..50.0);
    (any::<u64>(), weights(), 1_u64..3000, outage, stated_rate).prop_map(
        |(seed, weights, latency_max_ms, outage, stated_rate)| FakeApi {
            seed,
            weights,
            latency_max_ms,
            outage: outage.map(|(from, duration, connects)| {
                (Duration::from_millis(from), Duration::from_millis(from + duration), connects)
            }),
            stated_rate,
            ..FakeApi::default()
        },
    )
}

/// Scenarios of up to `rows` rows with these specifications.
pub(crate) fn scenarios_of(
    specs: impl Strategy<Value = RowSpec>,
    rows: usize,
) -> impl Strategy<Value = Scenario> {
    let batch = (1_usize..30, prop_oneof![4 => Just(0_u64), 1 => 0_u64..500]);
    let batches = proptest::collection::vec(batch, 1..6);
    let sheet = proptest::collection::vec(specs, 1..rows);
    (executions(), sheet, batches, fake_apis())
        .prop_map(|(execution, sheet, batches, api)| Scenario { execution, sheet, batches, api })
}

/// Scenarios that do not abort.
pub(crate) fn scenarios() -> impl Strategy<Value = Scenario> {
    scenarios_of(specs(), 60)
}
