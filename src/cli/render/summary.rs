//! The summary after a run.

use std::path::Path;
use std::time::Duration;

use ikbulk::engine::{
    AbortReason, Code, EndReason, ExtensionCounts, Reports, SettleReport, SettleStop, Stage, Stop,
    Successor, Summary,
};
use ikbulk::internals::{Causes, path_argument, plural, thousands};

use super::duration::duration;
use super::layout::Layout;

/// Maximum characters of a cause's message.
const MESSAGE_SHOWN_MAX: usize = 300;

/// Renders how the run ended, the results of its rows, and the next commands, in lines of at most
/// `width` characters.
pub(in crate::cli) fn render_summary(
    reports: &Reports,
    ending: &EndReason,
    run: &Path,
    width: usize,
) -> String {
    render(reports, ending, run, "", width)
}

/// Renders the summary of a run that was settled: reading again is no next step if it cannot settle
/// what is left.
pub(in crate::cli) fn render_settled_summary(settled: &SettleReport, width: usize) -> String {
    let SettleReport { run, reports, stop, names_callback_url, .. } = settled;
    let by = match stop {
        SettleStop::NotByReading if *names_callback_url => " --listen ADDRESS",
        SettleStop::NotByReading => " --from CALLBACKS",
        _ => "",
    };
    render(reports, &EndReason::Done, run.path(), by, width)
}

/// Renders a summary. `settle_by` are the flags with which `settle` can settle what is left.
fn render(
    reports: &Reports,
    ending: &EndReason,
    run: &Path,
    settle_by: &str,
    width: usize,
) -> String {
    let mut lines = Layout::new(width);
    let summary = &reports.summary;
    let sandbox = if summary.sandbox { "  SANDBOX" } else { "" };
    lines.add_unwrapped("run", &format!("{}{sandbox}", run.display()));
    if let Some(reason) = stop_reason(ending) {
        lines.add("stopped", &reason);
    }
    lines.add("rows", &row_counts(summary));
    for (name, counts) in &summary.extensions {
        let ExtensionCounts { success, pending, failed, unclear } = counts;
        let mut counts = format!("{name}: {success} success, {pending} pending, {failed} failed");
        if *unclear > 0 {
            counts += &format!(", {unclear} unclear");
        }
        lines.add("extension", &counts);
    }
    if !summary.billed.description.is_empty() {
        lines.add("billed", &summary.billed.description);
    }
    lines.add("requests", &request_counts(summary));
    problems(&mut lines, &reports.failures);
    lines.add_unwrapped("report", &reports.report.display().to_string());
    for backup in &reports.backups {
        lines.add("saved", &format!("your edited sheet was saved as {}", backup.display()));
    }
    next_steps(&mut lines, reports, run, settle_by);
    lines.into_text()
}

fn problems(lines: &mut Layout, failures: &Causes) {
    for (index, cause) in failures.sorted().into_iter().enumerate() {
        let code = cause.code.map_or("", Code::as_str);
        let label = if index == 0 { "problems" } else { "" };
        let count = thousands(cause.count);
        let what = format!("{count} × {} {code} ({})", cause.status, cause.rows_text());
        lines.add(label, &what);
        let example = match cause.rows.first() {
            Some(row) if cause.varies => format!("for example row {row}: "),
            _ => String::new(),
        };
        lines.add("", &format!("  {example}{}", message_start(&cause.message)));
    }
    if failures.others > 0 {
        let others = plural(failures.others, "row", "rows");
        lines.add("", &format!("{others} with other causes; see the report"));
    }
}

