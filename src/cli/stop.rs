//! Handles signals while a command has not sent anything, and keeps blocking work from delaying
//! them.

use std::cell::Cell;
use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use super::CliError;
use ikbulk::execute::Stop;
use ikbulk::run::RunDir;

/// Resolves at the first signal. Once a command polls it, the command itself handles signals.
pub(super) type StopSignal = Pin<Box<dyn Future<Output = Stop>>>;

/// Runs a command. Until the command polls its [`StopSignal`], which it does when it sends, a
/// signal ends it and drops its preparations.
pub(super) async fn until_stopped<C: Future<Output = Result<u8, CliError>>>(
    signal: impl Future<Output = Stop>,
    command: impl FnOnce(StopSignal) -> C,
) -> Result<u8, CliError> {
    let handles_signals = Rc::new(Cell::new(false));
    let (sender, receiver) = oneshot::channel();
    let handles_signals_now = Rc::clone(&handles_signals);
    let stop_signal = async move {
        handles_signals_now.set(true);
        match receiver.await {
            Ok(stop) => stop,
            Err(_) => pending().await,
        }
    };
    let command = pin!(command(Box::pin(stop_signal)));
    match select(pin!(signal), command).await {
        Either::Left((stop, command)) if handles_signals.get() => {
            if sender.send(stop).is_err() {
                tracing::debug!("the command is about to end anyway");
            }
            command.await
        }
        Either::Left((stop, _)) => Err(CliError {
            message: "stopped by a signal; nothing was sent".to_owned(),
            exit_code: stop.exit_code(),
        }),
        Either::Right((done, _)) => done,
    }
}

/// Runs blocking work, such as reading from a person or a pipe, on its own thread, so that signals
/// are still handled. After a signal the thread ends with the program.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("blocking".to_owned());
    thread.spawn(move || drop(sender.send(work())))?;
    receiver.await.map_err(io::Error::other)
}

/// Removes the run directory when dropped, unless [`Self::keep`] was called.
#[derive(Debug)]
pub(super) struct DiscardUnlessStarted(Option<RunDir>);

impl DiscardUnlessStarted {
    pub(super) fn new(run: &RunDir) -> Self {
        Self(Some(run.clone()))
    }

    /// Keeps the directory: the run has started, or its plan is saved.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for DiscardUnlessStarted {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run.discard();
        }
    }
}
