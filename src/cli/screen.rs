//! The terminal: output, prompts, and the progress bars that both must not corrupt.

use std::io::{self, BufRead, IsTerminal, Write};

use indicatif::MultiProgress;

use super::CliError;
use super::question::{is_number, is_yes};
use super::render::MessageStyle;
use ikbulk::internals::system::{self, on_thread};
use ikbulk::internals::{sanitize, sanitize_json};

/// The output of the program, and prompts if a person is present.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    bars: MultiProgress,
    verbosity: Verbosity,
    interactive: bool,
    /// Whether standard output is a terminal, whose width limits lines.
    is_wrapped: bool,
}

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Only errors (`--quiet`).
    Quiet,
    Normal,
    /// Also details (`--verbose`).
    Verbose,
}

/// Assumed width of a terminal that does not report one, in columns.
const COLUMNS: u16 = 100;

impl Screen {
    /// The terminal that the program was started on.
    pub(crate) fn new(verbosity: Verbosity) -> Self {
        let interactive = io::stdin().is_terminal() && io::stderr().is_terminal();
        let is_wrapped = io::stdout().is_terminal();
        Self { bars: MultiProgress::new(), verbosity, interactive, is_wrapped }
    }

    /// Whether standard input and standard error are a terminal, so that a person can answer
    /// prompts.
    pub(crate) fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Fails with `--quiet`, which shows no preview to confirm, unless consent is given.
    pub(super) fn require_shown_or(&self, has_consent: bool) -> Result<(), CliError> {
        if self.is_quiet() && !has_consent {
            return Err(CliError::new(
                "--quiet requires --yes: nothing can be shown and confirmed",
            ));
        }
        Ok(())
    }

    /// Whether only errors are printed (`--quiet`).
    pub(crate) fn is_quiet(&self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    /// Whether to print details (`--verbose`).
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    /// Where to draw progress bars; `None` without a terminal, or with `--quiet`.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        (io::stderr().is_terminal() && !self.is_quiet()).then_some(&self.bars)
    }

    /// Maximum characters per line of output; unlimited without a terminal.
    pub(crate) fn width(&self) -> usize {
        if !self.is_wrapped {
            return usize::MAX;
        }
        let size = terminal_size::terminal_size_of(io::stdout());
        size.map_or(COLUMNS, |(terminal_size::Width(columns), _)| columns).into()
    }

    /// Prints to standard output, unless `--quiet`.
    pub(crate) fn print(&self, text: &str) {
        if !self.is_quiet() {
            // A closed output (`| head`) must not stop a run.
            self.print_safe(&sanitize(text));
        }
    }

    /// Prints text that was sanitized before it got colours, unless `--quiet`.
    pub(crate) fn print_styled(&self, text: &str) {
        if !self.is_quiet() {
            self.print_safe(text);
        }
    }

    /// How messages with the text of rows look: coloured only on a terminal, and not if `NO_COLOR` is
    /// set.
    pub(super) fn message_style(&self) -> MessageStyle {
        let has_colours = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let is_coloured = self.is_wrapped && has_colours("NO_COLOR");
        MessageStyle { width: self.width(), is_coloured }
    }

    /// Prints the result of the command, even with `--quiet`.
    pub(crate) fn print_result(&self, text: &str) {
        self.print_safe(&sanitize(text));
    }

    /// Prints a result as JSON, even with `--quiet`.
    pub(super) fn print_json(&self, json: &serde_json::Value) {
        self.print_safe(&sanitize_json(&format!("{json:#}\n")));
    }

    fn print_safe(&self, text: &str) {
        self.bars.suspend(|| drop(io::stdout().write_all(text.as_bytes())));
    }

    /// Prints an error or a notice to standard error.
    pub(crate) fn error(&self, message: &str) {
        self.bars.suspend(|| drop(writeln!(io::stderr(), "ikbulk: {}", sanitize(message))));
    }

    /// Asks a yes-or-no question; any answer but yes means no.
    pub(crate) async fn ask(&self, question: &str) -> bool {
        is_yes(&self.read_answer(&format!("{question} [y/N]")).await)
    }

    /// Asks to type `number`; any other answer means no.
    pub(crate) async fn ask_for_number(&self, question: &str, number: u64) -> bool {
        is_number(&self.read_answer(question).await, number)
    }

    /// Prints a question and reads a line. Input typed before the question is discarded, since it
    /// cannot be an answer.
    async fn read_answer(&self, question: &str) -> String {
        let discarded = system::discard_pending_input();
        let question = sanitize(question);
        self.bars.suspend(|| drop(write!(io::stderr(), "{question} ")));
        let read = || {
            let mut answer = String::new();
            io::stdin().lock().read_line(&mut answer).map(|_| answer)
        };
        // If the input cannot be discarded or read, take it as no.
        match discarded {
            Ok(()) => on_thread(read).await.flatten().unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// A writer for log lines, which hides the bars while it writes.
    pub(crate) fn log_writer(&self) -> LogWriter {
        LogWriter(self.bars.clone())
    }
}

/// Writes log lines to standard error.
#[derive(Debug, Clone)]
pub(crate) struct LogWriter(MultiProgress);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A write error must not stop a run: the log subscriber would report it on the same
        // terminal and panic.
        self.0.suspend(|| drop(io::stderr().write_all(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
