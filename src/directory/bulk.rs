//! Bulk requests (RFC 7644 section 3.7): every operation is a plan of its own, all of them
//! go into one commit, and each sees what those before it have done.
//!
//! ```text
//! Bulk ──▶ order ──▶ plan: ids of what will be created are settled once, at the first
//!                     │
//!                     ├─ refused, or too many failures before: no change
//!                     └─ references become ids ──▶ create, edit, delete
//! ```

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::change::{self, Asked, Edit, Planned};
use super::record::Record;
use super::user_id::UserId;
use super::{Directory, Error};
use crate::scim::bulk::{self, Action, NoAction, Operation, Who};
use crate::scim::user::Echo;
use crate::scim::{self, Budget, Bulk, ErrorType, Leniency, Patch, Preconditions, Tolerance, User};
use crate::store::{Change, ReadError, View};

use super::audit::Caller;

/// What became of one operation.
#[derive(Debug)]
pub enum Done {
    /// The user that it created.
    Created(Made),
    /// The user as it is now, and whether it was active and is not any more.
    Changed(Made, bool),
    /// The id of the user that is no more, and whether it was active.
    Deleted(UserId, bool),
}

/// What is told of a user in the answer: all of a thousand users would not fit into memory.
#[derive(Debug)]
pub struct Made {
    /// The `id`.
    pub id: UserId,
    /// The entity tag.
    pub version: String,
}

impl Made {
    fn of(record: &Record) -> Self {
        Self {
            id: record.id(),
            version: record.version(),
        }
    }
}

impl Done {
    fn has_deactivated(&self) -> bool {
        matches!(self, Self::Changed(_, true) | Self::Deleted(_, true))
    }
}

/// What became of an operation, and what it was forgiven; `None` if it was not tried.
pub type BulkOutcome = Option<Result<(Done, Vec<Tolerance>), Error>>;

impl Directory {
    /// Does the operations of a bulk request, in one commit. An operation that fails
    /// changes nothing and undoes no other; the outcomes are in the order of the request.
    /// One for which `may` is false is refused as [`Error::Forbidden`].
    pub fn bulk(
        &self,
        bulk: Bulk,
        may: impl Fn(&Action) -> bool,
        leniency: &Leniency,
        caller: &Caller,
    ) -> Result<Vec<BulkOutcome>, Error> {
        self.store.await_look()?;
        let order = bulk.order();
        let asked = Asked {
            caller: caller.clone(),
            clock: Arc::clone(&self.clock),
        };
        let state = Arc::new(Mutex::new(State::new(&bulk, &order)));
        let mut operations: Vec<Option<Operation>> =
            bulk.operations.into_iter().map(Some).collect();
        let mut plans = Vec::with_capacity(order.len());
        for &index in &order {
            let operation = operations[index].take();
            let operation = operation.expect("an order names each operation once");
            let task = {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                Task::new(operation, &may, leniency, &mut state.budget)
            };
            let (state, asked) = (Arc::clone(&state), asked.clone());
            plans.push(move |view: &View<'_>| {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.run(view, task, &asked)
            });
        }
        let results = self.store.write_all(plans)?;
        let done = results.iter().flatten();
        let deactivated = done.filter(|(done, _)| done.has_deactivated()).count();
        if deactivated > 0 {
            self.note_deactivations(caller, deactivated as u64);
        }
        let mut outcomes: Vec<BulkOutcome> = (0..order.len()).map(|_| None).collect();
        for (index, result) in order.into_iter().zip(results) {
            outcomes[index] = match result {
                Ok(done) => Some(Ok(done)),
                Err(Some(error)) => Some(Err(error)),
                Err(None) => None,
            };
        }
        Ok(outcomes)
    }
}

/// An operation, read as far as it can be before the ids are known.
struct Task {
    /// The `bulkId` under which it creates a user, also if it is refused.
    creates: Option<String>,
    preconditions: Preconditions,
    reading: Reading,
    leniency: Leniency,
}

