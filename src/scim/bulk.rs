//! Bulk requests (RFC 7644 section 3.7): reading the operations, and ordering them so that each one
//! finds what it refers to. `reference` knows the form of references.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use serde_json::{Value, json};

use super::cycle;
use super::error::{Error, ErrorType, quoted};
use super::message::{self, BULK_REQUEST_URN, PATCH_URN};
use super::reference::{self, REFERENCE};
use super::tolerance::Leniency;
use super::{member, take_member};
use crate::limits;

/// A bulk request.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// The number of failures after which the remaining operations are not tried; `None` for no
    /// limit.
    pub fail_on_errors: Option<usize>,
    /// The operations, in the order received. An operation that cannot be read carries its error.
    pub operations: Vec<Operation>,
}

/// One operation of a bulk request.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The method as received, for the answer.
    pub method: String,
    /// The client's own name for the created user, or for the operation.
    pub bulk_id: Option<String>,
    /// The entity tag that the user must have for the operation to be done.
    pub version: Option<String>,
    /// The user to change or delete, even if the rest of the operation cannot be read.
    pub who: Option<Who>,
    /// What to do, or why it cannot be done.
    pub action: Result<Action, NoAction>,
}

/// Why an operation cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAction {
    /// The operation cannot be read.
    Malformed(Error),
    /// The operation is on an endpoint that is not implemented.
    NotImplemented(Endpoint),
}

impl From<Error> for NoAction {
    fn from(error: Error) -> Self {
        Self::Malformed(error)
    }
}

/// An endpoint that answers changes with 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/Groups`.
    Groups,
    /// `/Me`.
    Me,
}

/// The effect of one operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Creates a user from a body.
    Create(Value),
    /// Replaces a user by a body.
    Replace(Who, Value),
    /// Applies a PatchOp message to a user.
    Modify(Who, Value),
    /// Deletes a user.
    Delete(Who),
}

/// The user that an operation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The user with this id.
    Id(String),
    /// The user that the operation with this `bulkId` creates.
    BulkId(String),
}

impl Bulk {
    /// Reads a BulkRequest message. The caller first makes sure with [`Bulk::is_too_large`] that it
    /// holds at most [`limits::BULK_OPERATIONS_MAX`] operations.
    pub fn parse(body: Value, leniency: &mut Leniency) -> Result<Self, Error> {
        let mut body = message::members(body, BULK_REQUEST_URN, leniency)?;
        let fail_on_errors = match member(&body, "failOnErrors") {
            None | Some(Value::Null) => None,
            Some(number) => Some(
                positive(number)
                    .ok_or_else(|| syntax("failOnErrors must be a positive integer"))?,
            ),
        };
        let Some(Value::Array(items)) = take_member(&mut body, "Operations") else {
            return Err(syntax("Operations must be a list of operations"));
        };
        let mut operations: Vec<Operation> = items.into_iter().map(Operation::parse).collect();
        refuse_repeated_ids(&mut operations);
        Ok(Self {
            fail_on_errors,
            operations,
        })
    }

    /// Whether a body holds more operations than one request may contain (RFC 7644 section 3.7.4).
    pub fn is_too_large(body: &Value) -> bool {
        body.as_object()
            .and_then(|body| member(body, "Operations"))
            .and_then(Value::as_array)
            .is_some_and(|items| items.len() > limits::BULK_OPERATIONS_MAX)
    }

