//! The reasons to refuse a row that an import recognizes.

/// The reason to refuse a row about the same user as another one: otherwise, which of them took
/// effect would depend on how often the file is imported.
pub fn same_user(who: &str) -> String {
    format!("{SAME_USER}{who}")
}

/// Whether a row was refused for this reason.
pub fn is_same_user(reason: &str) -> bool {
    reason.trim().starts_with(SAME_USER)
}

const SAME_USER: &str = "another row is about the same user: ";

/// The reason to refuse a row of too many or too few cells.
pub(super) fn wrong_count(cells: usize, columns: usize) -> String {
    let s = if cells == 1 { "" } else { "s" };
    let columns = match columns {
        1 => "is 1 column".to_owned(),
        _ => format!("are {columns} columns"),
    };
    format!("{ROW_HAS}{cells} cell{s}{AND_THERE}{columns}")
}

/// Whether a row was refused for this reason.
pub fn is_wrong_count(reason: &str) -> bool {
    let rest = reason.strip_prefix(ROW_HAS);
    rest.is_some_and(|rest| rest.contains(AND_THERE))
}

const ROW_HAS: &str = "the row has ";
const AND_THERE: &str = ", and there ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cell_and_one_column_are_singular() {
        for (cells, columns, told) in [
            (1, 3, "the row has 1 cell, and there are 3 columns"),
            (2, 1, "the row has 2 cells, and there is 1 column"),
        ] {
            assert_eq!(wrong_count(cells, columns), told);
            assert!(is_wrong_count(told));
        }
        // An earlier release wrote this into a file of rejected rows.
        assert!(is_wrong_count(
            "the row has 1 cells, and there are 3 columns"
        ));
    }
}
