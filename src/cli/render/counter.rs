//! A counter of reads before a run, on the terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use ikbulk::run::ReadProgress;

/// A progress counter on the terminal, drawn together with log lines; without a terminal a no-op.
/// Removed from the terminal when dropped.
#[derive(Debug)]
pub(in crate::cli) struct Counter(Option<ProgressBar>);

impl Counter {
    /// A counter that shows nothing before [`Self::begin`].
    pub(in crate::cli) fn new(screen: Option<&MultiProgress>) -> Self {
        Self(screen.map(|screen| screen.add(ProgressBar::no_length())))
    }
}

impl ReadProgress for Counter {
    fn begin(&self, what: &'static str, count: Option<u64>) {
        let Some(bar) = &self.0 else {
            return;
        };
        let numbers = if count.is_some() { "{pos} of {len}" } else { "{pos}" };
        let style = ProgressStyle::with_template(&format!("{{spinner}} {numbers} {{wide_msg}}"));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        if let Some(count) = count {
            bar.set_length(count);
        }
        bar.set_message(what);
        bar.set_position(0);
        bar.tick();
    }

    fn add(&self, count: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(count);
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
