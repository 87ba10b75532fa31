//! The run while it goes on: a bar for a person, a line now and then for a log.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::execute::{Dispatcher, Time, WriteProgress};
use crate::ledger::{LedgerError, LedgerFile};
use crate::outcome::Status;
use crate::plan::RowProgress;
use crate::plural::plural;

/// How often a log is told.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Over how long the rate shown is measured.
const RATE_OVER: Duration = Duration::from_secs(5);
/// Columns of the bar itself, and of the space behind it.
const BAR_COLUMNS: usize = 15;
/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;

/// Shows how far a run is.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    rows: u64,
    before: PriorProgress,
    /// Writes that the run was planned to take; 0 where that is not known.
    planned: u64,
    /// When this session began.
    began: Option<Time>,
    /// When there were how many writes, over the time that the rate shown is measured.
    writes: VecDeque<(Time, u64)>,
    logged: Time,
}

/// What earlier sessions of a run have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PriorProgress {
    /// Rows settled, in the order of [`Status::ALL`].
    pub counts: [u64; Status::ALL.len()],
    /// Writes that are over, or nearly so many.
    pub writes: u64,
}

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    /// So many…
    pub done: u64,
    /// …of so many.
    pub total: u64,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgressLine {
    /// Rows settled.
    pub rows: Fraction,
    /// Writes that are over; `None` where nobody knows how many there are to be.
    pub writes: Option<Fraction>,
    /// Writes a second, lately.
    pub rate: f64,
    /// Writes a second that are allowed now; `None` where there is no limit.
    pub allowed: Option<f64>,
    /// Time left at the pace of this session.
    pub left: Option<Duration>,
    /// What stands in the way.
    pub hold: Option<String>,
    /// Rows settled so, in the order of [`Status::ALL`].
    pub counts: [u64; Status::ALL.len()],
}

impl Progress {
    /// Progress on the terminal, drawn together with whatever is logged through `screen`; a log
    /// line every ten seconds without one. `rows` and `planned` writes are those of the whole run.
    #[must_use]
    pub fn new(
        screen: Option<&MultiProgress>,
        rows: u64,
        planned: u64,
        before: PriorProgress,
    ) -> Self {
        let bar = screen.map(|screen| {
            let style = ProgressStyle::with_template("{bar:14.cyan/blue} {wide_msg}");
            let bar = ProgressBar::new(rows).with_style(
                style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"),
            );
            screen.add(bar)
        });
        let (writes, logged) = (VecDeque::new(), Duration::ZERO);
        Self { bar, rows, before, planned, began: None, writes, logged }
    }

    /// Looks at the run and shows how far it is.
    pub fn show(&mut self, dispatcher: &Dispatcher, now: Time) {
        let numbers = self.look(dispatcher, now);
        if let Some(bar) = &self.bar {
            let Fraction { done, total } = numbers.share();
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(numbers.bar_line(columns().saturating_sub(BAR_COLUMNS)));
            // The cursor stands behind the end of the line, where the ^C that a terminal shows would
            // begin another one, and nobody would take the bar away from above it.
            drop(io::stderr().write_all(b"\r"));
        } else if now >= self.logged + LOG_EVERY {
            self.logged = now;
            tracing::info!("{}", numbers.line(usize::MAX));
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn look(&mut self, dispatcher: &Dispatcher, now: Time) -> ProgressLine {
        let here = dispatcher.settled();
        let counts = std::array::from_fn(|status| self.before.counts[status] + here[status]);
        let sent = dispatcher.checkpoint().counters.writes();
        self.writes.push_back((now, sent));
        while self.writes.front().is_some_and(|(then, _)| *then + RATE_OVER < now) {
            self.writes.pop_front();
        }
        let (since, then) = self.writes.front().copied().unwrap_or((now, sent));
        let began = *self.began.get_or_insert(now);
        let WriteProgress { over, added } = dispatcher.writes();
        let pace = per_second(over, now.saturating_sub(began));
        let writes = (self.planned > 0).then(|| {
            let total = self.planned + added;
            Fraction { done: (self.before.writes + over).min(total), total }
        });
        let left = writes.map_or(0, |writes| writes.total - writes.done);
        let is_down = dispatcher.down_since().is_some();
        ProgressLine {
            rows: Fraction { done: counts.iter().sum(), total: self.rows },
            writes,
            rate: per_second(sent.saturating_sub(then), now.saturating_sub(since)),
            allowed: dispatcher.write_rate(now),
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            left: (pace > 0.0 && left > 0 && !is_down)
                .then(|| Duration::from_secs_f64((left as f64 / pace).min(1e9))),
            hold: hold(dispatcher, now),
            counts,
        }
    }
}

impl PriorProgress {
    /// What the ledger knows of.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn of(ledger: &LedgerFile) -> Result<Self, LedgerError> {
        let mut before = Self { writes: ledger.counters()?.write_progress(), ..Self::default() };
        ledger.steps(0, |mut steps| {
            let (mut row, mut behind) = (0, RowProgress::default());
            while let Some(record) = steps.next_step()? {
                if record.step.row != row {
                    before.count(&behind);
                    (row, behind) = (record.step.row, RowProgress::default());
                }
                behind.record(&record);
            }
            before.count(&behind);
            Ok(before)
        })
    }

    fn count(&mut self, behind: &RowProgress) {
        if behind.is_over() {
            self.counts[behind.so_far() as usize] += 1;
        }
    }
}

impl Fraction {
    fn percent(self) -> u64 {
        (self.done * 100).checked_div(self.total).unwrap_or(100)
    }
}

impl ProgressLine {
    /// What the bar goes by: rows say little where many are settled by one write, or one by the last
    /// of several.
    #[must_use]
    pub fn share(&self) -> Fraction {
        self.writes.unwrap_or(self.rows)
    }

