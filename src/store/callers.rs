//! Those who wait for the writer, and their answer. It is handed to as many of them as the machine
//! has processors, and each hands it to the next one.
//!
//! ```text
//! answer ─┬─▶ caller ─▶ caller ─▶ caller …
//!         └─▶ caller ─▶ caller ─▶ caller …
//! ```
//!
//! If all were woken at once, they would all compete with the writer for the processors. It would
//! help to put off their answers until the next commit is written, but in this way 64 clients make
//! a tenth more changes a second (`load --only "patch active"`).

use std::num::NonZero;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;
use std::vec::IntoIter;

use crate::locks::ignore_poison;

/// How many processors this process may use.
pub(super) static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

/// The outcome of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// The whole batch is on disk.
    Committed,
    /// The batch had nothing to write.
    Unchanged,
    /// No part of the batch is on disk.
    Failed,
    /// No part of the batch was written, since the file is no longer where it was opened.
    Lost,
    /// No part of the batch is on disk, since the file is damaged.
    Damaged,
    /// The disk failed during the write. Either it could not be read back to see what it kept, or
    /// it kept the batch but cannot be relied on. Or the file was lost during the commit.
    Unknown,
    /// A bug: no part of the batch is on disk.
    Panicked,
    /// The batch was not begun: the writer has ended.
    Closed,
}

/// All who wait for the same outcome. If a bug drops this without an answer, they are told that the
/// outcome is unknown.
#[derive(Default)]
pub(super) struct Callers(Vec<Arc<Caller>>);

/// The place of a caller who waits for an outcome. It must be dropped as soon as the outcome is
/// known: only then does the next caller learn it.
pub(super) struct Ticket(Arc<Caller>);

#[derive(Default)]
struct Caller {
    reply: Mutex<Reply>,
    changed: Condvar,
}

#[derive(Default)]
enum Reply {
    #[default]
    Awaited,
    Given(Arc<Answer>),
    /// The caller has gone.
    Unwanted,
}

/// An outcome, and the callers who have not been told yet.
struct Answer {
    outcome: Outcome,
    untold: Mutex<IntoIter<Arc<Caller>>>,
}

impl Callers {
    /// Adds a caller, who waits with the returned ticket.
    pub(super) fn join(&mut self) -> Ticket {
        let caller = Arc::<Caller>::default();
        self.0.push(Arc::clone(&caller));
        Ticket(caller)
    }

    /// Adds callers, who will be told after these.
    pub(super) fn extend(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn answer(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        let answer = Arc::new(Answer {
            outcome,
            untold: Mutex::new(std::mem::take(&mut self.0).into_iter()),
        });
        for _ in 0..*PROCESSORS {
            answer.pass_on();
        }
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.tell(Outcome::Unknown);
        }
    }
}

impl Answer {
    /// Tells the next caller who has not gone.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let next = ignore_poison(self.untold.lock()).next();
            if next.is_none_or(|caller| caller.take(self)) {
                return;
            }
        }
    }
}

impl Caller {
    /// Takes the answer, unless the caller has gone. Returns whether it was taken.
    fn take(&self, answer: &Arc<Answer>) -> bool {
        let mut reply = self.reply();
        if matches!(*reply, Reply::Unwanted) {
            return false;
        }
        *reply = Reply::Given(Arc::clone(answer));
        drop(reply);
        self.changed.notify_one();
        true
    }

    fn reply(&self) -> MutexGuard<'_, Reply> {
        ignore_poison(self.reply.lock())
    }
}

impl Ticket {
    /// The outcome, if it comes within `patience`.
    pub(super) fn wait(&self, patience: Duration) -> Option<Outcome> {
        let (reply, _) = ignore_poison(self.0.changed.wait_timeout_while(
            self.0.reply(),
            patience,
            |reply| matches!(reply, Reply::Awaited),
        ));
        match &*reply {
            Reply::Given(answer) => Some(answer.outcome),
            Reply::Awaited | Reply::Unwanted => None,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let reply = std::mem::replace(&mut *self.0.reply(), Reply::Unwanted);
        if let Reply::Given(answer) = reply {
            answer.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn every_caller_is_told_though_others_have_gone() {
        let (woken, told) = mpsc::channel();
        let mut callers = Callers::default();
        let mut waiting = 0;
        for caller in 0..*PROCESSORS * 10 {
            let ticket = callers.join();
            if caller % 5 < 2 {
                continue;
            }
            waiting += 1;
            let woken = woken.clone();
            thread::spawn(move || woken.send(ticket.wait(Duration::MAX)));
        }
        // Some are woken, and others look for the first time after the answer.
        thread::sleep(Duration::from_millis(5));
        callers.answer(Outcome::Committed);
        for _ in 0..waiting {
            let told = told.recv_timeout(Duration::from_secs(60));
            assert!(matches!(told, Ok(Some(Outcome::Committed))));
        }
    }

    #[test]
    fn no_more_callers_are_told_at_once_than_there_are_processors() {
        let mut callers = Callers::default();
        let mut tickets: Vec<_> = (0..*PROCESSORS + 2).map(|_| callers.join()).collect();
        callers.answer(Outcome::Committed);
        let told = |tickets: &[Ticket]| {
            let told = tickets
                .iter()
                .filter(|it| it.wait(Duration::ZERO).is_some());
            told.count()
        };
        assert_eq!(told(&tickets), *PROCESSORS);
        // The next one goes before it is its turn.
        tickets.remove(*PROCESSORS);
        tickets.remove(0);
        assert_eq!(told(&tickets), *PROCESSORS);
    }
}
