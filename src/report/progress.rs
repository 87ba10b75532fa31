//! Progress of a running session: a bar on a terminal, or a line in the log.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::execute::{Dispatcher, Time, WriteProgress};
use crate::ledger::{LedgerError, LedgerFile};
use crate::outcome::Status;
use crate::plan::RowProgress;
use crate::plural::{plural, thousands};

/// Interval between progress lines in the log.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Time over which the displayed rate is measured.
const RATE_OVER: Duration = Duration::from_secs(5);
/// Width of the bar and the space after it, in columns.
const BAR_COLUMNS: usize = 15;
/// Assumed width of a terminal that does not report one, in columns.
const COLUMNS: usize = 80;

/// Shows the progress of a run.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    rows: u64,
    prior: PriorProgress,
    /// Planned writes of the run; 0 if unknown.
    planned: u64,
    /// Start of this session; `None` before the first measurement.
    started: Option<Time>,
    /// Samples of time and total writes over the last [`RATE_OVER`].
    writes: VecDeque<(Time, u64)>,
    logged: Time,
}

/// Progress of earlier sessions of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PriorProgress {
    /// Settled rows by status, in the order of [`Status::ALL`].
    pub counts: [u64; Status::ALL.len()],
    /// Completed writes, approximately.
    pub writes: u64,
}

/// A completed part of a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    /// The completed number.
    pub done: u64,
    /// The total number.
    pub total: u64,
}

/// The progress of a run at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgressLine {
    /// Settled rows.
    pub rows: Fraction,
    /// Completed writes; `None` if their total is unknown.
    pub writes: Option<Fraction>,
    /// Writes per second, over the last 5 s.
    pub rate: f64,
    /// The current limit of writes per second; `None` if unlimited.
    pub allowed: Option<f64>,
    /// Estimated time left at the pace of this session.
    pub left: Option<Duration>,
    /// The reason why nothing is sent at the moment: throttled or unreachable.
    pub hold: Option<String>,
    /// Settled rows by status, in the order of [`Status::ALL`].
    pub counts: [u64; Status::ALL.len()],
}

impl Progress {
    /// Shows progress on the terminal, drawn together with log lines through `screen`; without one,
    /// a log line every 10 s. `rows` and `planned` writes are totals of the whole run.
    #[must_use]
    pub fn new(
        screen: Option<&MultiProgress>,
        rows: u64,
        planned: u64,
        prior: PriorProgress,
    ) -> Self {
        let bar = screen.map(|screen| {
            let style = ProgressStyle::with_template("{bar:14.cyan/blue} {wide_msg}");
            let bar = ProgressBar::new(rows).with_style(
                style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"),
            );
            screen.add(bar)
        });
        let (writes, logged) = (VecDeque::new(), Duration::ZERO);
        Self { bar, rows, prior, planned, started: None, writes, logged }
    }

    /// Measures the progress and displays it.
    pub fn show(&mut self, dispatcher: &Dispatcher, now: Time) {
        let line = self.measure(dispatcher, now);
        if let Some(bar) = &self.bar {
            let Fraction { done, total } = line.bar_fraction();
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(line.bar_message(columns().saturating_sub(BAR_COLUMNS)));
            // Move the cursor to the start of the line: a `^C` that the terminal echoes at the end
            // of a full line would wrap, and leave a remnant of the bar above.
            drop(io::stderr().write_all(b"\r"));
        } else if now >= self.logged + LOG_EVERY {
            self.logged = now;
            tracing::info!("{}", line.line(usize::MAX));
        }
    }

    /// Removes the bar.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn measure(&mut self, dispatcher: &Dispatcher, now: Time) -> ProgressLine {
        let in_session = dispatcher.done_by_status();
        let counts = std::array::from_fn(|status| self.prior.counts[status] + in_session[status]);
        let sent = dispatcher.checkpoint().counters.writes();
        self.writes.push_back((now, sent));
        while self.writes.front().is_some_and(|(then, _)| *then + RATE_OVER < now) {
            self.writes.pop_front();
        }
        let (since, then) = self.writes.front().copied().unwrap_or((now, sent));
        let started = *self.started.get_or_insert(now);
        let WriteProgress { finished, added } = dispatcher.writes();
        let pace = per_second(finished, now.saturating_sub(started));
        let writes = (self.planned > 0).then(|| {
            let total = self.planned + added;
            Fraction { done: (self.prior.writes + finished).min(total), total }
        });
        let left = writes.map_or(0, |writes| writes.total - writes.done);
        let allowed = dispatcher.write_rate(now);
        let cooldown = dispatcher
            .longest_cooldown(now)
            .map_or(Duration::ZERO, |(_, until)| until.saturating_sub(now));
        let is_down = dispatcher.down_since().is_some();
        ProgressLine {
            rows: Fraction { done: counts.iter().sum(), total: self.rows },
            writes,
            rate: per_second(sent.saturating_sub(then), now.saturating_sub(since)),
            allowed,
            left: time_left(left, pace, allowed).filter(|_| !is_down).map(|time| time + cooldown),
            hold: hold(dispatcher, now),
            counts,
        }
    }
}

