//! The recorded charges for people.

use ikbulk::engine::{
    ChargeCounts, ChargesOverview, ExtensionName, FileCharge, Prices, RecordedCharges,
};
use ikbulk::internals::{plural, thousands};

use super::layout::Layout;
use super::plan::account_name;

/// Maximum days with what was spent.
const DAYS_SHOWN_MAX: usize = 30;
/// Maximum runs whose charges are not recorded yet.
const OPEN_RUNS_SHOWN_MAX: usize = 5;

/// Renders counts, the charges of a file if asked for, and what was spent by day, latest first.
pub(in crate::cli) fn render_charges(
    recorded: &RecordedCharges,
    prices: &Prices,
    width: usize,
) -> String {
    let RecordedCharges { account, endpoint, overview, of_file } = recorded;
    let mut lines = Layout::new(width);
    lines.add("account", &account_name(account, endpoint));
    counts(&mut lines, overview);
    if let Some(charges) = of_file {
        file_charges(&mut lines, charges);
    }
    let days = overview.spent.iter().collect::<Vec<_>>();
    for (index, (day, runs)) in days.iter().rev().take(DAYS_SHOWN_MAX).enumerate() {
        let label = if index == 0 { "spent" } else { "" };
        let runs = runs.describe(prices).unwrap_or_default();
        lines.add(label, &format!("{day}  {runs}"));
    }
    for run in overview.open_runs.iter().take(OPEN_RUNS_SHOWN_MAX) {
        let text = "is running or was interrupted: its charges are recorded when it ends, or by the \
                    next run";
        lines.add("open", &format!("{} {text}", run.display()));
    }
    lines.into_text()
}

fn counts(lines: &mut Layout, overview: &ChargesOverview) {
    let all = overview.charges.values().map(ChargeCounts::total);
    let (all, files) = (all.sum(), overview.files);
    lines.add(
        "charges",
        &format!("{} on {}", plural(all, "charge", "charges"), plural(files, "file", "files")),
    );
    for (name, ChargeCounts { accepted, response_lost, failed }) in &overview.charges {
        let lost = (*response_lost > 0).then(|| {
            format!(", {} that may have run: the response was lost", thousands(*response_lost))
        });
        let failed = (*failed > 0).then(|| format!(", {} failed", thousands(*failed)));
        let (name, accepted) = (name_text(*name), thousands(*accepted));
        let others = [lost, failed].into_iter().flatten().collect::<String>();
        lines.add("", &format!("{name}  {accepted} accepted{others}"));
    }
}

fn file_charges(lines: &mut Layout, charges: &[FileCharge]) {
    if charges.is_empty() {
        lines.add("file", "no charge is recorded");
    }
    for FileCharge { extension, configuration, charge } in charges {
        let name = name_text(*extension);
        lines.add("file", &format!("{name} (configuration {configuration}) {charge}"));
    }
}

fn name_text(name: Option<ExtensionName>) -> &'static str {
    name.map_or("(extension not recorded)", ExtensionName::as_str)
}
