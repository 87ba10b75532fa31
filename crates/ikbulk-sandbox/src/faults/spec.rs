//! Parses faults given on the command line: `3:reset-after`, `1%:status-503`.

use std::str::FromStr;
use std::time::Duration;

use serde_json::json;

use crate::faults::fault::{Fault, Faults};

/// Syntax of all faults, one per line, for help and error messages.
pub const FAULT_FORMS: &str = "\
status-CODE        return this status without processing the request
status-after-CODE  process the request, then return this status
page-CODE          return an HTML page with this status without processing the request
throttle[=RESET]   return a 429 with this X-RateLimit-Reset: milliseconds, none, or any text
reset-at-accept    reset the connection when accepted (counts connections, not requests)
reset-before       reset the connection without processing the request
reset-after        process the request, then reset the connection without a response
reset-in-head      process the request, then reset the connection within the response headers
reset-in-body      process the request, then reset the connection after half of the body
cut-body           process the request, then close the connection after half of the body
hang-before=TIME   process the request after this delay, such as 90s
hang-after=TIME    process the request, then respond after this delay
trickle=N/TIME     send the response body N bytes at a time, with this pause before each
garbage            process the request, then return a 200 with a body that is not JSON
wrong-body[=JSON]  process the request, then return a 200 with this body
huge-body[=BYTES]  pad the response body to this size, by default 100 MB
bulk-in-part       update only every other file of a bulk call and return a 207
bulk-false-success update only every other file of a bulk call and claim success for all
drop=FIELD         ignore this field of the request, such as tags or customMetadata.brand
expire             expire the key from this request on";

const JSON: &str = "application/json; charset=utf-8";
const RESET_MS: u64 = 1000;
const HUGE_BYTES: u64 = 100_000_000;

/// The faults without a value.
const PLAIN: [(&str, Fault); 10] = [
    ("reset-at-accept", Fault::ResetAtAccept),
    ("reset-before", Fault::ResetBefore),
    ("reset-after", Fault::ResetAfter),
    ("reset-in-head", Fault::ResetInHead),
    ("reset-in-body", Fault::ResetInBody),
    ("cut-body", Fault::CutBody),
    ("garbage", Fault::Garbage),
    ("bulk-in-part", Fault::PartialBulk),
    ("bulk-false-success", Fault::FalseBulkSuccess),
    ("expire", Fault::Expire),
];

/// A fault and the requests that it affects, as given on the command line.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSpec {
    when: When,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    /// The n-th request, from 1.
    Nth(u64),
    /// This share of all requests, 0 to 1.
    Share(f64),
}

impl FromIterator<FaultSpec> for Faults {
    fn from_iter<I: IntoIterator<Item = FaultSpec>>(specs: I) -> Self {
        let mut faults = Self::default();
        for FaultSpec { when, fault } in specs {
            match when {
                When::Nth(n) => faults.script.push((n, fault)),
                When::Share(share) => faults.random.push((fault, share)),
            }
        }
        faults
    }
}

