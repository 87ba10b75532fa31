//! A counter of reads before a run, on the terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// A progress counter on the terminal, drawn together with log lines; without a terminal a no-op.
/// Removed from the terminal when dropped.
#[derive(Debug)]
pub(in crate::cli) struct Counter(Option<ProgressBar>);

impl Counter {
    /// A counter that shows nothing before [`Self::show`].
    pub(in crate::cli) fn new(screen: Option<&MultiProgress>) -> Self {
        Self(screen.map(|screen| screen.add(ProgressBar::no_length())))
    }

    /// Shows that `done` of `total`, if that is known, have been read; `what` is a plural noun.
    pub(in crate::cli) fn show(&self, what: &'static str, done: u64, total: Option<u64>) {
        let Some(bar) = &self.0 else {
            return;
        };
        if done == 0 {
            let numbers = if total.is_some() { "{pos} of {len}" } else { "{pos}" };
            let template = format!("{{spinner}} {numbers} {{wide_msg}}");
            let style = ProgressStyle::with_template(&template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_message(what);
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.tick();
        }
        bar.set_position(done);
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
