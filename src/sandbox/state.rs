//! The one state of a sandbox, behind one lock, and the gate that every API request passes.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::auth::{Authenticator, Credentials};
use super::clock::Clock;
use super::config::Config;
use super::extensions::Catalogue;
use super::faults::{Fault, FaultSchedule};
use super::lag::Lag;
use super::metadata::Fields;
use super::quirks::WrongKey;
use super::rate_limit::AccountLimits;
use super::recorder::Recorder;
use super::request::ApiRequest;
use super::response::{ApiResponse, RateHeaders};
use super::store::Store;

/// A sandbox: what stays, and the state.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// Its library has gone into the stock.
    pub(crate) config: Config,
    pub(crate) lock: Authenticator,
    pub(crate) catalogue: Catalogue,
    faults: FaultSchedule,
    clock: Clock,
    state: Mutex<State>,
}

/// Everything that changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) recorder: Recorder,
    /// Counts the resets. What was begun in one era has no effect in the next.
    pub(crate) generation: u64,
    limits: AccountLimits,
    /// API requests so far: the number of the last one.
    n: u64,
    /// Connections so far.
    connections: u64,
    /// The key has expired.
    expired: bool,
}

/// What is known about a request once it has arrived.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) n: u64,
    pub(crate) fault: Option<Fault>,
    /// The response to a request that the gate turned away.
    pub(crate) refusal: Option<ApiResponse>,
    /// The rate headers of any other response.
    pub(crate) rate: RateHeaders,
}

impl Sandbox {
    pub(crate) fn new(mut config: Config) -> io::Result<Self> {
        let refused = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let fields = Fields::new(&config.fields).map_err(refused)?;
        let library = std::mem::take(&mut config.library);
        let clock = Clock::started_now();
        let state = State {
            store: Store::new(library, Lag::new(config.search_lag, clock.clone())),
            recorder: Recorder::new(&config),
            generation: 0,
            limits: AccountLimits::new(&config, clock.now_ns()).map_err(refused)?,
            n: 0,
            connections: 0,
            expired: false,
        };
        Ok(Self {
            lock: Authenticator::new(&config.key),
            catalogue: Catalogue::new(fields, &config.saved).map_err(refused)?,
            faults: FaultSchedule::new(&config.faults).map_err(refused)?,
            clock,
            state: Mutex::new(state),
            config,
        })
    }

    /// The state. A panic elsewhere leaves it as usable as it was: each step is small and whole.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything as it was at the start, numbers and limits included.
    pub(crate) fn reset(&self) {
        let limits = AccountLimits::new(&self.config, self.clock.now_ns());
        let mut state = self.state();
        state.store.reset();
        state.recorder = Recorder::new(&self.config);
        state.generation += 1;
        state.n = 0;
        state.connections = 0;
        state.expired = false;
        state.limits = limits.expect("they were made from the same settings at the start");
    }

    /// Moves the clock ahead.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Numbers a connection, and decides whether it is reset at once.
    pub(crate) fn breaks_at_accept(&self) -> bool {
        let mut state = self.state();
        state.connections += 1;
        let breaks = self.faults.of_connection(state.connections) == Some(&Fault::ResetAtAccept);
        if breaks {
            state.recorder.reset_at_accept();
        }
        breaks
    }

    /// Numbers a request, counts it and decides whether it may pass: first the faults that come
    /// before everything, then the length of the URL, authentication and the limit.
    pub(crate) fn arrive(&self, request: &ApiRequest) -> Arrival {
        let now_ns = self.clock.now_ns();
        let mut state = self.state();
        state.n += 1;
        let n = state.n;
        state.recorder.arrived(request, now_ns);
        let fault = self.faults.of(n).cloned();
        state.expired |= fault == Some(Fault::Expire);
        if fault.as_ref().is_some_and(Fault::replaces_the_work) {
            return Arrival { n, fault, refusal: None, rate: RateHeaders::default() };
        }
        let refusal = self.gate(&mut state, request, now_ns).err();
        let rate = match (request.call.kind(), self.config.headers_always) {
            (Some(kind), true) => state.limits.headers(kind, now_ns),
            _ => RateHeaders::default(),
        };
        Arrival { n, fault, refusal, rate }
    }

    fn gate(
        &self,
        state: &mut State,
        request: &ApiRequest,
        now_ns: u64,
    ) -> Result<(), ApiResponse> {
        let length = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if self.config.quirks.url_max.is_some_and(|max| length > max) {
            return Err(ApiResponse::error(414, "The request URL is too long."));
        }
        match (request.presented, self.config.quirks.wrong_key) {
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