impl FromStr for FaultSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (when, fault) =
            text.split_once(':').ok_or("write it like 3:reset-after or 1%:status-503")?;
        Ok(Self { when: when.parse()?, fault: parse_fault(fault)? })
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let when = match text.strip_suffix('%') {
            Some(percent) => {
                let share = percent.parse().ok().map(|percent: f64| percent / 100.0);
                share.filter(|share| (0.0..=1.0).contains(share)).map(Self::Share)
            }
            None => text.parse().ok().filter(|&nth| nth > 0).map(Self::Nth),
        };
        when.ok_or_else(|| {
            format!("{text} is neither a request number such as 3 nor a percentage such as 1%")
        })
    }
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    let (name, argument) = match text.split_once('=') {
        Some((name, argument)) => (name, Some(argument)),
        None => (text, None),
    };
    let invalid = |form: &str| format!("invalid fault {text}: write it like {form}");
    match (name, argument) {
        ("throttle", reset) => Ok(throttle(reset)),
        ("hang-before", Some(time)) => {
            parse_time(time).map(Fault::HangBefore).ok_or_else(|| invalid("hang-before=90s"))
        }
        ("hang-after", Some(time)) => {
            parse_time(time).map(Fault::HangAfter).ok_or_else(|| invalid("hang-after=90s"))
        }
        ("trickle", Some(pace)) => trickle(pace).ok_or_else(|| invalid("trickle=10/100ms")),
        ("wrong-body", json) => Ok(status_after(200, json.unwrap_or(r#"{"ok":true}"#).to_owned())),
        ("huge-body", None) => Ok(Fault::HugeBody { bytes: HUGE_BYTES }),
        ("huge-body", Some(bytes)) => bytes
            .parse()
            .map(|bytes| Fault::HugeBody { bytes })
            .map_err(|_| invalid("huge-body=100000000")),
        ("drop", Some(field)) if !field.is_empty() => Ok(Fault::DropField(field.to_owned())),
        ("hang-before" | "hang-after" | "trickle" | "drop", _) => {
            Err(format!("{name} needs a value; the faults are:\n{FAULT_FORMS}"))
        }
        (name, None) => plain(name)
            .or_else(|| with_status(name))
            .ok_or_else(|| format!("unknown fault {name}; the faults are:\n{FAULT_FORMS}")),
        (name, Some(_)) => Err(format!("{name} takes no value, or is not a fault")),
    }
}

fn plain(name: &str) -> Option<Fault> {
    PLAIN.into_iter().find(|(plain, _)| *plain == name).map(|(_, fault)| fault)
}

/// Parses `status-CODE`, `status-after-CODE` and `page-CODE`.
fn with_status(name: &str) -> Option<Fault> {
    let (kind, code) = name.rsplit_once('-')?;
    let code = code.parse().ok()?;
    let body = json!({"message": "The sandbox injected this fault.", "help": ""}).to_string();
    match kind {
        "status" => Some(Fault::Status { code, body, content_type: JSON.to_owned() }),
        "status-after" => Some(status_after(code, body)),
        "page" => Some(Fault::Status {
            code,
            body: format!("<html><body><h1>{code}</h1></body></html>\n"),
            content_type: "text/html".to_owned(),
        }),
        _ => None,
    }
}

fn status_after(code: u16, body: String) -> Fault {
    Fault::StatusAfter { code, body, content_type: JSON.to_owned() }
}

fn throttle(reset: Option<&str>) -> Fault {
    let limit = Some((5, 1000));
    let reset_ms = match reset {
        None => Some(RESET_MS),
        Some("none") => None,
        Some(text) => match text.parse() {
            Ok(reset_ms) => Some(reset_ms),
            Err(_) => return Fault::ThrottleRaw { reset: text.to_owned() },
        },
    };
    Fault::Throttle { reset_ms, limit }
}

fn trickle(pace: &str) -> Option<Fault> {
    let (bytes, every) = pace.split_once('/')?;
    let bytes = bytes.parse().ok().filter(|&bytes: &usize| bytes > 0)?;
    Some(Fault::Trickle { bytes, every: parse_time(every)? })
}

fn parse_time(text: &str) -> Option<Duration> {
    Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Faults {
        std::iter::once(text.parse::<FaultSpec>().unwrap_or_else(|error| panic!("{error}")))
            .collect()
    }

    #[test]
    fn fault_applies_to_request_number_or_share() {
        assert_eq!(faults("3:reset-after").script, [(3, Fault::ResetAfter)]);
        assert_eq!(faults("0.5%:cut-body").random, [(Fault::CutBody, 0.005)]);
        assert_eq!(faults("100%:garbage").random, [(Fault::Garbage, 1.0)]);
    }

    #[test]
    fn every_form_in_the_help_is_accepted() {
        let values = [
            ("CODE", "503"),
            ("[=RESET]", "=-5"),
            ("[=JSON]", "=[]"),
            ("[=BYTES]", "=7"),
            ("N/TIME", "10/100ms"),
            ("TIME", "1m30s"),
            ("FIELD", "tags"),
        ];
        let mut seen = 0;
        for line in FAULT_FORMS.lines() {
            let form = line.split(' ').next().expect("a line has a word");
            let filled = values
                .iter()
                .fold(form.to_owned(), |form, (name, value)| form.replace(name, value));
            assert!(parse_fault(&filled).is_ok(), "{filled}");
            seen += 1;
        }
        assert_eq!(seen, 20);
    }

    #[test]
    fn values_of_faults_are_parsed() {
        let limit = Some((5, 1000));
        let second = Duration::from_secs(1);
        let cases = [
            ("throttle", Fault::Throttle { reset_ms: Some(1000), limit }),
            ("throttle=none", Fault::Throttle { reset_ms: None, limit }),
            ("throttle=900000", Fault::Throttle { reset_ms: Some(900_000), limit }),
            ("throttle=-5", Fault::ThrottleRaw { reset: "-5".to_owned() }),
            ("throttle=1e99", Fault::ThrottleRaw { reset: "1e99".to_owned() }),
            ("hang-before=1s", Fault::HangBefore(second)),
            ("hang-after=1s", Fault::HangAfter(second)),
            ("trickle=3/1s", Fault::Trickle { bytes: 3, every: second }),
            ("huge-body", Fault::HugeBody { bytes: 100_000_000 }),
            ("wrong-body=[]", status_after(200, "[]".to_owned())),
            ("drop=customMetadata.brand", Fault::DropField("customMetadata.brand".to_owned())),
        ];
        for (text, fault) in cases {
            assert_eq!(parse_fault(text), Ok(fault), "{text}");
        }
    }

    #[test]
    fn invalid_faults_are_explained() {
        let cases = [
            ("reset-after", "write it like 3:reset-after"),
            ("0:reset-after", "0 is neither"),
            ("101%:reset-after", "101% is neither"),
            ("-1%:reset-after", "-1% is neither"),
            ("soon:reset-after", "soon is neither"),
            ("3:reset", "unknown fault reset; the faults are:\nstatus-CODE"),
            ("3:status-lots", "unknown fault status-lots"),
            ("3:garbage=5", "garbage takes no value"),
            ("3:hang-after", "hang-after needs a value"),
            ("3:hang-after=5", "write it like hang-after=90s"),
            ("3:trickle=0/1s", "write it like trickle=10/100ms"),
            ("3:huge-body=many", "write it like huge-body=100000000"),
            ("3:drop=", "drop needs a value"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<FaultSpec>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
