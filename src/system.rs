//! Operating system calls that the standard library lacks. The only user of `rustix`.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::termios::{QueueSelector, tcflush};
use tokio::sync::oneshot;

/// Disables core dumps: the memory of this process holds the private key.
///
/// # Errors
/// The system call fails.
pub fn disable_core_dumps() -> io::Result<()> {
    // 0 is not enough: Linux pipes dumps to a collecting program whatever the limit, except at 1
    // byte. No dump is that small.
    const BYTES: Option<u64> = Some(1);
    Ok(setrlimit(Resource::Core, Rlimit { current: BYTES, maximum: BYTES })?)
}

/// Whether the process was started with SIGHUP ignored, as under nohup. Always `false` except on
/// Linux.
#[must_use]
pub fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is signal 1, so bit 0 of the mask.
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

/// Discards unread terminal input on standard input.
///
/// # Errors
/// The system call fails.
pub fn discard_pending_input() -> io::Result<()> {
    Ok(tcflush(io::stdin(), QueueSelector::IFlush)?)
}

/// Whether the effective user owns the file or directory.
pub(crate) fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// Whether only the effective user or root can write the file.
#[must_use]
pub fn is_written_by_us_only(metadata: &Metadata) -> bool {
    is_ours_or_roots(metadata) && metadata.mode() & 0o022 == 0
}

/// Whether the effective user or root owns the file.
#[must_use]
pub fn is_ours_or_roots(metadata: &Metadata) -> bool {
    is_ours(metadata) || metadata.uid() == 0
}

/// Flag for opening a file: fails if the file itself is a symbolic link.
pub(crate) const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();
/// Flags for opening a directory: fails for any other kind of file and for a symbolic link.
pub(crate) const DIRECTORY: i32 = OFlags::DIRECTORY.bits().cast_signed() | NO_FOLLOW;

/// The host name, for messages.
pub(crate) fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Time since the machine booted: the same clock for all processes; on Linux it includes suspend.
pub(crate) fn boot_time() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

/// Identifies the current boot; changes whenever the machine restarts. Constant on systems without
/// a boot id, where [`boot_time`] still restarts at zero.
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

/// Runs blocking work, such as reading from a person or a pipe, on its own thread, so that the
/// caller still handles signals. If the future is dropped, the thread ends with the program.
///
/// # Errors
/// The thread cannot be started, or panicked.
pub async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("blocking".to_owned());
    thread.spawn(move || drop(sender.send(work())))?;
    receiver.await.map_err(io::Error::other)
}
