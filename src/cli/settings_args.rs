//! Settings from flags, the environment, profiles and defaults, in this order of precedence.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use ikbulk::engine::{
    AbortLimits, Access, Callbacks, Consent, Duplicates, EndpointSource, Execution, ExtensionNames,
    Finding, Key, NullMeans, PeriodLimits, Prices, RateLimit, Settings, SpendingLimits, Trust,
};
use ikbulk::internals::{Rules, StateDir};
use serde::Deserialize;

use super::help::{ACCOUNT, INPUT, RATE_LIMIT, RETRIES, SPENDING};
use super::run_sandbox::RunSandbox;
use super::settings_file::{Layer, Profile, SettingsFiles};
use super::sheet_args::SheetArgs;
use super::values::{
    ClearToken, CountOrOff, ExtensionNumber, ExtensionPrice, LocaleTag, RateText, Share, Span,
    above_zero, duplicates, list_separator, null_means,
};
use super::{CliError, key};

/// The environment variable of the endpoint, as in ImageKit's SDKs.
const ENDPOINT_VARIABLE: &str = "IMAGE_KIT_BASE_URL";

/// Settings of the account and the execution. Each is a flag, and a key of the same name in a
/// profile of a settings file.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SettingsArgs {
    /// The API's base URL [env: `IMAGE_KIT_BASE_URL`] [default: ImageKit's]
    #[arg(long, value_name = "URL", help_heading = ACCOUNT)]
    endpoint: Option<String>,
    /// Read the private key from a file instead of `IMAGEKIT_PRIVATE_KEY`
    #[arg(long, value_name = "FILE", help_heading = ACCOUNT)]
    key_file: Option<PathBuf>,
    /// The account's limit of writes per second, or unlimited [default: 5]
    #[arg(long, value_name = "RATE", help_heading = RATE_LIMIT)]
    rate: Option<RateText>,
    /// Maximum burst of writes after a pause [default: 5]
    #[arg(long, value_name = "N", help_heading = RATE_LIMIT, hide_short_help = true, value_parser = above_zero::<NonZeroU32>)]
    burst: Option<NonZeroU32>,
    /// The account's limit of reads per second, or unlimited [default: 40]
    #[arg(long, value_name = "RATE", help_heading = RATE_LIMIT, hide_short_help = true)]
    read_rate: Option<RateText>,
    /// Maximum burst of reads after a pause [default: 40]
    #[arg(long, value_name = "N", help_heading = RATE_LIMIT, hide_short_help = true, value_parser = above_zero::<NonZeroU32>)]
    read_burst: Option<NonZeroU32>,
    /// Share of the rate limits to reserve for other clients [default: 10%]
    #[arg(long, value_name = "SHARE", help_heading = RATE_LIMIT, hide_short_help = true)]
    leave: Option<Share>,
    /// Maximum number of requests in flight [default: derived from the rate]
    #[arg(long, value_name = "N", help_heading = RATE_LIMIT, hide_short_help = true, value_parser = above_zero::<NonZeroUsize>)]
    concurrency: Option<NonZeroUsize>,
    /// Maximum attempts per idempotent request [default: 6]
    #[arg(long, value_name = "N", help_heading = RETRIES, hide_short_help = true, value_parser = above_zero::<NonZeroU32>)]
    attempts: Option<NonZeroU32>,
    /// Response timeout [default: 60s]
    #[arg(long, value_name = "DURATION", help_heading = RETRIES, hide_short_help = true)]
    timeout: Option<Span>,
    /// Connect timeout [default: 10s]
    #[arg(long, value_name = "DURATION", help_heading = RETRIES, hide_short_help = true)]
    connect_timeout: Option<Span>,
    /// Refuse a sheet with a larger share of invalid rows, unless confirmed [default: 1%]
    #[arg(long, value_name = "SHARE", help_heading = INPUT, hide_short_help = true)]
    max_bad: Option<Share>,
    /// Abort after N steps with unknown outcome [default: 20]
    #[arg(long, value_name = "N", help_heading = RETRIES, hide_short_help = true, value_parser = above_zero::<NonZeroU32>)]
    max_unknown: Option<NonZeroU32>,
    /// Abort after N identical rejections in a row, or off [default: 20]
    #[arg(long, value_name = "N", help_heading = RETRIES, hide_short_help = true)]
    max_same_rejection: Option<CountOrOff>,
    /// Abort when a larger share of requests is rejected, after 100 responses [default: 20%]
    #[arg(long, value_name = "SHARE", help_heading = RETRIES, hide_short_help = true)]
    max_rejected: Option<Share>,
    /// Abort after the API has been unreachable, or returned only 429s, this long [default: 15m]
    #[arg(long, value_name = "DURATION", help_heading = RETRIES, hide_short_help = true)]
    down_max: Option<Span>,
    /// Run extensions for at most N units; rows that do not fit are not attempted
    #[arg(long, value_name = "N", help_heading = SPENDING)]
    max_units: Option<u64>,
    /// Maximum units of all runs of the account on one UTC day
    #[arg(long, value_name = "N", help_heading = SPENDING, hide_short_help = true)]
    max_units_per_day: Option<u64>,
    /// Maximum runs of an extension, such as remove-bg=10; may be given several times
    #[arg(long, value_name = "NAME=N", help_heading = SPENDING, hide_short_help = true)]
    max_extension_runs: Option<Vec<ExtensionNumber>>,
    /// Maximum runs of an extension by all runs of the account on one UTC day
    #[arg(long, value_name = "NAME=N", help_heading = SPENDING, hide_short_help = true)]
    max_extension_runs_per_day: Option<Vec<ExtensionNumber>>,
    /// The units per run of an extension whose price is not published, such as ai-tasks=5
    #[arg(long, value_name = "NAME=UNITS", help_heading = SPENDING, hide_short_help = true)]
    price: Option<Vec<ExtensionPrice>>,
    /// Maximum units to send with --yes and without another limit [default: 1000]
    #[arg(long, value_name = "N", help_heading = SPENDING, hide_short_help = true)]
    yes_max_units: Option<u64>,
    /// The cell text that clears a field [default: `<clear>`]
    #[arg(long, value_name = "TEXT", help_heading = INPUT, hide_short_help = true)]
    clear_token: Option<ClearToken>,
    /// A word such as NA that is a value, although programs print it for no value; repeatable
    #[arg(long, value_name = "WORD", help_heading = INPUT, hide_short_help = true)]
    literal: Option<Vec<String>>,
    /// What a JSON null or "" does where every row has its key: leave the field, or clear it
    #[arg(long, value_name = "EFFECT", help_heading = INPUT, hide_short_help = true, value_parser = null_means())]
    null_means: Option<NullMeans>,
    /// The character between the words of a list [default: ,]
    #[arg(long, value_name = "CHARACTER", help_heading = INPUT, hide_short_help = true, value_parser = list_separator)]
    list_separator: Option<char>,
    /// The language of numbers and dates with two readings, such as de or en-US
    #[arg(long, value_name = "TAG", help_heading = INPUT, hide_short_help = true)]
    locale: Option<LocaleTag>,
    /// Which rows of one file take effect [default: in-order]
    #[arg(long, value_name = "RULE", help_heading = INPUT, hide_short_help = true, value_parser = duplicates())]
    duplicates: Option<Duplicates>,
    /// Send rows despite a finding, such as other-separator; repeatable
    #[arg(long, value_name = "FINDING", help_heading = INPUT, hide_short_help = true)]
    accept: Option<Vec<Finding>>,
    /// The profile of the settings file to use [default: default]
    #[arg(long, value_name = "NAME", help_heading = ACCOUNT, hide_short_help = true)]
    #[serde(skip)]
    profile: Option<String>,
    /// The settings file; takes precedence over ~/.config/ikbulk/config.toml [default: ikbulk.toml]
    #[arg(long, value_name = "FILE", help_heading = ACCOUNT, hide_short_help = true)]
    #[serde(skip)]
    settings: Option<PathBuf>,
    /// Directory of locks, recent writes and charges [env: `IKBULK_STATE_DIR`]
    /// [default: `$XDG_STATE_HOME/ikbulk`]
    ///
    /// Runs on one machine that share a state directory lock each other out, share the account's
    /// rate limit and know which extensions ran before. Runs on other machines, or with another
    /// state directory, know nothing of each other: reserve a share of the rate limit for them
    /// (`--leave`). A running run cannot be resumed a second time, whatever the state directory,
    /// unless its directory was copied or is on a drive without file locks.
    #[arg(long, value_name = "DIR", help_heading = ACCOUNT, hide_short_help = true)]
    #[serde(skip)]
    state_dir: Option<PathBuf>,
    /// The source of the endpoint; `None` before [`Self::with_profile`].
    #[arg(skip)]
    #[serde(skip)]
    endpoint_source: Option<EndpointSource>,
    #[arg(skip)]
    #[serde(skip)]
    trust: Trust,
    /// Columns of sheets that the settings files read as others.
    #[arg(skip)]
    #[serde(skip)]
    columns: BTreeMap<String, String>,
    /// Presets of extensions in the settings files, and the names for all rows.
    #[arg(skip)]
    #[serde(skip)]
    extensions: ExtensionNames,
}

