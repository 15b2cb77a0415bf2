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
