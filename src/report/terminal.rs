//! What the person at the terminal reads: before anything is sent, and when it is over.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::progress::duration;
use super::write::Reports;
use crate::execute::{Ending, Halt, Stop};
use crate::plan::Tally;
use crate::row::Units;
use crate::settings::{Execution, Rate};

/// What is about to happen.
#[derive(Debug)]
pub struct Opening<'o> {
    /// The input's name.
    pub input: &'o str,
    /// Its rows, counted.
    pub tally: &'o Tally,
    /// Columns that are not read.
    pub ignored_columns: &'o [String],
    /// Empty cells that leave their field alone.
    pub left_alone: u64,
    /// Where it goes; `None` where nothing is sent.
    pub target: Option<Target<'o>>,
}

/// Where the requests go.
#[derive(Debug)]
pub struct Target<'o> {
    /// The endpoint.
    pub endpoint: &'o str,
    /// The account's fingerprint.
    pub account: &'o str,
    /// Whether it is the built-in sandbox.
    pub sandbox: bool,
    /// At which rates.
    pub execution: &'o Execution,
    /// The most rows that are sent now.
    pub limit: Option<u64>,
    /// The local time now.
    pub now: jiff::ZonedDateTime,
}

/// So many bad rows are shown before a run, where a person is to see the whole at a glance.
const BAD_ROWS_BEFORE_A_RUN: usize = 10;

/// Says what is about to happen, or, for `check`, what the input holds.
#[must_use]
pub fn opening(about: &Opening<'_>) -> String {
    let mut text = String::new();
    let tally = about.tally;
    let mut line = |name: &str, value: String| {
        text.push_str(&format!("{name:<10} {value}\n"));
    };
    line("input", about.input.to_owned());
    if let Some(target) = &about.target {
        let sandbox = if target.sandbox { "  SANDBOX: nothing real is changed" } else { "" };
        line("endpoint", format!("{}  account {}{sandbox}", target.endpoint, target.account));
    }
    line("rows", rows(tally));
    if !tally.set.is_empty() {
        line("sets", counts(&tally.set));
    }
    if !tally.cleared.is_empty() {
        line("clears", counts(&tally.cleared));
    }
    if about.left_alone > 0 {
        let (one, several) =
            ("empty cell leaves its field alone", "empty cells leave their field alone");
        line("leaves", many(about.left_alone, one, several));
    }
    if !about.ignored_columns.is_empty() {
        line("not read", format!("columns {}", about.ignored_columns.join(", ")));
    }
    line("requests", requests(tally));
    if let Some(target) = &about.target {
        if let Some(limit) = target.limit {
            line(
                "pilot",
                format!("only the first {limit} rows now; `ikbulk resume` does the rest"),
            );
        }
        if let Some(time) = time(tally, target) {
            line("time", time);
        }
    }
    if !tally.paid_runs.is_empty() {
        line("paid runs", paid_runs(tally));
    }
    for (index, request) in tally.first_requests.iter().enumerate() {
        let name = if index == 0 { "first" } else { "" };
        line(name, format!("{} {}", request.target, request.body));
    }
    let shown = if about.target.is_some() { BAD_ROWS_BEFORE_A_RUN } else { usize::MAX };
    for (row, message) in tally.first_rejected.iter().take(shown) {
        line("bad row", format!("{row}: {message}"));
    }
    let shown = tally.first_rejected.len().min(shown) as u64;
    if tally.rejected > shown {
        let more = many(tally.rejected - shown, "more bad row", "more bad rows");
        let hint = if about.target.is_some() { "; `ikbulk check` lists them" } else { "" };
        line("", format!("and {more}{hint}"));
    }
    text
}

