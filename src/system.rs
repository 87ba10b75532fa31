//! What the operating system is asked for beyond the standard library. The only user of `rustix`.

use std::os::unix::fs::MetadataExt as _;

use rustix::fs::OFlags;

/// The user that the program acts for.
fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether a file or directory belongs to the user that the program acts for.
pub(crate) fn is_ours(metadata: &std::fs::Metadata) -> bool {
    metadata.uid() == effective_user()
}

/// For opening files: not through a symbolic link in the place of the file itself.
pub(crate) const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();
/// For opening directories: only a directory, and not through a symbolic link.
pub(crate) const DIRECTORY: i32 = OFlags::DIRECTORY.bits().cast_signed() | NO_FOLLOW;

/// The name of this machine, for messages.
pub(crate) fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
