//! The terminal: what is said, what is asked, and the bar that both must not tear.

use std::io::{self, BufRead, IsTerminal, Write};

use indicatif::MultiProgress;

use super::question::{is_number, is_yes};
use super::stop::on_thread;
use crate::report::sanitize;
use crate::system;

/// Where the program speaks to a person, if there is one.
#[derive(Debug, Clone)]
pub struct Screen {
    bars: MultiProgress,
    quiet: bool,
    attended: bool,
}

/// Columns of a terminal that does not say how many it has.
const COLUMNS: u16 = 100;

impl Screen {
    /// The terminal that the program was started on.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let attended = io::stdin().is_terminal() && io::stderr().is_terminal();
        Self { bars: MultiProgress::new(), quiet, attended }
    }

    /// Whether there is a person to be asked.
    #[must_use]
    pub fn is_attended(&self) -> bool {
        self.attended
    }

    /// Where a person can be asked who has not said yes to everything beforehand.
    #[must_use]
    pub fn person(&self, says_yes: bool) -> Option<&Self> {
        (self.attended && !says_yes).then_some(self)
    }

    /// Whether nothing but errors is to be said.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Where bars go; `None` where nobody would see them.
    #[must_use]
    pub fn bars(&self) -> Option<&MultiProgress> {
        (io::stderr().is_terminal() && !self.quiet).then_some(&self.bars)
    }

    /// The most characters of a line that is said; as many as there are where nobody looks on.
    #[must_use]
    pub fn width(&self) -> usize {
        if !io::stdout().is_terminal() {
            return usize::MAX;
        }
        let size = terminal_size::terminal_size_of(io::stdout());
        size.map_or(COLUMNS, |(terminal_size::Width(columns), _)| columns).into()
    }

    /// Says what the program has to say.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            // A closed output (`| head`) is no reason to stop a run.
            self.bars.suspend(|| drop(io::stdout().write_all(sanitize(text).as_bytes())));
        }
    }

    /// Says why the program did not do what it was asked to.
    pub fn error(&self, message: &str) {
        self.bars.suspend(|| drop(writeln!(io::stderr(), "ikbulk: {}", sanitize(message))));
    }

    /// Asks a question; everything but yes is no.
    pub async fn ask(&self, question: &str) -> bool {
        is_yes(&self.answer_to(&format!("{question} [y/N]")).await)
    }

    /// Asks for a number to be typed; everything else is no.
    pub async fn ask_for(&self, question: &str, number: u64) -> bool {
        is_number(&self.answer_to(question).await, number)
    }

    /// What is typed from now on. What was typed before the question was no answer to it.
    async fn answer_to(&self, question: &str) -> String {
        let discarded = system::discard_pending_input();
        let question = sanitize(question);
        self.bars.suspend(|| drop(write!(io::stderr(), "{question} ")));
        let read = || {
            let mut answer = String::new();
            io::stdin().lock().read_line(&mut answer).map(|_| answer)
        };
        // What cannot be read, or may have been typed before, is no answer.
        match discarded {
            Ok(()) => on_thread(read).await.flatten().unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// A writer for log lines, which takes the bars away while it writes.
    #[must_use]
    pub fn log_writer(&self) -> LogWriter {
        LogWriter(self.bars.clone())
    }
}

/// Writes log lines to standard error.
#[derive(Debug, Clone)]
pub struct LogWriter(MultiProgress);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A terminal that takes nothing is no reason to stop a run, and whoever writes the logs
        // would say so on that same terminal, and panic.
        self.0.suspend(|| drop(io::stderr().write_all(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
