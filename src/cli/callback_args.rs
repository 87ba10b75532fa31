//! Flags of `ikbulk sandbox` for extensions: their outcome and their callbacks.

use std::time::Duration;

use clap::Args;

use super::help::EXTENSIONS;
use ikbulk_sandbox::{Callbacks, ExtensionOutcome, FinalStatus, Settlement, Status};

#[derive(Debug, Args)]
#[command(next_help_heading = EXTENSIONS)]
pub(super) struct CallbackArgs {
    /// The status of every extension in the response [default: depends on the file: some fail,
    /// remove-bg is pending, the others succeed]
    #[arg(long, value_enum, value_name = "STATUS")]
    extension_status: Option<Status>,
    /// Complete pending extensions after this time, in milliseconds [default: never]
    #[arg(long, value_name = "MS")]
    pending_ms: Option<u64>,
    /// The final status of pending extensions
    #[arg(long, value_enum, default_value_t, value_name = "END", requires = "pending_ms")]
    pending_end: FinalStatus,
    /// Sign the callbacks to webhookUrl with this secret (Standard Webhooks)
    #[arg(long, hide_short_help = true, value_name = "WHSEC", requires = "pending_ms")]
    callback_secret: Option<String>,
    /// Delay before a callback without a 200 response is retried, doubled each time
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 1000,
        value_name = "MS",
        requires = "pending_ms"
    )]
    callback_retry_ms: u64,
    /// How often each callback is delivered
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 1,
        value_name = "N",
        requires = "pending_ms"
    )]
    callback_copies: u32,
    /// Maximum random delay of each callback, so that they arrive out of order
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 0,
        value_name = "MS",
        requires = "pending_ms"
    )]
    callback_shuffle_ms: u64,
    /// Send forged callbacks along with each: with another token, secret or time. A receiver must
    /// refuse them
    #[arg(long, hide_short_help = true, requires = "pending_ms")]
    callback_forge: bool,
}

impl CallbackArgs {
    /// The status of extensions in the response to their request.
    pub(super) fn extensions(&self) -> ExtensionOutcome {
        self.extension_status.map_or(ExtensionOutcome::Realistic, ExtensionOutcome::Always)
    }

    /// When and how pending extensions end; `None` if they stay pending.
    pub(super) fn settlement(&self) -> Option<Settlement> {
        let after = |ms| Settlement { after: Duration::from_millis(ms), status: self.pending_end };
        self.pending_ms.map(after)
    }

    /// How callbacks are delivered. `seed` decides the order of shuffled callbacks.
    pub(super) fn callbacks(self, seed: u64) -> Callbacks {
        Callbacks {
            secret: self.callback_secret,
            retry_after: Duration::from_millis(self.callback_retry_ms),
            copies: self.callback_copies,
            max_delay: Duration::from_millis(self.callback_shuffle_ms),
            forged: self.callback_forge,
            seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct TestCli {
        #[command(flatten)]
        flags: CallbackArgs,
    }

    fn parse(flags: &str) -> Result<CallbackArgs, clap::Error> {
        TestCli::try_parse_from(format!("sandbox {flags}").split_whitespace()).map(|cli| cli.flags)
    }

    #[test]
    fn all_flags_are_applied() {
        let flags = parse(
            "--extension-status pending --pending-ms 5 --pending-end failed --callback-secret whsec_x \
             --callback-retry-ms 7 --callback-copies 2 --callback-shuffle-ms 9 --callback-forge",
        );
        let flags = flags.unwrap();
        let after = Duration::from_millis(5);
        assert_eq!(flags.extensions(), ExtensionOutcome::Always(Status::Pending));
        assert_eq!(flags.settlement(), Some(Settlement { after, status: FinalStatus::Failed }));
        let expected = Callbacks {
            secret: Some("whsec_x".to_owned()),
            retry_after: Duration::from_millis(7),
            copies: 2,
            max_delay: Duration::from_millis(9),
            forged: true,
            seed: 3,
        };
        assert_eq!(flags.callbacks(3), expected);
    }

    #[test]
    fn defaults_leave_extensions_pending() {
        let flags = parse("").unwrap();
        assert_eq!(flags.extensions(), ExtensionOutcome::default());
        assert_eq!(flags.settlement(), None);
        assert_eq!(flags.callbacks(0), Callbacks::default());
        assert!(parse("--callback-copies 2").is_err());
    }
}
