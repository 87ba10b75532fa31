//! Entry point: parses arguments, runs the command, returns its exit code. The only file that
//! handles signals and exits the process.

mod cli;

use std::fmt;
use std::future::pending;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::thread;

use ikbulk::engine::Stop;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use cli::{Cli, LogFormat, Screen};

/// A run makes about a hundred small allocations per row, most of them in the HTTP library; with
/// the system allocator they take a fifth of the CPU time. Huge pages are off: they would double
/// the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::parse();
    let screen = Screen::new(cli.verbosity());
    init_logging(&cli, &screen);
    if let Err(error) = ikbulk::internals::system::disable_core_dumps() {
        tracing::debug!("cannot disable core dumps: {error}");
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => ExitCode::from(runtime.block_on(cli::run(cli, &screen, stop_signal()))),
        Err(error) => {
            screen.error(&format!("cannot start: {error}"));
            ExitCode::from(4)
        }
    }
}

/// Returns at the first signal. A second signal ends the process at once: requests in flight are
/// then recovered by `resume`, as after a crash.
async fn stop_signal() -> Stop {
    let Ok(mut signals) = Signals::listen() else {
        // Without handlers, the default action of the signals applies.
        return pending().await;
    };
    let spawned = thread::Builder::new().name("signals".to_owned()).spawn(exit_at_second_signal);
    if let Err(error) = spawned {
        tracing::warn!("cannot handle a second signal: {error}");
    }
    signals.next().await
}

/// Runs on its own thread, so that the second signal works even while the main thread is blocked.
fn exit_at_second_signal() {
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

/// Listeners for SIGINT, SIGTERM and SIGHUP.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if SIGHUP is ignored, as under nohup.
    hangup: Option<Signal>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let handles_hangup = !ikbulk::internals::system::ignores_hangup();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: handles_hangup.then(|| signal(SignalKind::hangup())).transpose()?,
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

fn init_logging(cli: &Cli, screen: &Screen) {
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
