//! The names that columns have in practice: what people type, what spreadsheets of HR departments
//! contain, and the header of Okta's own export. Case, spaces, `_` and `-` are ignored.

use crate::scim::path::AttributePath;
use crate::scim::schema::{self, Attribute, ENTERPRISE_URN, Kind, Mutability};

/// The header of the column with the reasons in a file of rejected rows. It is not an attribute.
pub const REASON: &str = "rejected because";

/// A friendly name, folded, and the attribute path that it stands for. A path that begins with a
/// colon follows [`ENTERPRISE_URN`].
const ALIASES: &[(&str, &str)] = &[
    ("login", "userName"),
    ("oktausername", "userName"),
    ("userprincipalname", "userName"),
    ("upn", "userName"),
    ("email", WORK_EMAIL),
    ("emailaddress", WORK_EMAIL),
    ("mail", WORK_EMAIL),
    ("workemail", WORK_EMAIL),
    ("primaryemail", WORK_EMAIL),
    ("secondemail", "emails[type eq \"other\"].value"),
    ("secondaryemail", "emails[type eq \"other\"].value"),
    ("otheremail", "emails[type eq \"other\"].value"),
    ("homeemail", "emails[type eq \"home\"].value"),
    ("personalemail", "emails[type eq \"home\"].value"),
    ("firstname", "name.givenName"),
    ("givenname", "name.givenName"),
    ("forename", "name.givenName"),
    ("lastname", "name.familyName"),
    ("familyname", "name.familyName"),
    ("surname", "name.familyName"),
    ("middlename", "name.middleName"),
    ("honorificprefix", "name.honorificPrefix"),
    ("honorificsuffix", "name.honorificSuffix"),
    ("name", "displayName"),
    ("fullname", "displayName"),
    ("userfullname", "displayName"),
    ("jobtitle", "title"),
    ("status", "active"),
    ("accountstatus", "active"),
    ("oktauserstatus", "active"),
    ("enabled", "active"),
    ("accountenabled", "active"),
    ("dept", ":department"),
    ("employeeid", ":employeeNumber"),
    ("manager", ":manager.value"),
    ("managerid", ":manager.value"),
    ("organisation", ":organization"),
    ("costcentre", ":costCenter"),
    ("phone", WORK_PHONE),
    ("phonenumber", WORK_PHONE),
    ("telephone", WORK_PHONE),
    ("telephonenumber", WORK_PHONE),
    ("workphone", WORK_PHONE),
    ("primaryphone", WORK_PHONE),
    ("mobile", MOBILE_PHONE),
    ("mobilephone", MOBILE_PHONE),
    ("cell", MOBILE_PHONE),
    ("cellphone", MOBILE_PHONE),
    ("street", "addresses[type eq \"work\"].streetAddress"),
    ("streetaddress", "addresses[type eq \"work\"].streetAddress"),
    ("city", "addresses[type eq \"work\"].locality"),
    ("locality", "addresses[type eq \"work\"].locality"),
    ("state", "addresses[type eq \"work\"].region"),
    ("region", "addresses[type eq \"work\"].region"),
    ("province", "addresses[type eq \"work\"].region"),
    ("zip", "addresses[type eq \"work\"].postalCode"),
    ("zipcode", "addresses[type eq \"work\"].postalCode"),
    ("postcode", "addresses[type eq \"work\"].postalCode"),
    ("postalcode", "addresses[type eq \"work\"].postalCode"),
    ("country", "addresses[type eq \"work\"].country"),
    ("countrycode", "addresses[type eq \"work\"].country"),
    ("postaladdress", "addresses[type eq \"work\"].formatted"),
];

const WORK_EMAIL: &str = "emails[type eq \"work\"].value";
const WORK_PHONE: &str = "phoneNumbers[type eq \"work\"].value";
const MOBILE_PHONE: &str = "phoneNumbers[type eq \"mobile\"].value";

/// Okta's export has a column with the manager's name besides the one with the id. The name cannot
/// be set here, so only the id counts.
pub(super) const MANAGER_NAME_COLUMN: &str = "manager";

/// A name in lower case, without the ignored characters.
pub(super) fn folded(name: &str) -> String {
    let counts = |c: &char| !c.is_whitespace() && !matches!(c, '_' | '-');
    name.chars()
        .filter(counts)
        .flat_map(char::to_lowercase)
        .collect()
}

/// The path that a friendly name stands for.
pub(super) fn path_of(name: &str) -> Option<String> {
    let folded = folded(name);
    let alias = ALIASES.iter().find(|(alias, _)| *alias == folded);
    if let Some((_, path)) = alias {
        return Some(whole(path));
    }
    // For instance, `User name` is userName, and `Department` is an attribute of the extension.
    let path = AttributePath::parse(&folded)
        .or_else(|| AttributePath::parse_without_urn(&folded))
        .filter(|path| !path.attribute.multi_valued)?;
    Some(path.to_string())
}

/// The members that a User can have in JSON.
pub fn members() -> impl Iterator<Item = &'static str> {
    let attributes = schema::COMMON.iter().chain(schema::USER.attributes);
    let names = attributes.map(|attribute| attribute.name);
    names.chain([ENTERPRISE_URN])
}

/// The member that a friendly or misspelled name stands for.
pub fn member_like(name: &str) -> Option<&'static str> {
    let path = path_of(name).or_else(|| similar(name))?;
    let attribute = path.split('[').next();
    members().find(|member| attribute == Some(*member))
}

fn whole(path: &str) -> String {
    if path.starts_with(':') {
        format!("{ENTERPRISE_URN}{path}")
    } else {
        path.to_owned()
    }
}

/// The path with the name or friendly name closest to an unknown one, if any is close.
pub(super) fn similar(name: &str) -> Option<String> {
    const EDITS_MAX: usize = 2;
    let wanted = folded(name);
    // A column holds a value or a list, but no complex attribute as a whole.
    let is_column = |attribute: &&Attribute| {
        attribute.mutability == Mutability::ReadWrite
            && (attribute.kind != Kind::Complex || attribute.multi_valued)
    };
    let core = schema::COMMON.iter().chain(schema::USER.attributes);
    let core = core
        .filter(is_column)
        .map(|attribute| (folded(attribute.name), attribute.name.to_owned()));
    let extension = schema::ENTERPRISE.attributes.iter().filter(is_column);
    let extension = extension.map(|attribute| {
        let path = format!("{ENTERPRISE_URN}:{}", attribute.name);
        (folded(attribute.name), path)
    });
    let aliases = ALIASES
        .iter()
        .map(|(alias, path)| ((*alias).to_owned(), whole(path)));
    let near = |known: &str| {
        let edits = strsim::damerau_levenshtein(&wanted, known);
        // In a short word, two edits can turn it into any other.
        (edits <= EDITS_MAX && edits * 2 < known.chars().count()).then_some(edits)
    };
    core.chain(extension)
        .chain(aliases)
        .filter_map(|(known, path)| Some((near(&known)?, path)))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, path)| path)
}
