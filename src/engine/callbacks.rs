//! Callbacks of a run: the URL that its requests name, the listener that stores what arrives, and the
//! extensions that are settled by it.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::BufReader;
use std::net::TcpListener;
use std::path::Path;

use tokio::sync::Notify;

use super::callback_report::{CallbackReport, Callbacks};
use super::error::{Error, Refusal};
use super::ui::{Event, Notice, Ui};
use crate::callback::{
    Arrival, Callback, CallbackResult, CallbackUrl, Gate, Inbox, InboxError, Listener, Receipt,
    SavedBodies, SavedError, Token, Verifier,
};
use crate::ledger::{LedgerError, LedgerFile};
use crate::row::ExtensionName;
use crate::settle::{OpenSteps, ReportEffect, Reported};
use crate::settled::FinalStatus;

/// Callbacks that are settled in one transaction.
const GROUP: usize = 500;
/// Unknown services, and saved bodies that cannot be used, that are named.
const NAMED_MAX: usize = 5;

impl Callbacks {
    /// Records the URL that requests name from now on, and starts to receive callbacks, as far as the
    /// settings say so. To be called before the first request.
    pub(super) fn start(&self, ledger: &LedgerFile) -> Result<Option<Listener>, Error> {
        self.url(ledger)?;
        self.listen(ledger)
    }

    /// The URL that the requests of a run name. A new one is recorded, so that it stays the same.
    fn url(&self, ledger: &LedgerFile) -> Result<Option<CallbackUrl>, Error> {
        let stored = ledger.callback_url()?;
        let Some(public) = self.public_url.clone() else {
            return Ok(stored);
        };
        let token = match stored {
            Some(url) if url.public == public => return Ok(Some(url)),
            // Requests that were sent named the token; it still lets their callbacks in.
            Some(url) => url.token,
            None => Token::random()
                .map_err(|error| Refusal::System(format!("give random numbers: {error}")))?,
        };
        let url = CallbackUrl { public, token };
        ledger.set_callback_url(&url)?;
        Ok(Some(url))
    }

    /// Fails if requests of the run name another URL than the given one: nothing would arrive there.
    pub(super) fn refuse_other_url(&self, ledger: &LedgerFile) -> Result<(), Error> {
        let Some(given) = &self.public_url else {
            return Ok(());
        };
        let named = ledger.callback_url()?.ok_or(Refusal::NoCallbackUrl)?.public;
        if named == *given { Ok(()) } else { Err(Refusal::OtherCallbackUrl(named).into()) }
    }

    /// Starts to receive the callbacks of a run, if an address is given.
    pub(super) fn listen(&self, ledger: &LedgerFile) -> Result<Option<Listener>, Error> {
        let Some(address) = self.listen else {
            return Ok(None);
        };
        let url = self.url(ledger)?.ok_or(Refusal::NoCallbackUrl)?;
        let failed = |source| Refusal::CannotListen { address, source };
        let socket = TcpListener::bind(address).map_err(failed)?;
        let verifier = self.secret.as_ref().map(Verifier::new);
        let gate = Gate { token: url.token, verifier };
        let listener = Listener::start(socket, gate, LedgerInbox(ledger.reconnect()?));
        let listener = listener.map_err(failed)?;
        tracing::info!("listening for callbacks on {}", listener.address());
        Ok(Some(listener))
    }
}

/// The ledger as the inbox of a listener.
struct LedgerInbox(LedgerFile);

impl Inbox for LedgerInbox {
    fn keep(&mut self, arrivals: &[Arrival]) -> Result<Vec<Receipt>, InboxError> {
        Ok(self.0.keep_callbacks(arrivals)?)
    }
}

/// Settles extensions by the callbacks of a run.
pub(super) struct CallbackIntake<'i> {
    pub(super) ledger: &'i LedgerFile,
    pub(super) steps: &'i RefCell<OpenSteps>,
    pub(super) listener: Option<&'i Listener>,
    /// The last stored callback that was taken.
    last: Cell<i64>,
    report: RefCell<CallbackReport>,
}

impl<'i> CallbackIntake<'i> {
    pub(super) fn new(
        ledger: &'i LedgerFile,
        steps: &'i RefCell<OpenSteps>,
        listener: Option<&'i Listener>,
    ) -> Self {
        Self { ledger, steps, listener, last: Cell::new(0), report: RefCell::default() }
    }

