//! The settings that can come from a flag, the environment, a profile or a default, in this order.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use serde::Deserialize;

use super::settings_file::{Layer, SettingsFiles};
use super::trust::{Allowed, EndpointSource, IMAGEKIT, Trust};
use super::values::{ClearToken, Optional, RateText, Share, Span};
use super::{CliError, Screen, key};
use crate::account::{Identity, KeyFingerprint, Service, StateDir};
use crate::imagekit::{Api, ApiSettings};
use crate::settings::{Execution, Halts, RateLimit};

/// The variable that ImageKit's own SDKs read the endpoint from.
const ENDPOINT_VARIABLE: &str = "IMAGE_KIT_BASE_URL";

/// Settings of the account and of the execution. Each is a flag, and under the same name a key of
/// a profile in a settings file.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[command(next_help_heading = "Settings (also in ikbulk.toml)")]
pub struct SettingsArgs {
    /// Where the API is [env: `IMAGE_KIT_BASE_URL`] [default: ImageKit's own]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// A file that holds the private key, instead of the environment
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The account's writes a second, or unlimited [default: 5]
    #[arg(long, value_name = "RATE")]
    rate: Option<RateText>,
    /// Writes that may go out at once after a pause [default: 5]
    #[arg(long, value_name = "N")]
    burst: Option<NonZeroU32>,
    /// The account's reads a second, or unlimited [default: 40]
    #[arg(long, value_name = "RATE")]
    read_rate: Option<RateText>,
    /// Reads that may go out at once after a pause [default: 40]
    #[arg(long, value_name = "N")]
    read_burst: Option<NonZeroU32>,
    /// The share of the limits that is left to the account's other users [default: 10%]
    #[arg(long, value_name = "SHARE")]
    leave: Option<Share>,
    /// Requests under way at once [default: what the rate needs]
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroUsize>,
    /// Attempts for a request that may be repeated [default: 6]
    #[arg(long, value_name = "N")]
    attempts: Option<NonZeroU32>,
    /// How long an answer may take [default: 60s]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// How long a connection may take to come about [default: 10s]
    #[arg(long, value_name = "TIME")]
    connect_timeout: Option<Span>,
    /// The share of bad rows above which nothing is sent [default: 1%]
    #[arg(long, value_name = "SHARE")]
    max_bad: Option<Share>,
    /// Halt after so many steps of unknown outcome [default: 20]
    #[arg(long, value_name = "N")]
    max_unknown: Option<NonZeroU32>,
    /// Halt after the same rejection so many times in a row, or off [default: 20]
    #[arg(long, value_name = "N")]
    max_same_rejection: Option<Optional>,
    /// Halt above this share of rejected requests, looked at after 100 answers [default: 20%]
    #[arg(long, value_name = "SHARE")]
    max_rejected: Option<Share>,
    /// Halt when ImageKit is out of reach, or answers nothing but 429s, for so long [default: 15m]
    #[arg(long, value_name = "TIME")]
    down_max: Option<Span>,
    /// The text that clears a field [default: `<clear>`]
    #[arg(long, value_name = "TEXT")]
    clear_token: Option<ClearToken>,
    /// The profile of the settings files [default: default]
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    profile: Option<String>,
    /// The settings file, before your own in ~/.config/ikbulk/config.toml [default: ikbulk.toml]
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    settings: Option<PathBuf>,
    /// Where locks, recent writes and charges of accounts are kept [env: `IKBULK_STATE_DIR`]
    /// [default: `$XDG_STATE_HOME/ikbulk`]
    ///
    /// Runs keep out of each other's way, share the account's rate limit and know what was paid
    /// for where they use one state directory on one machine. Other machines, and other state
    /// directories, are not known: leave them their share of the limit (`--leave`). A run that
    /// is under way is not resumed twice, whatever the state directory, unless its directory was
    /// copied or lies on a drive without file locks.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    state_dir: Option<PathBuf>,
    /// Where the endpoint comes from, once it is known.
    #[arg(skip)]
    #[serde(skip)]
    endpoint_source: Option<EndpointSource>,
    #[arg(skip)]
    #[serde(skip)]
    trust: Trust,
}

