//! `manual`: the long pages that come with the program.

use super::{Failure, output, status};
use crate::manual::PAGES;

/// Prints a page, or which there are.
pub(super) fn run(name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else {
        let width = PAGES.iter().map(|page| page.name.len()).max().unwrap_or(0);
        for page in PAGES {
            output::line(&format!("{:width$}  {}", page.name, page.about))?;
        }
        return Ok(());
    };
    let page = PAGES.iter().find(|page| page.name == name).ok_or_else(|| {
        Failure::new(status::REFUSED, format!("the manual has no page {name}"))
            .hint("`golinks-scim manual` lists its pages")
    })?;
    output::line(page.text.trim_end())
}
