//! The flags of `ikbulk sandbox` about extensions: how they end, and the callbacks that say so.

use std::time::Duration;

use clap::Args;

use crate::sandbox::{Callbacks, End, Ending, ExtensionOutcome, Status};

#[derive(Debug, Args)]
pub(super) struct CallbackArgs {
    /// How every extension stands when its request is answered [default: by the file: some fail,
    /// remove-bg is pending, the others succeed]
    #[arg(long, value_enum, value_name = "STATUS")]
    extension_status: Option<Status>,
    /// End pending extensions after this long, in milliseconds; without it they stay pending
    #[arg(long, value_name = "MS")]
    pending_ms: Option<u64>,
    /// How pending extensions end
    #[arg(long, value_enum, default_value_t, value_name = "END", requires = "pending_ms")]
    pending_end: End,
    /// Sign the callbacks to webhookUrl with this, as Standard Webhooks has it; no secret
    #[arg(long, value_name = "WHSEC", requires = "pending_ms")]
    callback_secret: Option<String>,
    /// The wait before a callback that did not get a 200 comes again, doubled each time
    #[arg(long, default_value_t = 1000, value_name = "MS", requires = "pending_ms")]
    callback_retry_ms: u64,
    /// How many times each callback comes
    #[arg(long, default_value_t = 1, value_name = "N", requires = "pending_ms")]
    callback_copies: u32,
    /// Delay each callback by chance, up to this long, so that they come in another order
    #[arg(long, default_value_t = 0, value_name = "MS", requires = "pending_ms")]
    callback_shuffle_ms: u64,
}

impl CallbackArgs {
    /// How extensions stand when their request is answered.
    pub(super) fn extensions(&self) -> ExtensionOutcome {
        self.extension_status.map_or(ExtensionOutcome::Realistic, ExtensionOutcome::Always)
    }

    /// How pending extensions end, if they do.
    pub(super) fn ending(&self) -> Option<Ending> {
        let after = |ms| Ending { after: Duration::from_millis(ms), end: self.pending_end };
        self.pending_ms.map(after)
    }

    /// How their ends are called back.
    pub(super) fn callbacks(self, seed: u64) -> Callbacks {
        Callbacks {
            secret: self.callback_secret,
            retry_after: Duration::from_millis(self.callback_retry_ms),
            copies: self.callback_copies,
            shuffled_over: Duration::from_millis(self.callback_shuffle_ms),
            seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        flags: CallbackArgs,
    }

    fn typed(flags: &str) -> Result<CallbackArgs, clap::Error> {
        Typed::try_parse_from(format!("sandbox {flags}").split_whitespace())
            .map(|typed| typed.flags)
    }

    #[test]
    fn every_flag_is_kept() {
        let flags = typed(
            "--extension-status pending --pending-ms 5 --pending-end failed --callback-secret whsec_x \
             --callback-retry-ms 7 --callback-copies 2 --callback-shuffle-ms 9",
        );
        let flags = flags.unwrap();
        let after = Duration::from_millis(5);
        assert_eq!(flags.extensions(), ExtensionOutcome::Always(Status::Pending));
        assert_eq!(flags.ending(), Some(Ending { after, end: End::Failed }));
        let expected = Callbacks {
            secret: Some("whsec_x".to_owned()),
            retry_after: Duration::from_millis(7),
            copies: 2,
            shuffled_over: Duration::from_millis(9),
            seed: 3,
        };
        assert_eq!(flags.callbacks(3), expected);
    }

    #[test]
    fn without_flags_nothing_ends_and_callbacks_are_plain() {
        let flags = typed("").unwrap();
        assert_eq!(flags.extensions(), ExtensionOutcome::default());
        assert_eq!(flags.ending(), None);
        assert_eq!(flags.callbacks(0), Callbacks::default());
        assert!(typed("--callback-copies 2").is_err());
    }
}