impl Profile for SettingsArgs {
    fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    fn resolve_key_file(&mut self, directory: &Path) {
        self.key_file = self.key_file.take().map(|path| directory.join(path));
    }
}

impl SettingsArgs {
    /// Completes the flags from the environment, then from the profile of the local settings file,
    /// then from that of the user settings file.
    pub(super) fn with_profile(mut self) -> Result<Self, CliError> {
        if self.endpoint_source.is_some() {
            return Ok(self);
        }
        let files = SettingsFiles::read(self.settings.as_deref())?;
        self.columns = files.columns();
        self.extensions = files.extensions();
        self.trust = Trust::new(&files.user_endpoints(), files.user_path.clone());
        let layers = files.into_layers(self.profile.as_deref())?;
        // Not read by clap, which could not tell the variable from the flag: the flag conflicts
        // with --sandbox.
        let variable = std::env::var(ENDPOINT_VARIABLE).ok().filter(|url| !url.is_empty());
        self.endpoint_source = Some(self.resolve_endpoint_source(variable.is_some(), &layers));
        self.endpoint = self.endpoint.or(variable);
        // A key in the environment takes precedence over the key files of profiles.
        let has_key = key::is_in_env();
        Ok(layers.into_iter().fold(self, |settings, mut layer| {
            layer.settings.key_file.take_if(|_| has_key);
            settings.or(layer.settings)
        }))
    }

