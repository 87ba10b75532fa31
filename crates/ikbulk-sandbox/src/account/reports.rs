//! The usage reports of the account: `/v1/accounts/usage` and `/v1/accounts/usage-analytics`.
//!
//! The sandbox serves no files: traffic and storage are 0.

use std::collections::HashMap;
use std::time::Duration;

use jiff::civil::Date;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::account::usage::Usage;
use crate::api::response::ApiResponse;
use crate::api::route::Report;
use crate::clock::Iso;

/// How long the API caches a usage report, according to its documentation.
const USAGE_CACHED: Duration = Duration::from_hours(6);
/// How long the API caches an analytics report, according to its documentation.
const ANALYTICS_CACHED: Duration = Duration::from_mins(5);
/// The dates of a report are less than this many days apart.
const DAYS_MAX: i32 = 90;
/// Maximum number of cached reports; then all are dropped.
const REPORTS_MAX: usize = 1000;

/// Whether usage reports are current.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UsageReports {
    /// A report is returned again for the same dates, for hours, as the API documents.
    #[default]
    Cached,
    /// Every report is new.
    Current,
}

/// The dates of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Dates {
    start: Date,
    end: Date,
}

/// The times of a report that is created now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) ns: u64,
    pub(crate) wall_ms: i64,
}

/// Reports that are returned again for the same dates.
#[derive(Debug, Default)]
pub(crate) struct ReportCache(HashMap<(Report, Dates), (u64, ApiResponse)>);

impl ReportCache {
    /// The cached report, or else a new one, which is cached.
    pub(crate) fn get(
        &mut self,
        report: Report,
        dates: Dates,
        usage: &Usage,
        now: Now,
    ) -> ApiResponse {
        let cached = self.0.get(&(report, dates)).filter(|(until_ns, _)| now.ns < *until_ns);
        if let Some((_, cached)) = cached {
            return cached.clone();
        }
        if self.0.len() >= REPORTS_MAX {
            self.0 = HashMap::new();
        }
        let kept = match report {
            Report::Usage => USAGE_CACHED,
            Report::Analytics => ANALYTICS_CACHED,
        };
        let until_ns = now.ns + u64::try_from(kept.as_nanos()).expect("hours fit");
        let response = dates.report(report, usage, now.wall_ms);
        self.0.insert((report, dates), (until_ns, response.clone()));
        response
    }
}

impl Dates {
    /// Parses the query of a request.
    ///
    /// # Errors
    /// The API's 400 response.
    pub(crate) fn parse(query: &str) -> Result<Self, ApiResponse> {
        let (start, end) = (date(query, "startDate")?, date(query, "endDate")?);
        let days = end.since(start).map_or(i32::MAX, |between| between.get_days());
        if !(1..DAYS_MAX).contains(&days) {
            return Err(ApiResponse::bad_request(&format!(
                "endDate should be after startDate, and less than {DAYS_MAX} days after it."
            )));
        }
        Ok(Self { start, end })
    }

    /// A new report.
    pub(crate) fn report(self, report: Report, usage: &Usage, wall_ms: i64) -> ApiResponse {
        let Self { start, end } = self;
        match report {
            Report::Usage => ApiResponse::json(
                200,
                &json!({
                    "bandwidthBytes": 0,
                    "extensionUnitsCount": usage.units(start..end),
                    "mediaLibraryStorageBytes": 0,
                    "originalCacheStorageBytes": 0,
                    "videoProcessingUnitsCount": 0,
                }),
            ),
            Report::Analytics => ApiResponse::json(200, &self.analytics(usage, wall_ms)),
        }
    }

    /// Unlike the usage, includes the last day.
    fn analytics(self, usage: &Usage, wall_ms: i64) -> Value {
        let Self { start, end } = self;
        let operations = |(name, runs)| json!({"name": name, "operationCount": runs});
        let extensions: Vec<Value> = usage.runs(start..=end).into_iter().map(operations).collect();
        let mut report = json!({
            "startDate": start.to_string(),
            "endDate": end.to_string(),
            "generatedAt": Iso(wall_ms),
            "bandwidthBytes": 0,
            "requestCount": 0,
            "cache": {"errorCount": 0, "hitCount": 0, "missCount": 0},
            "extensions": extensions,
        });
        for list in ["errorReasons", "statusCodes", "top404Assets", "videoProcessing"] {
            report[list] = json!([]);
        }
        for ranking in [
            "browser",
            "country",
            "device",
            "format",
            "topImages",
            "topImageTransforms",
            "topOtherAssets",
            "topReferrers",
            "topUserAgents",
            "topVideos",
            "topVideoTransforms",
            "urlEndpoints",
        ] {
            report[ranking] = json!({"byBandwidth": [], "byRequests": []});
        }
        report
    }
}

/// A date of the query in the form `YYYY-MM-DD`.
fn date(query: &str, name: &str) -> Result<Date, ApiResponse> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let given = pairs.find(|(key, _)| *key == name).map(|(_, value)| value);
    let given =
        given.ok_or_else(|| ApiResponse::bad_request(&format!("{name} parameter is missing.")))?;
    let text = percent_decode_str(given).decode_utf8_lossy();
    let date = Some(&*text).filter(|text| text.len() == 10).and_then(|text| text.parse().ok());
    date.ok_or_else(|| {
        ApiResponse::bad_request(&format!("{name} should be a date in the format YYYY-MM-DD."))
    })
}