impl PriorProgress {
    /// Reads the progress from the ledger.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn of(ledger: &LedgerFile) -> Result<Self, LedgerError> {
        let mut progress = Self { writes: ledger.counters()?.write_progress(), ..Self::default() };
        ledger.steps(0, |mut steps| {
            let (mut row, mut row_progress) = (0, RowProgress::default());
            while let Some(record) = steps.next_step()? {
                if record.step.row != row {
                    progress.count(&row_progress);
                    (row, row_progress) = (record.step.row, RowProgress::default());
                }
                row_progress.record(&record);
            }
            progress.count(&row_progress);
            Ok(progress)
        })
    }

    fn count(&mut self, row_progress: &RowProgress) {
        if row_progress.is_finished() {
            self.counts[row_progress.worst_status() as usize] += 1;
        }
    }
}

impl Fraction {
    fn percent(self) -> u64 {
        (self.done * 100).checked_div(self.total).unwrap_or(100)
    }
}

impl ProgressLine {
    /// The fraction that the bar shows: writes if known, since one write may settle many rows, and
    /// one row may need several.
    #[must_use]
    pub fn bar_fraction(&self) -> Fraction {
        self.writes.unwrap_or(self.rows)
    }

    /// The text after the bar, in at most `columns` columns.
    #[must_use]
    pub fn bar_message(&self, columns: usize) -> String {
        let percent = format!("{:3}%  ", self.bar_fraction().percent());
        let line = self.line(columns.saturating_sub(percent.chars().count()));
        percent + &line
    }

    /// The progress as one line of at most `columns` columns. Parts that do not fit are left out,
    /// except the first.
    #[must_use]
    pub fn line(&self, columns: usize) -> String {
        let mut line = String::new();
        for part in self.parts_by_priority() {
            let comma = if line.is_empty() { "" } else { ", " };
            let fits = line.chars().count() + comma.len() + part.chars().count() <= columns;
            if line.is_empty() || fits {
                line.push_str(comma);
                line.push_str(&part);
            }
        }
        line
    }

    /// The parts of the line, most important first.
    fn parts_by_priority(&self) -> impl Iterator<Item = String> {
        let bad = [Status::Unknown, Status::Rejected, Status::Failed];
        let good = [Status::Updated, Status::Unchanged, Status::NotAttempted];
        let Fraction { done, total } = self.rows;
        let rows = format!("{} of {}", thousands(done), plural(total, "row", "rows"));
        let writes = self.writes.map(|Fraction { done, total }| {
            format!("{} of {}", thousands(done), plural(total, "write", "writes"))
        });
        // The bar shows writes where their number is known.
        let (first, second) = match writes {
            Some(writes) => (writes, Some(rows)),
            None => (rows, None),
        };
        self.hold
            .clone()
            .into_iter()
            .chain(self.counts(bad))
            .chain(self.left.map(|left| format!("{} left", duration(left))))
            .chain([first, self.rate_text()])
            .chain(second)
            .chain(self.counts(good))
    }

    fn counts(&self, statuses: [Status; 3]) -> impl Iterator<Item = String> {
        let counts = statuses.map(|status| (self.counts[status as usize], status));
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        counts.map(|(count, status)| format!("{} {status}", thousands(count)))
    }

    fn rate_text(&self) -> String {
        let rate = self.rate;
        match self.allowed {
            // A burst exceeds the limit for a while.
            Some(allowed) if rate > allowed + 0.1 => format!("{rate:.1} of {allowed:.1}/s (burst)"),
            Some(allowed) => format!("{rate:.1} of {allowed:.1}/s"),
            None => format!("{rate:.1}/s"),
        }
    }
}

/// Width of the terminal of the bar, in columns.
fn columns() -> usize {
    let size = terminal_size::terminal_size_of(io::stderr());
    size.map_or(COLUMNS, |(terminal_size::Width(columns), _)| columns.into())
}

fn hold(dispatcher: &Dispatcher, now: Time) -> Option<String> {
    if let Some(since) = dispatcher.down_since() {
        let since = duration(now.saturating_sub(since));
        return Some(format!("ImageKit unreachable for {since}"));
    }
    let (endpoint, until) = dispatcher.longest_cooldown(now)?;
    let wait = duration(until.saturating_sub(now));
    Some(format!("{} throttled for {wait}", endpoint.as_str()))
}