    /// What stands behind the bar, in so many columns.
    #[must_use]
    pub fn bar_line(&self, columns: usize) -> String {
        let percent = format!("{:3} %  ", self.share().percent());
        let line = self.line(columns.saturating_sub(percent.chars().count()));
        percent + &line
    }

    /// All of it in one line of so many columns. What does not fit behind the first part is left out.
    #[must_use]
    pub fn line(&self, columns: usize) -> String {
        let mut line = String::new();
        for part in self.parts() {
            let comma = if line.is_empty() { "" } else { ", " };
            let fits = line.chars().count() + comma.len() + part.chars().count() <= columns;
            if line.is_empty() || fits {
                line.push_str(comma);
                line.push_str(&part);
            }
        }
        line
    }

    /// What matters most first.
    fn parts(&self) -> impl Iterator<Item = String> {
        let bad = [Status::Unknown, Status::Rejected, Status::Failed];
        let good = [Status::Updated, Status::Unchanged, Status::NotAttempted];
        let Fraction { done, total } = self.rows;
        let rows = format!("{done} of {}", plural(total, "row", "rows"));
        let writes = self.writes.map(|Fraction { done, total }| {
            format!("{done} of {}", plural(total, "write", "writes"))
        });
        self.hold
            .clone()
            .into_iter()
            .chain(self.counts(bad))
            .chain(self.left.map(|left| format!("{} left", duration(left))))
            .chain([rows, self.speed()])
            .chain(writes)
            .chain(self.counts(good))
    }

    fn counts(&self, statuses: [Status; 3]) -> impl Iterator<Item = String> {
        let counts = statuses.map(|status| (self.counts[status as usize], status));
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        counts.map(|(count, status)| format!("{count} {status}"))
    }

    fn speed(&self) -> String {
        let rate = self.rate;
        match self.allowed {
            // More than the limit for a while, where a burst is among them.
            Some(allowed) if rate > allowed + 0.1 => format!("{rate:.1} of {allowed:.1}/s (burst)"),
            Some(allowed) => format!("{rate:.1} of {allowed:.1}/s"),
            None => format!("{rate:.1}/s"),
        }
    }
}

/// Columns of the terminal that the bar is on.
fn columns() -> usize {
    let size = terminal_size::terminal_size_of(io::stderr());
    size.map_or(COLUMNS, |(terminal_size::Width(columns), _)| columns.into())
}

fn hold(dispatcher: &Dispatcher, now: Time) -> Option<String> {
    if let Some(since) = dispatcher.down_since() {
        let since = duration(now.saturating_sub(since));
        return Some(format!("ImageKit out of reach for {since}"));
    }
    let (endpoint, until) = dispatcher.hold(now)?;
    let wait = duration(until.saturating_sub(now));
    Some(format!("{} waits {wait} (429)", endpoint.as_str()))
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, over: Duration) -> f64 {
    if over.is_zero() { 0.0 } else { count as f64 / over.as_secs_f64() }
}

/// A duration in two units at most.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.subsec_millis() > 0 => format!("{:.1} s", duration.as_secs_f64()),
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
    fn a_line_says_what_is_wrong_what_is_left_and_how_fast_it_goes() {
        assert_eq!(
            numbers().line(usize::MAX),
            "12 rejected, 3 h 38 min left, 40012 of 100000 rows, 4.5 of 4.5/s, \
             80050 of 201000 writes, 40000 updated"
        );
    }

    #[test]
    fn the_bar_goes_by_writes_where_they_are_known() {
        assert_eq!(numbers().share().percent(), 39);
        let unknown = ProgressLine { writes: None, ..numbers() };
        assert_eq!(unknown.share().percent(), 40);
        assert!(!unknown.line(usize::MAX).contains("writes"));
    }

    #[test]
    fn what_does_not_fit_is_left_out_as_a_whole_and_last_what_matters_most() {
        let hold = Some("ImageKit out of reach for 1 s".to_owned());
        let numbers = ProgressLine { hold, left: None, ..numbers() };
        let line = numbers.bar_line(80 - BAR_COLUMNS);
        assert_eq!(line, " 39 %  ImageKit out of reach for 1 s, 12 rejected, 4.5 of 4.5/s");
        for columns in 0..200 {
            let line = numbers.line(columns);
            assert!(line.chars().count() <= columns.max(29), "{columns}: {line}");
            let parts: Vec<String> = numbers.parts().collect();
            assert!(line.split(", ").all(|part| parts.iter().any(|whole| whole == part)), "{line}");
            assert!(line.starts_with("ImageKit out of reach for 1 s"), "{line}");
        }
    }

    #[test]
    fn a_rate_above_the_limit_is_said_to_be_a_burst() {
        let line = ProgressLine { rate: 6.25, ..numbers() }.line(usize::MAX);
        assert!(line.contains(", 6.2 of 4.5/s (burst), "), "{line}");
    }

    #[test]
    fn a_run_that_goes_on_shows_what_it_had_done_before() {
        let counts = counts(&[(Status::Updated, 49), (Status::Rejected, 1)]);
        let before = PriorProgress { counts, writes: 90 };
        let mut progress = Progress::new(None, 101, 200, before);
        let dispatcher = Dispatcher::new(&Execution::default(), Counters::default());
        let numbers = progress.look(&dispatcher, Duration::ZERO);
        assert_eq!(numbers.rows, Fraction { done: 50, total: 101 });
        assert_eq!(numbers.writes, Some(Fraction { done: 90, total: 200 }));
        assert_eq!(numbers.counts, counts);
    }
}
