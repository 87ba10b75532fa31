//! `ikbulk sandbox`: runs a local ImageKit until a signal stops it.

use std::future::Future;
use std::io::{self, BufWriter, ErrorKind};
use std::time::Duration;

use clap::Args;

use super::callback_args::CallbackArgs;
use super::help::FAULTS;
use super::library_args::LibraryArgs;
use super::quirk_args::QuirkArgs;
use super::sandbox_limit_args::SandboxLimitArgs;
use super::values::Span;
use super::{CliError, Screen};
use ikbulk::engine::Stop;
use ikbulk::internals::AtomicFile;
use ikbulk_sandbox::{Config, FAULT_FORMS, FaultSpec, Faults, Running};

#[derive(Debug, Args)]
pub(super) struct Sandbox {
    /// The port on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 8077)]
    port: u16,
    /// The private key that the sandbox accepts; not a secret
    #[arg(long, default_value = "private_sandbox")]
    key: String,
    #[command(flatten)]
    library: LibraryArgs,
    #[command(flatten)]
    limits: SandboxLimitArgs,
    /// Inject a fault, such as 3:reset-after (third request) or 1%:status-503 (at random); may be
    /// given several times. --help lists the faults
    #[arg(long, value_name = "WHEN:FAULT", long_help = fault_help(), help_heading = FAULTS)]
    fault: Vec<FaultSpec>,
    /// The seed of random faults
    #[arg(long, default_value_t = 1, value_name = "SEED", help_heading = FAULTS)]
    fault_seed: u64,
    /// Latency of each response, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS", help_heading = FAULTS)]
    latency_ms: u64,
    /// How long list and search lag behind changes, such as 30s
    #[arg(long, value_name = "DURATION", help_heading = FAULTS)]
    search_lag: Option<Span>,
    /// Keep no history of files, for load tests
    #[arg(long, hide_short_help = true)]
    no_record: bool,
    #[command(flatten)]
    callbacks: CallbackArgs,
    #[command(flatten)]
    quirks: QuirkArgs,
}

fn fault_help() -> String {
    format!(
        "Inject a fault; may be given several times. WHEN is the number of a request, from 1, or a \
         share of requests: 3:reset-after, 1%:status-503. The faults:\n\n{FAULT_FORMS}\n"
    )
}

impl Sandbox {
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        let save_file = self.library.create_save_file()?;
        let config = Config {
            key: self.key,
            port: self.port,
            library: self.library.library()?,
            latency: Duration::from_millis(self.latency_ms),
            search_lag: self.search_lag.map_or(Duration::ZERO, |span| span.0),
            record: !self.no_record,
            extensions: self.callbacks.extensions(),
            settlement: self.callbacks.settlement(),
            callbacks: self.callbacks.callbacks(self.fault_seed),
            faults: Faults { seed: self.fault_seed, ..self.fault.into_iter().collect() },
            ..Config::default()
        };
        let config = self.quirks.apply(self.limits.apply(config))?;
        let port = self.port;
        let running = ikbulk_sandbox::start(config).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => CliError::new(format!(
                "cannot start the sandbox: port {port} is in use; choose another with --port, or a \
                 free one with --port 0"
            )),
            _ => CliError::new(format!("cannot start the sandbox on port {port}: {error}")),
        })?;
        let (url, key, files) = (running.base_url(), running.key(), self.library.description());
        screen.print(&format!(
            "endpoint   {url}\n\
             key        {key}\n\
             files      {files}\n\
             use it     IMAGE_KIT_BASE_URL={url} IMAGEKIT_PRIVATE_KEY={key} ikbulk apply FILE\n\
             inspect    curl -u {key}: '{url}/v1/files?limit=2' ; curl {url}/__sandbox/stats\n\
             stop       Ctrl-C\n"
        ));
        signal.await;
        if let Some(file) = save_file {
            save(running, file).map_err(|error| CliError::not_written(&error))?;
        }
        Ok(0)
    }
}

fn save(running: Running, mut file: AtomicFile) -> io::Result<()> {
    running.save(BufWriter::new(&mut file))?;
    file.finish().map(drop)
}
