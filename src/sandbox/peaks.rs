//! The highest numbers of requests in any second, and in any stretch as long as a limit's window.

use std::collections::VecDeque;
use std::time::Duration;

use super::config::{Config, Limit};
use super::route::Kind;
use super::stats::{Peak, WindowPeak};

const SECOND: Duration = Duration::from_secs(1);

/// The peaks of reads and writes.
#[derive(Debug)]
pub(crate) struct Peaks {
    reads: PerKind,
    writes: PerKind,
}

#[derive(Debug)]
struct PerKind {
    second: Stretch,
    windows: Vec<Stretch>,
}

/// The peaks in stretches of one length.
#[derive(Debug)]
struct Stretch {
    length: Duration,
    arrived: Sliding,
    accepted: Sliding,
}

/// The times of the last stretch: as many as came in it, never more.
#[derive(Debug, Default)]
struct Sliding {
    recent_ns: VecDeque<u64>,
    max: usize,
}

impl Peaks {
    pub(crate) fn new(config: &Config) -> Self {
        Self { reads: PerKind::new(&config.reads), writes: PerKind::new(&config.writes) }
    }

    /// A request has arrived.
    pub(crate) fn arrived(&mut self, kind: Kind, now_ns: u64) {
        self.of(kind).stretches().for_each(|it| it.arrived.add(now_ns, it.length));
    }

    /// Authentication and limits have let a request through.
    pub(crate) fn accepted(&mut self, kind: Kind, now_ns: u64) {
        self.of(kind).stretches().for_each(|it| it.accepted.add(now_ns, it.length));
    }

    fn of(&mut self, kind: Kind) -> &mut PerKind {
        match kind {
            Kind::Read => &mut self.reads,
            Kind::Write => &mut self.writes,
        }
    }

    /// The busiest second of a kind.
    pub(crate) fn second(&self, kind: Kind) -> Peak {
        self.seen(kind).second.peak()
    }

    /// The busiest stretches of a kind, one for each of its windows.
    pub(crate) fn windows(&self, kind: Kind) -> Vec<WindowPeak> {
        let peak = |stretch: &Stretch| WindowPeak {
            interval_ms: u64::try_from(stretch.length.as_millis()).unwrap_or(u64::MAX),
            peak: stretch.peak(),
        };
        self.seen(kind).windows.iter().map(peak).collect()
    }

    fn seen(&self, kind: Kind) -> &PerKind {
        match kind {
            Kind::Read => &self.reads,
            Kind::Write => &self.writes,
        }
    }
}

impl PerKind {
    fn new(limits: &[Limit]) -> Self {
        let window = |limit: &Limit| match *limit {
            Limit::Window { interval, .. } => Some(Stretch::new(interval)),
            Limit::Bucket { .. } => None,
        };
        Self { second: Stretch::new(SECOND), windows: limits.iter().filter_map(window).collect() }
    }

    fn stretches(&mut self) -> impl Iterator<Item = &mut Stretch> {
        std::iter::once(&mut self.second).chain(&mut self.windows)
    }
}

impl Stretch {
    fn new(length: Duration) -> Self {
        Self { length, arrived: Sliding::default(), accepted: Sliding::default() }
    }

    fn peak(&self) -> Peak {
        Peak { arrived: self.arrived.max as u64, accepted: self.accepted.max as u64 }
    }
}

impl Sliding {
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
    fn the_busiest_stretch_is_found_wherever_it_starts() {
        let mut window = Sliding::default();
        for ms in [0, 600, 700, 800, 1500, 1599, 1600, 5000] {
            window.add(ms * 1_000_000, SECOND);
        }
        // 600 to 1599; 1600 is a full second after 600.
        assert_eq!(window.max, 5);
        assert_eq!(window.recent_ns.len(), 1);
    }
}