    /// The order in which to do the operations: as received, except that each operation comes after
    /// those that it refers to. Operations that refer to each other in a cycle form one group,
    /// which succeeds or fails as a whole. The group takes the place of its last operation, and the
    /// users that it creates get their identifiers in advance.
    pub fn order(&self) -> Vec<Vec<usize>> {
        let creators = self.creators();
        let needs: Vec<BTreeSet<usize>> = (0..self.operations.len())
            .map(|index| {
                let references = self.operations[index].references();
                let makers = references.iter().filter_map(|id| creators.get(id.as_str()));
                makers.copied().filter(|maker| *maker != index).collect()
            })
            .collect();
        let mut left = cycle::cycles(&needs);
        for together in &mut left {
            together.sort_unstable();
        }
        // Each group is done at the place of its last operation.
        let mut group_of = vec![0; self.operations.len()];
        for (group, together) in left.iter().enumerate() {
            for index in together {
                group_of[*index] = group;
            }
        }
        let (mut open, mut waits_for) = (vec![0; left.len()], vec![Vec::new(); left.len()]);
        for (group, together) in left.iter().enumerate() {
            let makers = together.iter().flat_map(|index| &needs[*index]);
            let makers: BTreeSet<usize> = makers.map(|maker| group_of[*maker]).collect();
            for maker in makers.into_iter().filter(|maker| *maker != group) {
                open[group] += 1;
                waits_for[maker].push(group);
            }
        }
        let place = |group: usize| Reverse((left[group].last().copied(), group));
        let ready = (0..left.len()).filter(|group| open[*group] == 0);
        let mut ready: BinaryHeap<_> = ready.map(place).collect();
        let mut order = Vec::with_capacity(left.len());
        while let Some(Reverse((_, group))) = ready.pop() {
            order.push(left[group].clone());
            for waiting in &waits_for[group] {
                open[*waiting] -= 1;
                if open[*waiting] == 0 {
                    ready.push(place(*waiting));
                }
            }
        }
        order
    }

    /// The operations that create a user, by their `bulkId`.
    pub fn creators(&self) -> HashMap<&str, usize> {
        let mut creators = HashMap::new();
        for (index, operation) in self.operations.iter().enumerate() {
            if let (Ok(Action::Create(_)), Some(id)) = (&operation.action, &operation.bulk_id) {
                creators.insert(id.as_str(), index);
            }
        }
        creators
    }
}

impl Operation {
    fn parse(item: Value) -> Self {
        let Value::Object(mut item) = item else {
            return Self {
                method: String::new(),
                bulk_id: None,
                version: None,
                who: None,
                action: Err(syntax("each operation must be an object").into()),
            };
        };
        let text = |name: &str| {
            let value = member(&item, name).and_then(Value::as_str);
            value.map(str::to_owned)
        };
        let (method, path) = (text("method"), text("path"));
        let (bulk_id, version) = (text("bulkId"), text("version"));
        // If a malformed version were ignored, the change could overwrite a state that its sender
        // has not seen.
        let is_malformed = |name: &&str| {
            let value = member(&item, name);
            value.is_some_and(|value| !value.is_null() && !value.is_string())
        };
        let malformed = ["bulkId", "version"].into_iter().find(is_malformed);
        // Only a POST needs a `bulkId`; an empty one counts as none.
        let bulk_id = bulk_id.filter(|id| !id.is_empty());
        let data = take_member(&mut item, "data");
        let target = target(path.as_deref().unwrap_or_default());
        let is_about_one = method.as_deref().is_some_and(|method| {
            ["PUT", "PATCH", "DELETE"]
                .iter()
                .any(|it| it.eq_ignore_ascii_case(method))
        });
        let who = target.as_ref().ok().cloned().flatten();
        let who = who.filter(|_| is_about_one);
        let action = target.and_then(|who| {
            if let Some(name) = malformed {
                return Err(syntax(format!("{name} must be a string")).into());
            }
            let method = method.as_deref().unwrap_or_default();
            Ok(action(method, who, bulk_id.as_deref(), data)?)
        });
        Self {
            method: method.unwrap_or_default(),
            bulk_id,
            version,
            who,
            action,
        }
    }

    /// The `bulkId`s that the operation refers to.
    pub fn references(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut note = |who: &Who| {
            if let Who::BulkId(id) = who {
                found.insert(id.clone());
            }
        };
        match &self.action {
            Ok(Action::Replace(who, _) | Action::Modify(who, _) | Action::Delete(who)) => note(who),
            Ok(Action::Create(_)) | Err(_) => {}
        }
        if let Ok(Action::Create(data) | Action::Replace(_, data) | Action::Modify(_, data)) =
            &self.action
        {
            reference::collect(data, &mut found);
        }
        found
    }
}

