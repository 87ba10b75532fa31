//! When to read again: soon after something was found, and ever later while nothing is.

use std::time::Duration;

/// The wait after a pass that found something.
const WAIT_MIN: Duration = Duration::from_secs(2);
/// The longest wait. Callbacks come at once; a person who waits for a result waits no longer.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Doubles the wait with each pass that finds nothing.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    idle_passes: u32,
}

impl Schedule {
    /// The wait after a pass; `has_found` if it settled something.
    pub(super) fn wait_after(&mut self, has_found: bool) -> Duration {
        self.idle_passes = if has_found { 0 } else { self.idle_passes + 1 };
        WAIT_MIN.saturating_mul(1 << self.idle_passes.min(16)).min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_doubles_up_to_a_minute_while_nothing_is_found() {
        let mut schedule = Schedule::default();
        let mut waits = |found: &[bool]| -> Vec<u64> {
            found.iter().map(|found| schedule.wait_after(*found).as_secs()).collect()
        };
        assert_eq!(waits(&[true, false, false, false, false, false]), [2, 4, 8, 16, 32, 60]);
        assert_eq!(waits(&[false; 40]), [60; 40]);
        assert_eq!(waits(&[true, false]), [2, 4]);
    }
}
