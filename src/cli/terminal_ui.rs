//! Shows the events of the engine on the terminal, and asks its questions there.

use std::cell::RefCell;

use ikbulk::engine::{Event, Notice, Preview, Question, Stop, Ui};
use ikbulk::internals::{RunDir, chain, path_argument, plural};

use super::Screen;
use super::question::Confirmation;
use super::render::{
    Counter, PreviewStyle, ProgressDisplay, SettleDisplay, callbacks_text, render_invalid,
    render_plan, render_undo,
};
use super::sheet_json::refused_json;

/// The terminal as the [`Ui`] of the engine.
#[derive(Debug)]
pub(super) struct TerminalUi<'s> {
    screen: &'s Screen,
    previews: Previews,
    /// The counter of the files being read.
    counter: RefCell<Option<Counter>>,
    progress: RefCell<Option<ProgressDisplay>>,
    settling: RefCell<Option<SettleDisplay>>,
}

/// How previews are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Previews {
    /// With a few examples.
    WithExamples,
    /// After every difference, so without examples.
    AfterDifferences,
    /// Not at all, except as JSON if the sheet is refused.
    AsJson,
}

impl<'s> TerminalUi<'s> {
    pub(super) fn new(screen: &'s Screen) -> Self {
        Self::with_previews(screen, Previews::WithExamples)
    }

    pub(super) fn with_previews(screen: &'s Screen, previews: Previews) -> Self {
        let (counter, progress, settling) = Default::default();
        Self { screen, previews, counter, progress, settling }
    }

    fn preview(&self, preview: &Preview<'_>) {
        let screen = self.screen;
        if self.previews == Previews::AsJson {
            if preview.is_refused {
                screen.print_json(&refused_json(preview));
            }
            return;
        }
        if self.previews == Previews::AfterDifferences && !preview.is_refused {
            screen.print("\n");
        }
        let style = PreviewStyle {
            with_examples: self.previews == Previews::WithExamples,
            with_requests: screen.is_verbose(),
            width: screen.width(),
        };
        screen.print(&render_plan(preview, style));
        screen.print_styled(&render_invalid(preview, screen.message_style()));
        if preview.conflict_checks > 0 {
            let reads = plural(preview.conflict_checks, "read", "reads");
            screen.print(&format!(
                "checks     every file for conflicts before it is changed, in about {reads}\n"
            ));
        }
    }
}

impl Ui for TerminalUi<'_> {
    fn event(&self, event: Event<'_>) {
        let screen = self.screen;
        match event {
            Event::Resuming(run) => {
                screen.print(&format!("resuming   {}\n", run.path().display()));
            }
            Event::Reading { what, done, total } => {
                let mut counter = self.counter.borrow_mut();
                counter.get_or_insert_with(|| Counter::new(screen.bars())).show(what, done, total);
            }
            Event::ReadingEnded => drop(self.counter.take()),
            Event::Difference(difference) => screen.print(&difference.to_string()),
            Event::Preview(preview) => self.preview(preview),
            Event::UndoPreview(summary) => screen.print(&render_undo(summary, screen.width())),
            Event::Progress(progress) => {
                let mut display = self.progress.borrow_mut();
                display.get_or_insert_with(|| ProgressDisplay::new(screen.bars())).show(progress);
            }
            Event::ProgressEnded => drop(self.progress.take()),
            Event::Settling(progress) => {
                let mut display = self.settling.borrow_mut();
                display.get_or_insert_with(|| SettleDisplay::new(screen.bars())).show(progress);
            }
            Event::SettlingEnded => drop(self.settling.take()),
            Event::Stopping(Stop::Interrupt) => {
                screen
                    .error("finishing the requests in flight; press Ctrl-C again to exit at once");
            }
            Event::Stopping(Stop::Terminate | Stop::Hangup | Stop::Deadline) => {}
            Event::Notice(notice) => screen.error(&notice_text(&notice)),
        }
    }

    fn can_ask(&self) -> bool {
        self.screen.is_interactive() && !self.screen.is_quiet()
    }

    async fn ask(&self, question: Question<'_>) -> bool {
        match question {
            Question::SendKey { endpoint, source } => {
                let question = format!(
                    "{} sets the endpoint {endpoint}. Your private key would be sent there.\n\
                     Send the key to {endpoint}?",
                    source.name()
                );
                self.screen.ask(&question).await
            }
            Question::ReadEncoding(guess) => {
                self.screen.ask(&format!("The sheet is not UTF-8. Read it as {guess}?")).await
            }
            Question::ReadColumn { name, column } => {
                self.screen.ask(&format!("Read the column {name:?} as {column}?")).await
            }
            Question::Send { summary, prices, has_too_many_invalid } => {
                match Confirmation::of(summary, prices, has_too_many_invalid) {
                    Confirmation::YesOrNo(question) => self.screen.ask(&question).await,
                    Confirmation::Number(question, number) => {
                        self.screen.ask_for_number(&question, number).await
                    }
                }
            }
        }
    }
}

/// Why rows of unknown outcome are not retried, and what to do about them.
pub(super) fn unknown_not_retried(run: &RunDir, unknown: u64) -> String {
    let rows = plural(unknown, "row of unknown outcome is", "rows of unknown outcome are");
    let file = path_argument(run.path());
    format!("{rows} not retried, because it may have taken effect; check unknown.* in {file}")
}

fn notice_text(notice: &Notice<'_>) -> String {
    match notice {
        Notice::MetadataNotChecked => {
            "not validating custom metadata against the account's fields: no key in \
             IMAGEKIT_PRIVATE_KEY or --key-file"
                .to_owned()
        }
        Notice::ExtensionsNotChecked => {
            "not checking the saved extensions, and the fields that extensions write, against those \
             of the account: no key in IMAGEKIT_PRIVATE_KEY or --key-file"
                .to_owned()
        }
        Notice::EarlierVersionUnfinished(run) => format!(
            "there is an unfinished run of an earlier version of this sheet: {}; do not resume it \
             after this run, or its older values overwrite newer ones",
            run.path().display()
        ),
        Notice::ChargesOfEarlierRun(error) => chain(*error),
        Notice::ChargesNotRecorded { run, error } => format!(
            "cannot record the charges of this run: {}; the next run with extensions on this \
             account tries again; keep {} until then",
            chain(*error),
            run.path().display()
        ),
        Notice::NewSandbox => "the sandbox of this run is gone; starting a new one".to_owned(),
        Notice::SheetChanged(path) => {
            let sheet = path.display();
            format!(
                "{sheet} has changed since this run copied it; resuming sends the rest of the \
                 copy.\nTo apply the changed sheet instead: ikbulk apply {}",
                path_argument(path)
            )
        }
        Notice::UnknownNotRetried(run, unknown) => unknown_not_retried(run, *unknown),
        Notice::Callbacks(report) => callbacks_text(report),
        Notice::UndoingUnfinished(run) => {
            format!("{} is unfinished; undoing what it has done so far", run.path().display())
        }
    }
}
