//! `ikbulk sandbox`: a local ImageKit for as long as it is wanted.

use std::future::Future;
use std::io::{self, BufWriter, ErrorKind};
use std::time::Duration;

use clap::Args;

use super::callback_args::CallbackArgs;
use super::library_args::LibraryArgs;
use super::quirk_args::QuirkArgs;
use super::sandbox_limit_args::SandboxLimitArgs;
use super::values::Span;
use super::{CliError, Screen};
use crate::atomic_file::AtomicFile;
use crate::execute::Stop;
use crate::sandbox::{self, Config, FAULT_FORMS, Faults, Planned, Running};

#[derive(Debug, Args)]
pub(super) struct Sandbox {
    /// The port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 8077)]
    port: u16,
    /// The key that it accepts; no secret
    #[arg(long, default_value = "private_sandbox")]
    key: String,
    #[command(flatten)]
    library: LibraryArgs,
    #[command(flatten)]
    limits: SandboxLimitArgs,
    /// What goes wrong and when, like 3:reset-after (the third request) or 1%:status-503 (by
    /// chance); can be repeated. --help lists the faults
    #[arg(long, value_name = "WHEN:FAULT", long_help = fault_help())]
    fault: Vec<Planned>,
    /// Decides which requests chance hits
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    fault_seed: u64,
    /// Think time before each answer, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    latency_ms: u64,
    /// How long list and search show a file as it was before a change, like 30s
    #[arg(long, value_name = "TIME")]
    search_lag: Option<Span>,
    /// Keep no history of files, for load tests
    #[arg(long)]
    no_record: bool,
    #[command(flatten)]
    callbacks: CallbackArgs,
    #[command(flatten)]
    open: QuirkArgs,
}

fn fault_help() -> String {
    format!(
        "What goes wrong and when; can be repeated. WHEN is the number of a request, from 1, or a \
         share of them: 3:reset-after, 1%:status-503. The faults:\n\n{FAULT_FORMS}\n"
    )
}

impl Sandbox {
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        let saved = self.library.saved()?;
        let config = Config {
            key: self.key,
            port: self.port,
            library: self.library.library()?,
            latency: Duration::from_millis(self.latency_ms),
            search_lag: self.search_lag.map_or(Duration::ZERO, |span| span.0),
            record: !self.no_record,
            extensions: self.callbacks.extensions(),
            ending: self.callbacks.ending(),
            callbacks: self.callbacks.callbacks(self.fault_seed),
            faults: Faults { seed: self.fault_seed, ..self.fault.into_iter().collect() },
            ..Config::default()
        };
        let config = self.open.apply(self.limits.apply(config))?;
        let port = self.port;
        let running = sandbox::start(config).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => CliError::new(format!(
                "cannot start the sandbox: something listens on port {port} already; take another \
                 with --port, or any free one with --port 0"
            )),
            _ => CliError::new(format!("cannot start the sandbox on port {port}: {error}")),
        })?;
        let (url, key, files) = (running.base_url(), running.key(), self.library.described());
        screen.say(&format!(
            "endpoint   {url}\n\
             key        {key}\n\
             files      {files}\n\
             use it     IMAGE_KIT_BASE_URL={url} IMAGEKIT_PRIVATE_KEY={key} ikbulk apply FILE\n\
             look       curl -u {key}: {url}/v1/files?limit=2 ; curl {url}/__sandbox/stats\n\
             Ctrl-C ends it\n"
        ));
        signal.await;
        if let Some(whole) = saved {
            save(running, whole).map_err(|error| CliError::not_written(&error))?;
        }
        Ok(0)
    }
}

fn save(running: Running, mut whole: AtomicFile) -> io::Result<()> {
    running.save(BufWriter::new(&mut whole))?;
    whole.finish().map(drop)
}
