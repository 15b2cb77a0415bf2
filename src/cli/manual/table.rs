//! Markdown's tables, laid out for a terminal: columns side by side, long cells in lines of
//! words.

use unicode_width::UnicodeWidthStr;

/// Between two columns.
const GAP: &str = "  ";

/// The rows of one table, the second of which is its rule, in at most so many columns of text.
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
            // Cells of several lines need something between them.
            out.push('\n');
        }
    }
    out
}

/// The cells of a row: `\|` is a bar in a cell.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|');
    let row = row.strip_suffix('|').unwrap_or(row).replace("\\|", "\u{0}");
    let cells = row.split('|');
    cells
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

/// How wide each column is: as wide as its widest cell, or where there is no room for that,
/// an equal share of what the narrow columns leave to the others.
fn widths(rows: &[Vec<String>], width: usize) -> Vec<usize> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let natural: Vec<usize> = (0..count)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0).max(1)
        })
        .collect();
    let mut room = width.saturating_sub(GAP.len() * count.saturating_sub(1));
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|column| natural[*column]);
    let mut widths = natural.clone();
    for (done, column) in order.into_iter().enumerate() {
        let share = (room / (count - done)).max(1);
        widths[column] = natural[column].min(share);
        room = room.saturating_sub(widths[column]);
    }
    widths
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

/// A text in lines of at most so many columns; only a word that is longer is cut.
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
    }
}
