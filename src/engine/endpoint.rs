//! The endpoint of the API: what sets it, and why the key is not sent there.

use std::path::PathBuf;

use reqwest::Url;

/// The endpoint of ImageKit.
pub(super) const IMAGEKIT: &str = "https://api.imagekit.io";

/// The source of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EndpointSource {
    /// The default endpoint, or a sandbox that the program started.
    #[default]
    Default,
    /// The flag `--endpoint`.
    Flag,
    /// The environment variable.
    Environment,
    /// The user settings file.
    UserSettings,
    /// A settings file that another person may have written.
    LocalSettings(PathBuf),
    /// The ledger of a run.
    Run {
        /// The run directory.
        path: PathBuf,
        /// Whether the run started on this machine, by this user.
        started_here: bool,
    },
}

impl EndpointSource {
    /// What sets the endpoint, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::LocalSettings(path) => format!("the settings file {}", path.display()),
            Self::Run { path, .. } => {
                format!("the run {}, which you did not start on this machine,", path.display())
            }
            Self::Flag => "--endpoint".to_owned(),
            Self::Environment => "the environment".to_owned(),
            Self::UserSettings => "your settings file".to_owned(),
            Self::Default => "ikbulk itself".to_owned(),
        }
    }
}

/// Why the key is not sent to an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Another person may have set this endpoint.
    #[error(
        "not sending the private key to {url}: only {} sets this endpoint; nothing was sent",
        .set_by.name()
    )]
    NotTrusted {
        /// The endpoint.
        url: String,
        /// What sets it.
        set_by: EndpointSource,
        /// The path of the user settings file, which could name it.
        user_file: Option<PathBuf>,
    },
    /// A person did not confirm.
    #[error("the key was not sent to {0}; nothing was sent")]
    NotConfirmed(Url),
    /// The endpoint has no scheme.
    #[error(
        "the endpoint {0:?} has no scheme; write https://… (or http://… for a server on this machine)"
    )]
    NoScheme(String),
    /// The endpoint is not a URL.
    #[error("the endpoint {0:?} is not a URL: {1}")]
    NotAUrl(String, String),
    /// The endpoint ends in the version that each request adds.
    #[error("the endpoint {0} must not end in /v1: each request adds it; remove it")]
    Version(String),
}

/// Parses the base URL of the API, without the version.
pub(super) fn parse(endpoint: &str) -> Result<Url, EndpointError> {
    if !endpoint.contains("://") {
        return Err(EndpointError::NoScheme(endpoint.to_owned()));
    }
    let url = Url::parse(endpoint)
        .map_err(|error| EndpointError::NotAUrl(endpoint.to_owned(), error.to_string()))?;
    if url.path().trim_end_matches('/').ends_with("/v1") {
        return Err(EndpointError::Version(endpoint.to_owned()));
    }
    Ok(url)
}
