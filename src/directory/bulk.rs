//! Bulk requests (RFC 7644 section 3.7). Every operation is a plan of its own. All plans go into
//! one commit, and each sees the changes of those before it.
//!
//! ```text
//! Bulk ──▶ order ──▶ plan: ids of what will be created are assigned once, at the first
//!                     │
//!                     ├─ refused, or too many failures before: no change
//!                     └─ references become ids ──▶ create, edit, delete
//! ```
//!
//! Creations that refer to each other in a cycle are tried together, at the place of the last one.
//! Otherwise, if one failed, another would contain the id of a user who never existed.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::audit::Caller;
use super::change::{self, ChangeContext, Edit, Planned};
use super::record::Record;
use super::user_id::UserId;
use super::{Directory, Error};
use crate::locks::ignore_poison;
use crate::scim::bulk::{Action, NoAction, Operation, Who};
use crate::scim::fold::fold;
use crate::scim::user::Echo;
use crate::scim::{
    self, Budget, Bulk, ErrorType, Leniency, Patch, Preconditions, Tolerated, User, reference,
};
use crate::store::{Change, ReadError, View};

/// The outcome of one operation.
#[derive(Debug)]
pub enum Done {
    /// The user that it created.
    Created(Made),
    /// A user was changed.
    Changed {
        /// The user as it is now.
        user: Made,
        /// Whether a person has lost access by this change (see `change::has_access`).
        lost_access: bool,
    },
    /// A user was deleted.
    Deleted {
        /// The user's id.
        id: UserId,
        /// Whether a person has lost access by this deletion.
        lost_access: bool,
    },
}

/// The part of a user that the answer shows: a thousand whole users would not fit into memory.
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
    fn lost_access(&self) -> bool {
        match self {
            Self::Created(_) => false,
            Self::Changed { lost_access, .. } | Self::Deleted { lost_access, .. } => *lost_access,
        }
    }
}

/// The outcome of an operation and the tolerances it used; `None` if it was not tried.
pub type BulkOutcome = Option<Result<(Done, Vec<Tolerated>), Error>>;

impl Directory {
    /// Performs the operations of a bulk request in one commit. An operation that fails changes
    /// nothing and undoes no other. The outcomes are in the order of the request. An operation for
    /// which `may` returns false is refused with [`Error::Forbidden`].
    pub fn bulk(
        &self,
        bulk: Bulk,
        may: impl Fn(&Action) -> bool,
        leniency: &Leniency,
        caller: &Caller,
    ) -> Result<Vec<BulkOutcome>, Error> {
        self.store.await_check()?;
        let order = bulk.order();
        let context = self.context(caller);
        let mut state = State::new(&bulk, &order.concat());
        let mut outcomes: Vec<BulkOutcome> = bulk.operations.iter().map(|_| None).collect();
        let mut operations: Vec<Option<Operation>> =
            bulk.operations.into_iter().map(Some).collect();
        let mut read = |index: usize| {
            let operation = operations[index].take();
            let operation = operation.expect("an order names each operation once");
            Task::new(index, operation, &may, leniency, &mut state.reading)
        };
        let groups: Vec<Vec<Task>> = order
            .into_iter()
            .map(|together| together.into_iter().map(&mut read).collect())
            .collect();
        let state = Arc::new(Mutex::new(state));
        let mut plans = Vec::with_capacity(outcomes.len());
        for mut tasks in groups {
            // Each operation has a plan for its own change, but the plan of the first tries all of
            // them.
            for _ in 0..tasks.len() {
                let tasks = std::mem::take(&mut tasks);
                let (state, context) = (Arc::clone(&state), context.clone());
                plans.push(move |view: &View<'_>| {
                    let mut state = ignore_poison(state.lock());
                    state.run(view, tasks, &context)
                });
            }
        }
        let results = self.write_all(plans, caller, |(_, (done, _))| done.lost_access())?;
        for result in results {
            match result {
                Ok((index, done)) => outcomes[index] = Some(Ok(done)),
                Err(Some((index, error))) => outcomes[index] = Some(Err(error)),
                Err(None) => {}
            }
        }
        Ok(outcomes)
    }
}

