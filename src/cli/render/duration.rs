//! Durations as text.

use std::time::Duration;

/// Formats a duration in at most two units.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        // Not "0.0 s".
        0 if duration.subsec_millis() > 0 => format!("{:.1} s", duration.as_secs_f64().max(0.1)),
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}