impl SettingsArgs {
    /// Fills what was not given from the environment, then from the profile of the local settings
    /// file, and then from that of the user's own.
    pub(super) fn with_profile(mut self) -> Result<Self, CliError> {
        if self.endpoint_source.is_some() {
            return Ok(self);
        }
        let files = SettingsFiles::read(self.settings.as_deref())?;
        self.trust = Trust::new(&files.own_endpoints(), files.user_path.clone());
        let layers = files.into_layers(self.profile.as_deref())?;
        // Not by clap, which could not tell it from the flag, and the flag forbids --sandbox.
        let variable = std::env::var(ENDPOINT_VARIABLE).ok().filter(|url| !url.is_empty());
        self.endpoint_source = Some(self.source_of_endpoint(variable.is_some(), &layers));
        self.endpoint = self.endpoint.or(variable);
        // The environment's key is none of these settings, and goes before the files of profiles.
        let has_key = key::is_in_environment();
        Ok(layers.into_iter().fold(self, |settings, mut layer| {
            layer.settings.key_file.take_if(|_| has_key);
            settings.or(layer.settings)
        }))
    }

    /// Where the endpoint comes from that these choices come to.
    fn source_of_endpoint(&self, has_variable: bool, layers: &[Layer]) -> EndpointSource {
        if self.endpoint.is_some() {
            return EndpointSource::Flag;
        }
        if has_variable {
            return EndpointSource::Environment;
        }
        match layers.iter().find(|layer| layer.settings.endpoint.is_some()) {
            Some(Layer { is_trusted: true, .. }) => EndpointSource::UserSettings,
            Some(layer) => EndpointSource::LocalSettings(layer.path.clone()),
            None => EndpointSource::Default,
        }
    }

    /// Fills what was not given from `other`.
    fn or(self, other: Self) -> Self {
        let (endpoint_source, trust) = (self.endpoint_source, self.trust);
        macro_rules! first_given {
            ($($setting:ident),*) => {
                Self { endpoint_source, trust, $($setting: self.$setting.or(other.$setting)),* }
            };
        }
        first_given!(
            endpoint,
            key_file,
            rate,
            burst,
            read_rate,
            read_burst,
            leave,
            concurrency,
            attempts,
            timeout,
            connect_timeout,
            max_bad,
            max_unknown,
            max_same_rejection,
            max_rejected,
            down_max,
            clear_token,
            profile,
            settings,
            state_dir
        )
    }

    pub(super) fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// A relative path in a settings file starts from where that file is.
    pub(super) fn resolve_key_file(&mut self, directory: &Path) {
        self.key_file = self.key_file.take().map(|path| directory.join(path));
    }

    /// How the run is executed.
    pub(super) fn execution(&self) -> Result<Execution, CliError> {
        let default = Execution::default();
        let leave = self.leave.map_or(default.writes.leave, |share| share.0);
        if leave >= 1.0 {
            return Err(CliError::new("--leave 100% leaves nothing for this run"));
        }
        let limit =
            |rate: Option<RateText>, burst: Option<NonZeroU32>, default: RateLimit| RateLimit {
                rate: rate.map_or(default.rate, |rate| rate.0),
                burst: burst.unwrap_or(default.burst),
                leave,
            };
        let writes = limit(self.rate, self.burst, default.writes);
        Ok(Execution {
            writes,
            reads: limit(self.read_rate, self.read_burst, default.reads),
            concurrency: self.concurrency.unwrap_or_else(|| Execution::derived_concurrency(writes)),
            attempts: self.attempts.unwrap_or(default.attempts),
            seed: default.seed,
            halts: Halts {
                unknown_max: self.max_unknown.unwrap_or(default.halts.unknown_max),
                same_rejection_max: self
                    .max_same_rejection
                    .map_or(default.halts.same_rejection_max, |limit| limit.0),
                rejected_share_max: self
                    .max_rejected
                    .map_or(default.halts.rejected_share_max, |share| share.0),
                down_max: self.down_max.map_or(default.halts.down_max, |span| span.0),
            },
        })
    }

