//! A reversal: the attributes of one user before the changes that are undone, read from the user's
//! audit rows, and the plan that restores them.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::attribute_values;
use super::audit::{self, AttributeChange, CREATE, DELETE, UNDO, UserEvent};
use super::change::{self, ChangeContext, Planned, Unplanned};
use super::draft::Decided;
use super::record::Record;
use super::record_of;
use super::undo::{Manner, Obstacle, UndoEffect, Undone};
use super::user_id::UserId;
use crate::limits;
use crate::scim::fold::fold;
use crate::scim::{User, json};
use crate::secret::{self, Digest};
use crate::store::{Change, ReadError, View};

/// Orders the reversals so that a user who gives up a userName comes before the user who gets it
/// back. The others stay in the order of their creation.
pub(super) fn givers_first(reversals: Vec<Reversal>) -> Vec<Reversal> {
    let renamed = reversals.iter().enumerate();
    let holders: HashMap<String, usize> = renamed
        .filter(|(_, it)| it.targets.contains_key("userName"))
        .map(|(at, it)| (fold(&it.user_name), at))
        .collect();
    let holder = |reversal: &Reversal| {
        let name = reversal.targets.get("userName")?.value.as_str()?;
        holders.get(&fold(name)).copied()
    };
    let awaited: Vec<_> = reversals.iter().map(holder).collect();
    let mut waiting: Vec<_> = reversals.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    for first in 0..waiting.len() {
        let mut chain = Vec::new();
        let mut next = Some(first);
        // This also ends at a cycle of names: a reversal in the chain no longer waits.
        while let Some((at, reversal)) = next.and_then(|at| Some((at, waiting[at].take()?))) {
            chain.push(reversal);
            next = awaited[at];
        }
        ordered.extend(chain.into_iter().rev());
    }
    ordered
}

/// The attributes of one user before the changes that are undone.
pub(super) struct Reversal {
    id: UserId,
    user_name: String,
    /// The user's version after the newest row that was taken in.
    version: String,
    changes: Vec<u64>,
    /// By attribute. Attributes of the extension are named by their paths, see
    /// [`attribute_values`].
    targets: BTreeMap<String, Target>,
    is_creation: bool,
    /// The sequence of the deletion, if a deletion is to be undone.
    deletion: Option<u64>,
    pub(super) bytes: usize,
}

/// What an attribute is restored to.
#[derive(Default)]
struct Target {
    value: Value,
    /// The change before which the attribute had this value, if that is not the first change.
    reset: Option<u64>,
    /// The later changes of the attribute, from the first one by another principal on, without
    /// those that were undone: their sequences, each with a digest of the replaced value, since one
    /// user may have very many.
    touches: Vec<(u64, Digest)>,
    /// Who made the first of them.
    toucher: String,
}

impl Target {
    fn of(value: Value) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }

    /// Takes in the attribute's next change. If it is an undo of the last of the touches and
    /// restores the value before them, they are removed, and none may be left. Any other change is
    /// one more, even if it sets the same value again.
    fn touch(&mut self, sequence: u64, change: &AttributeChange, by: &str, undoes: &[u64]) {
        if self.touches.is_empty() {
            by.clone_into(&mut self.toucher);
        }
        let stays = |(touch, _): &(u64, Digest)| !undoes.contains(touch);
        let kept = self.touches.iter().rposition(stays).map_or(0, |at| at + 1);
        match self.touches.get(kept) {
            Some((_, before)) if *before == digest(&change.after) => self.touches.truncate(kept),
            _ => self.touches.push((sequence, digest(&change.before))),
        }
    }
}

impl Reversal {
    pub(super) fn of(id: UserId) -> Self {
        Self {
            id,
            user_name: String::new(),
            version: String::new(),
            changes: Vec::new(),
            targets: BTreeMap::new(),
            is_creation: false,
            deletion: None,
            bytes: 0,
        }
    }

    /// The outcome of the undo of these changes.
    pub(super) fn undone(&self, outcome: Result<UndoEffect, Obstacle>) -> Undone {
        Undone {
            user: self.id,
            user_name: self.user_name.clone(),
            changes: self.changes.clone(),
            is_creation: self.is_creation,
            outcome,
        }
    }

