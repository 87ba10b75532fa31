//! Starts and stops a sandbox, which has its own thread and runtime.

use std::future::IntoFuture;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::handler::Handler;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::config::Config;
use crate::http::connection::{ConnectionControl, SandboxListener};
use crate::http::service::serve;
use crate::state::Sandbox;
use crate::statistics::runs::ExtensionRuns;
use crate::statistics::stats::Stats;

/// A running sandbox. Dropping it stops the sandbox and closes its connections.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    sandbox: Arc<Sandbox>,
    /// Stops the server when dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a sandbox on 127.0.0.1. Once this returns, it accepts connections.
///
/// # Errors
/// The port is in use, or a setting is invalid (a limit of zero, an invalid metadata field).
pub fn start(config: Config) -> io::Result<Running> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port))?;
    // Created before the runtime: on errors, a runtime must not be dropped within a caller's runtime.
    let sandbox = Arc::new(Sandbox::new(config)?);
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel();
    let service = serve
        .with_state(Arc::clone(&sandbox))
        .into_make_service_with_connect_info::<ConnectionControl>();
    let listener = {
        let _guard = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        SandboxListener { listener, sandbox: Arc::clone(&sandbox) }
    };
    let run = move || {
        let serving = axum::serve(listener, service).into_future();
        runtime.block_on(async {
            tokio::select! {
                _ = serving => {}
                _ = stopped => {}
            }
        });
    };
    let thread = std::thread::Builder::new().name("sandbox".to_owned()).spawn(run)?;
    Ok(Running { address, sandbox, stop: Some(stop), thread: Some(thread) })
}

impl Running {
    /// URL of the API: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Private key of the account.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.sandbox.config.key
    }

    /// Statistics since the start or the last reset.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.sandbox.state().recorder.stats()
    }

    /// Current file object; `None` if the file does not exist.
    #[must_use]
    pub fn file(&self, id: &str) -> Option<Value> {
        let state = self.sandbox.state();
        let key = state.store.find(id)?;
        Some(state.store.object(key))
    }

    /// File objects of all inserted or changed files, sorted by id.
    #[must_use]
    pub fn library(&self) -> Vec<Value> {
        self.sandbox.state().store.objects().collect()
    }

    /// Changes of a file, oldest first: `{n, at, requestId, call, body}`. Only the newest 100,000
    /// changes of all files are kept.
    #[must_use]
    pub fn history(&self, id: &str) -> Vec<Value> {
        self.sandbox.state().recorder.history(id)
    }

    /// Billed runs by file, extension and configuration, sorted. Empty unless recording.
    #[must_use]
    pub fn extension_runs(&self) -> Vec<ExtensionRuns> {
        self.sandbox.state().recorder.runs()
    }

    /// Advances the clock of rate limits, statistics, search lag, pending extensions, callbacks and
    /// usage reports with their days, so that tests need not wait for them. Latency, hangs and stored
    /// timestamps are not affected.
    pub fn advance(&self, by: Duration) {
        self.sandbox.advance(by);
    }

    /// Stops the sandbox. Requests in flight get no response.
    pub fn stop(self) {
        drop(self);
    }

    /// Stops the sandbox and writes all files as JSONL, also unchanged ones, in the order of upload.
    /// [`Library::add_lines`](crate::Library::add_lines) reads it.
    ///
    /// # Errors
    /// The writer failed.
    pub fn save(mut self, mut out: impl Write) -> io::Result<()> {
        self.shut_down();
        self.sandbox.state().store.write_all_lines(&mut out)?;
        out.flush()
    }

    fn shut_down(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server was already printed by its thread.
            drop(thread.join());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shut_down();
    }
}
