//! Lays out Markdown tables for a terminal: columns next to each other, with long cells wrapped
//! between words.

use unicode_width::UnicodeWidthStr;

/// The gap between two columns.
const GAP: &str = "  ";

/// Lays out the rows of one table in at most `width` columns of text. The second row is the table's
/// delimiter row.
pub(super) fn laid_out(rows: &[&str], width: usize) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != 1)
        .map(|(_, row)| cells(row))
        .collect();
    let widths = widths(&rows, width);
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let is_roomy = rows.iter().any(|row| lines(row, &widths).len() > 1);
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        for line in lines(row, &widths) {
            out.push_str(line.trim_end());
            out.push('\n');
        }
        if at == 0 {
            out.push_str(&rule.join(GAP));
            out.push('\n');
        } else if is_roomy && at + 1 < rows.len() {
            // If rows have several lines, put an empty line between them.
            out.push('\n');
        }
    }
    out
}

/// The cells of a row. `\|` is a bar within a cell.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|');
    let row = row.strip_suffix('|').unwrap_or(row).replace("\\|", "\u{0}");
    let cells = row.split('|');
    cells
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

/// The width of each column. A column gets the width of its widest cell if there is room for that.
/// Otherwise it is no wider than the other shortened columns, but at least as wide as its longest
/// word. Only if the words themselves do not fit next to each other are the longest ones cut.
fn widths(rows: &[Vec<String>], width: usize) -> Vec<usize> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |of_cell: fn(&str) -> usize| -> Vec<usize> {
        let of_column = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| of_cell(cell)).max().unwrap_or(0).max(1)
        };
        (0..count).map(of_column).collect()
    };
    let words = widest(|cell| cell.split_whitespace().map(str::width).max().unwrap_or(0));
    let cells = widest(str::width);
    let room = width.saturating_sub(GAP.len() * count.saturating_sub(1));
    let none = vec![1; count];
    let granted = within(&none, &words, room).unwrap_or_else(|| none.clone());
    // A word that is cut anyway must not take room from the text next to it.
    let share = room / count.max(1);
    let least: Vec<usize> = granted
        .iter()
        .zip(&words)
        .map(|(granted, word)| if granted < word { share.max(1) } else { *word })
        .collect();
    within(&least, &cells, room).unwrap_or(none)
}

/// Widths between `least` and `most` that fill the room up to a common level; `None` if even
/// `least` does not fit.
fn within(least: &[usize], most: &[usize], room: usize) -> Option<Vec<usize>> {
    let at_level = |level: usize| -> Vec<usize> {
        let bounds = least.iter().zip(most);
        bounds
            .map(|(least, most)| level.clamp(*least, *most))
            .collect()
    };
    let levels = (0..=room).rev().map(at_level);
    levels
        .into_iter()
        .find(|widths| widths.iter().sum::<usize>() <= room)
}

/// A row as lines of text.
fn lines(row: &[String], widths: &[usize]) -> Vec<String> {
    let columns: Vec<Vec<String>> = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| wrapped(cell, *width))
        .collect();
    let count = columns.iter().map(Vec::len).max().unwrap_or(0);
    (0..count)
        .map(|at| {
            let parts = columns.iter().zip(widths).map(|(column, width)| {
                let part = column.get(at).map_or("", String::as_str);
                format!("{part}{}", " ".repeat(width.saturating_sub(part.width())))
            });
            parts.collect::<Vec<_>>().join(GAP)
        })
        .collect()
}

/// Wraps a text into lines of at most `width` columns; only words longer than that are cut.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.width());
        let gap = usize::from(last > 0);
        if last + gap + word.width() <= width {
            let line = lines.last_mut().expect("there is one");
            line.push_str(&" ".repeat(gap));
            line.push_str(word);
            continue;
        }
        if last > 0 {
            lines.push(String::new());
        }
        for c in word.chars() {
            let is_full = lines.last().map_or(0, |line| line.width()) >= width;
            if is_full {
                lines.push(String::new());
            }
            lines.last_mut().expect("there is one").push(c);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual::PAGES;

    fn check(rows: &[&str], width: usize, wanted: &[&str]) {
        let found = laid_out(rows, width);
        assert_eq!(found.lines().collect::<Vec<_>>(), wanted, "{found}");
    }

    #[test]
    fn tables_are_laid_out() {
        check(
            &[
                "| name | what |",
                "| --- | --- |",
                "| a\\|b | c |",
                "| | d |",
            ],
            90,
            &["name  what", "----  ----", "a|b   c", "      d"],
        );
        check(
            &["|a|b|", "|-|-|", "|one|some longer words|", "|two|x|"],
            12,
            &[
                "a    b",
                "---  -------",
                "one  some",
                "     longer",
                "     words",
                "",
                "two  x",
            ],
        );
        check(
            &["|a|", "|-|", "|abcdefgh ij|"],
            4,
            &["a", "----", "abcd", "efgh", "ij"],
        );
        check(
            &["|a|b|c|", "|-|-|-|", "|one two three|four five|unbroken|"],
            21,
            &[
                "a      b     c",
                "-----  ----  --------",
                "one    four  unbroken",
                "two    five",
                "three",
            ],
        );
    }

    /// Whether the longest words of all columns fit next to each other.
    fn words_fit(rows: &[&str], width: usize) -> bool {
        let rows: Vec<_> = rows.iter().map(|row| cells(row)).collect();
        let of_column = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let words = cells.flat_map(|cell| cell.split_whitespace());
            words.map(str::width).max().unwrap_or(0)
        };
        let count = rows.iter().map(Vec::len).max().unwrap_or(0);
        let gaps = GAP.len() * count.saturating_sub(1);
        (0..count).map(of_column).sum::<usize>() + gaps <= width
    }

    /// Anybody who copies a command, a path or a metric's name must get the whole of it.
    #[test]
    fn code_in_tables_is_whole() {
        let mut count = 0;
        for page in PAGES {
            let lines: Vec<&str> = page.text.lines().collect();
            for rows in lines.split(|line| !line.starts_with('|')) {
                if !words_fit(rows, 80) {
                    continue;
                }
                let written = rows.join("\n").replace("\\|", "|");
                let found = laid_out(rows, 80);
                for code in written.split('`').skip(1).step_by(2) {
                    for word in code.split_whitespace() {
                        let times = |text: &str| text.matches(word).count();
                        let is_whole = times(&found) == times(&written);
                        assert!(is_whole, "{}: {word} is cut in\n{found}", page.name);
                        count += 1;
                    }
                }
            }
        }
        assert!(count > 400, "{count} words");
    }
}
