//! Users as rows of a table: which attribute a column holds, how a row changes a user, and what row
//! a user has. It understands headers as people type them, Okta's column names, and cells that a
//! spreadsheet would treat as formulas. These are pure values: other modules read files and store
//! users.
//!
//! ```text
//! header ──▶ Columns ──▶ Row ──▶ apply(user as it is) ──▶ user as the row wants it
//! user ──▶ cells ──▶ the same, and nothing is changed
//! ```
//!
//! Law: the cells of a user, applied to that user, change nothing; applied to no user, they create
//! an equal user.

mod cells;
mod entra;
mod lists;
mod names;
mod outcome;
#[cfg(test)]
mod properties;
mod refusal;
mod row;

use std::fmt;
use std::sync::Arc;

pub use cells::exported;
pub use names::{REASON, member_like, members};
pub use outcome::{RowOutcome, put_refusal};
pub use refusal::{is_same_user, is_wrong_count, same_user};
pub use row::{Empty, Row};

use crate::scim::error::{Error, ErrorType, quoted};
use crate::scim::path::AttributePath;
use crate::scim::schema::{Attribute, Kind, Mutability};

/// The meaning of a table's columns.
#[derive(Debug)]
pub struct Columns {
    targets: Vec<Target>,
    /// The column that names the user: userName, or else the email.
    name_at: Option<usize>,
    is_named_by_email: bool,
    /// The column called `Manager`, if it holds the manager's id.
    manager_at: Option<usize>,
    /// The names of columns that are left out, although nobody asked for it.
    left_out: Vec<String>,
}

/// What one column holds.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    /// Nothing that is imported.
    Nothing,
    /// The id, which finds the user.
    Id,
    /// One value.
    Single(AttributePath),
    /// A whole list, as JSON.
    List(&'static str),
    /// A part of an element of a list.
    Element(Element),
}

/// A part of the element of a list that has this type, ignoring case.
#[derive(Clone, Debug)]
struct Element {
    attribute: &'static str,
    kind: Arc<str>,
    part: &'static str,
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        (self.attribute, self.part) == (other.attribute, other.part)
            && self.kind.eq_ignore_ascii_case(&other.kind)
    }
}

impl Element {
    fn is_email(&self) -> bool {
        self.attribute == "emails" && self.part == "value"
    }
}

impl Target {
    /// The text of a cell that counts. White space around an email does not, since hardly anybody
    /// sees it. It stays around quotes, which CSV then did not take for its own: an email like that
    /// is refused.
    fn text_in<'a>(&self, cell: &'a str) -> &'a str {
        match self {
            Self::Element(it) if it.is_email() => {
                let email = cell.trim();
                let is_quoted = email.starts_with('"') || email.ends_with('"');
                if is_quoted { cell } else { email }
            }
            _ => cell,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Id => f.write_str("id"),
            Self::Single(path) => path.fmt(f),
            Self::List(attribute) => f.write_str(attribute),
            Self::Element(element) => write!(
                f,
                "{}[type eq \"{}\"].{}",
                element.attribute, element.kind, element.part
            ),
        }
    }
}

impl Columns {
    /// Reads a header, in which `None` is a column to leave out.
    pub fn parse(header: &[Option<&str>]) -> Result<Self, Error> {
        let is_left_out = left_out_of(header);
        let mut left_out = Vec::new();
        let mut targets = Vec::with_capacity(header.len());
        for name in header {
            targets.push(match name {
                Some(name) if is_left_out(name) => {
                    left_out.push(name.trim().to_owned());
                    Target::Nothing
                }
                Some(name) => target(name)?,
                None => Target::Nothing,
            });
        }
        yield_to_the_id(header, &mut targets);
        for (at, target) in targets.iter().enumerate() {
            let before = targets[..at].iter().position(|other| other == target);
            if let (Some(before), true) = (before, *target != Target::Nothing) {
                let (one, other) = (header[before].unwrap_or(""), header[at].unwrap_or(""));
                return Err(wrong(format!(
                    "the columns {} and {} are both {target}",
                    quoted(one),
                    quoted(other)
                )));
            }
        }
        let place = |wanted: &str| targets.iter().position(|one| one.to_string() == wanted);
        let (name, id) = (place("userName"), place("id"));
        let email = place("emails[type eq \"work\"].value").filter(|_| id.is_none());
        if name.or(email).or(id).is_none() {
            return Err(wrong(
                "no column identifies the user: userName, Email or id is needed".to_owned(),
            ));
        }
        Ok(Self {
            name_at: name.or(email),
            is_named_by_email: name.is_none() && email.is_some(),
            manager_at: manager_at(header, &targets),
            targets,
            left_out,
        })
    }

