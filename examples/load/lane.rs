//! A lane is a client with its connection. One thread drives several.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::drive::{Samples, to_f64};
use crate::wire::{Connection, PATIENCE, Target};

/// The requests that a client sends in one turn: one, or several after each other.
pub(crate) trait Turn: Send {
    /// The first request. `turn` counts this client's turns from 0.
    fn first(&mut self, turn: usize) -> &[u8];

    /// The next request, after `asked` requests of the turn and this answer to the last of them;
    /// `None` if the turn is over. Fails if the answer is not the expected one.
    fn next(
        &mut self,
        turn: usize,
        asked: usize,
        answer: Answer<'_>,
    ) -> io::Result<Option<Vec<u8>>>;
}

/// The server's answer.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    /// Fails with the answer if it has another status, or if its body lacks this text.
    pub(crate) fn expect(self, status: u16, text: &str) -> io::Result<()> {
        if self.status == status && memchr::memmem::find(self.body, text.as_bytes()).is_some() {
            return Ok(());
        }
        let body = String::from_utf8_lossy(self.body);
        Err(io::Error::other(format!("{}: {body}", self.status)))
    }
}

/// Turns at a fixed rate: the time from the start to the first turn, and then from each turn to the
/// next, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Every {
    pub(crate) first: f64,
    pub(crate) then: f64,
}

impl Every {
    pub(crate) fn due(self, start: Instant, turn: usize) -> Instant {
        start + Duration::from_secs_f64(self.first + self.then * to_f64(turn))
    }
}

/// A client with its connection.
pub(crate) struct Lane<'a> {
    target: &'a Target,
    client: Box<dyn Turn>,
    connection: Option<Connection>,
    /// When turns are due; without it, each turn is due as soon as the previous one is over.
    every: Option<Every>,
    turn: usize,
    due: Instant,
    /// Requests sent in this turn; 0 before it begins.
    asked: usize,
}

impl<'a> Lane<'a> {
    pub(crate) fn new(target: &'a Target, client: Box<dyn Turn>, every: Option<Every>) -> Self {
        Self {
            target,
            client,
            connection: target.connect().ok(),
            every,
            turn: 0,
            due: Instant::now(),
            asked: 0,
        }
    }

    fn is_asking(&self) -> bool {
        self.asked > 0
    }

    fn set_due(&mut self, start: Instant) {
        let every = self.every;
        self.due = every.map_or_else(Instant::now, |every| every.due(start, self.turn));
    }

    /// Begins a turn, or continues it with what was received. Returns whether the turn is over.
    fn step(&mut self) -> io::Result<bool> {
        let connection = self.connection.as_mut();
        let connection = connection.ok_or(io::ErrorKind::NotConnected)?;
        if self.asked == 0 {
            self.asked = 1;
            connection.send(self.client.first(self.turn))?;
            return Ok(false);
        }
        let Some(status) = connection.receive()? else {
            return Ok(false);
        };
        let body = connection.body();
        let answer = Answer { status, body };
        match self.client.next(self.turn, self.asked, answer)? {
            Some(request) => {
                self.asked += 1;
                connection.send(&request)?;
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// Takes a step, and counts the turn if that ends it.
    fn go_on(&mut self, start: Instant, samples: &mut Samples) {
        match self.step() {
            Ok(false) => return,
            Ok(true) => samples.count(self.due),
            Err(error) => {
                samples.fail(1, || error.to_string());
                // The responder has a thread for each connection, and none to spare.
                self.connection = None;
                self.connection = self.target.connect().ok();
            }
        }
        self.asked = 0;
        self.turn += 1;
        self.set_due(start);
    }
}

/// Lets the clients of one thread take all turns that are due within this time.
pub(crate) fn run(mut lanes: Vec<Lane<'_>>, duration: Duration) -> Samples {
    let (mut samples, start) = (Samples::default(), Instant::now());
    let end = start + duration;
    for lane in &mut lanes {
        lane.set_due(start);
    }
    loop {
        lanes.retain(|lane| lane.is_asking() || lane.due < end);
        if lanes.is_empty() {
            break;
        }
        for at in wait(&lanes) {
            let lane = &mut lanes[at];
            lane.go_on(start, &mut samples);
            // Begin the next turn at once, before reading the others' answers.
            if !lane.is_asking() && lane.due < end && lane.due <= Instant::now() {
                lane.go_on(start, &mut samples);
            }
        }
    }
    samples.elapsed = start.elapsed().max(duration);
    samples
}

/// Waits until some lanes have something to do, and returns which.
fn wait(lanes: &[Lane<'_>]) -> Vec<usize> {
    let (asking, idle): (Vec<usize>, Vec<usize>) =
        (0..lanes.len()).partition(|&at| lanes[at].is_asking());
    if idle.is_empty() && lanes.len() == 1 {
        // The read waits as well, which saves a call.
        return asking;
    }
    let first = idle.iter().map(|&at| lanes[at].due).min();
    let longest = first.map_or(PATIENCE, |due| {
        due.saturating_duration_since(Instant::now())
    });
    let connections = asking
        .iter()
        .filter_map(|&at| lanes[at].connection.as_ref());
    let mut polled: Vec<_> = connections
        .map(|it| PollFd::new(it.socket(), PollFlags::IN))
        .collect();
    let longest = Timespec::try_from(longest).expect("it is less than a minute");
    let came = poll(&mut polled, Some(&longest)).expect("sockets can be polled");
    assert!(came > 0 || first.is_some(), "the server does not answer");
    let answered = asking.iter().zip(&polled);
    let answered = answered.filter_map(|(&at, it)| (!it.revents().is_empty()).then_some(at));
    let now = Instant::now();
    let due = idle.iter().copied().filter(|&at| lanes[at].due <= now);
    answered.chain(due).collect()
}
