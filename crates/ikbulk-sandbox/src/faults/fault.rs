//! Fault injection: scripted for the n-th request, or at random with a seed.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::HeaderValue;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A fault of one request.
///
/// A fault without processing also skips authentication and rate limits, like a failing proxy, and
/// does not count towards the limit. A fault after processing applies to any response, also to
/// rejections.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Returns this response without processing the request.
    Status {
        /// HTTP status.
        code: u16,
        /// Complete body.
        body: String,
        /// Value of `content-type`.
        content_type: String,
    },
    /// Processes the request, then returns this response; status 200 simulates a wrong body.
    StatusAfter {
        /// HTTP status.
        code: u16,
        /// Complete body.
        body: String,
        /// Value of `content-type`.
        content_type: String,
    },
    /// Returns a 429 without processing the request, regardless of the rate limit.
    Throttle {
        /// `X-RateLimit-Reset`; `None` omits the header.
        reset_ms: Option<u64>,
        /// `X-RateLimit-Limit` and `X-RateLimit-Interval` (ms); `None` omits both.
        limit: Option<(u64, u64)>,
    },
    /// Like [`Self::Throttle`], with an arbitrary `X-RateLimit-Reset`: negative, huge, or no number.
    ThrottleRaw {
        /// `X-RateLimit-Reset`, verbatim.
        reset: String,
    },
    /// Resets the connection when it is accepted, before reading from it. Applies to connections
    /// instead of requests, including those of internal requests.
    ResetAtAccept,
    /// Resets the connection without processing the request or sending a response.
    ResetBefore,
    /// Processes the request, then resets the connection without sending a response.
    ResetAfter,
    /// Processes the request, then resets the connection within the headers of the response.
    ResetInHead,
    /// Processes the request, then resets the connection after half of the body.
    ResetInBody,
    /// Processes the request after this delay, even if the client has disconnected.
    HangBefore(Duration),
    /// Processes the request, then sends the response after this delay.
    HangAfter(Duration),
    /// Processes the request, then closes the connection after half of the announced body.
    CutBody,
    /// Processes the request, then sends the body slowly.
    Trickle {
        /// Bytes per piece.
        bytes: usize,
        /// Pause before each piece.
        every: Duration,
    },
    /// Processes the request, then pads the JSON body with trailing spaces, so that it stays valid.
    HugeBody {
        /// Length of the body in bytes.
        bytes: u64,
    },
    /// Processes the request, then returns a 200 with a body that is not JSON.
    Garbage,
    /// Silently ignores this field of the request; `customMetadata.<name>` ignores one key.
    DropField(String),
    /// Updates only every other file of a bulk call, starting with the second, and returns a 207.
    /// Does not affect other calls.
    PartialBulk,
    /// Updates only every other file of a bulk call, starting with the second, and claims that it
    /// updated all. Does not affect other calls.
    FalseBulkSuccess,
    /// Expires the private key: this and all later requests get a 403.
    Expire,
}

impl Fault {
    /// Whether the request is not processed.
    pub(crate) fn skips_processing(&self) -> bool {
        matches!(
            self,
            Self::Status { .. }
                | Self::Throttle { .. }
                | Self::ThrottleRaw { .. }
                | Self::ResetBefore
        )
    }

    /// The field of the request to ignore.
    pub(crate) fn ignored_field(&self) -> Option<&str> {
        match self {
            Self::DropField(field) => Some(field),
            _ => None,
        }
    }

    fn affects_connections(&self) -> bool {
        *self == Self::ResetAtAccept
    }

    /// # Errors
    /// The status or a header value is not valid in HTTP.
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Status { code, content_type, .. }
            | Self::StatusAfter { code, content_type, .. } => {
                if !(200..=599).contains(code) {
                    return Err(format!("{code} is not an HTTP status from 200 to 599"));
                }
                check_header(content_type)
            }
            Self::ThrottleRaw { reset } => check_header(reset),
            _ => Ok(()),
        }
    }
}

fn check_header(header: &str) -> Result<(), String> {
    HeaderValue::from_str(header)
        .map(drop)
        .map_err(|_| format!("{header:?} is not a valid header value"))
}

/// The faults of a sandbox. The default is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// (n, fault): affects the n-th API request, from 1. The last entry for an n wins.
    pub script: Vec<(u64, Fault)>,
    /// (fault, probability): affects API requests that are not in the script, at random. The
    /// probabilities of all faults add up to at most 1.
    pub random: Vec<(Fault, f64)>,
    /// Seed of the random faults.
    pub seed: u64,
}

/// The faults of requests and those of connections.
#[derive(Debug)]
pub(crate) struct FaultSchedule {
    requests: Schedule,
    connections: Schedule,
}

