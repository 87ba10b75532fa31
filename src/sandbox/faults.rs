//! What goes wrong, and when: scripted for the n-th request, or by seed and share.

use std::collections::HashMap;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// One thing that goes wrong with one request.
///
/// A fault before the work takes the place of authentication and limits too (it is the proxy in
/// front that fails), so it costs no place in the limit. A fault after the work happens to whatever
/// answer there would have been, a refusal included.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Answered with this, the work not done.
    Status {
        /// The HTTP status.
        code: u16,
        /// The whole body.
        body: String,
        /// Its `content-type`.
        content_type: String,
    },
    /// Answered with this after the work was done.
    StatusAfter {
        /// The HTTP status.
        code: u16,
        /// The whole body.
        body: String,
        /// Its `content-type`.
        content_type: String,
    },
    /// A 429 out of turn, the work not done.
    Throttle {
        /// `X-RateLimit-Reset`; `None` leaves the header out.
        reset_ms: Option<u64>,
        /// `X-RateLimit-Limit` and `X-RateLimit-Interval` (ms); `None` leaves both out.
        limit: Option<(u64, u64)>,
    },
    /// The connection is reset: no byte of an answer, the work not done.
    ResetBefore,
    /// The work is done, then the connection is reset: no byte of an answer.
    ResetAfter,
    /// Everything happens, but only after this long, even if the client has gone meanwhile.
    HangBefore(Duration),
    /// The work is done at once; the answer comes after this long.
    HangAfter(Duration),
    /// The work is done; the headers announce the whole body, half of it comes, then the end.
    CutBody,
    /// The work is done; the answer is a 200 whose body is no JSON.
    Garbage,
    /// The work is done, except that this field of the body is silently ignored.
    /// `customMetadata.<name>` ignores one key.
    DropField(String),
    /// From this request on the private key has expired: 403 for everyone.
    Expire,
}

impl Fault {
    /// Whether the request never gets as far as authentication.
    pub(crate) fn replaces_the_work(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::Throttle { .. } | Self::ResetBefore)
    }
}

/// The faults of a run. The default is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// (n, fault): the n-th API request, from 1, whatever its kind. The last one for an n holds.
    pub script: Vec<(u64, Fault)>,
    /// (fault, share): each API request that is not in the script suffers it with this chance.
    /// The shares are of all requests, side by side: together at most 1.
    pub random: Vec<(Fault, f64)>,
    /// Decides which requests those are: the same seed, the same numbers.
    pub seed: u64,
}

/// The faults, prepared for asking once a request.
#[derive(Debug)]
pub(crate) struct Plan {
    script: HashMap<u64, Fault>,
    random: Vec<(Fault, f64)>,
    seed: u64,
}

impl Plan {
    pub(crate) fn new(faults: &Faults) -> Self {
        Self {
            script: faults.script.iter().cloned().collect(),
            random: faults.random.clone(),
            seed: faults.seed,
        }
    }

    /// The fault of the n-th request.
    pub(crate) fn of(&self, n: u64) -> Option<&Fault> {
        if let Some(fault) = self.script.get(&n) {
            return Some(fault);
        }
        if self.random.is_empty() {
            return None;
        }
        let mut chance = share(xxh3_64_with_seed(&n.to_le_bytes(), self.seed));
        self.random
            .iter()
            .find(|(_, share)| {
                chance -= share;
                chance < 0.0
            })
            .map(|(fault, _)| fault)
    }
}

/// A hash as a number in 0..1, from its upper 32 bits.
fn share(hash: u64) -> f64 {
    let upper = u32::try_from(hash >> 32).expect("32 bits are left");
    f64::from(upper) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_hits_its_request_and_no_other() {
        let plan = Plan::new(&Faults { script: vec![(3, Fault::Garbage)], ..Faults::default() });
        let hit: Vec<u64> = (1..=10).filter(|&n| plan.of(n).is_some()).collect();
        assert_eq!(hit, [3]);
    }

    #[test]
    fn shares_are_kept_and_the_seed_decides_which() {
        let plan = |seed| {
            Plan::new(&Faults {
                random: vec![(Fault::ResetBefore, 0.1), (Fault::CutBody, 0.2)],
                seed,
                ..Faults::default()
            })
        };
        let hits =
            |plan: &Plan, fault| (1..=10_000).filter(|&n| plan.of(n) == Some(&fault)).count();
        let (one, two) = (plan(1), plan(2));
        assert!((900..1100).contains(&hits(&one, Fault::ResetBefore)));
        assert!((1850..2150).contains(&hits(&one, Fault::CutBody)));
        assert!((1..=100).all(|n| one.of(n) == plan(1).of(n)));
        assert!((1..=100).any(|n| one.of(n) != two.of(n)));
    }
}
