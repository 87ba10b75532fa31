//! The progress and the result of settling a run.

use ikbulk::engine::{SettleProgress, SettleReport, SettleStop, Stop};
use ikbulk::internals::{plural, thousands};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::duration::duration;
use super::layout::Layout;

/// Shows how far the settling is: on a terminal as a line that changes, else in the log after each
/// reading. Removed from the terminal when dropped.
#[derive(Debug)]
pub(in crate::cli) struct SettleDisplay(Option<ProgressBar>);

impl SettleDisplay {
    pub(in crate::cli) fn new(screen: Option<&MultiProgress>) -> Self {
        Self(screen.map(|screen| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            let bar = ProgressBar::no_length();
            screen.add(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner())))
        }))
    }

    pub(in crate::cli) fn show(&self, progress: SettleProgress) {
        match &self.0 {
            Some(bar) => {
                bar.set_message(line(progress));
                bar.tick();
            }
            None if progress.wait.is_some() => tracing::info!("{}", line(progress)),
            None => {}
        }
    }
}

impl Drop for SettleDisplay {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn line(SettleProgress { settled, total, wait }: SettleProgress) -> String {
    let next = match wait {
        Some(wait) => format!("reading again in {}", duration(wait)),
        None => "reading the files".to_owned(),
    };
    format!("{} of {} settled; {next}", thousands(settled), thousands(total))
}

/// Renders what was settled, and why the rest was not.
pub(in crate::cli) fn render_settled(report: &SettleReport, width: usize) -> String {
    let mut lines = Layout::new(width);
    let SettleReport { open_before, open_now, stop, .. } = report;
    if *open_before == 0 {
        lines.add("settled", "nothing was pending or unknown");
        return lines.into_text();
    }
    let settled = open_before - open_now;
    lines.add("settled", &format!("{} of {}", thousands(settled), thousands(*open_before)));
    if *open_now == 0 {
        return lines.into_text();
    }
    let stays = plural(*open_now, "stays as it is", "stay as they are");
    let why = match stop {
        SettleStop::Settled => return lines.into_text(),
        SettleStop::NotByReading => {
            "the state of a file does not show what ai-tasks did, nor which of several requests on \
             it caused a change"
        }
        SettleStop::SavedTaken => "no callback in the file tells what became of them",
        SettleStop::Stopped(Stop::Deadline) => {
            "the files show no result until now, which proves nothing: an extension may be running, \
             or may have found nothing"
        }
        SettleStop::Stopped(_) => "stopped by a signal",
    };
    lines.add("left", &format!("{stays}: {why}"));
    lines.into_text()
}