    /// The names of a header that belong to no attribute.
    pub fn unknown<'a>(header: &[Option<&'a str>]) -> Vec<&'a str> {
        let is_left_out = left_out_of(header);
        let names = header.iter().flatten();
        names
            .copied()
            .filter(|name| !is_left_out(name) && target(name).is_err())
            .collect()
    }

    /// The names of the columns of Entra's list that hold nothing of a user here.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Whether the email takes the place of the userName, because no column holds the userName.
    pub fn is_named_by_email(&self) -> bool {
        self.is_named_by_email
    }

    /// Whether the manager of a row is left out: under the everyday name people write an email, but
    /// the attribute is an id. A column with the attribute's path is taken literally, since a
    /// provisioning client may have stored an email.
    pub fn leaves_out_manager(&self, cells: &[String]) -> bool {
        let cell = self.manager_at.and_then(|at| cells.get(at));
        cell.is_some_and(|cell| cell.contains('@'))
    }

    /// The lists that the columns concern, each once.
    fn lists(&self) -> Vec<&'static str> {
        let mut lists = Vec::new();
        for target in &self.targets {
            let (Target::List(attribute) | Target::Element(Element { attribute, .. })) = target
            else {
                continue;
            };
            if !lists.contains(attribute) {
                lists.push(attribute);
            }
        }
        lists
    }
}

/// Tells which columns of this header are left out.
fn left_out_of(header: &[Option<&str>]) -> impl Fn(&str) -> bool + use<> {
    let is_entras = entra::is_header(header);
    move |name| is_entras && entra::is_left_out(name)
}

/// Ignores Okta's column with the manager's name if there is one with the manager's id.
fn yield_to_the_id(header: &[Option<&str>], targets: &mut [Target]) {
    for at in 0..targets.len() {
        let mut others = header.iter().zip(&*targets);
        let has_id = others.any(|(name, one)| !is_manager_name(*name) && *one == targets[at]);
        if is_manager_name(header[at]) && has_id {
            targets[at] = Target::Nothing;
        }
    }
}

fn is_manager_name(name: Option<&str>) -> bool {
    name.is_some_and(|it| names::folded(it) == names::MANAGER_NAME_COLUMN)
}

fn manager_at(header: &[Option<&str>], targets: &[Target]) -> Option<usize> {
    let mut told = header.iter().zip(targets);
    told.position(|(name, target)| is_manager_name(*name) && *target != Target::Nothing)
}

/// Whether a column holds the reasons from an earlier import.
pub fn is_reason(name: &str) -> bool {
    names::folded(name) == names::folded(REASON)
}

/// Whether a column of this name holds `active`, or seems to, such as `Employment status`.
pub fn is_status(name: &str) -> bool {
    match target(name) {
        Ok(target) => row::is_active(&target),
        Err(_) => names::folded(name).contains("status"),
    }
}

fn wrong(detail: String) -> Error {
    Error::new(ErrorType::InvalidValue, detail)
}