/// An operation, read as far as possible before the ids are known.
struct Task {
    /// The place of the operation in the request.
    index: usize,
    /// The `bulkId` of the user that it creates, even if the operation is refused.
    creates: Option<String>,
    preconditions: Preconditions,
    reading: Reading,
    leniency: Leniency,
}

/// How far an operation has been read.
enum Reading {
    /// It refers to nothing, so it was read outside of the writer.
    Whole(Work),
    /// It refers to the users created under these `bulkId`s.
    Refers(Action, BTreeSet<String>),
    /// It cannot be read, or is not allowed.
    Refused(Error),
}

impl Reading {
    /// The `bulkId`s among these that it refers to.
    fn references_to(&self, bulk_ids: &BTreeSet<String>) -> BTreeSet<String> {
        match self {
            Self::Refers(_, references) => references & bulk_ids,
            Self::Whole(_) | Self::Refused(_) => BTreeSet::new(),
        }
    }
}

/// An action whose body was read.
enum Work {
    Create(User),
    Replace(Who, User, Option<Echo>),
    Modify(Who, Patch),
    Delete(Who),
}

impl Task {
    fn new(
        index: usize,
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
            index,
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

/// State that the plans of one request share. The plans run one after the other.
struct State {
    /// The creations, by `bulkId`.
    created: HashMap<String, Creation>,
    has_ids: bool,
    failures: usize,
    failures_max: usize,
    /// The budget for reading all operations.
    reading: Budget,
    /// The budget for performing all of them, while all other writes wait.
    doing: Budget,
    /// The folded names of the users that the operations tried together create.
    names: BTreeSet<String>,
    /// Operations that were tried, but whose plans have not run yet, with their positions in the
    /// request.
    tried: VecDeque<(usize, Tried)>,
}

/// What an operation changes, and its outcome.
type Tried = Result<(Change, (Done, Vec<Tolerated>)), Error>;

/// A user that an operation creates.
struct Creation {
    /// The position among the request's creations, in the order in which they are performed.
    place: u32,
    /// Assigned when the first plan runs. If the creation fails, nobody gets this id: a later
    /// request may use its sequence, but with another random part.
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
            has_ids: false,
            failures: 0,
            failures_max: bulk.fail_on_errors.unwrap_or(usize::MAX),
            reading: Budget::default(),
            doing: Budget::default(),
            names: BTreeSet::new(),
            tried: VecDeque::new(),
        }
    }

