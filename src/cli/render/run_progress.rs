//! The progress of a run that another process executes.

use std::path::Path;

use ikbulk::engine::{RunProgress, Stage, Status};
use ikbulk::internals::{plural, thousands};

use super::layout::Layout;

/// Renders which process executes a run and its progress; `None` if the ledger does not have it
/// yet.
pub(in crate::cli) fn render_run_progress(
    run: &Path,
    holder: &str,
    progress: Option<&RunProgress>,
    width: usize,
) -> String {
    let mut lines = Layout::new(width);
    lines.add_unwrapped("run", &run.display().to_string());
    lines.add_unwrapped("running", &format!("by {holder}"));
    match progress {
        Some(progress) if progress.stage == Stage::Running => {
            lines.add("rows", &rows(progress));
            lines.add("requests", &requests(progress));
        }
        _ => lines.add("rows", "planning; nothing has been sent"),
    }
    lines.add("next", "the run writes its reports when it ends");
    lines.into_text()
}

fn rows(progress: &RunProgress) -> String {
    let settled: u64 = progress.settled.iter().sum();
    let counts = Status::ALL.into_iter().zip(progress.settled).filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(status, count)| {
            format!("{} {}", thousands(count), status.as_str().replace('_', " "))
        })
        .collect();
    let mut text = format!("{} of {} settled", thousands(settled), thousands(progress.rows));
    if !counts.is_empty() {
        text.push_str(&format!(": {}", counts.join(", ")));
    }
    if progress.in_flight > 0 {
        text.push_str(&format!("; {} in flight", thousands(progress.in_flight)));
    }
    text
}

fn requests(progress: &RunProgress) -> String {
    let requests = progress.requests;
    format!(
        "{}, {} so far; {} retried, {} throttled",
        plural(requests.writes(), "write", "writes"),
        plural(requests.read, "read", "reads"),
        requests.retried,
        requests.throttled
    )
}
