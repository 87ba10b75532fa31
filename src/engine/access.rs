//! Access to an account: the endpoint, the key, and a client for them.

use std::time::Duration;

use secrecy::SecretString;

use super::endpoint::{EndpointSource, IMAGEKIT};
use super::error::{Error, Refusal};
use super::trust::{Allowed, Trust};
use super::ui::Ui;
use crate::account::{Identity, KeyFingerprint, Service};
use crate::imagekit::{Api, ApiSettings};

/// The endpoint and the key of an account.
#[derive(Debug, Clone)]
pub struct Access {
    /// The base URL of the API; `None` for ImageKit's.
    pub endpoint: Option<String>,
    /// What sets the endpoint: an endpoint that another person may have set does not get the key
    /// without a confirmation.
    pub source: EndpointSource,
    /// Endpoints that are trusted besides ImageKit's and this machine.
    pub trust: Trust,
    /// The private key.
    pub key: Key,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for a response.
    pub timeout: Duration,
}

/// A private key.
#[derive(Debug, Clone)]
pub enum Key {
    /// The key.
    Given(SecretString),
    /// There is none.
    Missing,
    /// A key is given that cannot be used; why, for people.
    Unusable(String),
}

/// An API client with its endpoint and account.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) api: Api,
    pub(super) endpoint: String,
    /// The account; its name is unknown before the first file is listed.
    pub(super) identity: Identity,
}

impl Access {
    /// Access to the account of a key at ImageKit, with the default timeouts.
    #[must_use]
    pub fn with_key(key: Key) -> Self {
        Self {
            endpoint: None,
            source: EndpointSource::Default,
            trust: Trust::default(),
            key,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_mins(1),
        }
    }

    /// At another endpoint, given by the program itself.
    #[must_use]
    pub fn at(self, endpoint: impl Into<String>) -> Self {
        Self { endpoint: Some(endpoint.into()), source: EndpointSource::Flag, ..self }
    }

    /// A client for the account of the key. If the endpoint is not trusted, asks at `prompt`
    /// whether the key may be sent there.
    pub(super) async fn client(&self, prompt: Option<&impl Ui>) -> Result<Client, Error> {
        let endpoint = self.endpoint.as_deref().unwrap_or(IMAGEKIT);
        let allowed = self.trust.allow_or_ask(endpoint, &self.source, prompt).await?;
        self.client_at(allowed, self.usable_key()?)
    }

    /// A client at the endpoint of a run, which the settings must not contradict.
    pub(super) async fn client_of_run(
        &self,
        endpoint: &str,
        run_source: &EndpointSource,
        prompt: Option<&impl Ui>,
    ) -> Result<Client, Error> {
        let is_same = |other: &str| other.trim_end_matches('/') == endpoint.trim_end_matches('/');
        let source = match (self.endpoint.as_deref(), &self.source) {
            (Some(other), _) if !is_same(other) => {
                let (run, given) = (endpoint.to_owned(), other.to_owned());
                return Err(Refusal::OtherEndpoint { run, given }.into());
            }
            (Some(_), given @ (EndpointSource::Flag | EndpointSource::Environment)) => given,
            _ => run_source,
        };
        let allowed = self.trust.allow_or_ask(endpoint, source, prompt).await?;
        self.client_at(allowed, self.usable_key()?)
    }

    /// A client for a sandbox that this program started.
    pub(super) fn client_of_sandbox(&self, url: &str, key: SecretString) -> Result<Client, Error> {
        self.client_at(self.trust.allow(url, &EndpointSource::Default)?, key)
    }

    fn usable_key(&self) -> Result<SecretString, Refusal> {
        match &self.key {
            Key::Given(key) => Ok(key.clone()),
            Key::Missing => Err(Refusal::NoKey),
            Key::Unusable(why) => Err(Refusal::UnusableKey(why.clone())),
        }
    }

    fn client_at(&self, endpoint: Allowed, key: SecretString) -> Result<Client, Error> {
        let settings = ApiSettings {
            endpoint: endpoint.into_url(),
            key,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
        };
        let api = Api::new(&settings)?;
        let service = Service::at(&settings.endpoint);
        let key = KeyFingerprint::new(&service, &settings.key);
        let identity = Identity { service, key, name: None };
        Ok(Client { api, endpoint: settings.endpoint.to_string(), identity })
    }
}
