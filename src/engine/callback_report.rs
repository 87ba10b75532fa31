//! How callbacks reach this program, and what became of them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use secrecy::SecretString;

use crate::callback::{Counts, PublicUrl};

/// How callbacks reach this program.
#[derive(Debug, Clone, Default)]
pub struct Callbacks {
    /// Where ImageKit reaches the listener. The requests that run extensions name it, with a token of
    /// the run, as `webhookUrl`; rows with a `webhookUrl` of their own keep that one. `None` to name
    /// what the run named before, if anything.
    pub public_url: Option<PublicUrl>,
    /// The address to listen on; `None` to receive nothing.
    pub listen: Option<SocketAddr>,
    /// The secret with which ImageKit signs callbacks; `None` if it does not.
    pub secret: Option<SecretString>,
}

/// What became of the callbacks of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallbackReport {
    /// Those that settled an extension.
    pub settled: u64,
    /// Those that said what was known before.
    pub repeated: u64,
    /// Those that belong to no extension of the run that waits for one.
    pub unrelated: u64,
    /// Those that could belong to several rows of one file.
    pub ambiguous: u64,
    /// Those that belong to another run with the same extension on the file, or could.
    pub of_other_runs: u64,
    /// Services of unrelated callbacks that this program does not know, at most five.
    pub unknown_services: BTreeSet<Box<str>>,
    /// What the listener received; `None` without a listener.
    pub received: Option<Counts>,
    /// Why the listener could not store callbacks, the first time. ImageKit sends them again, but not
    /// for ever.
    pub not_stored: Option<String>,
    /// The saved bodies that cannot be used.
    pub unusable: u64,
    /// The first five of them, with the reasons.
    pub first_unusable: Vec<String>,
}
