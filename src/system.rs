//! What the operating system is asked for beyond the standard library. The only user of `rustix`.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::termios::{QueueSelector, tcflush};

/// Sees to it that the memory of this process, which holds the private key, is never written to a
/// file if it crashes.
///
/// # Errors
/// The system refuses.
pub fn disable_core_dumps() -> io::Result<()> {
    // No dump is that small, and 0 is not enough: Linux gives a dump to a program that collects them
    // whatever the limit is, except at 1 byte.
    const BYTES: Option<u64> = Some(1);
    Ok(setrlimit(Resource::Core, Rlimit { current: BYTES, maximum: BYTES })?)
}

/// Whether the program was started so that it ignores SIGHUP, as nohup does it. Known on Linux only.
#[must_use]
pub fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit is of signal 1, which SIGHUP is.
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

/// Throws away what was typed on the terminal behind standard input and has not been read.
pub(crate) fn discard_pending_input() -> io::Result<()> {
    Ok(tcflush(io::stdin(), QueueSelector::IFlush)?)
}

/// The user that the program acts for.
fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether a file or directory belongs to the user that the program acts for.
pub(crate) fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == effective_user()
}

/// Whether only that user, or the superuser, can have written a file.
pub(crate) fn is_written_by_us_only(metadata: &Metadata) -> bool {
    is_ours_or_roots(metadata) && metadata.mode() & 0o022 == 0
}

/// Whether a file belongs to that user, or to the superuser, who can do everything anyway.
pub(crate) fn is_ours_or_roots(metadata: &Metadata) -> bool {
    is_ours(metadata) || metadata.uid() == 0
}

/// For opening files: not through a symbolic link in the place of the file itself.
pub(crate) const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();
/// For opening directories: only a directory, and not through a symbolic link.
pub(crate) const DIRECTORY: i32 = OFlags::DIRECTORY.bits().cast_signed() | NO_FOLLOW;

/// The name of this machine, for messages.
pub(crate) fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The time since the machine started, as all of its processes see it; it goes on while the machine
/// sleeps.
pub(crate) fn boot_time() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

/// A number that is another one after each start of the machine. Where the system has none, it is
/// always the same, although [`boot_time`] starts at zero again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BootId([u8; 16]);

impl BootId {
    pub(crate) fn current() -> Self {
        let id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let hash = blake3::hash(&id);
        let mut short = [0; 16];
        short.copy_from_slice(hash.as_bytes().first_chunk::<16>().unwrap_or(&[0; 16]));
        Self(short)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
