//! Flags of the commands that execute a run with extensions.

use clap::Args;
use ikbulk::engine::{Engine, Limits, Settings};

use super::CliError;
use super::limit_args::{LimitArgs, ResultArgs};
use super::listen_args::ListenArgs;
use super::settle::SettleArgs;

/// When a session ends, what it does with results, and how it settles extensions.
#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    results: ResultArgs,
    #[command(flatten)]
    settle: SettleArgs,
    #[command(flatten)]
    listen: ListenArgs,
}

impl SessionArgs {
    /// The engine with these flags added to its settings, and the limits of a session that starts
    /// now.
    pub(super) fn prepare(self, mut settings: Settings) -> Result<(Engine, Limits), CliError> {
        let settle = self.settle.patience(&self.listen)?;
        let limits = Limits { settle, ..self.limits.to_limits()? };
        self.results.apply_to(&mut settings);
        settings.callbacks = self.listen.to_callbacks()?;
        Ok((Engine::new(settings), limits))
    }
}
