//! argv → run → exit code. The only file with signals and exits.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use ikbulk::cli::{self, Cli, LogFormat, Screen};
use ikbulk::execute::Stop;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A run allocates and frees some hundred small pieces a row, most of them in the HTTP library;
/// with the system's allocator that is a fifth of its CPU. Without huge pages, which would double
/// its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let screen = Screen::new(cli.quiet);
    log(&cli, &screen);
    if let Err(error) = ikbulk::system::disable_core_dumps() {
        tracing::debug!("core dumps cannot be switched off: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
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
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the system's own way of ending the program is in force.
        return std::future::pending().await;
    };
    let first = tokio::select! {
        _ = interrupt.recv() => Stop::Interrupt,
        _ = terminate.recv() => Stop::Terminate,
    };
    tokio::spawn(async move {
        let exit_code = tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        };
        #[expect(clippy::disallowed_methods, reason = "the second signal means: at once")]
        std::process::exit(exit_code);
    });
    first
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
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(move || writer.clone());
    match cli.log_format {
        LogFormat::Text => lines.with_target(false).init(),
        LogFormat::Json => lines.json().init(),
    }
}
