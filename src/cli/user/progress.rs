//! How far a command with very many rows or users is.

use indicatif::{ProgressBar, ProgressStyle};

use super::output;

/// Rows or users between two progress lines when standard error is not a terminal.
pub(super) const PROGRESS_EVERY: u64 = 10_000;

/// A bar for this many of `what`, such as "rows". It is hidden unless standard error is a terminal.
pub(super) fn bar(total: u64, what: &str) -> ProgressBar {
    if output::is_quiet() {
        return ProgressBar::hidden();
    }
    let form =
        format!("{{bar:30}} {{human_pos}} of {{human_len}} {what}, {{per_sec}}, {{eta}} left");
    let style = ProgressStyle::with_template(&form).expect("it names only what there is");
    ProgressBar::new(total).with_style(style)
}
