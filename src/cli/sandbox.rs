//! `ikbulk sandbox`: a local ImageKit for as long as it is wanted.

use std::future::Future;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;

use super::callbacks::CallbackFlags;
use super::{Refusal, Screen};
use crate::execute::Stop;
use crate::sandbox::{self, Config, Library, Limit, Open, WrongKey, synthetic_id};

#[derive(Debug, Args)]
pub(super) struct Sandbox {
    /// The port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 8077)]
    port: u16,
    /// The key that it accepts; no secret
    #[arg(long, default_value = "private_sandbox")]
    key: String,
    /// How many files its library has
    #[arg(long, default_value_t = 1000, value_name = "N")]
    files: u64,
    /// The seed of its files
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes that it allows a second
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// Writes that it allows at once after a pause
    #[arg(long, default_value_t = NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN), value_name = "N")]
    burst: NonZeroU32,
    /// Allow everything at any rate
    #[arg(long, conflicts_with_all = ["rate", "burst"])]
    no_limits: bool,
    /// Think time before each answer, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    latency_ms: u64,
    /// Keep no history of files, for load tests
    #[arg(long)]
    no_record: bool,
    /// Answer a wrong key with 403 rather than 401; nobody knows which the API does
    #[arg(long)]
    forbid_wrong_key: bool,
    #[command(flatten)]
    callbacks: CallbackFlags,
}

impl Sandbox {
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, Refusal> {
        let defaults = Config::default();
        let limited = !self.no_limits;
        let wrong_key =
            if self.forbid_wrong_key { WrongKey::Forbidden } else { WrongKey::Unauthorized };
        let config = Config {
            key: self.key,
            port: self.port,
            library: Library::synthetic(self.files, self.seed),
            writes: limited.then_some(Limit { rate: self.rate, burst: self.burst.get() }),
            reads: defaults.reads.filter(|_| limited),
            latency: Duration::from_millis(self.latency_ms),
            record: !self.no_record,
            open: Open { wrong_key, ..Open::default() },
            ending: self.callbacks.ending(),
            callbacks: self.callbacks.callbacks(self.seed),
            ..defaults
        };
        let port = self.port;
        let running = sandbox::start(config).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => Refusal::new(format!(
                "cannot start the sandbox: something listens on port {port} already; take another \
                 with --port, or any free one with --port 0"
            )),
            _ => Refusal::new(format!("cannot start the sandbox on port {port}: {error}")),
        })?;
        let (url, key, id) = (running.base_url(), running.key(), synthetic_id(self.seed, 0));
        screen.say(&format!(
            "endpoint   {url}\n\
             key        {key}\n\
             files      {}, the first is {id}\n\
             use it     IMAGE_KIT_BASE_URL={url} IMAGEKIT_PRIVATE_KEY={key} ikbulk apply FILE\n\
             look       curl -u {key}: {url}/v1/files?limit=2 ; curl {url}/__sandbox/stats\n\
             Ctrl-C ends it\n",
            self.files
        ));
        signal.await;
        running.stop();
        Ok(0)
    }
}
