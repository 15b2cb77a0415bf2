//! Scans: a filter that no index answers is decided row by row, and a sorted page needs a key of
//! everybody. Few queries scan at one time, those of several callers in turn, and none for long.

use std::time::Instant as Monotonic;

use super::Error;
use crate::limits;
use crate::scim::{self, ErrorType};
use crate::turns::{Turn, Turns};

/// Rows between two looks at the time and at whether the caller is still let in.
const ROWS_AT_A_STRETCH: u32 = 256;

/// Who asks a query.
pub struct Asker<'a> {
    /// Callers with different names come to their turns alike.
    pub name: &'a str,
    /// Whether the caller would be let in now: a token may have been taken back meanwhile.
    pub is_let_in: &'a dyn Fn() -> bool,
}

impl Asker<'static> {
    /// One who is always let in.
    pub const ANYBODY: Self = Self {
        name: "",
        is_let_in: &|| true,
    };
}

/// The scan of one query.
pub(super) struct Scan<'a> {
    asker: &'a Asker<'a>,
    turns: &'a Turns,
    /// The turn, and when it is over, if there is one.
    turn: Option<(Turn<'a>, Monotonic)>,
    rows: u32,
}

impl<'a> Scan<'a> {
    pub(super) fn new(asker: &'a Asker<'a>, turns: &'a Turns) -> Self {
        Self {
            asker,
            turns,
            turn: None,
            rows: 0,
        }
    }

    /// Waits for the turn that so many comparisons need.
    pub(super) fn await_comparisons(&mut self, comparisons: u64) -> Result<(), Error> {
        if comparisons <= limits::SCAN_COMPARISONS_WITHOUT_TURN {
            return Ok(());
        }
        self.await_turn()
    }

    pub(super) fn await_turn(&mut self) -> Result<(), Error> {
        if self.turn.is_none() {
            let turn = self.turns.take_for(self.asker.name, limits::SCAN_WAIT_MAX);
            let until = Monotonic::now() + limits::SCAN_DURATION_MAX;
            self.turn = Some((turn.ok_or(Error::Busy)?, until));
            self.look_at_asker()?;
        }
        Ok(())
    }

    fn look_at_asker(&self) -> Result<(), Error> {
        if (self.asker.is_let_in)() {
            Ok(())
        } else {
            Err(Error::Dismissed)
        }
    }

    /// At each row: an error ends it.
    pub(super) fn go_on(&mut self) -> Result<(), Error> {
        self.rows = self.rows.wrapping_add(1);
        if !self.rows.is_multiple_of(ROWS_AT_A_STRETCH) {
            return Ok(());
        }
        self.look_at_asker()?;
        match &self.turn {
            Some((_, until)) if Monotonic::now() > *until => Err(Error::Scim(scim::Error::new(
                ErrorType::TooMany,
                format!(
                    "the query was not done after {} s: compare id, userName, externalId, \
                         emails, active or meta.lastModified too, or compare less at once",
                    limits::SCAN_DURATION_MAX.as_secs()
                ),
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    fn to_the_end_of_a_stretch(scan: &mut Scan<'_>) -> Result<(), Error> {
        (0..ROWS_AT_A_STRETCH).try_for_each(|_| scan.go_on())
    }

    #[test]
    fn a_scan_ends_when_its_time_is_over_and_when_its_caller_is_let_in_no_more() {
        let turns = Turns::new(1);
        let is_let_in = Cell::new(true);
        let asker = Asker {
            name: "a",
            is_let_in: &|| is_let_in.get(),
        };
        let mut scan = Scan::new(&asker, &turns);
        scan.await_turn().expect("free");
        scan.await_turn().expect("had already");
        to_the_end_of_a_stretch(&mut scan).expect("in time");
        let (_, until) = scan.turn.as_mut().expect("taken");
        *until = Monotonic::now();
        let ended = to_the_end_of_a_stretch(&mut scan);
        assert!(matches!(
            ended,
            Err(Error::Scim(scim::Error {
                kind: ErrorType::TooMany,
                ..
            }))
        ));
        drop(scan);
        // What needs no turn has no time of its own, and is ended all the same.
        let _other = turns.take(Duration::ZERO).expect("given back");
        let mut scan = Scan::new(&asker, &turns);
        scan.await_comparisons(limits::SCAN_COMPARISONS_WITHOUT_TURN)
            .expect("needs none");
        to_the_end_of_a_stretch(&mut scan).expect("let in");
        is_let_in.set(false);
        let ended = to_the_end_of_a_stretch(&mut scan);
        assert!(matches!(ended, Err(Error::Dismissed)));
    }
}