/// Estimated time for the remaining writes: at the pace of this session, but no faster than the
/// limit, which the initial burst exceeds.
fn time_left(writes: u64, pace: f64, allowed: Option<f64>) -> Option<Duration> {
    let pace = pace.min(allowed.unwrap_or(f64::INFINITY));
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = writes as f64 / pace;
    (writes > 0 && pace > 0.0).then(|| Duration::from_secs_f64(seconds.min(1e9)))
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, over: Duration) -> f64 {
    if over.is_zero() { 0.0 } else { count as f64 / over.as_secs_f64() }
}

/// Formats a duration in at most two units.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        // Not "0.0 s".
        0 if duration.subsec_millis() > 0 => format!("{:.1} s", duration.as_secs_f64().max(0.1)),
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Counters;
    use crate::settings::Execution;

    /// Counts in the order of [`Status::ALL`].
    fn counts(some: &[(Status, u64)]) -> [u64; Status::ALL.len()] {
        let count =
            |status| some.iter().filter(|(other, _)| *other == status).map(|(_, n)| n).sum();
        Status::ALL.map(count)
    }

    fn numbers() -> ProgressLine {
        let counts = counts(&[(Status::Updated, 40_000), (Status::Rejected, 12)]);
        ProgressLine {
            rows: Fraction { done: 40_012, total: 100_000 },
            writes: Some(Fraction { done: 80_050, total: 201_000 }),
            rate: 4.5,
            allowed: Some(4.5),
            left: Some(Duration::from_secs(13_100)),
            hold: None,
            counts,
        }
    }

    #[test]
    fn line_shows_problems_time_left_and_rate() {
        assert_eq!(
            numbers().line(usize::MAX),
            "12 rejected, 3 h 38 min left, 80,050 of 201,000 writes, 4.5 of 4.5/s, \
             40,012 of 100,000 rows, 40,000 updated"
        );
    }

    #[test]
    fn bar_shows_writes_if_known() {
        assert_eq!(numbers().bar_fraction().percent(), 39);
        let unknown = ProgressLine { writes: None, ..numbers() };
        assert_eq!(unknown.bar_fraction().percent(), 40);
        assert!(!unknown.line(usize::MAX).contains("writes"));
    }

    #[test]
    fn narrow_lines_drop_least_important_parts() {
        let hold = Some("ImageKit unreachable for 1 s".to_owned());
        let numbers = ProgressLine { hold, left: None, ..numbers() };
        let line = numbers.bar_message(80 - BAR_COLUMNS);
        assert_eq!(line, " 39%  ImageKit unreachable for 1 s, 12 rejected, 4.5 of 4.5/s");
        for columns in 0..200 {
            let line = numbers.line(columns);
            assert!(line.chars().count() <= columns.max(29), "{columns}: {line}");
            let parts: Vec<String> = numbers.parts_by_priority().collect();
            assert!(line.split(", ").all(|part| parts.iter().any(|other| other == part)), "{line}");
            assert!(line.starts_with("ImageKit unreachable for 1 s"), "{line}");
        }
    }

    #[test]
    fn rate_above_limit_is_labelled_burst() {
        let line = ProgressLine { rate: 6.25, ..numbers() }.line(usize::MAX);
        assert!(line.contains(", 6.2 of 4.5/s (burst), "), "{line}");
    }

    #[test]
    fn time_left_ignores_the_burst_and_follows_a_slower_pace() {
        let seconds = |pace, allowed| time_left(90, pace, allowed).map(|time| time.as_secs());
        assert_eq!(seconds(50.0, Some(4.5)), Some(20), "the burst is over soon");
        assert_eq!(seconds(0.9, Some(4.5)), Some(100), "retries slow the run down");
        assert_eq!(seconds(90.0, None), Some(1));
        assert_eq!(seconds(0.0, Some(4.5)), None);
        assert_eq!(time_left(0, 4.5, None), None);
    }

    #[test]
    fn resumed_run_includes_prior_progress() {
        let counts = counts(&[(Status::Updated, 49), (Status::Rejected, 1)]);
        let prior = PriorProgress { counts, writes: 90 };
        let mut progress = Progress::new(None, 101, 200, prior);
        let dispatcher = Dispatcher::new(&Execution::default(), Counters::default());
        let numbers = progress.measure(&dispatcher, Duration::ZERO);
        assert_eq!(numbers.rows, Fraction { done: 50, total: 101 });
        assert_eq!(numbers.writes, Some(Fraction { done: 90, total: 200 }));
        assert_eq!(numbers.counts, counts);
    }
}
