//! Handles signals while a command has not sent anything.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::rc::Rc;

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use super::CliError;
use ikbulk::engine::Stop;

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