    /// The share of bad rows above which nothing is sent.
    pub(super) fn max_bad(&self) -> f64 {
        self.max_bad.map_or(0.01, |share| share.0)
    }

    pub(super) fn clear_token(&self) -> String {
        let given = self.clear_token.clone().map(|token| token.0);
        given.unwrap_or_else(|| crate::row::Rules::default().clear_token)
    }

    /// Where what is known of accounts between runs is kept.
    pub(super) fn state_dir(&self) -> Result<StateDir, CliError> {
        let path = StateDir::locate(self.state_dir.as_deref(), |name| std::env::var_os(name));
        Ok(path.and_then(|path| StateDir::open(&path))?)
    }

    /// Whether a key is there at all.
    pub(super) fn has_key(&self) -> bool {
        key::is_given(self.key_file.as_deref())
    }

    /// A client for the account that the key belongs to. Where the endpoint is not to be trusted,
    /// `person` is asked whether the key may go there.
    pub(super) async fn api(&self, person: Option<&Screen>) -> Result<Client, CliError> {
        let source = self.endpoint_source.as_ref().unwrap_or(&EndpointSource::Default);
        let endpoint = self.endpoint().unwrap_or(IMAGEKIT);
        let allowed = self.trust.allow_or_ask(endpoint, source, person).await?;
        self.client(allowed, key::read(self.key_file.as_deref())?)
    }

    /// The same at the endpoint of a run, which no setting moves elsewhere.
    pub(super) async fn api_of_run(
        &self,
        endpoint: &str,
        run: &EndpointSource,
        person: Option<&Screen>,
    ) -> Result<Client, CliError> {
        let is_same = |other: &str| other.trim_end_matches('/') == endpoint.trim_end_matches('/');
        let source = match (self.endpoint(), &self.endpoint_source) {
            (Some(other), _) if !is_same(other) => {
                return Err(CliError::new(format!(
                    "the run was begun at {endpoint} and goes on there, not at {other}, which \
                     --endpoint, IMAGE_KIT_BASE_URL or the profile says; nothing was sent"
                )));
            }
            (Some(_), Some(given @ (EndpointSource::Flag | EndpointSource::Environment))) => given,
            _ => run,
        };
        self.client(
            self.trust.allow_or_ask(endpoint, source, person).await?,
            key::read(self.key_file.as_deref())?,
        )
    }

    /// A client for a sandbox that this program started, and for its key.
    pub(super) fn api_of_sandbox(&self, url: &str, key: &str) -> Result<Client, CliError> {
        let allowed = self.trust.allow(url, &EndpointSource::Default)?;
        self.client(allowed, key.to_owned().into())
    }

    fn client(&self, endpoint: Allowed, key: SecretString) -> Result<Client, CliError> {
        let settings = ApiSettings {
            endpoint: endpoint.into_url(),
            key,
            connect_timeout: self.connect_timeout.map_or(Duration::from_secs(10), |span| span.0),
            timeout: self.timeout.map_or(Duration::from_mins(1), |span| span.0),
        };
        let api = Api::new(&settings).map_err(|error| CliError::of(&error))?;
        let service = Service::at(&settings.endpoint);
        let key = KeyFingerprint::new(&service, &settings.key);
        let identity = Identity { service, key, name: None };
        Ok(Client { api, endpoint: settings.endpoint.to_string(), identity })
    }
}

/// A client, and what it is known by.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) api: Api,
    pub(super) endpoint: String,
    /// The account, as far as it is known.
    pub(super) identity: Identity,
}
