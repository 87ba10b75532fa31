//! Decides whether the private key may be sent to an endpoint.
//!
//! A sheet often comes with a directory, which may contain a settings file or a run of another
//! person. Neither may decide where the key is sent. There is one gate: a client requires an
//! [`Allowed`] endpoint, and only [`Trust`] creates one.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use reqwest::Url;

use super::endpoint::{EndpointError, EndpointSource, IMAGEKIT, parse};
use super::error::Error;
use super::ui::{Question, Ui};
use crate::account::is_loopback;

/// An endpoint that the key may be sent to.
#[derive(Debug)]
pub(super) struct Allowed(Url);

impl Allowed {
    pub(super) fn into_url(self) -> Url {
        self.0
    }
}

/// Endpoints that are trusted besides ImageKit and this machine.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The endpoints in the user settings file.
    user_endpoints: Vec<Url>,
    /// The path of the user settings file, whether it exists or not.
    user_file: Option<PathBuf>,
    /// The endpoint that a person has confirmed, so that a command asks only once.
    confirmed: Arc<OnceLock<Url>>,
}

impl Trust {
    /// Trusts the endpoints of the user settings file.
    #[must_use]
    pub fn new(user_endpoints: &[String], user_file: Option<PathBuf>) -> Self {
        // An invalid URL is reported when it is used.
        let user_endpoints =
            user_endpoints.iter().filter_map(|endpoint| Url::parse(endpoint).ok()).collect();
        Self { user_endpoints, user_file, confirmed: Arc::default() }
    }

    /// Returns a trusted endpoint; fails for others.
    ///
    /// # Errors
    /// The endpoint is invalid or not trusted.
    pub(super) fn allow(
        &self,
        endpoint: &str,
        source: &EndpointSource,
    ) -> Result<Allowed, EndpointError> {
        let url = parse(endpoint)?;
        if self.is_trusted(&url, source) {
            return Ok(Allowed(url));
        }
        let user_file = self.user_file.clone();
        Err(EndpointError::NotTrusted { url: url.into(), set_by: source.clone(), user_file })
    }

    /// Returns a trusted endpoint, or one that a person confirms at `prompt`.
    pub(super) async fn allow_or_ask(
        &self,
        endpoint: &str,
        source: &EndpointSource,
        prompt: Option<&impl Ui>,
    ) -> Result<Allowed, Error> {
        let url = parse(endpoint)?;
        let Some(prompt) = prompt.filter(|_| !self.is_trusted(&url, source)) else {
            return Ok(self.allow(endpoint, source)?);
        };
        if !prompt.ask(Question::SendKey { endpoint: &url, source }).await {
            return Err(EndpointError::NotConfirmed(url).into());
        }
        // The first confirmation stays: a command uses only one endpoint.
        drop(self.confirmed.set(url.clone()));
        Ok(Allowed(url))
    }

    fn is_trusted(&self, url: &Url, source: &EndpointSource) -> bool {
        let by_source = match source {
            EndpointSource::Flag | EndpointSource::Environment | EndpointSource::UserSettings => {
                true
            }
            EndpointSource::Run { started_here, .. } => *started_here,
            EndpointSource::Default | EndpointSource::LocalSettings(_) => false,
        };
        by_source
            || is_loopback(url)
            || is_imagekit(url)
            || self.user_endpoints.iter().any(|user_endpoints| is_same(user_endpoints, url))
            || self.confirmed.get() == Some(url)
    }
}

fn is_imagekit(url: &Url) -> bool {
    Url::parse(IMAGEKIT).is_ok_and(|imagekit| url.origin() == imagekit.origin())
}

/// Whether two URLs are equal except for trailing slashes.
fn is_same(one: &Url, other: &Url) -> bool {
    one.as_str().trim_end_matches('/') == other.as_str().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(endpoint: &str, source: &EndpointSource) -> bool {
        let user_endpoints = ["https://own.example/imagekit/", "no URL"].map(str::to_owned);
        let trust = Trust::new(&user_endpoints, Some("/me/config.toml".into()));
        trust.allow(endpoint, source).is_ok()
    }

    #[test]
    fn imagekit_and_loopback_are_trusted_from_any_source() {
        let local = EndpointSource::LocalSettings("ikbulk.toml".into());
        for endpoint in [
            "https://api.imagekit.io",
            "https://API.imagekit.io:443/",
            "http://127.0.0.1:8077",
            "http://localhost:1",
            "http://[::1]:1",
        ] {
            assert!(allowed(endpoint, &local), "{endpoint}");
        }
        for endpoint in [
            "https://api.imagekit.io.example",
            "https://api.imagekit.io@example.com",
            "https://api.imagekit.io:8443",
            "http://api.imagekit.io",
            "https://eapi.imagekit.io",
            "https://api.imagekit.io.",
            "https://127.0.0.1.example",
            "https://own.example/other",
        ] {
            assert!(!allowed(endpoint, &local), "{endpoint}");
        }
    }

    #[test]
    fn other_endpoints_are_trusted_by_source() {
        let run = |started_here| EndpointSource::Run { path: "run".into(), started_here };
        let endpoint = "https://example.com";
        for source in [
            EndpointSource::Flag,
            EndpointSource::Environment,
            EndpointSource::UserSettings,
            run(true),
        ] {
            assert!(allowed(endpoint, &source), "{source:?}");
        }
        for source in
            [EndpointSource::Default, EndpointSource::LocalSettings("a".into()), run(false)]
        {
            assert!(!allowed(endpoint, &source), "{source:?}");
            assert!(allowed("https://own.example/imagekit", &source), "{source:?}");
        }
    }
}
