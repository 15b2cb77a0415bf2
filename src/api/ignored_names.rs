//! The names of attributes and schemas that identity providers have sent since the start, and that
//! were ignored because they are unknown here. If a value is missing in the directory, they show
//! whether it is mapped onto a wrong name.

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::limits;
use crate::locks::ignore_poison;
use crate::scim::{Tolerance, Tolerated};

/// The first names that were ignored, each once.
#[derive(Default)]
pub(super) struct IgnoredNames(Mutex<State>);

#[derive(Default)]
struct State {
    names: Vec<(Tolerance, String)>,
    /// Whether there were more names than there is room for.
    are_more: bool,
}

impl IgnoredNames {
    pub(super) fn note(&self, tolerated: &Tolerated) {
        if tolerated.ignored.is_empty() {
            return;
        }
        let mut state = ignore_poison(self.0.lock());
        for name in &tolerated.ignored {
            let is_it = |(tolerance, known): &(Tolerance, String)| {
                *tolerance == tolerated.tolerance && known == name
            };
            if state.names.iter().any(is_it) {
                continue;
            }
            if state.names.len() < limits::IGNORED_NAMES_MAX {
                state.names.push((tolerated.tolerance, name.clone()));
            } else {
                state.are_more = true;
            }
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let state = ignore_poison(self.0.lock());
        let names = state.names.iter();
        let names = names.map(|(by, name)| json!({"name": name, "tolerance": by.name()}));
        json!({"names": names.collect::<Vec<_>>(), "areMore": state.are_more})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_names_are_kept_each_once() {
        let ignored = IgnoredNames::default();
        let most = limits::IGNORED_NAMES_MAX;
        let note = |number: usize| {
            ignored.note(&Tolerated {
                tolerance: Tolerance::UnknownAttribute,
                ignored: vec![format!("a{number}")],
            });
        };
        let kept = || {
            let told = ignored.to_json();
            let names = told["names"].as_array().map(Vec::len);
            (names, told["areMore"] == true)
        };
        for number in (0..most).chain(0..most) {
            note(number);
        }
        assert_eq!(kept(), (Some(most), false));
        note(most);
        assert_eq!(kept(), (Some(most), true));
    }
}