    /// The source that sets the endpoint.
    fn resolve_endpoint_source(
        &self,
        has_variable: bool,
        layers: &[Layer<Self>],
    ) -> EndpointSource {
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

    /// Completes missing settings from `other`.
    fn or(self, other: Self) -> Self {
        let (endpoint_source, trust, columns) = (self.endpoint_source, self.trust, self.columns);
        let extensions = self.extensions;
        macro_rules! first_given {
            ($($setting:ident),*) => {
                Self { endpoint_source, trust, columns, extensions, $($setting: self.$setting.or(other.$setting)),* }
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
            max_units,
            max_units_per_day,
            max_extension_runs,
            max_extension_runs_per_day,
            price,
            yes_max_units,
            clear_token,
            literal,
            null_means,
            list_separator,
            locale,
            duplicates,
            accept,
            profile,
            settings,
            state_dir
        )
    }

    /// The settings of the executor, with defaults.
    fn execution(&self) -> Result<Execution, CliError> {
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
            abort_limits: AbortLimits {
                unknown_max: self.max_unknown.unwrap_or(default.abort_limits.unknown_max),
                same_rejection_max: self
                    .max_same_rejection
                    .map_or(default.abort_limits.same_rejection_max, |limit| limit.0),
                rejected_share_max: self
                    .max_rejected
                    .map_or(default.abort_limits.rejected_share_max, |share| share.0),
                down_max: self.down_max.map_or(default.abort_limits.down_max, |span| span.0),
            },
        })
    }

