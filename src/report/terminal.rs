//! What the person at the terminal reads: before anything is sent, and when it is over.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::failures::Failures;
use super::layout::Layout;
use super::progress::duration;
use super::summary::Summary;
use super::write::Reports;
use crate::account::Identity;
use crate::execute::{EndReason, Halt, Stop};
use crate::ledger::{Counters, Stage};
use crate::outcome::Code;
use crate::plan::PlanSummary;
use crate::plural::plural;
use crate::resolve::Resolution;
use crate::row::Units;
use crate::run::{ReadStats, ReadStrategy};
use crate::settings::{Execution, Rate};

/// What is about to happen.
#[derive(Debug)]
pub struct PlanView<'o> {
    /// The input's name.
    pub input: &'o str,
    /// All rows of the run, where only what is left of them is counted.
    pub rows_of_run: Option<u64>,
    /// Its rows, counted.
    pub summary: &'o PlanSummary,
    /// Columns that are not read.
    pub ignored_columns: &'o [String],
    /// Empty cells that leave their field alone.
    pub empty_cells: u64,
    /// What was read of the files; `None` where nothing was.
    pub reading: Option<(ReadStats, u64)>,
    /// Files that were looked up by path or URL.
    pub looked_up: Option<&'o Resolution>,
    /// Where it goes; `None` where nothing is sent.
    pub target: Option<Target<'o>>,
    /// The most characters of a line.
    pub width: usize,
}

/// Where the requests go.
#[derive(Debug)]
pub struct Target<'o> {
    /// The endpoint.
    pub endpoint: &'o str,
    /// The account.
    pub account: &'o Identity,
    /// Whether no run on this account is known to this machine.
    pub is_first_run: bool,
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
pub fn render_plan(about: &PlanView<'_>) -> String {
    let mut lines = Layout::new(about.width);
    let summary = about.summary;
    lines.add_whole("input", about.input);
    if let Some(target) = &about.target {
        let sandbox = if target.sandbox { "  SANDBOX: nothing real is changed" } else { "" };
        let account = account(target.account);
        lines.add("endpoint", &format!("{}  account {account}{sandbox}", target.endpoint));
    }
    lines.add("rows", &rows(summary, about.rows_of_run));
    if let Some(looked_up) = about.looked_up {
        lines.add("looked up", &found(looked_up));
    }
    if summary.unresolved > 0 {
        let (one, several) = ("row names its file", "rows name their file");
        let rows = plural(summary.unresolved, one, several);
        lines.add("to look up", &format!("{rows} by path or URL; `ikbulk apply` looks them up"));
    }
    if !summary.set.is_empty() {
        lines.add("sets", &counts(&summary.set));
    }
    if !summary.cleared.is_empty() {
        lines.add("clears", &counts(&summary.cleared));
    }
    if about.empty_cells > 0 {
        let (one, several) = ("empty cell leaves its field", "empty cells leave their field");
        lines.add("leaves", &format!("{} alone", plural(about.empty_cells, one, several)));
    }
    if !about.ignored_columns.is_empty() {
        let columns = if about.ignored_columns.len() == 1 { "column" } else { "columns" };
        lines.add("not read", &format!("{columns} {}", about.ignored_columns.join(", ")));
    }
    if let Some((reading, reads)) = about.reading {
        lines.add("read", &read(reading, reads));
    }
    lines.add("requests", &requests(summary));
    if let Some(target) = &about.target {
        pace(&mut lines, summary, target);
    }
    if !summary.paid_runs.is_empty() {
        lines.add("paid runs", &paid_runs(summary));
        if about.target.as_ref().is_some_and(|target| target.is_first_run) {
            lines.add(
                "",
                "no earlier run of this account: extensions that other machines or users ran on \
                 these files are not known here, and would be charged again",
            );
        }
    }
    for (index, request) in summary.first_requests.iter().enumerate() {
        let label = if index == 0 { "first" } else { "" };
        lines.add_cut(label, &format!("{} {}", request.target, request.body));
    }
    bad_rows(&mut lines, about);
    lines.into_text()
}

