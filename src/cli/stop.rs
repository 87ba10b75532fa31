//! What a signal does while nothing has been sent yet, and what must not keep it from being heard.

use std::cell::Cell;
use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use super::CliError;
use crate::execute::Stop;
use crate::run::RunDir;

/// How a command hears of signals. As soon as it awaits this, it is up to the command what a signal
/// does.
pub(super) type Heard = Pin<Box<dyn Future<Output = Stop>>>;

/// Executes a command. Until it listens to signals itself, which it does when it sends, a signal
/// ends it and drops what it has prepared.
pub(super) async fn until_stopped<C: Future<Output = Result<u8, CliError>>>(
    signal: impl Future<Output = Stop>,
    command: impl FnOnce(Heard) -> C,
) -> Result<u8, CliError> {
    let listens = Rc::new(Cell::new(false));
    let (tell, told) = oneshot::channel();
    let begins_to_listen = Rc::clone(&listens);
    let heard = async move {
        begins_to_listen.set(true);
        match told.await {
            Ok(stop) => stop,
            Err(_) => pending().await,
        }
    };
    let command = pin!(command(Box::pin(heard)));
    match select(pin!(signal), command).await {
        Either::Left((stop, command)) if listens.get() => {
            if tell.send(stop).is_err() {
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

/// Does what can wait for a person or a pipe on a thread of its own, so that signals are heard
/// meanwhile. If a signal comes, the thread ends with the program.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    let waiting = std::thread::Builder::new().name("waiting".to_owned());
    waiting.spawn(move || drop(tell.send(work())))?;
    told.await.map_err(io::Error::other)
}

/// Removes the directory of a run if it is dropped before the run has begun.
#[derive(Debug)]
pub(super) struct DiscardUnlessStarted(Option<RunDir>);

impl DiscardUnlessStarted {
    pub(super) fn new(run: &RunDir) -> Self {
        Self(Some(run.clone()))
    }

    /// The run has begun, or is a plan to be kept.
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
