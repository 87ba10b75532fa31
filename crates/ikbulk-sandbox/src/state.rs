//! The state of a sandbox, behind one lock, and the admission of API requests: faults, authentication
//! and rate limits.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::account::reports::ReportCache;
use crate::account::usage::Usage;
use crate::account::webhooks::Webhooks;
use crate::api::auth::{Authenticator, Credentials};
use crate::api::request::ApiRequest;
use crate::api::response::ApiResponse;
use crate::clock::Clock;
use crate::config::Config;
use crate::extensions::catalogue::Catalogue;
use crate::faults::fault::{Fault, FaultSchedule};
use crate::library::fields::Fields;
use crate::library::initial::Key;
use crate::library::lag::Lag;
use crate::library::policy::Policy;
use crate::library::store::Store;
use crate::quirks::WrongKey;
use crate::rate_limit::account_limits::AccountLimits;
use crate::rate_limit::headers::RateHeaders;
use crate::statistics::recorder::Recorder;

/// Maximum number of callbacks sent at the same time.
const DELIVERIES_MAX: usize = 64;

/// A sandbox: its configuration and its state.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// `library` was moved to [`State::store`].
    pub(crate) config: Config,
    pub(crate) authenticator: Authenticator,
    /// At the start.
    catalogue: Catalogue,
    pub(crate) clock: Clock,
    /// Permits to connect to a receiver of callbacks.
    pub(crate) deliveries: Semaphore,
    faults: FaultSchedule,
    state: Mutex<State>,
}

/// The mutable state.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) catalogue: Catalogue,
    pub(crate) usage: Usage,
    /// Number of extension runs of each file that has any, by extension.
    pub(crate) runs: HashMap<Key, BTreeMap<&'static str, u64>>,
    pub(crate) reports: ReportCache,
    pub(crate) webhooks: Webhooks,
    pub(crate) recorder: Recorder,
    /// Number of resets. Pending work of an earlier generation is discarded.
    pub(crate) generation: u64,
    limits: AccountLimits,
    /// Number of API requests.
    n: u64,
    /// Number of connections.
    connections: u64,
    /// Whether the key has expired.
    expired: bool,
}

/// Result of [`Sandbox::arrive`].
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Number of the request, from 1.
    pub(crate) n: u64,
    pub(crate) fault: Option<Fault>,
    /// The response to a request that was not admitted.
    pub(crate) rejection: Option<ApiResponse>,
    /// The rate limit headers of the response to an admitted request.
    pub(crate) rate: RateHeaders,
}

impl Sandbox {
    pub(crate) fn new(mut config: Config) -> io::Result<Self> {
        let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let fields = Fields::new(&config.fields).map_err(invalid)?;
        let catalogue = Catalogue::new(fields, &config.saved).map_err(invalid)?;
        let library = std::mem::take(&mut config.library);
        let policies = config.path_policies.iter().map(Policy::new);
        let policies = policies.collect::<Result<_, _>>().map_err(invalid)?;
        let clock = Clock::started_now();
        let state = State {
            store: Store::new(library, policies, Lag::new(config.search_lag, clock.clone())),
            catalogue: catalogue.clone(),
            usage: Usage::default(),
            runs: HashMap::new(),
            reports: ReportCache::default(),
            webhooks: Webhooks::default(),
            recorder: Recorder::new(&config),
            generation: 0,
            limits: limits(&config, clock.now_ns()).map_err(invalid)?,
            n: 0,
            connections: 0,
            expired: false,
        };
        Ok(Self {
            authenticator: Authenticator::new(&config.key),
            catalogue,
            faults: FaultSchedule::new(&config.faults).map_err(invalid)?,
            clock,
            deliveries: Semaphore::new(DELIVERIES_MAX),
            state: Mutex::new(state),
            config,
        })
    }

    /// Locks the state. Ignores poisoning: a panic does not leave the state inconsistent.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Restores the state at the start, including numbering and rate limits.
    pub(crate) fn reset(&self) {
        let limits = limits(&self.config, self.clock.now_ns());
        let mut state = self.state();
        state.store.reset();
        state.catalogue = self.catalogue.clone();
        state.usage = Usage::default();
        state.runs = HashMap::new();
        state.reports = ReportCache::default();
        state.webhooks = Webhooks::default();
        state.recorder = Recorder::new(&self.config);
        state.generation += 1;
        state.n = 0;
        state.connections = 0;
        state.expired = false;
        state.limits = limits.expect("the same settings were valid at the start");
    }

    /// Advances the clock.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Counts a connection. Returns whether a fault resets it immediately.
    pub(crate) fn resets_at_accept(&self) -> bool {
        let mut state = self.state();
        state.connections += 1;
        let fault = self.faults.for_connection(state.connections);
        let resets = fault == Some(&Fault::ResetAtAccept);
        if resets {
            state.recorder.reset_at_accept();
        }
        resets
    }

    /// Counts a request, and checks in this order: faults that skip processing, length of the URL,
    /// authentication, rate limits.
    pub(crate) fn arrive(&self, request: &ApiRequest) -> Arrival {
        let now_ns = self.clock.now_ns();
        let mut state = self.state();
        state.n += 1;
        let n = state.n;
        state.recorder.arrived(request, now_ns);
        let fault = self.faults.for_request(n).cloned();
        state.expired |= fault == Some(Fault::Expire);
        if fault.as_ref().is_some_and(Fault::skips_processing) {
            return Arrival { n, fault, rejection: None, rate: RateHeaders::default() };
        }
        let rejection = self.admit(&mut state, request, now_ns).err();
        let rate = match (request.call.kind(), self.config.headers_always) {
            (Some(kind), true) => state.limits.headers(kind, now_ns),
            _ => RateHeaders::default(),
        };
        Arrival { n, fault, rejection, rate }
    }

    fn admit(
        &self,
        state: &mut State,
        request: &ApiRequest,
        now_ns: u64,
    ) -> Result<(), ApiResponse> {
        let length = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if self.config.quirks.url_max.is_some_and(|max| length > max) {
            return Err(ApiResponse::error(414, "The request URL is too long."));
        }
        match (request.credentials, self.config.quirks.wrong_key) {
            (Credentials::Missing, _) | (Credentials::Invalid, WrongKey::Unauthorized) => {
                return Err(ApiResponse::no_key());
            }
            (Credentials::Invalid, WrongKey::Forbidden) => return Err(ApiResponse::wrong_key()),
            (Credentials::Valid, _) if state.expired => return Err(ApiResponse::expired_key()),
            (Credentials::Valid, _) => {}
        }
        if let Some(kind) = request.call.kind() {
            state.limits.take(kind, now_ns).map_err(ApiResponse::throttled)?;
            state.recorder.accepted(kind, now_ns);
        }
        Ok(())
    }
}

impl State {
    /// Number of extension runs of a file.
    pub(crate) fn runs_of(&self, key: Key) -> u64 {
        self.runs.get(&key).map_or(0, |runs| runs.values().sum())
    }
}

/// The unused rate limits of the configuration.
fn limits(config: &Config, now_ns: u64) -> Result<AccountLimits, String> {
    let Config { reads, writes, count_throttled, background_load, .. } = config;
    AccountLimits::new(reads, writes, *count_throttled, *background_load, now_ns)
}
