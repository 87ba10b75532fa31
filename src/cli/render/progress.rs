//! The progress of a running session: a bar on a terminal, or a line in the log.

use std::io::{self, Write as _};
use std::time::Duration;

use ikbulk::engine::{Fraction, Hold, Progress, Status};
use ikbulk::internals::{plural, thousands};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::duration::duration;

/// Interval between progress lines in the log.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Width of the bar and the space after it, in columns.
const BAR_COLUMNS: usize = 15;
/// Assumed width of a terminal that does not report one, in columns.
const COLUMNS: usize = 80;

/// Shows the progress of a run. Removes the bar when dropped.
#[derive(Debug)]
pub(in crate::cli) struct ProgressDisplay {
    /// `None` without a terminal; the log then gets a line every 10 s.
    bar: Option<ProgressBar>,
    logged: Duration,
}

impl ProgressDisplay {
    /// Shows progress on the terminal, drawn together with log lines through `screen`.
    pub(in crate::cli) fn new(screen: Option<&MultiProgress>) -> Self {
        let bar = screen.map(|screen| {
            let style = ProgressStyle::with_template("{bar:14.cyan/blue} {wide_msg}");
            let bar = ProgressBar::new(0).with_style(
                style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"),
            );
            screen.add(bar)
        });
        Self { bar, logged: Duration::ZERO }
    }

    pub(in crate::cli) fn show(&mut self, progress: &Progress) {
        if let Some(bar) = &self.bar {
            let Fraction { done, total } = bar_fraction(progress);
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(bar_message(progress, columns().saturating_sub(BAR_COLUMNS)));
            // Move the cursor to the start of the line: a `^C` that the terminal echoes at the end
            // of a full line would wrap, and leave a remnant of the bar above.
            drop(io::stderr().write_all(b"\r"));
        } else if progress.elapsed >= self.logged + LOG_EVERY {
            self.logged = progress.elapsed;
            tracing::info!("{}", line(progress, usize::MAX));
        }
    }
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The fraction that the bar shows: writes if known, since one write may settle many rows, and one
/// row may need several.
fn bar_fraction(progress: &Progress) -> Fraction {
    progress.writes.unwrap_or(progress.rows)
}

fn percent(fraction: Fraction) -> u64 {
    (fraction.done * 100).checked_div(fraction.total).unwrap_or(100)
}

/// The text after the bar, in at most `columns` columns.
fn bar_message(progress: &Progress, columns: usize) -> String {
    let percent = format!("{:3}%  ", percent(bar_fraction(progress)));
    let line = line(progress, columns.saturating_sub(percent.chars().count()));
    percent + &line
}

/// The progress as one line of at most `columns` columns. Parts that do not fit are left out,
/// except the first.
fn line(progress: &Progress, columns: usize) -> String {
    let mut line = String::new();
    for part in parts_by_priority(progress) {
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
fn parts_by_priority(progress: &Progress) -> impl Iterator<Item = String> {
    let bad = [Status::Unknown, Status::Rejected, Status::Failed];
    let good = [Status::Updated, Status::Unchanged, Status::NotAttempted];
    let Fraction { done, total } = progress.rows;
    let rows = format!("{} of {}", thousands(done), plural(total, "row", "rows"));
    let writes = progress.writes.map(|Fraction { done, total }| {
        format!("{} of {}", thousands(done), plural(total, "write", "writes"))
    });
    // The bar shows writes where their number is known.
    let (first, second) = match writes {
        Some(writes) => (writes, Some(rows)),
        None => (rows, None),
    };
    progress
        .hold
        .map(hold_text)
        .into_iter()
        .chain(counts(progress, bad))
        .chain((progress.units > 0).then(|| plural(progress.units, "unit", "units")))
        .chain(progress.left.map(|left| format!("{} left", duration(left))))
        .chain([first, rate_text(progress)])
        .chain(second)
        .chain(counts(progress, good))
}

fn counts(progress: &Progress, statuses: [Status; 3]) -> impl Iterator<Item = String> {
    let counts = statuses.map(|status| (progress.counts[status as usize], status));
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    counts.map(|(count, status)| format!("{} {status}", thousands(count)))
}

fn rate_text(progress: &Progress) -> String {
    let rate = progress.rate;
    match progress.allowed {
        // A burst exceeds the limit for a while.
        Some(allowed) if rate > allowed + 0.1 => format!("{rate:.1} of {allowed:.1}/s (burst)"),
        Some(allowed) => format!("{rate:.1} of {allowed:.1}/s"),
        None => format!("{rate:.1}/s"),
    }
}

fn hold_text(hold: Hold) -> String {
    match hold {
        Hold::Unreachable(time) => format!("ImageKit unreachable for {}", duration(time)),
        Hold::Throttled(endpoint, time) => {
            format!("{} throttled for {}", endpoint.as_str(), duration(time))
        }
    }
}

/// Width of the terminal of the bar, in columns.
fn columns() -> usize {
    let size = terminal_size::terminal_size_of(io::stderr());
    size.map_or(COLUMNS, |(terminal_size::Width(columns), _)| columns.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let mut counts = [0; Status::ALL.len()];
        counts[Status::Updated as usize] = 40_000;
        counts[Status::Rejected as usize] = 12;
        Progress {
            elapsed: Duration::ZERO,
            rows: Fraction { done: 40_012, total: 100_000 },
            writes: Some(Fraction { done: 80_050, total: 201_000 }),
            rate: 4.5,
            allowed: Some(4.5),
            left: Some(Duration::from_secs(13_100)),
            hold: None,
            counts,
            units: 0,
        }
    }

    #[test]
    fn line_shows_problems_time_left_and_rate() {
        assert_eq!(
            line(&progress(), usize::MAX),
            "12 rejected, 3 h 38 min left, 80,050 of 201,000 writes, 4.5 of 4.5/s, \
             40,012 of 100,000 rows, 40,000 updated"
        );
    }

    #[test]
    fn spent_units_come_before_the_time_left() {
        let line = line(&Progress { units: 1_300, ..progress() }, usize::MAX);
        assert!(line.starts_with("12 rejected, 1,300 units, 3 h 38 min left, "), "{line}");
    }

    #[test]
    fn bar_shows_writes_if_known() {
        assert_eq!(percent(bar_fraction(&progress())), 39);
        let unknown = Progress { writes: None, ..progress() };
        assert_eq!(percent(bar_fraction(&unknown)), 40);
        assert!(!line(&unknown, usize::MAX).contains("writes"));
    }

    #[test]
    fn narrow_lines_drop_least_important_parts() {
        let hold = Some(Hold::Unreachable(Duration::from_secs(1)));
        let progress = Progress { hold, left: None, ..progress() };
        let message = bar_message(&progress, 80 - BAR_COLUMNS);
        assert_eq!(message, " 39%  ImageKit unreachable for 1 s, 12 rejected, 4.5 of 4.5/s");
        for columns in 0..200 {
            let line = line(&progress, columns);
            assert!(line.chars().count() <= columns.max(29), "{columns}: {line}");
            let parts: Vec<String> = parts_by_priority(&progress).collect();
            assert!(line.split(", ").all(|part| parts.iter().any(|other| other == part)), "{line}");
            assert!(line.starts_with("ImageKit unreachable for 1 s"), "{line}");
        }
    }

    #[test]
    fn rate_above_limit_is_labelled_burst() {
        let line = line(&Progress { rate: 6.25, ..progress() }, usize::MAX);
        assert!(line.contains(", 6.2 of 4.5/s (burst), "), "{line}");
    }
}
