//! How far a command with very many rows or users is.

use std::fmt;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::output;

/// Rows or users between two progress lines when standard error is not a terminal.
pub(super) const PROGRESS_EVERY: u64 = 10_000;

/// A bar for this many of `what`, such as "rows". It is hidden unless standard error is a terminal.
pub(super) fn bar(total: u64, what: &str) -> ProgressBar {
    if output::is_quiet() {
        return ProgressBar::hidden();
    }
    let form =
        format!("{{bar:30}} {{human_pos}} of {{human_len}} {what}, {{speed}}/s, {{eta}} left");
    let style = ProgressStyle::with_template(&form).expect("it names only what there is");
    // The style's own `per_sec` has four decimals, which change too fast to be read.
    let style = style.with_key(
        "speed",
        |state: &ProgressState, out: &mut dyn fmt::Write| {
            // Writing to the bar's text cannot fail.
            let _ = write!(out, "{:.0}", state.per_sec());
        },
    );
    ProgressBar::new(total).with_style(style)
}
