//! What extensions cost, for people.

use ikbulk::engine::{AccountUsage, ExtensionUsage, Measurement, Usage};
use ikbulk::internals::{plural, thousands};

use super::layout::Layout;
use super::plan::account_name;

/// What to know about a day that is not over, by ImageKit's documentation.
const DELAYS: &str = "ImageKit returns the same units for the same days for 6 hours, and the same runs \
                      for 5 minutes. So units of today can be missing, and a price that was measured \
                      with them can be too low";

/// Renders units and runs, and the flag that states a measured price.
pub(in crate::cli) fn render_usage(found: &AccountUsage, width: usize) -> String {
    let AccountUsage { account, endpoint, period, usage, .. } = found;
    let mut lines = Layout::new(width);
    lines.add("account", &account_name(account, endpoint));
    let (first, last) = (period.first(), period.last());
    lines.add("period", &format!("{first} to {last}, both included (UTC)"));
    lines.add("units", &thousands(usage.units));
    extensions(&mut lines, usage);
    match price_flag(&usage.measurement) {
        Some(flag) => lines.add("price", &flag),
        None => problem(&mut lines, usage),
    }
    if !found.is_over {
        lines.add("note", DELAYS);
    }
    lines.into_text()
}

/// The flag that states the measured price; `None` if none was measured.
pub(in crate::cli) fn price_flag(measurement: &Measurement) -> Option<String> {
    match measurement {
        Measurement::Measured(name, units) => Some(format!("--price {}={units}", name.as_str())),
        _ => None,
    }
}

fn extensions(lines: &mut Layout, usage: &Usage) {
    if usage.extensions.is_empty() {
        lines.add("extensions", "none ran");
    }
    let width = usage.extensions.iter().map(|usage| usage.name.len()).max().unwrap_or(0);
    for (index, ExtensionUsage { name, runs, price }) in usage.extensions.iter().enumerate() {
        let label = if index == 0 { "extensions" } else { "" };
        let price = match price.units() {
            Some(units) => {
                format!("{} per run ({})", plural(units, "unit", "units"), price.source())
            }
            None => "units per run unknown".to_owned(),
        };
        lines.add(label, &format!("{name:<width$}  {}, {price}", plural(*runs, "run", "runs")));
    }
}

/// Adds why no price was measured, and what to do.
fn problem(lines: &mut Layout, usage: &Usage) {
    let text = match &usage.measurement {
        Measurement::AsKnown | Measurement::Measured(..) => return,
        Measurement::Varies { name, units, runs } => format!(
            "{} of {name} for {}: not one price; choose days on which all its runs were alike",
            plural(*units, "unit", "units"),
            plural(*runs, "run", "runs")
        ),
        Measurement::Several(names) => format!(
            "{} ran in these days, so their units cannot be told apart; choose days on which one of \
             them ran, or state the others with --price",
            names.join(" and ")
        ),
        Measurement::Differs { expected } => format!(
            "the known prices give {}; the latest units may be missing, or a price has changed",
            plural(*expected, "unit", "units")
        ),
    };
    lines.add("price", &text);
}