    /// The plan of one operation, given its position in the request. The error `None` means that it
    /// was not tried. `tasks` are all operations that are tried together, or empty if they were
    /// tried before.
    #[allow(
        clippy::type_complexity,
        reason = "it is what the store's plans return, with the outcome of an operation in it"
    )]
    fn run(
        &mut self,
        view: &View<'_>,
        tasks: Vec<Task>,
        context: &ChangeContext,
    ) -> Result<Result<(Change, (usize, (Done, Vec<Tolerated>))), Option<(usize, Error)>>, ReadError>
    {
        if self.failures >= self.failures_max {
            return Ok(Err(None));
        }
        self.assign_ids(view)?;
        if !tasks.is_empty() {
            self.tried = self.try_together(view, tasks, context)?;
        }
        let tried = self.tried.pop_front();
        let (index, tried) = tried.expect("all of a cycle are tried before the first is done");
        self.failures += usize::from(tried.is_err());
        Ok(match tried {
            Ok((change, done)) => Ok((change, (index, done))),
            Err(error) => Err(Some((index, error))),
        })
    }

    /// Tries one operation, or all operations of a cycle: if one of them fails, none changes
    /// anything. The operations that fail by themselves come first in the result, so that
    /// `failOnErrors` cannot hide them.
    fn try_together(
        &mut self,
        view: &View<'_>,
        tasks: Vec<Task>,
        context: &ChangeContext,
    ) -> Result<VecDeque<(usize, Tried)>, ReadError> {
        self.names.clear();
        let cycle: BTreeSet<String> = tasks.iter().filter_map(|it| it.creates.clone()).collect();
        let (mut failed, mut done) = (VecDeque::new(), VecDeque::new());
        for task in tasks {
            let (index, creates) = (task.index, task.creates.clone());
            let mut others = task.reading.references_to(&cycle);
            others.retain(|id| Some(id) != creates.as_ref());
            match change::settled(self.perform(view, task, context))? {
                Err(error) => {
                    self.fail_creation(creates.as_ref());
                    failed.push_back((index, Err(error)));
                }
                Ok(tried) => done.push_back((index, creates, others, tried)),
            }
        }
        if failed.is_empty() {
            let tried = done
                .into_iter()
                .map(|(index, _, _, tried)| (index, Ok(tried)));
            return Ok(tried.collect());
        }
        for (index, creates, others, _) in done {
            let has_failed = |id: &&String| self.created.get(*id).is_some_and(|it| it.has_failed);
            // The whole cycle fails. Name a creation that this one refers to and that has failed,
            // or the first one if none has failed yet.
            let other = others.iter().find(has_failed).or(others.first());
            let other = other.expect("each of a cycle refers to one of it");
            failed.push_back((index, Err(Error::Unresolved(other.clone()))));
            self.fail_creation(creates.as_ref());
        }
        Ok(failed)
    }

    /// Marks a creation as failed, so that operations that refer to its `bulkId` fail, too.
    fn fail_creation(&mut self, creates: Option<&String>) {
        if let Some(creation) = creates.and_then(|id| self.created.get_mut(id)) {
            creation.has_failed = true;
        }
    }

    /// Assigns ids to all creations of the request, once, so that operations can refer to each
    /// other in a cycle.
    fn assign_ids(&mut self, view: &View<'_>) -> Result<(), ReadError> {
        if self.has_ids {
            return Ok(());
        }
        self.has_ids = true;
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
        context: &ChangeContext,
    ) -> Planned<(Done, Vec<Tolerated>)> {
        let Task {
            creates,
            preconditions,
            reading,
            mut leniency,
            ..
        } = task;
        let work = self.read(reading, &mut leniency)?;
        let id = match &work {
            Work::Create(_) => {
                let id = creates.as_deref().and_then(|id| self.id_of(id));
                id.ok_or(Error::Exhausted)?
            }
            Work::Replace(who, ..) | Work::Modify(who, _) | Work::Delete(who) => match who {
                Who::Id(id) => UserId::parse(id),
                Who::BulkId(id) => self.id_of(id),
            }
            .ok_or(Error::NotFound)?,
        };
        let edit = match work {
            Work::Create(user) => {
                if !self.names.insert(fold(user.user_name())) {
                    return Err(Error::Uniqueness.into());
                }
                let tolerances = leniency.tolerated().to_vec();
                let (change, written) = change::create(view, id, user, context)?;
                let done = Done::Created(Made::of(&written.record));
                return Ok((change, (done, tolerances)));
            }
            Work::Replace(_, user, echo) => Edit::Replace { user, echo },
            Work::Modify(_, patch) => Edit::Modify(patch),
            Work::Delete(_) => {
                let budget = &mut self.doing;
                let (change, lost_access) =
                    change::delete(view, id, &preconditions, budget, context)?;
                return Ok((change, (Done::Deleted { id, lost_access }, Vec::new())));
            }
        };
        let budget = &mut self.doing;
        let (change, written) =
            change::edit(view, id, edit, &preconditions, leniency, budget, context)?;
        let done = Done::Changed {
            user: Made::of(&written.record),
            lost_access: written.lost_access,
        };
        Ok((change, (done, written.tolerances)))
    }

    /// Reads an operation, with its references replaced by ids.
    fn read(&mut self, reading: Reading, leniency: &mut Leniency) -> Result<Work, Error> {
        let (mut action, references) = match reading {
            Reading::Whole(work) => return Ok(work),
            Reading::Refers(action, references) => (action, references),
            Reading::Refused(error) => return Err(error),
        };
        for reference in references {
            match self.created.get(&reference) {
                Some(creation) if creation.has_failed => return Err(Error::Unresolved(reference)),
                // In a cycle, the creation has not been tried yet.
                Some(creation) if creation.id.is_none() => return Err(Error::Exhausted),
                Some(_) => {}
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
            reference::resolve(data, &id_of)
                .map_err(|unresolved| Error::Unresolved(unresolved.0))?;
        }
        Ok(Work::read(action, leniency, &mut self.reading)?)
    }

    /// The id of the user created under a `bulkId`.
    fn id_of(&self, bulk_id: &str) -> Option<UserId> {
        self.created.get(bulk_id)?.id
    }
}