/// How far an operation is read.
enum Reading {
    /// It refers to nothing: reading it is then not the writer's work.
    Whole(Work),
    /// It refers to what is created under these `bulkId`s.
    Refers(Action, BTreeSet<String>),
    /// It cannot be read, or must not be done.
    Refused(Error),
}

/// An action whose body is read.
enum Work {
    Create(User),
    Replace(Who, User, Option<Echo>),
    Modify(Who, Patch),
    Delete(Who),
}

impl Task {
    fn new(
        operation: Operation,
        may: impl Fn(&Action) -> bool,
        leniency: &Leniency,
        budget: &mut Budget,
    ) -> Self {
        let references = operation.references();
        let creates = matches!(operation.action, Ok(Action::Create(_)));
        let mut leniency = leniency.clone();
        let reading = match operation.action {
            Err(NoAction::Malformed(error)) => Reading::Refused(Error::Scim(error)),
            Err(NoAction::NotImplemented(endpoint)) => {
                Reading::Refused(Error::NotImplemented(endpoint))
            }
            Ok(action) if !may(&action) => Reading::Refused(Error::Forbidden),
            Ok(action) if !references.is_empty() => Reading::Refers(action, references),
            Ok(action) => match Work::read(action, &mut leniency, budget) {
                Ok(work) => Reading::Whole(work),
                Err(error) => Reading::Refused(Error::Scim(error)),
            },
        };
        Self {
            creates: operation.bulk_id.filter(|_| creates),
            preconditions: Preconditions::parse(operation.version.as_deref(), None),
            reading,
            leniency,
        }
    }
}

impl Work {
    fn read(
        action: Action,
        leniency: &mut Leniency,
        budget: &mut Budget,
    ) -> Result<Self, scim::Error> {
        Ok(match action {
            Action::Create(data) => Self::Create(User::parse_within(data, leniency, budget)?),
            Action::Replace(who, data) => {
                let echo = Echo::of(&data, leniency);
                Self::Replace(who, User::parse_within(data, leniency, budget)?, echo)
            }
            Action::Modify(who, data) => Self::Modify(who, Patch::parse(data, leniency)?),
            Action::Delete(who) => Self::Delete(who),
        })
    }
}

/// What the plans of one request know together. They run one after the other.
struct State {
    /// What is created under a `bulkId`, in the order in which it is done.
    created: HashMap<String, Creation>,
    is_settled: bool,
    failures: usize,
    failures_max: usize,
    /// Of all patches together: they are applied while everybody who writes waits.
    budget: Budget,
}

/// A user that an operation creates.
struct Creation {
    /// The place among those that the request creates.
    place: u32,
    /// Settled when the first plan runs; a sequence that is not used is used by nobody.
    id: Option<UserId>,
    has_failed: bool,
}

impl State {
    fn new(bulk: &Bulk, order: &[usize]) -> Self {
        let creators: HashMap<usize, &str> = bulk
            .creators()
            .into_iter()
            .map(|(id, index)| (index, id))
            .collect();
        let in_order = order.iter().filter_map(|index| creators.get(index));
        let created = in_order.zip(0..).map(|(id, place)| {
            let creation = Creation {
                place,
                id: None,
                has_failed: false,
            };
            ((*id).to_owned(), creation)
        });
        Self {
            created: created.collect(),
            is_settled: false,
            failures: 0,
            failures_max: bulk.fail_on_errors.unwrap_or(usize::MAX),
            budget: Budget::default(),
        }
    }

