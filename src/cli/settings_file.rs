//! Settings files: `ikbulk.toml` of the working directory (or `--settings`), which takes
//! precedence, and the user settings file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::CliError;
use ikbulk::engine::ExtensionNames;
use ikbulk::internals::system;

const LOCAL_FILE: &str = "ikbulk.toml";
const USER_FILE: &str = "ikbulk/config.toml";
const DEFAULT_PROFILE: &str = "default";

/// What a settings file holds under a profile's name.
pub(super) trait Profile: DeserializeOwned + Default {
    /// The endpoint, if the profile sets one.
    fn endpoint(&self) -> Option<&str>;

    /// Makes the path of the key file relative to the directory of the settings file.
    fn resolve_key_file(&mut self, directory: &Path);
}

/// A parsed settings file.
#[derive(Debug)]
pub(super) struct SettingsFile<P> {
    path: PathBuf,
    profiles: BTreeMap<String, P>,
    columns: BTreeMap<String, String>,
    extensions: ExtensionNames,
    /// Whether only the user or the superuser can have written it.
    is_written_by_user: bool,
}

/// One profile of one settings file.
#[derive(Debug, Default)]
pub(super) struct Layer<P> {
    pub(super) settings: P,
    pub(super) path: PathBuf,
    pub(super) is_trusted: bool,
}

/// The settings files that exist.
#[derive(Debug)]
pub(super) struct SettingsFiles<P> {
    local: Option<SettingsFile<P>>,
    user: Option<SettingsFile<P>>,
    /// The path of the user settings file, whether it exists or not.
    pub(super) user_path: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, bound = "P: Profile")]
struct Content<P> {
    #[serde(default)]
    profile: BTreeMap<String, P>,
    /// Columns of sheets, and the columns that they are read as.
    #[serde(default)]
    columns: BTreeMap<String, String>,
    /// Presets of extensions by name.
    #[serde(default)]
    extensions: BTreeMap<String, serde_json::Value>,
}

impl<P: Profile> SettingsFiles<P> {
    /// Reads the `given` file, or else that of the working directory, and the user settings file.
    pub(super) fn read(given: Option<&Path>) -> Result<Self, CliError> {
        let local = match given {
            Some(path) => Some(SettingsFile::read(path)?.ok_or_else(|| {
                CliError::new(format!("settings file {} not found", path.display()))
            })?),
            None => SettingsFile::read(Path::new(LOCAL_FILE))?,
        };
        let user_path = user_path(|name| std::env::var_os(name));
        let user = user_path.as_deref().map(SettingsFile::read).transpose()?.flatten();
        Ok(Self { local, user, user_path })
    }

    /// The endpoints in all profiles of the user settings file; none if others can have written
    /// that file.
    pub(super) fn user_endpoints(&self) -> Vec<String> {
        let Some(user) = &self.user else {
            return Vec::new();
        };
        let endpoints = user.profiles.values().filter_map(P::endpoint);
        let endpoints: Vec<String> = endpoints.map(str::to_owned).collect();
        if !user.is_written_by_user && !endpoints.is_empty() {
            tracing::warn!(
                "ignoring the endpoints in {0}: it belongs to another user or is writable by others; \
                 check it, then run: chmod go-w {0}",
                user.path.display()
            );
            return Vec::new();
        }
        endpoints
    }

    /// The columns of sheets that are read as others, the local file first.
    pub(super) fn columns(&self) -> BTreeMap<String, String> {
        let files = [&self.user, &self.local];
        files.into_iter().flatten().flat_map(|file| file.columns.clone()).collect()
    }

    /// The presets of extensions, the local file first.
    pub(super) fn extensions(&self) -> ExtensionNames {
        let files = [&self.local, &self.user].into_iter().flatten();
        files.fold(ExtensionNames::default(), |names, file| names.or(file.extensions.clone()))
    }

    /// The named profile of each file, the local file first; without a name the default profile.
    pub(super) fn into_layers(self, name: Option<&str>) -> Result<[Layer<P>; 2], CliError> {
        let paths = [&self.local, &self.user].map(|file| file.as_ref().map(|file| &file.path));
        let not_found_reason = not_found_reason(&paths, self.user_path.as_deref());
        let layer = |file: Option<SettingsFile<P>>, is_trusted: bool| {
            let mut file = file?;
            let settings = file.profiles.remove(name.unwrap_or(DEFAULT_PROFILE))?;
            Some(Layer {
                settings,
                path: file.path,
                is_trusted: is_trusted && file.is_written_by_user,
            })
        };
        let layers = [layer(self.local, false), layer(self.user, true)];
        match name {
            Some(name) if layers.iter().all(Option::is_none) => {
                Err(CliError::new(format!("profile {name} not found: {not_found_reason}")))
            }
            _ => Ok(layers.map(Option::unwrap_or_default)),
        }
    }
}

/// The reason why a profile was not found.
fn not_found_reason(paths: &[Option<&PathBuf>], user_path: Option<&Path>) -> String {
    let found: Vec<String> =
        paths.iter().flatten().map(|path| path.display().to_string()).collect();
    if !found.is_empty() {
        return format!("not in {}", found.join(" or "));
    }
    let user = user_path.map(|path| format!(" and no {}", path.display())).unwrap_or_default();
    format!("there is no {LOCAL_FILE}{user}")
}

impl<P: Profile> SettingsFile<P> {
    /// Reads a settings file; `None` if it does not exist.
    fn read(path: &Path) -> Result<Option<Self>, CliError> {
        let failed = |error| CliError::new(format!("cannot read {}: {error}", path.display()));
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let is_written_by_user = system::is_written_by_us_only(&file.metadata().map_err(failed)?);
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let content: Content<P> = toml::from_str(&text)
            .map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
        let (mut profiles, columns) = (content.profile, content.columns);
        let directory = path.parent().unwrap_or(Path::new(""));
        for profile in profiles.values_mut() {
            profile.resolve_key_file(directory);
        }
        let extensions = presets(content.extensions, path)?;
        Ok(Some(Self { path: path.to_owned(), profiles, columns, extensions, is_written_by_user }))
    }
}

/// Checks the presets of a settings file.
fn presets(
    presets: BTreeMap<String, serde_json::Value>,
    path: &Path,
) -> Result<ExtensionNames, CliError> {
    let mut names = ExtensionNames::default();
    for (name, preset) in presets {
        names.add_preset(&name, preset).map_err(|reason| {
            CliError::new(format!("{}: the preset extensions.{name} {reason}", path.display()))
        })?;
    }
    Ok(names)
}

/// The path of the user settings file, by the XDG Base Directory rules.
fn user_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let base = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = base("XDG_CONFIG_HOME").or_else(|| Some(base("HOME")?.join(".config")));
    Some(config?.join(USER_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_settings_path_follows_xdg() {
        let path = |config: &str, home: &str| {
            let found =
                user_path(|name| Some(if name == "HOME" { home.into() } else { config.into() }));
            found.map(|path| path.display().to_string())
        };
        assert_eq!(path("/config", "/me").as_deref(), Some("/config/ikbulk/config.toml"));
        assert_eq!(path("", "/me").as_deref(), Some("/me/.config/ikbulk/config.toml"));
        assert_eq!(path("relative", "/me"), path("", "/me"));
        assert_eq!(path("", ""), None);
    }
}
