//! Peak request rates: the maximum number of requests in any second, and in any interval as long as a
//! limit's window.

use std::collections::VecDeque;
use std::time::Duration;

use crate::rate_limit::limit::{Kind, Limit};
use crate::statistics::stats::{Peak, WindowPeak};

const SECOND: Duration = Duration::from_secs(1);

/// The peaks of reads and writes.
#[derive(Debug)]
pub(crate) struct Peaks {
    reads: PerKind,
    writes: PerKind,
}

#[derive(Debug)]
struct PerKind {
    second: IntervalPeak,
    windows: Vec<IntervalPeak>,
}

/// The peaks in intervals of one length.
#[derive(Debug)]
struct IntervalPeak {
    length: Duration,
    arrived: SlidingMax,
    accepted: SlidingMax,
}

/// Maximum number of requests in a sliding interval.
#[derive(Debug, Default)]
struct SlidingMax {
    /// Times of the requests within the latest interval.
    recent_ns: VecDeque<u64>,
    max: usize,
}

impl Peaks {
    pub(crate) fn new(reads: &[Limit], writes: &[Limit]) -> Self {
        Self { reads: PerKind::new(reads), writes: PerKind::new(writes) }
    }

    /// Records a request when it arrives.
    pub(crate) fn arrived(&mut self, kind: Kind, now_ns: u64) {
        self.kind_mut(kind).intervals().for_each(|it| it.arrived.add(now_ns, it.length));
    }

    /// Records a request when it has passed authentication and rate limits.
    pub(crate) fn accepted(&mut self, kind: Kind, now_ns: u64) {
        self.kind_mut(kind).intervals().for_each(|it| it.accepted.add(now_ns, it.length));
    }

    fn kind_mut(&mut self, kind: Kind) -> &mut PerKind {
        match kind {
            Kind::Read => &mut self.reads,
            Kind::Write => &mut self.writes,
        }
    }

    /// The busiest second of a kind.
    pub(crate) fn second(&self, kind: Kind) -> Peak {
        self.kind(kind).second.peak()
    }

    /// The busiest intervals of a kind, one per [`Limit::Window`].
    pub(crate) fn windows(&self, kind: Kind) -> Vec<WindowPeak> {
        let peak = |interval: &IntervalPeak| WindowPeak {
            interval_ms: u64::try_from(interval.length.as_millis()).unwrap_or(u64::MAX),
            peak: interval.peak(),
        };
        self.kind(kind).windows.iter().map(peak).collect()
    }

    fn kind(&self, kind: Kind) -> &PerKind {
        match kind {
            Kind::Read => &self.reads,
            Kind::Write => &self.writes,
        }
    }
}

impl PerKind {
    fn new(limits: &[Limit]) -> Self {
        let window = |limit: &Limit| match *limit {
            Limit::Window { interval, .. } => Some(IntervalPeak::new(interval)),
            Limit::Bucket { .. } => None,
        };
        Self {
            second: IntervalPeak::new(SECOND),
            windows: limits.iter().filter_map(window).collect(),
        }
    }

    fn intervals(&mut self) -> impl Iterator<Item = &mut IntervalPeak> {
        std::iter::once(&mut self.second).chain(&mut self.windows)
    }
}

impl IntervalPeak {
    fn new(length: Duration) -> Self {
        Self { length, arrived: SlidingMax::default(), accepted: SlidingMax::default() }
    }

    fn peak(&self) -> Peak {
        Peak { arrived: self.arrived.max as u64, accepted: self.accepted.max as u64 }
    }
}

impl SlidingMax {
    fn add(&mut self, now_ns: u64, length: Duration) {
        let is_past = |&ns: &u64| Duration::from_nanos(now_ns - ns) >= length;
        while self.recent_ns.front().is_some_and(is_past) {
            self.recent_ns.pop_front();
        }
        self.recent_ns.push_back(now_ns);
        self.max = self.max.max(self.recent_ns.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_is_found_wherever_the_interval_starts() {
        let mut window = SlidingMax::default();
        for ms in [0, 600, 700, 800, 1500, 1599, 1600, 5000] {
            window.add(ms * 1_000_000, SECOND);
        }
        // 600 to 1599; 1600 is a full second after 600.
        assert_eq!(window.max, 5);
        assert_eq!(window.recent_ns.len(), 1);
    }
}