/// How much of it is sent now, and how long that takes.
fn pace(lines: &mut Layout, summary: &PlanSummary, target: &Target<'_>) {
    if let Some(limit) = target.limit {
        let rows = if limit == 1 { "row".to_owned() } else { format!("{limit} rows") };
        let pilot = format!("only the first {rows} now; `ikbulk resume` does the rest");
        lines.add("pilot", &pilot);
    }
    if let Some(time) = time(summary, target) {
        lines.add("time", &time);
    }
}

fn bad_rows(lines: &mut Layout, about: &PlanView<'_>) {
    let summary = about.summary;
    let (shown_max, hint) = match about.target {
        Some(_) if summary.missing > 0 => {
            (BAD_ROWS_BEFORE_A_RUN, "; `ikbulk check FILE` lists all whose cells are wrong")
        }
        Some(_) => (BAD_ROWS_BEFORE_A_RUN, "; `ikbulk check FILE` lists them all"),
        None => (usize::MAX, ""),
    };
    let mut bad: Vec<_> = summary.first_bad.iter().collect();
    bad.sort_unstable();
    let shown = bad.into_iter().take(shown_max);
    let more = (summary.rejected + summary.missing).saturating_sub(shown.len() as u64);
    for (row, message) in shown {
        lines.add("bad row", &format!("{row}: {message}"));
    }
    if more > 0 {
        lines.add("", &format!("and {}{hint}", plural(more, "more bad row", "more bad rows")));
    }
}

/// The account by the name that its files' URLs show, and by its key.
fn account(account: &Identity) -> String {
    match &account.name {
        Some(name) => format!("{name} (key {})", account.key),
        None => format!("of key {}", account.key),
    }
}

fn rows(summary: &PlanSummary, rows_of_run: Option<u64>) -> String {
    let mut text = match rows_of_run {
        None => summary.rows.to_string(),
        Some(all) => format!("{} left of {all}", summary.rows - summary.settled_before),
    };
    if summary.rejected > 0 {
        let percent = summary.rejected_share() * 100.0;
        text.push_str(&format!(", {} bad ({percent:.1} %)", summary.rejected));
    }
    if summary.missing > 0 {
        text.push_str(&format!(", {} of files that ImageKit does not have", summary.missing));
    }
    if summary.up_to_date > 0 {
        let (one, several) = ("is so already", "are so already");
        text.push_str(&format!(", {}", plural(summary.up_to_date, one, several)));
    }
    if summary.already_ran > 0 {
        let paid = summary.already_ran;
        text.push_str(&format!(", {paid} paid for before (--rerun-extensions pays again)"));
    }
    if summary.without_change > 0 {
        let (one, several) = ("asks for nothing", "ask for nothing");
        text.push_str(&format!(", {}", plural(summary.without_change, one, several)));
    }
    text
}

/// What was read, in how many requests.
fn read(reading: ReadStats, reads: u64) -> String {
    let files = plural(reading.files, "file", "files");
    let way = match reading.way {
        ReadStrategy::OneByOne => "one by one",
        ReadStrategy::ByIds => "a hundred at once",
        ReadStrategy::Library { .. } => "by listing the library",
    };
    let again = match reading.again {
        0 => String::new(),
        1 => " and 1 of them once more by itself".to_owned(),
        again => format!(" and {again} of them once more by themselves"),
    };
    let mut text = format!("{files} {way}{again}, in {}", plural(reads, "request", "requests"));
    if reading.stale > 0 {
        text.push_str(&format!(
            "; {} out of date there, so that each was read by itself",
            plural(reading.stale, "file was", "files were")
        ));
    }
    text
}

