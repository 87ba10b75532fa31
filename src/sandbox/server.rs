//! Starting and stopping: a thread of its own with a runtime of its own.

use std::future::IntoFuture;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::handler::Handler;
use serde_json::Value;
use tokio::sync::oneshot;

use super::config::Config;
use super::connection::{ConnectionControl, SandboxListener};
use super::service::serve;
use super::state::Sandbox;
use super::stats::Stats;

/// A running sandbox. Dropping it stops it, with all its connections.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    sandbox: Arc<Sandbox>,
    /// Dropped or used, it ends the server.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a sandbox on 127.0.0.1. It accepts connections when this returns.
///
/// # Errors
/// The port is taken, or a setting cannot be kept (a limit of nothing, a field that is none).
pub fn start(config: Config) -> io::Result<Running> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port))?;
    // Before the runtime, which must not be dropped where the caller has one of its own.
    let sandbox = Arc::new(Sandbox::new(config)?);
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel();
    let service = serve
        .with_state(Arc::clone(&sandbox))
        .into_make_service_with_connect_info::<ConnectionControl>();
    let listener = {
        let _inside = runtime.enter();
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
    /// Where it listens: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The private key it accepts.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.sandbox.config.key
    }

    /// What it has seen so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.sandbox.state().recorder.stats()
    }

    /// A file as it is now.
    #[must_use]
    pub fn file(&self, id: &str) -> Option<Value> {
        let state = self.sandbox.state();
        let key = state.store.find(id)?;
        Some(state.store.object(key))
    }

    /// The files that were inserted and those that were changed, sorted by id.
    #[must_use]
    pub fn library(&self) -> Vec<Value> {
        self.sandbox.state().store.objects().collect()
    }

    /// The changes of one file, oldest first: `{n, at, requestId, call, body}`. The newest 100,000
    /// of all files are kept.
    #[must_use]
    pub fn history(&self, id: &str) -> Vec<Value> {
        self.sandbox.state().recorder.history(id)
    }

    /// Moves its clock ahead, so that a wait of minutes is over at once: for the limits, the
    /// statistics and the lag of search. Latency, hangs and the stored times are not concerned.
    pub fn advance(&self, by: Duration) {
        self.sandbox.advance(by);
    }

    /// Stops it. Connections are closed, requests under way get no response.
    pub fn stop(self) {
        drop(self);
    }

    /// Stops it and writes what [`Self::library`] shows as JSONL, for [`Library::add_lines`](super::Library::add_lines).
    ///
    /// # Errors
    /// Those of the writer.
    pub fn save(mut self, mut out: impl Write) -> io::Result<()> {
        self.end();
        self.sandbox.state().store.write_lines(&mut out)?;
        out.flush()
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the server has been reported by its thread; there is nothing to add here.
            drop(thread.join());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