    /// The plan of one operation; an error of `None` says that it was not tried.
    #[allow(
        clippy::type_complexity,
        reason = "it is what the store's plans return, with the outcome of an operation in it"
    )]
    fn run(
        &mut self,
        view: &View<'_>,
        task: Task,
        asked: &Asked,
    ) -> Result<Result<(Change, (Done, Vec<Tolerance>)), Option<Error>>, ReadError> {
        if self.failures >= self.failures_max {
            return Ok(Err(None));
        }
        self.settle(view)?;
        let creates = task.creates.clone();
        let planned = change::alone(self.perform(view, task, asked))?;
        if planned.is_err() {
            self.failures += 1;
            if let Some(creation) = creates.and_then(|id| self.created.get_mut(&id)) {
                creation.has_failed = true;
            }
        }
        Ok(planned.map_err(Some))
    }

    /// Settles the ids of everything that the request creates, so that operations can refer
    /// to each other in a circle.
    fn settle(&mut self, view: &View<'_>) -> Result<(), ReadError> {
        if self.is_settled {
            return Ok(());
        }
        self.is_settled = true;
        let Some(next) = view.next_user()? else {
            return Ok(());
        };
        for creation in self.created.values_mut() {
            let sequence = next.checked_add(creation.place);
            creation.id = sequence.filter(|id| *id < u32::MAX).map(UserId::new);
        }
        Ok(())
    }

    fn perform(
        &mut self,
        view: &View<'_>,
        task: Task,
        asked: &Asked,
    ) -> Planned<(Done, Vec<Tolerance>)> {
        let Task {
            creates,
            preconditions,
            reading,
            mut leniency,
        } = task;
        let work = match self.read(reading, &mut leniency) {
            Ok(work) => work,
            Err(error) => return Ok(Err(error)),
        };
        let who = match &work {
            Work::Create(_) => creates.as_deref().and_then(|id| self.id_of(id)),
            Work::Replace(who, ..) | Work::Modify(who, _) | Work::Delete(who) => match who {
                Who::Id(id) => UserId::parse(id),
                Who::BulkId(id) => self.id_of(id),
            },
        };
        let Some(id) = who else {
            return Ok(Err(Error::NotFound));
        };
        let edit = match work {
            Work::Create(user) => {
                let tolerances = leniency.used().to_vec();
                let created = change::create(view, id, user, asked)?;
                return Ok(created.map(|(change, written)| {
                    (
                        change,
                        (Done::Created(Made::of(&written.record)), tolerances),
                    )
                }));
            }
            Work::Replace(_, user, echo) => Edit::Replace { user, echo },
            Work::Modify(_, patch) => Edit::Modify(patch),
            Work::Delete(_) => {
                let deleted = change::delete(view, id, &preconditions, asked)?;
                let done = |was_active| (Done::Deleted(id, was_active), Vec::new());
                return Ok(deleted.map(|(change, was_active)| (change, done(was_active))));
            }
        };
        let budget = &mut self.budget;
        let changed = change::edit(view, id, edit, &preconditions, leniency, budget, asked)?;
        Ok(changed.map(|(change, written)| {
            let done = Done::Changed(Made::of(&written.record), written.was_deactivated);
            (change, (done, written.tolerances))
        }))
    }

    /// What an operation does, with identifiers where it referred to others.
    fn read(&mut self, reading: Reading, leniency: &mut Leniency) -> Result<Work, Error> {
        let (mut action, references) = match reading {
            Reading::Whole(work) => return Ok(work),
            Reading::Refers(action, references) => (action, references),
            Reading::Refused(error) => return Err(error),
        };
        for reference in references {
            match self.created.get(&reference) {
                Some(creation) if !creation.has_failed && creation.id.is_some() => {}
                Some(_) => return Err(Error::Unresolved(reference)),
                None => {
                    return Err(Error::Scim(scim::Error::new(
                        ErrorType::InvalidValue,
                        format!(
                            "no operation creates the bulkId {}",
                            scim::error::quoted(&reference)
                        ),
                    )));
                }
            }
        }
        let id_of = |reference: &str| Some(self.id_of(reference)?.to_string());
        if let Action::Create(data) | Action::Replace(_, data) | Action::Modify(_, data) =
            &mut action
        {
            resolve(data, &id_of)?;
        }
        Ok(Work::read(action, leniency, &mut self.budget)?)
    }

    /// The id of what is created under a `bulkId`.
    fn id_of(&self, bulk_id: &str) -> Option<UserId> {
        self.created.get(bulk_id)?.id
    }
}

fn resolve(data: &mut Value, id_of: &impl Fn(&str) -> Option<String>) -> Result<(), Error> {
    bulk::resolve_references(data, id_of).map_err(|unresolved| Error::Unresolved(unresolved.0))
}