fn syntax(detail: impl Into<String>) -> Error {
    Error::new(ErrorType::InvalidSyntax, detail)
}

/// A positive integer in any JSON notation, such as 1.0 or 1e30.
fn positive(number: &Value) -> Option<usize> {
    let is_positive = |number: &f64| *number > 0.0 && number.fract() == 0.0;
    let number = number.as_f64().filter(is_positive)?;
    Some(format!("{number:.0}").parse().unwrap_or(usize::MAX))
}

/// The user that a path names; `None` for the path of all users.
fn target(path: &str) -> Result<Option<Who>, NoAction> {
    let other = || {
        let detail = format!(
            "path must be /Users or /Users/ID and nothing else, not {}",
            quoted(path)
        );
        Err(syntax(detail).into())
    };
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    match segments.next() {
        Some("Users") => {}
        Some("Groups") => return Err(NoAction::NotImplemented(Endpoint::Groups)),
        Some("Me") => return Err(NoAction::NotImplemented(Endpoint::Me)),
        _ => return other(),
    }
    let who = segments
        .next()
        .map(|segment| match segment.strip_prefix(REFERENCE) {
            Some(id) => Who::BulkId(id.to_owned()),
            None => Who::Id(segment.to_owned()),
        });
    // A query would become part of an id that nobody has.
    if segments.next().is_some() || path.contains(['?', '#']) {
        return other();
    }
    Ok(who)
}

fn action(
    method: &str,
    who: Option<Who>,
    bulk_id: Option<&str>,
    data: Option<Value>,
) -> Result<Action, Error> {
    let data = || {
        data.filter(|data| !data.is_null())
            .ok_or_else(|| syntax("data is missing"))
    };
    let is_one = who.is_some();
    let one = || who.ok_or_else(|| syntax(format!("the path of a {method} must be /Users/ID")));
    match method.to_ascii_uppercase().as_str() {
        "POST" if is_one => Err(syntax("the path of a POST must be /Users")),
        "POST" if bulk_id.is_none() => Err(syntax("a POST needs a bulkId")),
        "POST" => Ok(Action::Create(data()?)),
        "PUT" => Ok(Action::Replace(one()?, data()?)),
        "PATCH" => Ok(Action::Modify(one()?, as_message(data()?))),
        "DELETE" => Ok(Action::Delete(one()?)),
        _ => Err(syntax(format!(
            "method must be POST, PUT, PATCH or DELETE, not {}",
            quoted(method)
        ))),
    }
}

/// Wraps the data of a PATCH into a PatchOp message if it is only the list of operations, as in the
/// example of RFC 7644 section 3.7.3.
fn as_message(data: Value) -> Value {
    if data.is_array() {
        json!({"schemas": [PATCH_URN], "Operations": data})
    } else {
        data
    }
}