    /// Takes in the user's next row.
    pub(super) fn take(&mut self, sequence: u64, mut event: UserEvent, is_selected: bool) {
        let changes = event.changes.into_iter();
        event.changes = changes.flat_map(attribute_values::single_changes).collect();
        self.version.clone_from(&event.version);
        self.user_name.clone_from(&event.user_name);
        let is_end = event.kind == DELETE;
        if is_selected {
            self.select(sequence, event);
        } else {
            self.pass(sequence, event);
        }
        if is_end {
            // Nothing is restored, and other users may have the name.
            self.targets.clear();
        }
    }

    /// Takes in a row whose change is to be undone.
    fn select(&mut self, sequence: u64, event: UserEvent) {
        self.changes.push(sequence);
        match event.kind.as_str() {
            CREATE => {
                self.is_creation = true;
                let inactive = Target::of(Value::Bool(false));
                self.targets = BTreeMap::from([("active".to_owned(), inactive)]);
            }
            DELETE => self.deletion = Some(sequence),
            _ => {}
        }
        for change in event.changes {
            // Undoing the creation only deactivates the user, so its other changes stay.
            if self.is_creation {
                self.select_status(sequence, &change);
            } else {
                self.select_change(sequence, change);
            }
        }
    }

    /// Takes in a change that is to be undone. The undo restores what was there before the first of
    /// them, or the value of another principal that a later one overwrote.
    fn select_change(&mut self, sequence: u64, change: AttributeChange) {
        let known = self.targets.get(&change.attribute);
        if known.is_none_or(|known| !known.touches.is_empty()) {
            let target = Target {
                reset: known.map(|_| sequence),
                ..Target::of(change.before)
            };
            self.targets.insert(change.attribute, target);
        }
    }

    /// Takes in a later selected change of a user whose creation is to be undone, which has only
    /// the status as its target. If it overwrote another principal's deactivation, the undo
    /// restores the deactivation, which is what it would do anyway; an activation by another
    /// principal remains an obstacle.
    fn select_status(&mut self, sequence: u64, change: &AttributeChange) {
        let status = self.targets.get_mut(&change.attribute);
        let Some(status) = status.filter(|status| !status.touches.is_empty()) else {
            return;
        };
        if change.before == Value::Bool(true) {
            status.reset = Some(sequence);
        } else if status.reset.is_none() {
            status.touches.clear();
        }
    }

    /// Takes in a row whose change stays.
    fn pass(&mut self, sequence: u64, event: UserEvent) {
        let is_own = |change: &u64| self.changes.binary_search(change).is_ok();
        let is_own_undo = event.kind == UNDO
            && event.undoes.iter().all(is_own)
            // A full list names only the newest, and the others may be anybody's changes.
            && event.undoes.len() < limits::UNDO_CHANGES_TOLD_MAX;
        for change in event.changes {
            let Some(target) = self.targets.get_mut(&change.attribute) else {
                continue;
            };
            // An undo of these changes restores the target value, unless all the changes that it
            // undoes are older than `reset`, before which the attribute had it.
            let restores = is_own_undo && target.reset.as_ref() <= event.undoes.last();
            if !restores || !target.touches.is_empty() {
                target.touch(sequence, &change, &event.principal, &event.undoes);
            }
        }
    }

    pub(super) fn plan(
        &self,
        view: &View<'_>,
        manner: Manner,
        context: &ChangeContext,
    ) -> Result<Result<(Change, UndoEffect), Obstacle>, ReadError> {
        let refused = |obstacle| Ok(Err(obstacle));
        let record = match change::settled(self.retrieve(view))? {
            Ok(Some(record)) => record,
            // If the user is gone, the undo of its creation has nothing to do.
            Ok(None) if self.is_creation => {
                return Ok(Ok((Change::none(), UndoEffect::default())));
            }
            Ok(None) => return refused(self.end(view)?),
            Err(error) => return refused(Obstacle::Other(error)),
        };
        if record.version() != self.version {
            return refused(Obstacle::Meanwhile);
        }
        let attributes = self.differing(&record);
        let touched = attributes.iter().find_map(|name| {
            let target = &self.targets[name];
            Some((name, target, target.touches.first()?.0))
        });
        if !manner.is_forced
            && let Some((attribute, target, by_change)) = touched
        {
            return refused(Obstacle::Touched {
                attribute: attribute.clone(),
                by_change,
                principal: target.toucher.clone(),
            });
        }
        let values = self.short_values(&record, &attributes);
        let planned = change::settled(self.restore(view, record, context))?;
        Ok(planned.map_err(Obstacle::Other).map(|(change, written)| {
            let restored = UndoEffect {
                attributes,
                values,
                lost_access: written.lost_access,
            };
            (change, restored)
        }))
    }

