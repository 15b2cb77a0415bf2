//! Lists in cells. All cells of one list are applied together: first its JSON, if there is any,
//! then its single values by type. A list made only from single values looks like a list of an
//! identity provider: the first email or phone number is primary.

use serde_json::{Value, json};

use super::row::Empty;
use super::{Element, Error, wrong};
use crate::scim::{Object, json as body};

/// The lists in which the first value, if made from a cell, is primary.
const WITH_PRIMARY: [&str; 2] = ["emails", "phoneNumbers"];

/// The cells of a row that concern one list.
#[derive(Default)]
pub(super) struct ListCells<'a> {
    /// The cell with the whole list; `None` if there is no such column.
    pub(super) whole: Option<&'a str>,
    pub(super) elements: Vec<(&'a Element, &'a str)>,
}

impl ListCells<'_> {
    /// The list after the row is applied.
    pub(super) fn apply(
        &self,
        attribute: &'static str,
        before: Option<Value>,
        empty: Empty,
    ) -> Result<Vec<Value>, Error> {
        let whole = self.whole.filter(|cell| !cell.is_empty());
        let mut list = match (whole, before) {
            (Some(cell), _) => read(attribute, cell)?,
            // The list's own cell is empty, so the list contains only its single values.
            (None, _) if self.whole.is_some() && empty == Empty::Clear => Vec::new(),
            (None, Some(Value::Array(list))) => list,
            (None, _) => Vec::new(),
        };
        for (element, cell) in &self.elements {
            if element.is_email() && cell.trim() != *cell {
                return Err(wrong(
                    "remove the white space around the quotes of an email: it makes them part of it"
                        .to_owned(),
                ));
            }
            if !cell.is_empty() {
                set(&mut list, element, cell, self.value_of(&element.kind));
            } else if whole.is_none() && empty == Empty::Clear {
                clear(&mut list, element);
            }
        }
        Ok(list)
    }

    /// The `value` that the row gives for a type.
    fn value_of(&self, kind: &str) -> Option<&str> {
        let is_it =
            |element: &Element| element.part == "value" && element.kind.eq_ignore_ascii_case(kind);
        let mut cells = self.elements.iter();
        let (_, cell) = cells.find(|(element, cell)| is_it(element) && !cell.is_empty())?;
        Some(cell)
    }
}

/// The text of a single value, if the list contains it.
pub(super) fn text_of<'a>(list: &'a [Value], element: &Element) -> Option<&'a str> {
    let found = list.iter().find(|value| is_of(value, element))?;
    found.get(element.part)?.as_str()
}

fn read(attribute: &str, cell: &str) -> Result<Vec<Value>, Error> {
    match body::parse(cell.as_bytes()) {
        Ok(Value::Array(list)) => Ok(list),
        _ => Err(wrong(format!(
            "{attribute} must be a JSON list, such as [{{\"value\":\"…\",\"type\":\"work\"}}]; a \
             single value belongs into the column {attribute}[type eq \"work\"].value"
        ))),
    }
}

fn is_of(value: &Value, element: &Element) -> bool {
    let kind = value.get("type").and_then(Value::as_str);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(&element.kind))
}

/// Sets a part of the element of this type that has the row's `value`, or else of the first element
/// of this type. Adds an element if there is none.
fn set(list: &mut Vec<Value>, element: &Element, cell: &str, value: Option<&str>) {
    let is_of_type = |one: &Value| is_of(one, element);
    let has_it = |one: &Value| is_of_type(one) && value.is_some_and(|value| one["value"] == value);
    let at = list.iter().position(has_it);
    if let Some(at) = at.or_else(|| list.iter().position(is_of_type)) {
        list[at][element.part] = json!(cell);
        return;
    }
    let mut made = Object::new();
    made.insert(element.part.to_owned(), json!(cell));
    made.insert("type".to_owned(), json!(&*element.kind));
    if list.is_empty() && WITH_PRIMARY.contains(&element.attribute) {
        made.insert("primary".to_owned(), json!(true));
    }
    list.push(Value::Object(made));
}

/// Removes the part from all elements of the type, and removes elements that say nothing without
/// the part.
fn clear(list: &mut Vec<Value>, element: &Element) {
    let says = |name: &String| !matches!(name.as_str(), "type" | "primary");
    list.retain_mut(|value| {
        if !is_of(value, element) {
            return true;
        }
        let Some(members) = value.as_object_mut() else {
            return true;
        };
        members.shift_remove(element.part);
        element.part != "value" && members.keys().any(says)
    });
}