/// Refuses repeated `bulkId`s: a reference can mean only the first operation with one.
fn refuse_repeated_ids(operations: &mut [Operation]) {
    let mut seen = BTreeSet::new();
    for operation in operations {
        if let Some(id) = &operation.bulk_id
            && !seen.insert(id.clone())
        {
            operation.action =
                Err(syntax("an operation before this one has the same bulkId").into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(operations: &Value) -> Bulk {
        let body = json!({"schemas": [BULK_REQUEST_URN], "Operations": operations});
        Bulk::parse(body, &mut Leniency::strict()).expect("a bulk request")
    }

    fn post(id: &str, manager: impl Into<Value>) -> Value {
        let manager = manager.into();
        json!({"method": "POST", "path": "/Users", "bulkId": id, "data": {"manager": manager}})
    }

    #[test]
    fn operations_come_after_what_they_refer_to() {
        for (operations, wanted) in [
            (json!([post("a", ""), post("b", "")]), vec![0, 1]),
            (json!([post("a", "bulkId:b"), post("b", "")]), vec![1, 0]),
            (
                json!([post("a", "bulkId:b"), post("b", "bulkId:c"), post("c", "")]),
                vec![2, 1, 0],
            ),
            // One operation refers to itself, and the other to no operation of the request.
            (
                json!([post("a", "bulkId:a"), post("b", "bulkId:x")]),
                vec![0, 1],
            ),
            (
                json!([{"method": "DELETE", "path": "/Users/bulkId:a"}, post("a", "")]),
                vec![1, 0],
            ),
        ] {
            let wanted: Vec<Vec<usize>> = wanted.into_iter().map(|index| vec![index]).collect();
            assert_eq!(bulk(&operations).order(), wanted, "{operations}");
        }
    }

    #[test]
    fn an_operation_that_cannot_be_read_is_its_own_error() {
        for item in [
            json!(1),
            json!({"method": "GET", "path": "/Users/1"}),
            json!({"method": "POST", "path": "/Users", "data": {}}),
            json!({"method": "POST", "path": "/Users/1", "bulkId": "a", "data": {}}),
            json!({"method": "POST", "path": "/Users", "bulkId": "a"}),
            json!({"method": "PUT", "path": "/Users", "data": {}}),
            json!({"method": "PUT", "path": "/Users/1/2", "data": {}}),
            json!({"method": "DELETE", "path": "/Users/1?x=1"}),
            json!({"method": "DELETE", "path": "/Users/1#x"}),
            json!({"method": "PUT", "path": "/Users/1", "version": 5, "data": {}}),
            json!({"method": "DELETE", "path": "/Users/1", "version": ["W/\"1\""]}),
            json!({"method": "DELETE", "path": "/Users/1", "bulkId": 1}),
            json!({"method": "POST", "path": "/groups", "bulkId": "a", "data": {}}),
        ] {
            let bulk = bulk(&json!([item]));
            let Err(NoAction::Malformed(error)) = bulk.operations[0].action.clone() else {
                panic!("{item}");
            };
            assert_eq!(error.kind, ErrorType::InvalidSyntax, "{item}");
        }
        let query = bulk(&json!([{"method": "DELETE", "path": "/Users/1?x=1"}]));
        let Err(NoAction::Malformed(error)) = query.operations[0].action.clone() else {
            panic!("{query:?}");
        };
        assert!(
            error.detail.ends_with("nothing else, not \"/Users/1?x=1\""),
            "{error}"
        );
        for (path, endpoint) in [
            ("/Groups", Endpoint::Groups),
            ("/Groups/bulkId:a", Endpoint::Groups),
            ("Me", Endpoint::Me),
        ] {
            let bulk = bulk(&json!([{"method": "PATCH", "path": path, "data": {}}]));
            let wanted = Err(NoAction::NotImplemented(endpoint));
            assert_eq!(bulk.operations[0].action, wanted, "{path}");
        }
        let twice = bulk(&json!([post("a", ""), post("a", "")]));
        assert!(twice.operations[0].action.is_ok() && twice.operations[1].action.is_err());
        let patch = json!([{"method": "patch", "path": "/Users/7", "data": [{"op": "remove"}]}]);
        let Ok(Action::Modify(who, message)) = bulk(&patch).operations[0].action.clone() else {
            panic!("{patch}");
        };
        assert_eq!(who, Who::Id("7".to_owned()));
        assert_eq!(message["Operations"][0]["op"], "remove");
    }

    #[test]
    fn operations_in_a_cycle_come_together() {
        // `b` refers to an operation outside the cycle of `a` and `b`, and `late` refers from
        // outside to one of the two.
        let operations = json!([
            post("late", "bulkId:a"),
            post("a", "bulkId:b"),
            post("other", ""),
            post("b", ["bulkId:a", "bulkId:early"]),
            post("early", "")
        ]);
        let wanted = [vec![2], vec![4], vec![0]];
        let [other, early, late] = wanted;
        assert_eq!(bulk(&operations).order(), [other, early, vec![1, 3], late]);
    }
}