    /// Why nothing is undone for a user who does not exist.
    fn end(&self, view: &View<'_>) -> Result<Obstacle, ReadError> {
        let Some(change) = self.deletion else {
            return Ok(Obstacle::Gone);
        };
        let name = fold(&self.user_name);
        let named = view
            .user_by_name(name.as_bytes())
            .map_err(Unplanned::Unread);
        Ok(match change::settled(named)? {
            Ok(named) => Obstacle::Deletion {
                change,
                is_name_taken: named.is_some(),
            },
            Err(error) => Obstacle::Other(error),
        })
    }

    /// The current and previous values of these attributes, where both are short.
    fn short_values(&self, record: &Record, attributes: &[String]) -> Vec<(String, Value, Value)> {
        let now = record.user().attributes();
        let is_short = |value: &Value| value.to_string().len() <= limits::UNDO_VALUE_BYTES_MAX;
        let values = attributes.iter().filter_map(|name| {
            let now = attribute_values::value_of(now, name);
            let before = &self.targets[name].value;
            let are_short = is_short(now) && is_short(before);
            are_short.then(|| (name.clone(), now.clone(), before.clone()))
        });
        values.collect()
    }

    /// The user's current state, if it still exists.
    fn retrieve(&self, view: &View<'_>) -> Result<Option<Record>, Unplanned> {
        Ok(record_of(self.id, view.user(self.id.sequence())?)?)
    }

    /// The attributes that do not have their target values.
    fn differing(&self, record: &Record) -> Vec<String> {
        let now = record.user().attributes();
        self.targets
            .iter()
            .filter(|(name, target)| *attribute_values::value_of(now, name) != target.value)
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn restore(
        &self,
        view: &View<'_>,
        record: Record,
        context: &ChangeContext,
    ) -> Planned<super::Written> {
        let mut attributes = record.user().attributes().clone();
        for (path, target) in &self.targets {
            attribute_values::assign(&mut attributes, path, &target.value);
        }
        let user = User::from_attributes(attributes);
        let newest = self
            .changes
            .len()
            .saturating_sub(limits::UNDO_CHANGES_TOLD_MAX);
        let decided = Decided::of(record, user, context, |after, differences, now| {
            let undoes = &self.changes[newest..];
            audit::undone(&context.caller, now, after, differences, undoes)
        })?;
        decided.put(view)
    }
}

fn digest(value: &Value) -> Digest {
    secret::sha256(json::text(value).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change_of_title(kind: &str, undoes: Vec<u64>) -> UserEvent {
        UserEvent {
            time: String::new(),
            principal: "token:0a:okta".to_owned(),
            kind: kind.to_owned(),
            user_name: "jane".to_owned(),
            version: String::new(),
            changes: vec![AttributeChange {
                attribute: "title".to_owned(),
                before: Value::Null,
                after: Value::Null,
            }],
            undoes,
        }
    }

    #[test]
    fn an_undo_that_may_not_name_all_that_it_undoes_counts_as_somebody_elses_change() {
        let most = limits::UNDO_CHANGES_TOLD_MAX as u64;
        for (named, is_own) in [(most - 1, true), (most, false)] {
            let mut reversal = Reversal::of(UserId::new(1));
            for change in 1..=named {
                reversal.take(change, change_of_title("modify", Vec::new()), true);
            }
            let undo = change_of_title(UNDO, (1..=named).collect());
            reversal.take(named + 1, undo, false);
            let touches = &reversal.targets["title"].touches;
            assert_eq!(touches.is_empty(), is_own, "{named}");
        }
    }
}
