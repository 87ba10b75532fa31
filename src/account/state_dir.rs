//! The state directory: locks, recent writes and charges of accounts, accessible to one user only.
//!
//! Another user with write access could make a run skip or repeat billed requests, or truncate any
//! file of its user through a symbolic link. So files and directories that another user owns or can
//! write to, and symbolic links, are refused.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::system;

/// Environment variable with the path of the state directory.
const VARIABLE: &str = "IKBULK_STATE_DIR";

/// A directory that only its owner can read and write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

/// Reason why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// No state directory is configured.
    #[error(
        "no directory for the state of accounts (locks, recent writes, charges): neither HOME nor \
         XDG_STATE_HOME is set; choose a directory with --state-dir DIR or {VARIABLE}"
    )]
    Nowhere,
    /// Another user might control the directory or file.
    #[error("cannot keep the state of accounts in {path}, because it {why}; {fix}")]
    Unsafe {
        /// The directory or file.
        path: PathBuf,
        /// The problem, as the end of a sentence.
        why: &'static str,
        /// The user's next step.
        fix: &'static str,
    },
    /// A file system operation failed.
    #[error(
        "cannot use {path} for the state of accounts: {cause}; choose another directory with \
         --state-dir DIR"
    )]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// The file system error.
        cause: io::Error,
    },
}

impl StateDir {
    /// Path of the state directory: `given`, else the variable `IKBULK_STATE_DIR`, else by the XDG
    /// rules. `variable` reads an environment variable.
    ///
    /// # Errors
    /// None of them is set. There is no fallback such as `/tmp`, because another user could create it.
    pub fn locate(
        given: Option<&Path>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<PathBuf, StateDirError> {
        let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // A relative path would depend on the current directory.
        let base = |name| set(name).filter(|path| path.is_absolute());
        given
            .map(Path::to_owned)
            .or_else(|| set(VARIABLE))
            .or_else(|| Some(base("XDG_STATE_HOME")?.join("ikbulk")))
            .or_else(|| Some(base("HOME")?.join(".local/state/ikbulk")))
            .ok_or(StateDirError::Nowhere)
    }

    /// Opens or creates a state directory, and makes it private.
    ///
    /// # Errors
    /// The directory cannot be created, is a symbolic link, or other users own it or can write to it.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        // Drops a trailing `/`, with which the system would follow a symbolic link.
        let path: PathBuf = path.components().collect();
        let failed = |cause| StateDirError::Io { path: path.clone(), cause };
        refuse_link(&path)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(system::DIRECTORY);
        let directory = options.open(&path).map_err(failed)?;
        let metadata = directory.metadata().map_err(failed)?;
        refuse_shared(&path, &metadata)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            directory.set_permissions(Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Ok(Self(path))
    }

    /// Path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens or creates a subdirectory.
    ///
    /// # Errors
    /// See [`Self::open`].
    pub fn subdir(&self, name: &str) -> Result<Self, StateDirError> {
        Self::open(&self.0.join(name))
    }

    /// Opens or creates a file for reading and writing, without truncating it.
    ///
    /// # Errors
    /// The file cannot be opened or created, is a symbolic link, or other users own it or can write to
    /// it.
    pub fn open_file(&self, name: &str) -> Result<File, StateDirError> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        self.open_with(name, options)
    }

    fn open_with(&self, name: &str, options: &mut OpenOptions) -> Result<File, StateDirError> {
        let path = self.0.join(name);
        let failed = |cause| StateDirError::Io { path: path.clone(), cause };
        refuse_link(&path)?;
        let file = options.custom_flags(system::NO_FOLLOW).open(&path).map_err(failed)?;
        refuse_shared(&path, &file.metadata().map_err(failed)?)?;
        Ok(file)
    }

    /// Checks an SQLite file and returns its path. Does not open the file, because closing it would
    /// release the locks that SQLite holds on it in this process.
    ///
    /// # Errors
    /// The file is a symbolic link, or other users own it or can write to it.
    pub fn database(&self, name: &str) -> Result<PathBuf, StateDirError> {
        let path = self.0.join(name);
        refuse_link(&path)?;
        match fs::symlink_metadata(&path) {
            Ok(metadata) => refuse_shared(&path, &metadata)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(cause) => return Err(StateDirError::Io { path, cause }),
        }
        Ok(path)
    }
}

/// Refuses symbolic links with a clear message, before anything is opened or created. Opening with
/// `NO_FOLLOW` refuses them again, without a race.
fn refuse_link(path: &Path) -> Result<(), StateDirError> {
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    refuse(is_link, path, "is a symbolic link", "remove it, or pass its target with --state-dir")
}