    /// What became of the callbacks so far; `None` if there were none and nothing listened.
    fn report(&self) -> Option<CallbackReport> {
        let received = self.listener.map(Listener::counts);
        let not_stored = self.listener.and_then(Listener::failure).map(str::to_owned);
        let report = CallbackReport { received, not_stored, ..self.report.borrow().clone() };
        (report != CallbackReport::default()).then_some(report)
    }

    /// Tells what became of the callbacks, if there were any.
    pub(super) fn tell(&self, ui: &impl Ui) {
        if let Some(report) = self.report() {
            ui.event(Event::Notice(Notice::Callbacks(&report)));
        }
    }

    /// Takes the callbacks that are stored and were not taken yet.
    pub(super) fn take_stored(&self) -> Result<(), LedgerError> {
        loop {
            let stored = self.ledger.callbacks_after(self.last.get(), GROUP)?;
            let Some((last, _)) = stored.last() else {
                return Ok(());
            };
            let last = *last;
            self.take(stored.iter().map(|(_, it)| (Some(it.row), &it.callback)))?;
            self.last.set(last);
        }
    }

    /// Takes callbacks as they arrive, and notifies of each group. Ends only with an error; does not
    /// end without a listener.
    pub(super) async fn take_arriving(&self, changed: &Notify) -> LedgerError {
        let Some(listener) = self.listener else {
            return std::future::pending().await;
        };
        let mut news = listener.news();
        loop {
            if let Err(error) = self.take_stored() {
                return error;
            }
            changed.notify_one();
            if news.changed().await.is_err() {
                // The listener has ended, and nothing arrives any more.
                return std::future::pending().await;
            }
        }
    }

    /// Takes the callbacks that another receiver has saved. Other runs must have been taken into
    /// account: a body does not say which run it is about.
    pub(super) fn take_saved(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Refusal::Unreadable { path: path.to_owned(), source };
        let mut bodies = SavedBodies::new(BufReader::new(File::open(path).map_err(failed)?));
        loop {
            let mut group = Vec::with_capacity(GROUP);
            for body in bodies.by_ref().take(GROUP) {
                match body {
                    Ok(callback) => group.push(callback),
                    Err(SavedError::Read { source, .. }) => return Err(failed(source).into()),
                    Err(error) => self.report.borrow_mut().note_unusable(&error),
                }
            }
            if group.is_empty() && bodies.is_over() {
                return Ok(());
            }
            self.take(group.iter().map(|callback| (None, callback)))?;
        }
    }

    /// Settles what callbacks report, with the rows that they name.
    fn take<'c>(
        &self,
        callbacks: impl Iterator<Item = (Option<u64>, &'c Callback)>,
    ) -> Result<(), LedgerError> {
        let callbacks: Vec<_> = callbacks.collect();
        let reports: Vec<Reported<'_>> =
            callbacks.iter().map(|(row, callback)| reported(*row, callback)).collect();
        let effects = self.steps.borrow_mut().report(self.ledger, &reports)?;
        let mut report = self.report.borrow_mut();
        for (effect, (_, callback)) in effects.into_iter().zip(callbacks) {
            report.note(effect, callback);
        }
        Ok(())
    }
}

fn reported(row: Option<u64>, callback: &Callback) -> Reported<'_> {
    let Callback { service, file, result } = callback;
    let (status, error, found) = match result {
        CallbackResult::Success(found) => (FinalStatus::Success, "", found.as_deref()),
        CallbackResult::Failure(error) => (FinalStatus::Failed, &**error, None),
    };
    Reported { file, row, name: service, status, error, found }
}

impl CallbackReport {
    fn note(&mut self, effect: ReportEffect, callback: &Callback) {
        let count = match effect {
            ReportEffect::Settled => &mut self.settled,
            ReportEffect::Repeated => &mut self.repeated,
            ReportEffect::Ambiguous => &mut self.ambiguous,
            ReportEffect::OfOtherRun => &mut self.of_other_runs,
            ReportEffect::Unrelated => &mut self.unrelated,
        };
        *count += 1;
        let is_unknown = ExtensionName::parse(&callback.service).is_none();
        if is_unknown
            && effect == ReportEffect::Unrelated
            && self.unknown_services.len() < NAMED_MAX
        {
            self.unknown_services.insert(callback.service.clone());
        }
    }

    fn note_unusable(&mut self, error: &SavedError) {
        self.unusable += 1;
        if self.first_unusable.len() < NAMED_MAX {
            self.first_unusable.push(error.to_string());
        }
    }
}
