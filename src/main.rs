//! argv → run → exit code. The only file with signals and exits.

use std::fmt;
use std::future::pending;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::thread;

use ikbulk::cli::{self, Cli, LogFormat, Screen};
use ikbulk::execute::Stop;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// A run allocates and frees some hundred small pieces a row, most of them in the HTTP library;
/// with the system's allocator that is a fifth of its CPU. Without huge pages, which would double
/// its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::parse();
    let screen = Screen::new(cli.quiet, cli.verbose > 0);
    log(&cli, &screen);
    if let Err(error) = ikbulk::system::disable_core_dumps() {
        tracing::debug!("core dumps cannot be switched off: {error}");
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => ExitCode::from(runtime.block_on(cli::run(cli, &screen, asked_to_stop()))),
        Err(error) => {
            screen.error(&format!("cannot start: {error}"));
            ExitCode::from(4)
        }
    }
}

/// Comes back at the first signal. From then on the next one ends the program at once: what is
/// under way is then settled by resuming, as after a crash.
async fn asked_to_stop() -> Stop {
    let Ok(mut signals) = Signals::listen() else {
        // Without handlers the system's own way of ending the program is in force.
        return pending().await;
    };
    let ending = thread::Builder::new().name("signals".to_owned()).spawn(end_at_the_second);
    if let Err(error) = ending {
        tracing::warn!("only one signal is heard: {error}");
    }
    signals.next().await
}

/// Listens on a thread of its own, so that the second signal is heard whatever the first one has to
/// wait for.
fn end_at_the_second() {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        let Ok(mut signals) = Signals::listen() else {
            return;
        };
        signals.next().await;
        let second = signals.next().await;
        #[expect(clippy::disallowed_methods, reason = "the second signal means: at once")]
        std::process::exit(second.exit_code().into());
    });
}

/// The signals that ask the program to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where a hangup is to be ignored, as under nohup.
    hangup: Option<Signal>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let hears_hangup = !ikbulk::system::ignores_hangup();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hears_hangup.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    async fn next(&mut self) -> Stop {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
            _ = hangup => Stop::Hangup,
        }
    }
}

/// The time of a log line.
enum LogTime {
    /// The local time of day, for a person who watches.
    Clock,
    /// Date, time and zone in UTC, for a file.
    Full,
}

impl FormatTime for LogTime {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        match self {
            Self::Clock => write!(w, "{}", jiff::ZonedDateTime::now().strftime("%H:%M:%S")),
            Self::Full => write!(w, "{}", jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")),
        }
    }
}

fn log(cli: &Cli, screen: &Screen) {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => "error",
        (false, 0) => "warn,ikbulk=info",
        (false, 1) => "info,ikbulk=debug",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_env("IKBULK_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let writer = screen.log_writer();
    let is_terminal = io::stderr().is_terminal();
    // https://no-color.org
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal && !no_color)
        .with_timer(if is_terminal { LogTime::Clock } else { LogTime::Full })
        .with_writer(move || writer.clone());
    match cli.log_format {
        LogFormat::Text => lines.with_target(false).init(),
        LogFormat::Json => lines.json().init(),
    }
}
