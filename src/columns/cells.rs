//! A user as cells. The columns are always the same, so that two exports can be compared, and
//! formulas in a spreadsheet keep their places.

use serde_json::Value;

use super::lists::{self, ListCells};
use super::row::{Empty, UNKNOWN};
use super::{Columns, Target};
use crate::scim::Object;
use crate::scim::schema::{self, Attribute, ENTERPRISE_URN, Kind, Mutability};

/// Elements of lists whose value has a column of its own.
const SINGLE_VALUES: &[&str] = &[
    "emails[type eq \"work\"].value",
    "phoneNumbers[type eq \"work\"].value",
    "phoneNumbers[type eq \"mobile\"].value",
    "addresses[type eq \"work\"].streetAddress",
    "addresses[type eq \"work\"].locality",
    "addresses[type eq \"work\"].region",
    "addresses[type eq \"work\"].postalCode",
    "addresses[type eq \"work\"].country",
];

/// The header of an export, and its columns.
pub fn exported() -> (Vec<String>, Columns) {
    let mut header = ["id", "externalId", "userName", "active"]
        .map(str::to_owned)
        .to_vec();
    let settable = |attribute: &&Attribute| attribute.mutability == Mutability::ReadWrite;
    let mut lists = Vec::new();
    for (prefix, schema) in [
        (String::new(), &schema::USER),
        (format!("{ENTERPRISE_URN}:"), &schema::ENTERPRISE),
    ] {
        for attribute in schema.attributes.iter().filter(settable) {
            let name = attribute.name;
            match attribute.kind {
                _ if attribute.multi_valued => lists.push(name.to_owned()),
                Kind::Complex => {
                    let parts = attribute.sub_attributes.iter().filter(settable);
                    header.extend(parts.map(|part| format!("{prefix}{name}.{}", part.name)));
                }
                _ if matches!(name, "userName" | "active") => {}
                _ => header.push(format!("{prefix}{name}")),
            }
        }
    }
    header.extend(SINGLE_VALUES.iter().map(|&name| name.to_owned()));
    header.extend(lists);
    let names: Vec<Option<&str>> = header.iter().map(|name| Some(name.as_str())).collect();
    let columns = Columns::parse(&names).expect("they are made from the attribute tables");
    (header, columns)
}

impl Columns {
    /// The cells of a resource, safe for a spreadsheet.
    pub fn cells(&self, resource: &Object) -> Vec<String> {
        let split: Vec<&str> = self
            .lists()
            .into_iter()
            .filter(|list| self.can_be_split(list, resource))
            .collect();
        let cell = |target: &Target| match target {
            Target::Id => resource.get("id").map(text).unwrap_or_default(),
            Target::Single(path) => {
                let value = path.attribute_value(resource);
                let value = match path.sub_attribute {
                    Some(part) => value.and_then(|value| value.get(part.name)),
                    None => value,
                };
                match value {
                    None if path.attribute.name == "active" => UNKNOWN.to_owned(),
                    value => value.map(text).unwrap_or_default(),
                }
            }
            Target::List(attribute) if split.contains(attribute) => String::new(),
            Target::List(attribute) => {
                let list = resource.get(*attribute);
                list.map(ToString::to_string).unwrap_or_default()
            }
            Target::Element(element) if split.contains(&element.attribute) => {
                let list = list_of(resource, element.attribute);
                let text = lists::text_of(list, element);
                text.unwrap_or_default().to_owned()
            }
            Target::Element(_) | Target::Nothing => String::new(),
        };
        self.targets
            .iter()
            .map(|target| neutralised(cell(target)))
            .collect()
    }

    /// Whether the columns of single values are enough to recreate exactly this list.
    fn can_be_split(&self, attribute: &'static str, resource: &Object) -> bool {
        let list = list_of(resource, attribute);
        let mut said = ListCells::default();
        for target in &self.targets {
            if let Target::Element(element) = target
                && element.attribute == attribute
            {
                let text = lists::text_of(list, element).unwrap_or_default();
                said.elements.push((element, target.text_in(text)));
            }
        }
        let made = said.apply(attribute, None, Empty::Keep);
        made.is_ok_and(|made| made == list)
    }
}

fn list_of<'a>(resource: &'a Object, attribute: &str) -> &'a [Value] {
    let list = resource.get(attribute).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a spreadsheet would treat a text, after any number of apostrophes, as a formula.
fn is_formula(text: &str) -> bool {
    let begin = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    text.trim_start_matches('\'').starts_with(begin)
}

/// A text that a spreadsheet shows instead of evaluating it: an apostrophe is added to a formula.
pub(super) fn neutralised(text: String) -> String {
    if is_formula(&text) {
        format!("'{text}")
    } else {
        text
    }
}

/// The text that [`neutralised`] was given.
pub(super) fn restored(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if is_formula(rest) => rest,
        _ => text,
    }
}