    /// Columns of sheets that the settings files read as others.
    pub(super) fn columns(&self) -> &BTreeMap<String, String> {
        &self.columns
    }

    /// Runs these extensions on rows that have none of their own.
    pub(super) fn with_extensions_for_all(mut self, names: Option<&str>) -> Self {
        self.extensions.for_all = names.map(str::to_owned);
        self
    }

    /// How the cells of a sheet are read.
    fn rules(&self) -> Rules {
        let default = Rules::default();
        Rules {
            clear_token: self.clear_token.clone().map_or(default.clear_token, |token| token.0),
            literals: self.literal.iter().flatten().cloned().collect(),
            null_means: self.null_means,
            list_separator: self.list_separator,
            locale: self.locale.as_ref().map(|tag| tag.0),
            duplicates: self.duplicates.unwrap_or_default(),
            accepted: self.accept.iter().flatten().copied().collect(),
            extensions: self.extensions.clone(),
            ..default
        }
    }

    /// The limits of billed extensions.
    fn spending(&self) -> SpendingLimits {
        let runs = |given: &Option<Vec<ExtensionNumber>>| {
            given.iter().flatten().map(|ExtensionNumber(name, runs)| (*name, *runs)).collect()
        };
        let mut prices = Prices::default();
        for ExtensionPrice(name, units) in self.price.iter().flatten() {
            prices.set(*name, *units);
        }
        SpendingLimits {
            run: PeriodLimits { units: self.max_units, runs: runs(&self.max_extension_runs) },
            day: PeriodLimits {
                units: self.max_units_per_day,
                runs: runs(&self.max_extension_runs_per_day),
            },
            prices,
        }
    }

    /// The settings of the engine, with the key of the account.
    pub(super) fn with_key(self) -> Result<Settings, CliError> {
        let key = key::read(self.key_file.as_deref());
        self.engine_settings(key)
    }

    /// The settings of the engine for this sheet. A run on a sandbox of its own needs no key.
    pub(super) fn for_sheet(self, sheet: &SheetArgs) -> Result<Settings, CliError> {
        let settings = self.with_extensions_for_all(sheet.extensions_for_all());
        if sheet.sandbox { settings.engine_settings(Key::Missing) } else { settings.with_key() }
    }

    fn engine_settings(self, key: Key) -> Result<Settings, CliError> {
        let (execution, spending, rules) = (self.execution()?, self.spending(), self.rules());
        // Only `StateDirError::Nowhere`, which is reported if the directory is needed.
        let state_dir =
            StateDir::locate(self.state_dir.as_deref(), |name| std::env::var_os(name)).ok();
        let access = Access::with_key(key);
        let access = Access {
            endpoint: self.endpoint,
            source: self.endpoint_source.unwrap_or_default(),
            trust: self.trust,
            connect_timeout: self.connect_timeout.map_or(access.connect_timeout, |span| span.0),
            timeout: self.timeout.map_or(access.timeout, |span| span.0),
            ..access
        };
        let default = Settings::new(access);
        Ok(Settings {
            execution,
            spending,
            unasked_units_max: self.yes_max_units.unwrap_or(default.unasked_units_max),
            state_dir,
            max_bad: self.max_bad.map_or(default.max_bad, |share| share.0),
            rules,
            callbacks: Callbacks::default(),
            sandbox: Some(Arc::new(RunSandbox)),
            saves_responses: default.saves_responses,
            fails_on_pending: default.fails_on_pending,
            access: default.access,
        })
    }
}

/// Consent of `--yes`.
pub(super) fn consent(yes: bool) -> Consent {
    if yes { Consent::Given } else { Consent::Ask }
}
