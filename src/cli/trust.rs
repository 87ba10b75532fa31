//! Whether the private key may be sent to an endpoint.
//!
//! A sheet often comes with a directory, and a directory can hold a settings file or a run of
//! another person's. Neither may decide where the key goes. So there is one gate: a client is made
//! of an [`Allowed`] endpoint only, and only [`Trust`] gives one.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use reqwest::Url;

use super::{CliError, Screen};
use crate::account::is_loopback;

/// ImageKit's own endpoint.
pub(super) const IMAGEKIT: &str = "https://api.imagekit.io";

/// Where an endpoint comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EndpointSource {
    /// The program itself: ImageKit's own, or a sandbox that it started.
    Default,
    /// `--endpoint`, given now.
    Flag,
    /// The environment, given now.
    Environment,
    /// The user's own settings file.
    UserSettings,
    /// A settings file that another person can have written.
    LocalSettings(PathBuf),
    /// The ledger of a run.
    Run {
        /// Its directory.
        path: PathBuf,
        /// Whether this user began it on this machine.
        begun_here: bool,
    },
}

/// An endpoint that the key may be sent to.
#[derive(Debug)]
pub(super) struct Allowed(Url);

impl Allowed {
    pub(super) fn into_url(self) -> Url {
        self.0
    }
}

/// What is trusted apart from ImageKit and this machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Trust {
    /// The endpoints in the user's own settings file.
    own: Vec<Url>,
    /// Where that file is, or would be.
    own_file: Option<PathBuf>,
    /// The endpoint that a person has confirmed, so that a command does not ask twice.
    confirmed: Arc<OnceLock<Url>>,
}

impl Trust {
    /// Trusts these endpoints of the user's own settings file.
    pub(super) fn new(own: &[String], own_file: Option<PathBuf>) -> Self {
        // What is no URL is refused where it is used.
        let own = own.iter().filter_map(|endpoint| Url::parse(endpoint).ok()).collect();
        Self { own, own_file, confirmed: Arc::default() }
    }

    /// The gate: lets an endpoint through that is trusted.
    pub(super) fn allow(
        &self,
        endpoint: &str,
        source: &EndpointSource,
    ) -> Result<Allowed, CliError> {
        let url = parse(endpoint)?;
        if self.is_trusted(&url, source) {
            Ok(Allowed(url))
        } else {
            Err(self.refusal(&url, &named_by(source)))
        }
    }

    /// The gate, with a person at it who can confirm what is not trusted.
    pub(super) async fn allow_or_ask(
        &self,
        endpoint: &str,
        source: &EndpointSource,
        person: Option<&Screen>,
    ) -> Result<Allowed, CliError> {
        let url = parse(endpoint)?;
        let Some(person) = person.filter(|_| !self.is_trusted(&url, source)) else {
            return self.allow(endpoint, source);
        };
        let named_by = named_by(source);
        let question = format!(
            "{named_by} names the endpoint {url}. Your private key would be sent there.\n\
             Send the key to {url}?"
        );
        if !person.ask(&question).await {
            return Err(CliError::new(format!("the key was not sent to {url}; nothing was sent")));
        }
        // A command goes to one endpoint only.
        drop(self.confirmed.set(url.clone()));
        Ok(Allowed(url))
    }

    fn is_trusted(&self, url: &Url, source: &EndpointSource) -> bool {
        let by_source = match source {
            EndpointSource::Flag | EndpointSource::Environment | EndpointSource::UserSettings => {
                true
            }
            EndpointSource::Run { begun_here, .. } => *begun_here,
            EndpointSource::Default | EndpointSource::LocalSettings(_) => false,
        };
        by_source
            || is_loopback(url)
            || is_imagekit(url)
            || self.own.iter().any(|own| is_same(own, url))
            || self.confirmed.get() == Some(url)
    }

    fn refusal(&self, url: &Url, named_by: &str) -> CliError {
        let own_file = self.own_file.as_ref().map(|path| {
            format!(", or put it into a profile of your own settings, {}", path.display())
        });
        CliError::new(format!(
            "the private key is not sent to {url}, because only {named_by} names it; nothing was \
             sent.\nIf you trust it, say --endpoint {url}{}",
            own_file.unwrap_or_default()
        ))
    }
}

fn named_by(source: &EndpointSource) -> String {
    match source {
        EndpointSource::LocalSettings(path) => format!("the settings file {}", path.display()),
        EndpointSource::Run { path, .. } => {
            format!("the run {}, which you did not begin on this machine,", path.display())
        }
        EndpointSource::Flag => "--endpoint".to_owned(),
        EndpointSource::Environment => "the environment".to_owned(),
        EndpointSource::UserSettings => "your settings file".to_owned(),
        EndpointSource::Default => "ikbulk itself".to_owned(),
    }
}

fn parse(endpoint: &str) -> Result<Url, CliError> {
    if !endpoint.contains("://") {
        return Err(CliError::new(format!(
            "the endpoint {endpoint:?} has no scheme, write https://… (or http://… for a server on \
             this machine)"
        )));
    }
    let url = Url::parse(endpoint)
        .map_err(|error| CliError::new(format!("the endpoint {endpoint:?} is no URL: {error}")))?;
    if url.path().trim_end_matches('/').ends_with("/v1") {
        return Err(CliError::new(format!(
            "the endpoint {endpoint} ends in /v1, which every request adds by itself; leave it out"
        )));
    }
    Ok(url)
}

fn is_imagekit(url: &Url) -> bool {
    Url::parse(IMAGEKIT).is_ok_and(|imagekit| url.origin() == imagekit.origin())
}

/// Whether both are one endpoint, however its end is written.
fn is_same(one: &Url, other: &Url) -> bool {
    one.as_str().trim_end_matches('/') == other.as_str().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(endpoint: &str, source: &EndpointSource) -> bool {
        let own = ["https://own.example/imagekit/", "no URL"].map(str::to_owned);
        let trust = Trust::new(&own, Some("/me/config.toml".into()));
        trust.allow(endpoint, source).is_ok()
    }

    #[test]
    fn imagekit_and_this_machine_are_trusted_whoever_names_them() {
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
    fn other_endpoints_are_trusted_by_who_names_them() {
        let run = |begun_here| EndpointSource::Run { path: "run".into(), begun_here };
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