/// The faults of either requests or connections.
#[derive(Debug)]
struct Schedule {
    script: HashMap<u64, Fault>,
    random: Vec<(Fault, f64)>,
    seed: u64,
}

impl FaultSchedule {
    /// # Errors
    /// A fault is not valid in HTTP, or a probability is invalid.
    pub(crate) fn new(faults: &Faults) -> Result<Self, String> {
        let scripted = faults.script.iter().map(|(_, fault)| fault);
        let random = faults.random.iter().map(|(fault, _)| fault);
        scripted.chain(random).try_for_each(Fault::check)?;
        Ok(Self {
            requests: Schedule::new(faults, false)?,
            // With another seed, so that faults of requests and connections are independent.
            connections: Schedule::new(&Faults { seed: !faults.seed, ..faults.clone() }, true)?,
        })
    }

    /// The fault of the n-th request.
    pub(crate) fn for_request(&self, n: u64) -> Option<&Fault> {
        self.requests.fault(n)
    }

    /// The fault of the n-th connection.
    pub(crate) fn for_connection(&self, n: u64) -> Option<&Fault> {
        self.connections.fault(n)
    }
}

impl Schedule {
    fn new(faults: &Faults, connections: bool) -> Result<Self, String> {
        let belongs = |fault: &Fault| fault.affects_connections() == connections;
        let script = faults.script.iter().filter(|(_, fault)| belongs(fault));
        let random = faults.random.iter().filter(|(fault, _)| belongs(fault));
        let schedule = Self {
            script: script.cloned().collect(),
            random: random.cloned().collect(),
            seed: faults.seed,
        };
        let shares: f64 = schedule.random.iter().map(|(_, share)| share).sum();
        // Slightly above 1, because of rounding.
        let is_valid_sum = (0.0..1.000_001).contains(&shares);
        let has_negative = schedule.random.iter().any(|(_, share)| *share < 0.0);
        if is_valid_sum && !has_negative {
            Ok(schedule)
        } else {
            Err(format!("the shares of all faults add up to {shares}, not to a number from 0 to 1"))
        }
    }

    /// The fault of the n-th request or connection.
    fn fault(&self, n: u64) -> Option<&Fault> {
        if let Some(fault) = self.script.get(&n) {
            return Some(fault);
        }
        if self.random.is_empty() {
            return None;
        }
        let mut random = fraction(xxh3_64_with_seed(&n.to_le_bytes(), self.seed));
        self.random
            .iter()
            .find(|(_, share)| {
                random -= share;
                random < 0.0
            })
            .map(|(fault, _)| fault)
    }
}

/// Maps a hash to 0..1, by its upper 32 bits.
fn fraction(hash: u64) -> f64 {
    let upper = u32::try_from(hash >> 32).expect("32 bits fit");
    f64::from(upper) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(faults: &Faults) -> FaultSchedule {
        FaultSchedule::new(faults).unwrap()
    }

    #[test]
    fn scripted_fault_affects_only_its_request() {
        let schedule = schedule(&Faults { script: vec![(3, Fault::Garbage)], ..Faults::default() });
        let hit: Vec<u64> = (1..=10).filter(|&n| schedule.for_request(n).is_some()).collect();
        assert_eq!(hit, [3]);
    }

    #[test]
    fn random_faults_follow_probability_and_seed() {
        let seeded = |seed| {
            let random = vec![(Fault::ResetBefore, 0.1), (Fault::CutBody, 0.2)];
            schedule(&Faults { random, seed, ..Faults::default() })
        };
        let hits = |schedule: &FaultSchedule, fault| {
            (1..=10_000).filter(|&n| schedule.for_request(n) == Some(&fault)).count()
        };
        let (one, two) = (seeded(1), seeded(2));
        assert!((900..1100).contains(&hits(&one, Fault::ResetBefore)));
        assert!((1850..2150).contains(&hits(&one, Fault::CutBody)));
        assert!((1..=100).all(|n| one.for_request(n) == seeded(1).for_request(n)));
        assert!((1..=100).any(|n| one.for_request(n) != two.for_request(n)));
    }

    #[test]
    fn reset_at_accept_counts_connections_not_requests() {
        let script = vec![(2, Fault::ResetAtAccept), (3, Fault::CutBody)];
        let schedule = schedule(&Faults { script, ..Faults::default() });
        let hit = |is_hit: &dyn Fn(u64) -> bool| (1..=9).filter(|&n| is_hit(n)).collect::<Vec<_>>();
        assert_eq!(hit(&|n| schedule.for_connection(n).is_some()), [2]);
        assert_eq!(hit(&|n| schedule.for_request(n).is_some()), [3]);
    }

    #[test]
    fn invalid_faults_are_rejected_at_start() {
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
