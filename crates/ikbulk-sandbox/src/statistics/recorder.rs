//! Records the statistics of requests and files.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::api::request::ApiRequest;
use crate::api::route::{Bulk, Call};
use crate::config::Config;
use crate::rate_limit::limit::Kind;
use crate::statistics::history::History;
use crate::statistics::peaks::Peaks;
use crate::statistics::runs::{ExtensionRuns, RunCounts};
use crate::statistics::stats::{CallbackCounts, Calls, Stats};

/// Statistics, and the state needed to update them.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// [`Config::record`].
    record: bool,
    stats: Stats,
    peaks: Peaks,
    in_flight: u64,
    /// Number of requests in flight, of files that have any.
    in_flight_by_file: HashMap<Box<str>, u64>,
    history: History,
    runs: RunCounts,
}

/// What a callback tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The result of an extension, to the `webhookUrl` of its request.
    Extension,
    /// A change, to a webhook of the account.
    Account,
    /// A forged callback of an extension.
    Forgery,
}

impl Recorder {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            record: config.record,
            stats: Stats::default(),
            peaks: Peaks::new(&config.reads, &config.writes),
            in_flight: 0,
            in_flight_by_file: HashMap::new(),
            history: History::default(),
            runs: RunCounts::default(),
        }
    }

    /// Records an arrived request, which is in flight from now on.
    pub(crate) fn arrived(&mut self, request: &ApiRequest, now_ns: u64) {
        self.stats.requests += 1;
        *counter(&mut self.stats.calls, request) += 1;
        if let Some(kind) = request.call.kind() {
            self.peaks.arrived(kind, now_ns);
        }
        self.in_flight += 1;
        self.stats.max_in_flight = self.stats.max_in_flight.max(self.in_flight);
        if self.record {
            request.files().for_each(|file| self.arrived_for(file));
        }
    }

    fn arrived_for(&mut self, file: &str) {
        let in_flight = match self.in_flight_by_file.get_mut(file) {
            Some(in_flight) => in_flight,
            None => self.in_flight_by_file.entry(file.into()).or_default(),
        };
        *in_flight += 1;
        if *in_flight > 1 {
            let most = self.stats.overlaps_by_file.entry(file.to_owned()).or_default();
            *most = (*in_flight).max(*most);
        }
        self.stats.max_in_flight_per_file = self.stats.max_in_flight_per_file.max(*in_flight);
    }

    /// Records a request that passed authentication and rate limits.
    pub(crate) fn accepted(&mut self, kind: Kind, now_ns: u64) {
        self.peaks.accepted(kind, now_ns);
    }

    /// Records that a request is no longer in flight: its response was sent, or the client has
    /// disconnected.
    pub(crate) fn finished(&mut self, request: &ApiRequest) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if !self.record {
            return;
        }
        for file in request.files() {
            if let Some(in_flight) = self.in_flight_by_file.get_mut(file) {
                *in_flight -= 1;
                if *in_flight == 0 {
                    self.in_flight_by_file.remove(file);
                }
            }
        }
    }

    /// Records the status of a response; `None` if the connection is reset instead.
    pub(crate) fn responded(&mut self, request: &ApiRequest, status: Option<u16>) {
        let Some(status) = status else {
            self.stats.no_response += 1;
            return;
        };
        *self.stats.statuses.entry(status).or_default() += 1;
        let by_status = self.stats.statuses_by_call.entry(request.stat_name()).or_default();
        *by_status.entry(status).or_default() += 1;
        self.stats.throttled += u64::from(status == 429);
    }

    /// Records a connection that was reset before reading from it.
    pub(crate) fn reset_at_accept(&mut self) {
        self.stats.reset_at_accept += 1;
    }

    /// Records the files that a request changed.
    pub(crate) fn changed(&mut self, request: &ApiRequest, n: u64, files: &[&str]) {
        self.stats.changes += files.len() as u64;
        if self.record {
            let files = files.iter().copied();
            self.history.record(n, request.name(), files, &request.body);
        }
    }

    /// Records a billed extension run on a file.
    pub(crate) fn billed(
        &mut self,
        file: &str,
        extension: &'static str,
        configuration: &Value,
        units: u64,
    ) {
        count(&mut self.stats.billed_runs, extension);
        self.stats.billed_units += units;
        if self.record {
            let same = self.runs.record(file, extension, configuration, units);
            let most = &mut self.stats.max_billed_runs_per_configuration;
            *most = same.max(*most);
            let runs = self.stats.billed_runs_by_file.entry(file.to_owned()).or_default();
            let runs = count(runs, extension);
            self.stats.max_billed_runs_per_pair = self.stats.max_billed_runs_per_pair.max(runs);
        }
    }

    /// Records that a pending extension of request `n` settled; `result` has its service and status.
    pub(crate) fn settled(&mut self, n: u64, file: &str, result: &Value) {
        self.stats.settled_runs += 1;
        if self.record {
            let body = result.to_string();
            self.history.record(n, "extension", [file].into_iter(), body.as_bytes());
        }
    }

    pub(crate) fn callbacks(&mut self, purpose: Purpose) -> &mut CallbackCounts {
        match purpose {
            Purpose::Extension => &mut self.stats.callbacks,
            Purpose::Forgery => &mut self.stats.forged_callbacks,
            Purpose::Account => &mut self.stats.webhook_events,
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.reads_per_second = self.peaks.second(Kind::Read);
        stats.writes_per_second = self.peaks.second(Kind::Write);
        stats.reads_per_window = self.peaks.windows(Kind::Read);
        stats.writes_per_window = self.peaks.windows(Kind::Write);
        stats.overlapped = stats.max_in_flight_per_file > 1;
        stats
    }

    pub(crate) fn runs(&self) -> Vec<ExtensionRuns> {
        self.runs.list()
    }

    pub(crate) fn history(&self, file: &str) -> Vec<Value> {
        self.history.of_file(file)
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) -> u64 {
    let count = match counts.get_mut(name) {
        Some(count) => count,
        None => counts.entry(name.to_owned()).or_default(),
    };
    *count += 1;
    *count
}

/// The counter of a call.
fn counter<'a>(calls: &'a mut Calls, request: &ApiRequest) -> &'a mut u64 {
    match &request.call {
        Call::Update(_) if request.publishes() => &mut calls.publish,
        Call::Update(_) => &mut calls.patch,
        Call::Get(_) => &mut calls.get,
        Call::List => &mut calls.list,
        Call::Bulk(Bulk::Add) => &mut calls.add_tags,
        Call::Bulk(Bulk::Remove) => &mut calls.remove_tags,
        Call::Bulk(Bulk::RemoveAi) => &mut calls.remove_ai_tags,
        Call::Fields => &mut calls.fields,
        Call::Saved(collection) => match collection.kind() {
            Kind::Read => &mut calls.saved,
            Kind::Write => &mut calls.saved_changes,
        },
        Call::Webhooks(_) => &mut calls.webhooks,
        Call::Report(_) => &mut calls.usage,
        Call::NoFileId | Call::NoMethod | Call::NoEndpoint => &mut calls.other,
    }
}
