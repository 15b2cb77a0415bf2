//! Scans: a filter that no index answers is decided row by row, and a sorted page needs a key of
//! everybody. Few queries scan at one time, those of several callers in turn, and none for long.

use std::time::Instant as Monotonic;

use super::Error;
use crate::limits;
use crate::scim::{self, ErrorType};
use crate::turns::{Turn, Turns};

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
    /// Bytes compared since the last look at the time.
    compared: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(asker: &'a Asker<'a>, turns: &'a Turns) -> Self {
        Self {
            asker,
            turns,
            turn: None,
            compared: 0,
        }
    }

    /// Waits for a turn, if there is none yet.
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
        let is_let_in = (self.asker.is_let_in)();
        is_let_in.then_some(()).ok_or(Error::Dismissed)
    }

    /// Before each row, which is to be compared so often. An error ends the scan.
    pub(super) fn go_on(&mut self, row: &[u8], comparisons: usize) -> Result<(), Error> {
        self.take(row.len().saturating_mul(comparisons))
    }

    /// Before or after what takes as long as comparing so many bytes. An error ends the scan.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Error> {
        self.compared = self.compared.saturating_add(bytes);
        if self.compared < limits::SCAN_BYTES_WITHOUT_TURN {
            return Ok(());
        }
        self.compared = 0;
        self.await_turn()?;
        self.look_at_asker()?;
        match &self.turn {
            Some((_, until)) if Monotonic::now() > *until => Err(too_many()),
            _ => Ok(()),
        }
    }
}

fn too_many() -> Error {
    Error::Scim(scim::Error::new(
        ErrorType::TooMany,
        format!(
            "the query was not done after {} s: compare id, userName, externalId, emails, active \
             or meta.lastModified too, or compare less at once",
            limits::SCAN_DURATION_MAX.as_secs()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    const ROW: &[u8] = &[b'x'; 1024];

    /// As many rows as need no turn, each compared ten times, and one more.
    fn a_stretch(scan: &mut Scan<'_>) -> Result<(), Error> {
        let rows = limits::SCAN_BYTES_WITHOUT_TURN / (10 * ROW.len());
        (0..=rows).try_for_each(|_| scan.go_on(ROW, 10))
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
        scan.go_on(ROW, 10).expect("a little");
        assert!(scan.turn.is_none());
        a_stretch(&mut scan).expect("in time");
        assert!(turns.take(Duration::ZERO).is_none(), "it has the turn");
        let (_, until) = scan.turn.as_mut().expect("taken");
        *until = Monotonic::now();
        let ended = a_stretch(&mut scan);
        assert!(matches!(
            ended,
            Err(Error::Scim(scim::Error {
                kind: ErrorType::TooMany,
                ..
            }))
        ));
        drop(scan);

        is_let_in.set(false);
        let mut scan = Scan::new(&asker, &turns);
        let ended = scan.await_turn();
        assert!(matches!(ended, Err(Error::Dismissed)));
        let ended = a_stretch(&mut scan);
        assert!(matches!(ended, Err(Error::Dismissed)));
    }
}
