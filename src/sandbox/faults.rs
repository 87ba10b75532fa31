//! What goes wrong, and when: scripted for the n-th request, or by seed and share.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::HeaderValue;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// One thing that goes wrong with one request.
///
/// A fault before the work takes the place of authentication and limits too (it is the proxy in
/// front that fails), so it costs no place in the limit. A fault after the work happens to whatever
/// response there would have been, a refusal included.
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
    /// Answered with this after the work was done: with a 200, a success with a wrong body.
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
    /// A 429 out of turn whose `X-RateLimit-Reset` is this text as it stands: negative, huge, or no
    /// number at all.
    ThrottleRaw {
        /// `X-RateLimit-Reset`.
        reset: String,
    },
    /// The connection is reset as soon as it is accepted, before anything is read from it. This one
    /// counts connections instead of requests, those of internal requests too.
    ResetAtAccept,
    /// The connection is reset: no byte of an response, the work not done.
    ResetBefore,
    /// The work is done, then the connection is reset: no byte of an response.
    ResetAfter,
    /// The work is done, then the connection is reset in the middle of the headers.
    ResetInHead,
    /// The work is done; half of the body comes, then the connection is reset.
    ResetInBody,
    /// Everything happens, but only after this long, even if the client has gone meanwhile.
    HangBefore(Duration),
    /// The work is done at once; the response comes after this long.
    HangAfter(Duration),
    /// The work is done; the headers announce the whole body, half of it comes, then the end.
    CutBody,
    /// The work is done; the body comes so many bytes at a time.
    Trickle {
        /// Bytes at a time.
        bytes: usize,
        /// The pause before each of them.
        every: Duration,
    },
    /// The work is done; the body is blown up to so many bytes with blanks at its end, so that it is
    /// still JSON.
    HugeBody {
        /// The length of the body.
        bytes: u64,
    },
    /// The work is done; the response is a 200 whose body is no JSON.
    Garbage,
    /// The work is done, except that this field of the body is silently ignored.
    /// `customMetadata.<name>` ignores one key.
    DropField(String),
    /// Every other file of a bulk call, from the first on, cannot be updated: 207. No other call is
    /// hurt.
    BulkInPart,
    /// From this request on the private key has expired: 403 for everyone.
    Expire,
}

impl Fault {
    /// Whether the request never gets as far as authentication.
    pub(crate) fn replaces_the_work(&self) -> bool {
        matches!(
            self,
            Self::Status { .. }
                | Self::Throttle { .. }
                | Self::ThrottleRaw { .. }
                | Self::ResetBefore
        )
    }

    /// The field of the body that is silently ignored.
    pub(crate) fn ignored(&self) -> Option<&str> {
        match self {
            Self::DropField(field) => Some(field),
            _ => None,
        }
    }

    fn strikes_connections(&self) -> bool {
        *self == Self::ResetAtAccept
    }

    /// # Errors
    /// Says what of it HTTP cannot carry.
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Status { code, content_type, .. }
            | Self::StatusAfter { code, content_type, .. } => {
                if !(200..=599).contains(code) {
                    return Err(format!("no response has the status {code}"));
                }
                sendable(content_type)
            }
            Self::ThrottleRaw { reset } => sendable(reset),
            _ => Ok(()),
        }
    }
}