/// The meaning of a column with this name.
fn target(name: &str) -> Result<Target, Error> {
    let name = name.trim();
    if is_reason(name) {
        return Ok(Target::Nothing);
    }
    let path = AttributePath::parse(name).filter(|path| {
        path.sub_attribute.is_some()
            || path.attribute.kind != Kind::Complex
            || path.attribute.multi_valued
    });
    if let Some(path) = path {
        return of_path(name, path);
    }
    if name.contains('[') {
        return element(name);
    }
    match names::path_of(name) {
        Some(path) if path != name => target(&path),
        _ => Err(unknown(name)),
    }
}

fn of_path(name: &str, path: AttributePath) -> Result<Target, Error> {
    match path.attribute.name {
        "id" => return Ok(Target::Id),
        "meta" | "schemas" => return Ok(Target::Nothing),
        _ => {}
    }
    let settable = |attribute: &Attribute| attribute.mutability == Mutability::ReadWrite;
    if !settable(path.attribute) || !path.sub_attribute.is_none_or(settable) {
        return Err(wrong(format!(
            "the column {} cannot be imported",
            quoted(name)
        )));
    }
    match path.sub_attribute {
        None if path.attribute.multi_valued => Ok(Target::List(path.attribute.name)),
        Some(_) if path.attribute.multi_valued => Err(wrong(format!(
            "the column {} does not say which value of the list it is: write it like {}[type eq \
             \"work\"].value",
            quoted(name),
            path.attribute.name
        ))),
        _ => Ok(Target::Single(path)),
    }
}

/// Reads `emails[type eq "work"].value`: the only kind of filter that a column may have.
fn element(name: &str) -> Result<Target, Error> {
    let read = || {
        let (attribute, rest) = name.split_once('[')?;
        let (inside, part) = rest.rsplit_once("].")?;
        let mut words = inside.trim().splitn(3, ' ');
        let is_type =
            words.next()?.eq_ignore_ascii_case("type") && words.next()?.eq_ignore_ascii_case("eq");
        let kind = words.next()?.trim();
        let kind = kind.strip_prefix('"')?.strip_suffix('"')?;
        let path = AttributePath::parse(&format!("{attribute}.{part}"))?;
        let part = path.sub_attribute?;
        let is_usable = is_type
            && path.attribute.multi_valued
            && path.attribute.mutability == Mutability::ReadWrite
            && matches!(part.kind, Kind::String | Kind::Reference)
            && part.name != "type"
            && !kind.is_empty()
            && !kind.contains(['"', '\\']);
        let types = path.attribute.sub_attribute("type")?.canonical_values;
        let ours = types.iter().find(|one| one.eq_ignore_ascii_case(kind));
        is_usable.then(|| Element {
            attribute: path.attribute.name,
            kind: (*ours.unwrap_or(&kind)).into(),
            part: part.name,
        })
    };
    read().map(Target::Element).ok_or_else(|| {
        wrong(format!(
            "the column {} cannot be read: write it like emails[type eq \"work\"].value",
            quoted(name)
        ))
    })
}