/// The start of a message; the report has the whole.
fn message_start(message: &str) -> String {
    match message.char_indices().nth(MESSAGE_SHOWN_MAX) {
        Some((end, _)) => format!("{}… (whole in the report)", &message[..end]),
        None => message.to_owned(),
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
    let mut counts: Vec<String> =
        counts.map(|(count, name)| format!("{} {name}", thousands(*count))).collect();
    if summary.partially_done > 0
        && let Some(not_attempted) = counts.last_mut()
    {
        not_attempted.push_str(&format!(" ({} in part)", summary.partially_done));
    }
    match counts.as_slice() {
        [] => thousands(rows.total),
        counts => format!("{}: {}", thousands(rows.total), counts.join(", ")),
    }
}

/// The requests of the run, apart from those of its previews.
fn request_counts(summary: &Summary) -> String {
    let counters = summary.requests;
    let sessions = match summary.sessions {
        0 | 1 => String::new(),
        several => format!(" over {} sessions", thousands(several)),
    };
    format!(
        "{}, {} after planning, in {}{sessions}; {} retried, {} throttled",
        plural(counters.writes(), "write", "writes"),
        plural(counters.read, "read", "reads"),
        duration(Duration::from_secs_f64(summary.seconds.max(0.0))),
        thousands(counters.retried),
        thousands(counters.throttled)
    )
}

fn stop_reason(ending: &EndReason) -> Option<String> {
    Some(match ending {
        EndReason::Done => return None,
        EndReason::Stopped(Stop::Hangup | Stop::Interrupt | Stop::Terminate) => {
            "by a signal".to_owned()
        }
        EndReason::Stopped(Stop::Deadline) => "deadline reached".to_owned(),
        EndReason::Ledger => "cannot write the ledger; nothing more was sent".to_owned(),
        EndReason::Responses => "cannot write responses.jsonl; nothing more was sent".to_owned(),
        EndReason::Input(why) => format!("cannot read the input: {why}"),
        EndReason::Aborted(halt) => match halt {
            AbortReason::Account { message } => {
                format!(
                    "ImageKit rejected the key or the account: {}; check IMAGEKIT_PRIVATE_KEY or \
                     --key-file",
                    message.trim_end_matches('.')
                )
            }
            AbortReason::SameRejection { message, times, rows } => {
                let rows: Vec<String> = rows.iter().map(u64::to_string).collect();
                format!(
                    "the same rejection {} in a row (rows {}, …): {message}\n\
                     these rows count as not attempted; fix what they have in common, or resume \
                     with --max-same-rejection off",
                    plural((*times).into(), "time", "times"),
                    rows.join(", ")
                )
            }
            AbortReason::ManyRejected { rejected, responses } => {
                format!(
                    "ImageKit rejected {rejected} of {}",
                    plural(*responses, "request", "requests")
                )
            }
            AbortReason::ManyUnknown { unknown } => {
                let one = "at-most-once request lost its response";
                plural((*unknown).into(), one, "at-most-once requests lost their responses")
            }
            AbortReason::Throttled { after } => {
                format!(
                    "ImageKit returned only 429 (too many requests) for {} after the first wait \
                     that it stated; stop other clients of the account, or resume later",
                    duration(*after)
                )
            }
            AbortReason::Down { after, message } => {
                format!("ImageKit was unreachable for {}: {message}", duration(*after))
            }
        },
    })
}

fn next_steps(lines: &mut Layout, reports: &Reports, run: &Path, settle_by: &str) {
    let rows = reports.summary.rows;
    let is_left = reports.summary.rows_left() > 0;
    let resumes = is_left && reports.successor.is_none();
    let mut has_next = resumes;
    match &reports.successor {
        Some(Successor::Undo(undo)) => {
            lines.add_unwrapped("undone", &format!("by {}", undo.display()));
            lines.add("", "apply the sheet to send its changes again");
        }
        Some(Successor::LaterRun(run)) if is_left || reports.summary.to_retry() > 0 => {
            lines.add("next", "apply the sheet again to send what is left");
            lines.add_unwrapped("", &format!("{} has changed files since", run.display()));
            has_next = true;
        }
        _ => {}
    }
    if resumes {
        lines.add_unwrapped("next", &resume_command(reports.stage, run));
        if reports.failures.count_of(Code::Budget) > 0 {
            let flags = reports.spending.flags().join(" or ");
            let day = if reports.spending.day.is_empty() { "" } else { ", or on another UTC day" };
            lines.add(
                "",
                &format!("with a higher {flags}{day}; the recorded limit holds otherwise"),
            );
        }
        if reports.summary.sandbox {
            lines.add("", "on a new sandbox, without the changes of this run");
        }
    }
    reapply(lines, reports, run, has_next);
    let is_undone = matches!(reports.successor, Some(Successor::Undo(_)));
    if reports.can_undo && rows.updated > 0 && !is_undone {
        lines.add_unwrapped("undo", &format!("ikbulk undo {}", path_argument(run)));
    }
    let label = settle_command(lines, reports, run, settle_by).unwrap_or("next");
    if let Some(unknown) = &reports.unknown {
        let unknown = unknown.display();
        let check = format!(
            "check the files of {unknown}: their requests may or may not have taken effect"
        );
        lines.add(label, &check);
    }
}

/// Adds the command that finds out what is pending or unknown; returns the label of what comes after
/// it. The sandbox of a run is gone with it.
fn settle_command(
    lines: &mut Layout,
    reports: &Reports,
    run: &Path,
    settle_by: &str,
) -> Option<&'static str> {
    let Summary { extensions, sandbox, .. } = &reports.summary;
    let is_pending = extensions.values().any(|counts| counts.pending > 0);
    if *sandbox || !is_pending && reports.unknown.is_none() {
        return None;
    }
    lines.add_unwrapped("settle", &format!("ikbulk settle {}{settle_by}", path_argument(run)));
    Some("then")
}

/// Adds the commands that send failed and rejected rows again.
fn reapply(lines: &mut Layout, reports: &Reports, run: &Path, has_next: bool) {
    let conflicts = reports.failures.count_of(Code::Conflict);
    let to_fix = reports.summary.rows.rejected.saturating_sub(conflicts);
    let Some(path) = reports.failed.as_deref().map(path_argument) else {
        return;
    };
    let flags = &reports.read_flags;
    let mut label = if has_next { "then" } else { "next" };
    let retry = match &reports.successor {
        None => Some(format!("ikbulk retry {}", path_argument(run))),
        Some(Successor::UnfinishedRetry(retry)) => {
            Some(format!("ikbulk resume {}", path_argument(retry)))
        }
        Some(Successor::Retry(retry)) => Some(format!("ikbulk report {}", path_argument(retry))),
        Some(Successor::Undo(_) | Successor::LaterRun(_)) => None,
    };
    if let Some(command) = retry.filter(|_| reports.summary.to_retry() > 0) {
        lines.add_unwrapped(label, &command);
        label = "then";
    }
    if to_fix > 0 {
        let fix = match label {
            "then" => "fix the reported cells and run: ",
            _ => "fix the reported cells, then: ",
        };
        let sandbox = if reports.summary.sandbox { "--sandbox " } else { "" };
        lines.add_unwrapped(label, &format!("{fix}ikbulk apply {sandbox}{path}{flags}"));
    } else if conflicts > 0 {
        lines.add_unwrapped(label, &format!("ikbulk plan --diff {path}{flags}"));
        lines.add("", "shows what the sheet would now change on the files in conflict");
    }
}

/// The command that continues a run in this stage.
fn resume_command(stage: Stage, run: &Path) -> String {
    match stage {
        Stage::Running => format!("ikbulk resume {}", path_argument(run)),
        Stage::Planned => format!("ikbulk apply --plan {}", path_argument(run)),
        Stage::Planning => "apply the sheet again; nothing was sent".to_owned(),
    }
}