fn sendable(header: &str) -> Result<(), String> {
    let sent = HeaderValue::from_str(header);
    sent.map(drop).map_err(|_| format!("no header can be {header:?}"))
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

/// The faults, prepared for asking once a request and once a connection.
#[derive(Debug)]
pub(crate) struct FaultSchedule {
    requests: Schedule,
    connections: Schedule,
}

/// The faults that strike either requests or connections.
#[derive(Debug)]
struct Schedule {
    script: HashMap<u64, Fault>,
    random: Vec<(Fault, f64)>,
    seed: u64,
}

impl FaultSchedule {
    /// # Errors
    /// Says what cannot be done: shares that are more than all, a status that is none.
    pub(crate) fn new(faults: &Faults) -> Result<Self, String> {
        let scripted = faults.script.iter().map(|(_, fault)| fault);
        let random = faults.random.iter().map(|(fault, _)| fault);
        scripted.chain(random).try_for_each(Fault::check)?;
        Ok(Self {
            requests: Schedule::new(faults, false)?,
            // Another seed: connections and requests of the same number have nothing in common.
            connections: Schedule::new(&Faults { seed: !faults.seed, ..faults.clone() }, true)?,
        })
    }

    /// The fault of the n-th request.
    pub(crate) fn of(&self, n: u64) -> Option<&Fault> {
        self.requests.draw(n)
    }

    /// The fault of the n-th connection.
    pub(crate) fn of_connection(&self, n: u64) -> Option<&Fault> {
        self.connections.draw(n)
    }
}

impl Schedule {
    fn new(faults: &Faults, connections: bool) -> Result<Self, String> {
        let is_one = |fault: &Fault| fault.strikes_connections() == connections;
        let script = faults.script.iter().filter(|(_, fault)| is_one(fault));
        let random = faults.random.iter().filter(|(fault, _)| is_one(fault));
        let lots = Self {
            script: script.cloned().collect(),
            random: random.cloned().collect(),
            seed: faults.seed,
        };
        let shares: f64 = lots.random.iter().map(|(_, share)| share).sum();
        // A little more, because tenths do not add up exactly.
        let fit = (0.0..1.000_001).contains(&shares);
        let negative = lots.random.iter().any(|(_, share)| *share < 0.0);
        if fit && !negative {
            Ok(lots)
        } else {
            Err(format!("faults with shares of {shares} in all"))
        }
    }

    fn draw(&self, n: u64) -> Option<&Fault> {
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

    fn plan(faults: &Faults) -> FaultSchedule {
        FaultSchedule::new(faults).unwrap()
    }

    #[test]
    fn the_script_hits_its_request_and_no_other() {
        let plan = plan(&Faults { script: vec![(3, Fault::Garbage)], ..Faults::default() });
        let hit: Vec<u64> = (1..=10).filter(|&n| plan.of(n).is_some()).collect();
        assert_eq!(hit, [3]);
    }

    #[test]
    fn shares_are_kept_and_the_seed_decides_which() {
        let seeded = |seed| {
            let random = vec![(Fault::ResetBefore, 0.1), (Fault::CutBody, 0.2)];
            plan(&Faults { random, seed, ..Faults::default() })
        };
        let hits = |plan: &FaultSchedule, fault| {
            (1..=10_000).filter(|&n| plan.of(n) == Some(&fault)).count()
        };
        let (one, two) = (seeded(1), seeded(2));
        assert!((900..1100).contains(&hits(&one, Fault::ResetBefore)));
        assert!((1850..2150).contains(&hits(&one, Fault::CutBody)));
        assert!((1..=100).all(|n| one.of(n) == seeded(1).of(n)));
        assert!((1..=100).any(|n| one.of(n) != two.of(n)));
    }

    #[test]
    fn a_fault_at_accept_counts_connections_and_the_others_requests() {
        let script = vec![(2, Fault::ResetAtAccept), (3, Fault::CutBody)];
        let plan = plan(&Faults { script, ..Faults::default() });
        let hit = |of: &dyn Fn(u64) -> bool| (1..=9).filter(|&n| of(n)).collect::<Vec<_>>();
        assert_eq!(hit(&|n| plan.of_connection(n).is_some()), [2]);
        assert_eq!(hit(&|n| plan.of(n).is_some()), [3]);
    }

    #[test]
    fn what_cannot_be_done_is_refused_at_the_start() {
        let status =
            |code| Fault::Status { code, body: String::new(), content_type: String::new() };
        let refused = |fault, share| {
            let faults = Faults { random: vec![(fault, share)], ..Faults::default() };
            FaultSchedule::new(&faults).err()
        };
        assert_eq!(refused(status(503), 1.0), None);
        assert!(refused(status(99), 0.1).unwrap().contains("99"));
        assert!(refused(Fault::ThrottleRaw { reset: "1\n2".to_owned() }, 0.1).is_some());
        for share in [1.1, -0.1, f64::NAN] {
            assert!(refused(Fault::CutBody, share).is_some(), "{share}");
        }
        let random = vec![(Fault::CutBody, 0.6), (Fault::Garbage, 0.6)];
        assert!(FaultSchedule::new(&Faults { random, ..Faults::default() }).is_err());
    }
}