fn found(looked_up: &Resolution) -> String {
    let Resolution { files, reads } = looked_up;
    format!(
        "{} in {}; {} found and confirmed by id",
        plural(files.count() as u64, "path or URL", "paths and URLs"),
        plural(*reads, "read", "reads"),
        files.found()
    )
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn requests(summary: &PlanSummary) -> String {
    let Counters { patch, publish, add_tags, remove_tags, .. } = summary.by_kind;
    let kinds = [
        (patch, "PATCH"),
        (publish, "publish"),
        (add_tags, "addTags"),
        (remove_tags, "removeTags"),
    ];
    let kinds = kinds.iter().filter(|(count, _)| *count > 0);
    let kinds: Vec<String> = kinds.map(|(count, name)| format!("{count} {name}")).collect();
    let up_to = if summary.unresolved > 0 { "up to " } else { "" };
    let mut writes = format!("{up_to}{}", plural(summary.writes, "write", "writes"));
    if kinds.len() > 1 {
        writes.push_str(&format!(" ({})", kinds.join(", ")));
    }
    match summary.reads {
        0 => writes,
        reads => format!(
            "{writes}, {} (the state before what cannot be repeated)",
            plural(reads, "read", "reads")
        ),
    }
}

/// The time that the writes take at the limit, and when they will be through.
fn time(summary: &PlanSummary, target: &Target<'_>) -> Option<String> {
    let limit = target.execution.writes;
    let Rate::PerSecond(rate) = limit.rate else {
        return None;
    };
    let rate = rate * (1.0 - limit.leave);
    let seconds = limit.time_for(summary.writes.min(target.limit.unwrap_or(u64::MAX)))?;
    let span = jiff::SignedDuration::try_from(seconds).ok()?;
    let finish = target.now.checked_add(span).ok()?;
    let day = if finish.date() == target.now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    Some(format!(
        "{} at {rate:.1} writes/s, until about {}",
        duration(seconds),
        finish.strftime(day)
    ))
}

fn paid_runs(summary: &PlanSummary) -> String {
    let runs = summary.paid_runs.iter().map(|(name, runs)| {
        let units = match name.units() {
            Units::Known(units) => plural(units * runs, "unit", "units"),
            Units::Unknown => "units unknown".to_owned(),
        };
        format!("{} {runs} ({units})", name.as_str())
    });
    runs.collect::<Vec<_>>().join(", ")
}

/// Says how the run ended, what became of the rows, and what to do next, in lines of at most
/// `width` characters.
#[must_use]
pub fn render_summary(reports: &Reports, ending: &EndReason, run: &Path, width: usize) -> String {
    let mut lines = Layout::new(width);
    let summary = &reports.summary;
    let sandbox = if summary.sandbox { "  SANDBOX" } else { "" };
    lines.add_whole("run", &format!("{}{sandbox}", run.display()));
    if let Some(why) = why(ending) {
        lines.add("stopped", &why);
    }
    lines.add("rows", &row_counts(summary));
    for (name, counts) in &summary.extensions {
        let super::ExtensionCounts { success, pending, failed, unclear } = counts;
        let mut counts = format!("{name}: {success} success, {pending} pending, {failed} failed");
        if *unclear > 0 {
            counts += &format!(", {unclear} unclear");
        }
        lines.add("extension", &counts);
    }
    lines.add("requests", &request_counts(summary));
    problems(&mut lines, &reports.failures);
    lines.add_whole("report", &reports.report.display().to_string());
    for kept in &reports.backups {
        lines.add("kept", &format!("{} is what you had changed", kept.display()));
    }
    next_steps(&mut lines, reports, run);
    lines.into_text()
}

fn problems(lines: &mut Layout, failures: &Failures) {
    for (index, cause) in failures.causes().into_iter().enumerate() {
        let code = cause.code.map_or("", Code::as_str);
        let rows = cause.rows.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let more = if cause.count > cause.rows.len() as u64 { ", …" } else { "" };
        let plural = if cause.count == 1 { "row" } else { "rows" };
        let label = if index == 0 { "problems" } else { "" };
        let what = format!("{} × {} {code} ({plural} {rows}{more})", cause.count, cause.status);
        lines.add(label, &what);
        let whose = match cause.rows.first() {
            Some(row) if cause.varies => format!("for example row {row}: "),
            _ => String::new(),
        };
        lines.add("", &format!("  {whose}{}", cause.message));
    }
    if failures.others > 0 {
        let others = plural(failures.others, "row", "rows");
        lines.add("", &format!("{others} with other causes, see the report"));
    }
}

fn row_counts(summary: &Summary) -> String {
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
    let mut counts: Vec<String> = counts.map(|(count, name)| format!("{count} {name}")).collect();
    if summary.begun > 0
        && let Some(not_attempted) = counts.last_mut()
    {
        not_attempted.push_str(&format!(" ({} in part)", summary.begun));
    }
    match counts.as_slice() {
        [] => rows.total.to_string(),
        counts => format!("{}: {}", rows.total, counts.join(", ")),
    }
}

fn request_counts(summary: &Summary) -> String {
    let counters = summary.requests;
    format!(
        "{}, {} in {}; {} repeated, {} throttled",
        plural(counters.writes(), "write", "writes"),
        plural(counters.read, "read", "reads"),
        duration(Duration::from_secs_f64(summary.seconds.max(0.0))),
        counters.retried,
        counters.throttled
    )
}

fn why(ending: &EndReason) -> Option<String> {
    Some(match ending {
        EndReason::Done => return None,
        EndReason::Stopped(Stop::Hangup | Stop::Interrupt | Stop::Terminate) => {
            "by a signal".to_owned()
        }
        EndReason::Stopped(Stop::Deadline) => "the time given is over".to_owned(),
        EndReason::Ledger => "the ledger cannot be written; nothing more was sent".to_owned(),
        EndReason::Input(why) => format!("the input cannot be read any more: {why}"),
        EndReason::Halted(halt) => match halt {
            Halt::Account { message } => {
                format!(
                    "ImageKit does not accept the key or account: {message} Look at \
                     IMAGEKIT_PRIVATE_KEY or --key-file"
                )
            }
            Halt::SameRejection { message, times, rows } => {
                let rows: Vec<String> = rows.iter().map(u64::to_string).collect();
                format!(
                    "the same rejection {} in a row (rows {}, …): {message}\n\
                     These rows count as not attempted. Mend what they have in common, or go on \
                     with --max-same-rejection off",
                    plural((*times).into(), "time", "times"),
                    rows.join(", ")
                )
            }
            Halt::ManyRejected { rejected, answers } => {
                format!(
                    "ImageKit rejected {rejected} of {}",
                    plural(*answers, "request", "requests")
                )
            }
            Halt::ManyUnknown { unknown } => {
                let one = "step that must not be repeated has lost its answer";
                let several = "steps that must not be repeated have lost their answers";
                plural((*unknown).into(), one, several)
            }
            Halt::Throttled { after } => {
                format!(
                    "ImageKit answered 429 (too many requests) and nothing else for {} after the \
                     first wait that it stated; stop what else uses up the account's limit, or go \
                     on later",
                    duration(*after)
                )
            }
            Halt::Down { after, message } => {
                format!("ImageKit was out of reach for {}: {message}", duration(*after))
            }
        },
    })
}

fn next_steps(lines: &mut Layout, reports: &Reports, run: &Path) {
    let rows = reports.summary.rows;
    let Summary { unverified, owed, .. } = reports.summary;
    let resumes = rows.not_attempted + unverified + owed > 0;
    if resumes {
        lines.add_whole("next", &go_on(reports.stage, run));
        if reports.summary.sandbox {
            lines.add("", "on a new sandbox: the run's own is gone, with what was changed on it");
        }
    }
    feed_back(lines, reports, resumes);
    if rows.unknown > 0 {
        let unknown = reports.unknown.display();
        let look = format!(
            "look at the files in {unknown}: what was asked of them may or may not have been done"
        );
        lines.add("next", &look);
    }
}

/// What to do with the rows that were rejected or have failed.
fn feed_back(lines: &mut Layout, reports: &Reports, resumes: bool) {
    let (rows, superseded) = (reports.summary.rows, reports.summary.superseded);
    let moved = reports.failures.count_of(Code::Conflict);
    let to_mend = rows.rejected.saturating_sub(superseded.rejected + moved);
    let failed = rows.failed.saturating_sub(superseded.failed);
    let path = reports.failed.display();
    let and_then = if resumes { "and then: " } else { "" };
    if to_mend + failed > 0 {
        let mend = if to_mend > 0 { "mend its cells, then: " } else { and_then };
        let sandbox = if reports.summary.sandbox { "--sandbox " } else { "" };
        lines.add_whole("next", &format!("{mend}ikbulk apply {sandbox}{path}"));
    } else if moved > 0 {
        lines.add_whole("next", &format!("{and_then}ikbulk plan --diff {path}"));
        lines.add("", "shows what it would make of what others have changed");
    }
}

/// How to go on with a run that has come so far.
fn go_on(stage: Stage, run: &Path) -> String {
    match stage {
        Stage::Running => format!("ikbulk resume {}", run.display()),
        Stage::Planned => format!("ikbulk apply --plan {}", run.display()),
        Stage::Planning => "apply the sheet again; nothing was sent of it".to_owned(),
    }
}
