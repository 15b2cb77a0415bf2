//! What the writer does after a failure: it reopens the database, however long that takes, and lets
//! readers have what can be read meanwhile.
//!
//! When redb panics over a damaged page, its open database can still be read. But it cannot be
//! opened again, because that verifies every page. So it is kept open, and only writes are refused.

use std::time::Duration;

use super::callers::Outcome;
use super::error::guarded;
use super::opening::{Known, Open, close};
use super::syncer::Unanswered;
use super::writer::Writer;
use super::{OpenError, Shared};
use crate::files::is_lack_of_space;
use crate::fix::Fix;

const REOPEN_PAUSE_MIN: Duration = Duration::from_millis(50);
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(5);
/// The longest pause while the file is damaged: each attempt reads all of it, and hardly any helps.
const DAMAGED_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The pause between two looks at a database that is kept open.
const HELD_PAUSE: Duration = Duration::from_secs(1);

/// What to do about a damaged store.
pub const RESTORE: &str = "stop the server; then {program} backup restore FILE";

/// An error that may come again and again. It is logged the first time, the second, the fourth, the
/// eighth, and so on.
#[derive(Default)]
struct Repeated {
    text: String,
    times: u32,
}

impl Repeated {
    fn log(&mut self, text: &str) {
        if self.is_due(text) {
            log::error!("{text}");
        }
    }

    fn is_due(&mut self, text: &str) -> bool {
        if self.text != text {
            *self = Self {
                text: text.to_owned(),
                times: 0,
            };
        }
        self.times = self.times.wrapping_add(1);
        self.times.is_power_of_two()
    }
}

impl Writer {
    /// Keeps a database open over whose damage redb has panicked, if it cannot be opened again or
    /// its file is lost: readers go on with the state that is published, and writes are refused.
    /// Returns whether nothing will be queued any more.
    pub(super) fn hold(
        &self,
        open: &Open,
        known: &Known,
        unanswered: &mut Option<Unanswered>,
    ) -> bool {
        loop {
            let tried = guarded(|| self.try_again_beside(known));
            // Closing a lost file would destroy its content, whatever is at its path now.
            let is_lost = self.shared.presence.look();
            match tried {
                Err(OpenError::Damaged(how)) if !is_lost => {
                    // It was only told as failing while its file was lost.
                    self.shared.health.set_damaged();
                    log::error!(
                        "the store is damaged ({how}): what can be read of it is served until the \
                         server stops, and nothing is changed; fix: {}",
                        Fix::new(RESTORE)
                    );
                }
                _ => {
                    // Readers wait for the file, and are not told that it is damaged.
                    self.shared.health.set_failing();
                    if !is_lost {
                        return false;
                    }
                }
            }
            if let Some(unanswered) = unanswered.take() {
                self.leave_unknown(unanswered);
            }
            if let Some(is_closed) = self.refuse_while_held(open, is_lost) {
                return is_closed;
            }
        }
    }

    /// Refuses writes until nothing will be queued any more (`Some(true)`), until nothing can be
    /// read (`Some(false)`), or until the file, if it `is_lost`, is back (`None`).
    fn refuse_while_held(&self, open: &Open, is_lost: bool) -> Option<bool> {
        loop {
            match self.queue.refuse_for(HELD_PAUSE) {
                None => return Some(true),
                Some(_) if is_lost && !self.shared.presence.look() => return None,
                // Somebody could not read. After a failed read of the disk, nobody can.
                Some(true) if guarded(|| Ok(self.snapshot(open)?)).is_err() => return Some(false),
                Some(_) => {}
            }
        }
    }

    /// Reopens the database, however long that takes. The callers of the failed batch are answered
    /// at the first attempt. Returns `None` when nothing will be queued any more.
    pub(super) fn recover(&self, known: &Known, unanswered: Option<Unanswered>) -> Option<Open> {
        let (mut faults, mut unread) = (Repeated::default(), Repeated::default());
        let mut pause_max = match self.reopen(known) {
            Ok(open) => {
                if let Some(unanswered) = unanswered {
                    // The commit is in the file, but a disk that has just failed cannot be relied
                    // on.
                    if unanswered.head == open.chain {
                        unanswered.callers.answer(Outcome::Unknown);
                    } else {
                        unanswered.callers.answer(Outcome::Failed);
                        self.shared.audit_queue.give_back(unanswered.audit_rows);
                    }
                }
                return Some(open);
            }
            Err(error) => self.shared.report_fault(&error, &mut faults),
        };
        if let Some(unanswered) = unanswered {
            self.leave_unknown(unanswered);
        }
        let mut pause = REOPEN_PAUSE_MIN;
        let mut view = None;
        loop {
            if view.is_none() {
                view = self.view(known, &mut unread);
            }
            let is_suspect = self.queue.refuse_for(pause)?;
            pause = (pause * 2).min(pause_max);
            if is_suspect && let Some(view) = view.take() {
                // After one failed read of this view every other read fails, too.
                self.shared.publish(None);
                let _ = close(view);
            }
            // Readers keep this view meanwhile: a failing disk may take long to close the file.
            let is_held = view.as_ref().is_some_and(Open::try_lock);
            let made_up = guarded(|| self.unsynced.make_up(&self.site.opener, is_held));
            if let Err(error) = made_up {
                pause_max = self.shared.report_fault(&error, &mut faults);
                continue;
            }
            self.shared.publish(None);
            if let Some(view) = view.take() {
                let _ = close(view);
            }
            match self.reopen(known) {
                Ok(open) => return Some(open),
                Err(error) => pause_max = self.shared.report_fault(&error, &mut faults),
            }
        }
    }

