//! Quotes paths for commands that a person can copy into a shell.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A path as an argument of a command: as one word, which is not read as a flag.
#[must_use]
pub fn path_argument(path: &Path) -> String {
    if path.as_os_str().as_bytes().starts_with(b"-") {
        quoted(&Path::new(".").join(path))
    } else {
        quoted(path)
    }
}

/// A path as one word of a POSIX shell, quoted if needed. Bytes that are not UTF-8 are replaced,
/// since they cannot be printed.
#[must_use]
pub(crate) fn quoted(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let word = shlex::bytes::try_quote(bytes).unwrap_or(bytes.into());
    String::from_utf8_lossy(&word).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{path_argument, quoted};
    use std::path::Path;

    #[test]
    fn only_unsafe_paths_are_quoted() {
        for (path, word) in [
            ("sheet.ikbulk/2026-11-24T22-37-59Z", "sheet.ikbulk/2026-11-24T22-37-59Z"),
            ("my sheet.csv", "'my sheet.csv'"),
            ("it's.csv", "\"it's.csv\""),
            ("$HOME.csv", "'$HOME.csv'"),
        ] {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }

    #[test]
    fn paths_are_not_read_as_flags() {
        for (path, argument) in [("-x.csv", "./-x.csv"), ("a-x.csv", "a-x.csv"), ("-", "./-")] {
            assert_eq!(path_argument(Path::new(path)), argument);
        }
    }
}