/// A number and what is counted.
fn many(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

fn rows(tally: &Tally) -> String {
    let mut text = tally.rows.to_string();
    if tally.rejected > 0 {
        let percent = tally.rejected_share() * 100.0;
        text.push_str(&format!(", {} bad ({percent:.1} %)", tally.rejected));
    }
    if tally.without_change > 0 {
        let silent = many(tally.without_change, "asks for nothing", "ask for nothing");
        text.push_str(&format!(", {silent}"));
    }
    text
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn requests(tally: &Tally) -> String {
    match tally.reads {
        0 => many(tally.writes, "write", "writes"),
        reads => format!(
            "{}, {} (the state before what cannot be repeated)",
            many(tally.writes, "write", "writes"),
            many(reads, "read", "reads")
        ),
    }
}

/// The time that the writes take at the limit, and when they will be through.
fn time(tally: &Tally, target: &Target<'_>) -> Option<String> {
    let Rate::PerSecond(rate) = target.execution.writes.rate else {
        return None;
    };
    let rate = rate * (1.0 - target.execution.writes.leave);
    let writes = tally.writes.min(target.limit.unwrap_or(u64::MAX));
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = Duration::from_secs_f64((writes as f64 / rate).min(1e9));
    let span = jiff::SignedDuration::try_from(seconds).ok()?;
    let finish = target.now.checked_add(span).ok()?;
    let day = if finish.date() == target.now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    Some(format!(
        "{} at {rate:.1} writes/s, until about {}",
        duration(seconds),
        finish.strftime(day)
    ))
}

fn paid_runs(tally: &Tally) -> String {
    let runs = tally.paid_runs.iter().map(|(name, runs)| {
        let units = match name.units() {
            Units::Known(units) => format!("{} units", units * runs),
            Units::Unknown => "units unknown".to_owned(),
        };
        format!("{} {runs} ({units})", name.as_str())
    });
    runs.collect::<Vec<_>>().join(", ")
}

/// Says how the run ended, what became of the rows, and what to do next.
#[must_use]
pub fn closing(reports: &Reports, ending: &Ending, run: &Path) -> String {
    let mut text = String::new();
    let summary = &reports.summary;
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<10} {value}\n"));
    line("run", &format!("{}{}", run.display(), if summary.sandbox { "  SANDBOX" } else { "" }));
    if let Some(why) = why(ending) {
        line("stopped", &why);
    }
    line("rows", &row_counts(summary));
    for (name, counts) in &summary.extensions {
        let super::ExtensionCounts { success, pending, failed } = counts;
        line(
            "extension",
            &format!("{name}: {success} success, {pending} pending, {failed} failed"),
        );
    }
    line("requests", &request_counts(summary));
    let causes = reports.failures.causes();
    for (index, cause) in causes.iter().enumerate() {
        let code = cause.code.map_or("", crate::outcome::Code::as_str);
        let rows = cause.rows.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let more = if cause.count > cause.rows.len() as u64 { ", …" } else { "" };
        let plural = if cause.count == 1 { "row" } else { "rows" };
        let name = if index == 0 { "problems" } else { "" };
        line(name, &format!("{} × {} {code} ({plural} {rows}{more})", cause.count, cause.status));
        line("", &format!("  {}", cause.message));
    }
    if reports.failures.others > 0 {
        line("", &format!("{} × other causes, see the report", reports.failures.others));
    }
    line("report", &reports.report.display().to_string());
    for kept in &reports.set_aside {
        line("kept", &format!("{} is what you had changed", kept.display()));
    }
    for next in next_steps(reports, run) {
        line("next", &next);
    }
    text
}

fn row_counts(summary: &super::Summary) -> String {
    let rows = summary.rows;
    let counts = [
        (rows.updated, "updated"),
        (rows.unchanged, "unchanged"),
        (rows.rejected, "rejected"),
        (rows.failed, "failed"),
        (rows.unknown, "unknown"),
        (rows.not_attempted, "not attempted"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, name)| format!("{count} {name}")).collect();
    format!("{}: {}", rows.total, counts.join(", "))
}

fn request_counts(summary: &super::Summary) -> String {
    let counters = summary.requests;
    let writes = counters.patch
        + counters.publish
        + counters.add_tags
        + counters.remove_tags
        + counters.remove_ai_tags;
    format!(
        "{writes} writes, {} reads in {}; {} repeated, {} throttled",
        counters.read,
        duration(Duration::from_secs_f64(summary.seconds.max(0.0))),
        counters.retried,
        counters.throttled
    )
}

fn why(ending: &Ending) -> Option<String> {
    Some(match ending {
        Ending::Done => return None,
        Ending::Stopped(Stop::Interrupt | Stop::Terminate) => "by a signal".to_owned(),
        Ending::Stopped(Stop::Deadline) => "the time given is over".to_owned(),
        Ending::Ledger => "the ledger cannot be written; nothing more was sent".to_owned(),
        Ending::Input(why) => format!("the input cannot be read any more: {why}"),
        Ending::Halted(halt) => match halt {
            Halt::Account { message } => {
                format!(
                    "ImageKit does not accept the key or account: {message} Look at \
                     IMAGEKIT_PRIVATE_KEY or --key-file"
                )
            }
            Halt::SameRejection { message, times, rows } => {
                let rows: Vec<String> = rows.iter().map(u64::to_string).collect();
                format!(
                    "the same rejection {times} times in a row (rows {}, …): {message}\n           \
                     These rows count as not attempted. Mend what they have in common, or go on \
                     with --max-same-rejection off",
                    rows.join(", ")
                )
            }
            Halt::ManyRejected { rejected, answers } => {
                format!("ImageKit rejected {rejected} of {answers} requests")
            }
            Halt::ManyUnknown { unknown } => {
                format!("{unknown} steps that must not be repeated have lost their answers")
            }
            Halt::Down { after, message } => {
                format!("ImageKit was out of reach for {}: {message}", duration(*after))
            }
        },
    })
}

fn next_steps(reports: &Reports, run: &Path) -> Vec<String> {
    let rows = reports.summary.rows;
    let mut steps = Vec::new();
    if rows.not_attempted > 0 || reports.summary.unverified > 0 {
        steps.push(format!("ikbulk resume {}", run.display()));
    }
    let superseded = reports.summary.superseded;
    if rows.rejected + rows.failed > superseded.rejected + superseded.failed {
        let failed = reports.failed.display();
        let when = if steps.is_empty() { "" } else { "and then " };
        steps.push(format!("{when}mend {failed} and run `ikbulk apply` on it"));
    }
    if rows.unknown > 0 {
        let unknown = reports.unknown.display();
        steps.push(format!(
            "look at the files in {unknown}: what was asked of them may or may not have been done"
        ));
    }
    steps
}