fn refuse_shared(path: &Path, metadata: &Metadata) -> Result<(), StateDirError> {
    let is_foreign = !system::is_ours(metadata);
    refuse(
        is_foreign,
        path,
        "belongs to another user",
        "choose a directory of your own with --state-dir",
    )?;
    let is_writable = metadata.permissions().mode() & 0o022 != 0;
    refuse(
        is_writable,
        path,
        "can be written by other users",
        "check its contents, then run `chmod go-w` on it, or choose another directory with \
         --state-dir",
    )
}

fn refuse(
    is_unsafe: bool,
    path: &Path,
    why: &'static str,
    fix: &'static str,
) -> Result<(), StateDirError> {
    if is_unsafe { Err(StateDirError::Unsafe { path: path.to_owned(), why, fix }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn flag_overrides_variable_overrides_xdg_rules() {
        let located = |given: Option<&str>, set: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = set.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let path = StateDir::locate(given.map(Path::new), variable).ok();
            path.map(|path| path.display().to_string())
        };
        let (own, xdg, home) =
            ((VARIABLE, "/own"), ("XDG_STATE_HOME", "/xdg"), ("HOME", "/home/me"));
        let is = |path: &str| Some(path.to_owned());
        assert_eq!(located(Some("given"), &[own, xdg, home]), is("given"));
        assert_eq!(located(None, &[own, xdg, home]), is("/own"));
        assert_eq!(located(None, &[xdg, home]), is("/xdg/ikbulk"));
        assert_eq!(located(None, &[home]), is("/home/me/.local/state/ikbulk"));
        assert_eq!(located(None, &[("XDG_STATE_HOME", "relative"), home]), located(None, &[home]));
        assert_eq!(located(None, &[("XDG_STATE_HOME", ""), ("HOME", "")]), None);
    }

    #[test]
    fn directories_and_files_are_made_private() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(&home.path().join("a/b/")).unwrap();
        let locks = state.subdir("locks").unwrap();
        locks.open_file("one").unwrap().write_all(b"kept").unwrap();
        locks.open_file("one").unwrap();
        assert_eq!(fs::read(locks.path().join("one")).unwrap(), b"kept");
        assert_eq!(mode(&locks.path().join("one")), 0o600);
        for path in [&home.path().join("a"), state.path(), locks.path()] {
            assert_eq!(mode(path), 0o700, "{}", path.display());
        }
        set_mode(state.path(), 0o755);
        StateDir::open(state.path()).unwrap();
        assert_eq!(mode(state.path()), 0o700);
    }

    #[test]
    fn symbolic_links_are_refused_and_targets_kept() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("target");
        fs::write(&target, "kept").unwrap();
        let state = StateDir::open(&home.path().join("state")).unwrap();
        symlink(&target, state.path().join("file")).unwrap();
        symlink(state.path(), home.path().join("linked")).unwrap();
        symlink(home.path().join("nothing"), home.path().join("dangling")).unwrap();
        let refused = |error: StateDirError| error.to_string().contains("is a symbolic link");
        for link in ["linked", "linked/", "dangling"] {
            assert!(refused(StateDir::open(&home.path().join(link)).unwrap_err()), "{link}");
        }
        assert!(refused(state.open_file("file").unwrap_err()));
        assert!(refused(state.database("file").unwrap_err()));
        assert_eq!(fs::read(target).unwrap(), b"kept");
        assert!(!home.path().join("nothing").exists());
    }

    #[test]
    fn paths_that_others_own_or_can_write_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(&home.path().join("state")).unwrap();
        state.open_file("file").unwrap();
        let refused = |why: &str| {
            let file = state.open_file("file").map(drop);
            let database = state.database("file").map(drop);
            [file, database, state.subdir("locks").map(drop)]
                .map(|error| error.unwrap_err().to_string().contains(why))
        };
        state.subdir("locks").unwrap();
        for path in ["file", "locks"] {
            set_mode(&state.path().join(path), 0o720);
        }
        assert_eq!(refused("can be written by other users"), [true; 3]);
        for path in ["file", "locks"] {
            set_mode(&state.path().join(path), 0o700);
            // Only root can change the owner.
            if std::os::unix::fs::chown(state.path().join(path), Some(4321), None).is_err() {
                return;
            }
        }
        assert_eq!(refused("belongs to another user"), [true; 3]);
    }
}