    /// Answers the callers of a batch of which it is not known what the disk has kept.
    fn leave_unknown(&self, unanswered: Unanswered) {
        unanswered.callers.answer(Outcome::Unknown);
        // A duplicate row is better than a lost one.
        self.shared.audit_queue.give_back(unanswered.audit_rows);
    }

    /// Publishes a view of a storage that takes no writes. `None` if the storage cannot be read
    /// either.
    fn view(&self, known: &Known, unread: &mut Repeated) -> Option<Open> {
        let view = guarded(|| {
            let view = self.open_for_reading(Some(known))?;
            self.publish(&view)?;
            Ok(view)
        });
        view.inspect_err(|error| unread.log(&format!("the store cannot be read either: {error}")))
            .ok()
    }

    fn reopen(&self, known: &Known) -> Result<Open, OpenError> {
        let open = guarded(|| {
            let open = self.open_for_writing(Some(known))?;
            self.publish(&open)?;
            Ok(open)
        })?;
        if known.is_ahead_of(&open) {
            let first = open.chain.next_sequence;
            log::error!(
                "the disk has lost confirmed changes: row {first} of the audit trail, and those after it"
            );
        }
        self.shared.health.set_well();
        log::warn!("the store was reopened after a failure");
        Ok(open)
    }
}

impl Shared {
    /// Returns the longest pause before the next attempt.
    fn report_fault(&self, error: &OpenError, faults: &mut Repeated) -> Duration {
        faults.log(&format!("the store cannot be reopened yet: {error}"));
        match error {
            OpenError::Io(error) if is_lack_of_space(error) => self.health.set_full(),
            OpenError::Damaged(_) => {
                self.health.set_damaged();
                return DAMAGED_PAUSE_MAX;
            }
            _ => self.health.set_failing(),
        }
        REOPEN_PAUSE_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::{fs, thread};

    use super::super::backend::StorageFault;
    use super::super::file::{Site, create_if_absent};
    use super::super::opening::abandon;
    use super::*;

    /// The writer of a new store at `path`.
    fn writer(path: &Path) -> Writer {
        create_if_absent(path).expect("made");
        let no_user = |_: &[u8]| Err("there is no user".to_owned());
        Writer::new(Site::file(path), no_user, Shared::default(), true)
    }

    /// Waits until that is so, for half a minute at most.
    fn wait_for(is_so: impl Fn() -> bool) {
        for _ in 0..30_000 {
            if is_so() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Readers who meet the short time in which it is opened again would be told of damage, and
    /// the server would not be ready any more until it stops.
    #[test]
    fn a_file_that_can_be_opened_again_is_not_damaged_after_a_panic() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let writer = writer(&path);
        let open = writer.open(Duration::ZERO).expect("it is there");
        let known = open.known(&writer.shared);
        let fault = || writer.shared.health.fault();
        writer.shared.health.set_damaged();
        assert!(!writer.hold(&open, &known, &mut None));
        assert_ne!(fault(), Some(StorageFault::Damaged));
        close(open).expect("closed");
        writer.recover(&known, None).expect("opened again");
        assert_eq!(fault(), None);
    }

    #[test]
    fn a_file_that_is_lost_stays_open_after_a_panic_until_it_is_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let [path, away] = ["users.redb", "away"].map(|name| folder.path().join(name));
        let writer = writer(&path);
        let open = writer.open(Duration::ZERO).expect("it is there");
        let known = open.known(&writer.shared);
        let is_held_to_the_end = || {
            writer.shared.health.set_damaged();
            writer.hold(&open, &known, &mut None)
        };
        fs::rename(&path, &away).expect("there");
        thread::scope(|scope| {
            let held = scope.spawn(is_held_to_the_end);
            wait_for(|| writer.shared.presence.is_lost());
            fs::rename(&away, &path).expect("there");
            wait_for(|| held.is_finished());
            writer.queue.close();
            assert!(!held.join().expect("no panic"), "it is not opened again");
        });
        fs::remove_file(&path).expect("there");
        assert!(is_held_to_the_end(), "it is closed");
    }

    #[test]
    fn a_lost_file_that_comes_back_damaged_is_told_as_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        let [path, away] = ["users.redb", "away"].map(|name| folder.path().join(name));
        let writer = writer(&path);
        let open = writer.open(Duration::ZERO).expect("it is there");
        let known = open.known(&writer.shared);
        writer.shared.health.set_damaged();
        let fault = || writer.shared.health.fault();
        fs::rename(&path, &away).expect("there");
        thread::scope(|scope| {
            let held = scope.spawn(|| writer.hold(&open, &known, &mut None));
            wait_for(|| fault() == Some(StorageFault::Failing));
            let file = fs::OpenOptions::new().write(true).open(&away);
            let length = fs::metadata(&away).expect("there").len();
            let pages = vec![0xA5; usize::try_from(length).expect("small") - 4096];
            file.expect("ours")
                .write_all_at(&pages, 4096)
                .expect("damaged");
            fs::rename(&away, &path).expect("there");
            wait_for(|| fault() == Some(StorageFault::Damaged));
            let told = fault();
            writer.queue.close();
            assert!(held.join().expect("no panic"), "it was given up");
            assert_eq!(told, Some(StorageFault::Damaged));
        });
        abandon(open);
    }

    #[test]
    fn what_comes_again_and_again_is_logged_ever_more_rarely() {
        let mut repeated = Repeated::default();
        let mut told = Vec::new();
        for (number, text) in [(1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "b"), (6, "a")] {
            if repeated.is_due(text) {
                told.push(number);
            }
        }
        assert_eq!(told, [1, 2, 4, 5, 6]);
    }
}