fn unknown(name: &str) -> Error {
    let meant = match names::similar(name) {
        Some(path) => format!(": did you mean {path}?"),
        None => String::new(),
    };
    wrong(format!(
        "no attribute belongs to the column {}{meant}",
        quoted(name)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::ENTERPRISE_URN;

    /// The meaning of a header, with enterprise attributes as `:department`.
    fn paths(header: &str) -> Result<String, String> {
        let names: Vec<Option<&str>> = header.split(',').map(Some).collect();
        let columns = Columns::parse(&names).map_err(|error| error.detail)?;
        let targets: Vec<String> = columns.targets.iter().map(ToString::to_string).collect();
        Ok(targets.join(",").replace(ENTERPRISE_URN, ""))
    }

    #[test]
    fn names_that_people_type() {
        for (header, wanted) in [
            ("USERNAME,title", "userName,title"),
            (
                "User name,First name,last_name,E-Mail",
                "userName,name.givenName,name.familyName,emails[type eq \"work\"].value",
            ),
            ("login,Status,Job-Title", "userName,active,title"),
            (
                "Okta username,Okta user status,User fullname",
                "userName,active,displayName",
            ),
            (
                "userPrincipalName,accountEnabled,telephoneNumber",
                "userName,active,phoneNumbers[type eq \"work\"].value",
            ),
            (
                "id,meta.version,schemas,Rejected because,emails",
                "id,nothing,nothing,nothing,emails",
            ),
            (
                "userName,Department,employee number,Manager",
                "userName,:department,:employeeNumber,:manager.value",
            ),
            (
                "userName,managerId,manager,Phone,Mobile",
                "userName,:manager.value,nothing,phoneNumbers[type eq \"work\"].value,\
                 phoneNumbers[type eq \"mobile\"].value",
            ),
            (
                "userName,EMAILS[TYPE EQ \"Home\"].VALUE,emails[type eq \"Branch\"].value",
                "userName,emails[type eq \"home\"].value,emails[type eq \"Branch\"].value",
            ),
        ] {
            assert_eq!(paths(header).as_deref(), Ok(wanted), "{header}");
        }
    }

    #[test]
    fn oktas_header_is_understood_whole() {
        let header = "login,firstName,lastName,middleName,honorificPrefix,honorificSuffix,email,\
             title,displayName,nickName,profileUrl,secondEmail,mobilePhone,primaryPhone,\
             streetAddress,city,state,zipCode,countryCode,postalAddress,preferredLanguage,locale,\
             timezone,userType,employeeNumber,costCenter,organization,division,department,\
             managerId,manager,status";
        let found = paths(header).expect("all of it");
        assert_eq!(found.matches("nothing").count(), 1, "{found}");
    }

    /// In any other file an id is that of a user here, and the other names are unknown.
    #[test]
    fn columns_are_left_out_of_entras_list_only() {
        for (header, wanted) in [
            (
                "userPrincipalName,id,usageLocation,createdDateTime,title",
                "userName,nothing,nothing,nothing,title",
            ),
            (
                "User principal name,objectId,createdDateTime",
                "userName,nothing,nothing",
            ),
            ("userPrincipalName,id,title", "userName,id,title"),
            ("UPN,id", "userName,id"),
        ] {
            assert_eq!(paths(header).as_deref(), Ok(wanted), "{header}");
        }
        paths("userName,usageLocation").expect_err("it is unknown");
        let header = ["userPrincipalName", "objectId", "createdDateTime", "Badge"].map(Some);
        let unknown = Columns::unknown(&header);
        assert_eq!(unknown, ["Badge"]);
    }

    #[test]
    fn columns_that_cannot_be() {
        for (header, wanted) in [
            (
                "userName,Shoe size",
                "no attribute belongs to the column \"Shoe size\"",
            ),
            ("userName,Titel", "did you mean title?"),
            ("userName,Departmant", "User:department?"),
            ("userName,Manger", "User:manager.value?"),
            ("userName,External Idd", "did you mean externalId?"),
            ("userName,password", "cannot be imported"),
            ("userName,groups", "cannot be imported"),
            (
                "userName,login",
                "\"userName\" and \"login\" are both userName",
            ),
            (
                "Email,emails[type eq \"Work\"].value",
                "are both emails[type eq \"work\"].value",
            ),
            (
                "userName,ims[type eq \"Chat\"].value,ims[type eq \"chat\"].value",
                "are both ims[type eq \"chat\"].value",
            ),
            (
                "Email,Manager,manager",
                "\"Manager\" and \"manager\" are both",
            ),
            ("title", "no column identifies the user"),
            ("userName,emails.value", "does not say which value"),
            ("userName,emails[primary eq true].value", "cannot be read"),
            ("userName,", "belongs to the column \"\""),
        ] {
            let detail = paths(header).expect_err(header);
            assert!(detail.contains(wanted), "{header}: {detail}");
        }
    }
}
