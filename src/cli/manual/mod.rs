//! `manual`: prints the long pages that come with the program. Their texts are in
//! [`crate::manual`].

mod table;

use super::{Failure, output, status};
use crate::manual::PAGES;

/// The width of a page if no terminal says otherwise.
const WIDTH_DEFAULT: usize = 90;
/// Longer lines are hard to read on any screen.
const WIDTH_MAX: usize = 120;
/// Making the columns narrower than this does not help.
const WIDTH_MIN: usize = 60;

/// Prints a page, or the list of pages.
pub(super) fn run(name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else {
        let pages: Vec<_> = PAGES.iter().map(|page| (page.name, page.about)).collect();
        return output::list(&pages);
    };
    let page = PAGES
        .iter()
        .find(|page| page.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| {
            Failure::new(status::REFUSED, format!("the manual has no page {name}"))
                .hint("`golinks-scim manual` lists its pages")
        })?;
    output::line(rendered(page.text, width()).trim_end())
}

/// The terminal's width, within bounds.
fn width() -> usize {
    output::terminal_width().map_or(WIDTH_DEFAULT, |it| it.clamp(WIDTH_MIN, WIDTH_MAX))
}

/// A page with its tables laid out for `width` columns. Everything else is readable as it is.
fn rendered(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut rows: Vec<&str> = Vec::new();
    let mut is_in_block = false;
    for line in text.lines().chain([""]) {
        is_in_block ^= line.starts_with("```");
        if line.starts_with('|') && !is_in_block {
            rows.push(line);
            continue;
        }
        if !rows.is_empty() {
            out.push_str(&table::laid_out(&rows, width));
            rows.clear();
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_fit_a_terminal() {
        for page in PAGES {
            for width in [WIDTH_MIN, WIDTH_DEFAULT, WIDTH_MAX] {
                let rendered = rendered(page.text, width);
                assert!(!rendered.contains("| ---"), "{}", page.name);
                for line in rendered.lines().filter(|line| line.contains("  ")) {
                    // Anything other than a table keeps the width with which it was written.
                    let is_written = page.text.lines().any(|written| written == line);
                    let wide = line.chars().count();
                    assert!(is_written || wide <= width, "{}: {line}", page.name);
                }
            }
        }
    }

    #[test]
    fn only_tables_are_laid_out() {
        let page = "# Title\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n```sh\n| kept |\n```\n";
        let wanted = "# Title\n\na  b\n-  -\n1  2\n\n```sh\n| kept |\n```\n\n";
        assert_eq!(rendered(page, 90), wanted);
    }
}
