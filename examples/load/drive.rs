//! Requests without a pause between them (closed loop), or at a fixed rate (open loop): there
//! the time of each counts from when it was due, whether or not it could be sent then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::wire::{Connection, Target};

/// What a client does in one turn: one or more requests. It gives how many.
pub(crate) trait Turn: Send {
    /// `turn` counts this client's turns from 0.
    fn take(&mut self, connection: &mut Connection, turn: usize) -> std::io::Result<usize>;
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// Of each turn, in microseconds, in ascending order.
    pub(crate) micros: Vec<u32>,
    pub(crate) requests: usize,
    pub(crate) errors: usize,
    pub(crate) elapsed: Duration,
}

impl Samples {
    pub(crate) fn per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64().max(1e-9);
        to_f64(self.requests) / seconds
    }

    /// A quantile in milliseconds.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place within the list"
        )]
        let at = (to_f64(self.micros.len()) * part) as usize;
        let micros = self.micros.get(at).or(self.micros.last());
        f64::from(micros.copied().unwrap_or(0)) / 1e3
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.micros.sort_unstable();
        self.requests += other.requests;
        self.errors += other.errors;
        self.elapsed += other.elapsed;
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of one run are small")]
pub(crate) fn to_f64(count: usize) -> f64 {
    count as f64
}

/// How requests follow each other.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as the one before is answered.
    Closed,
    /// So many turns a second, by all clients together.
    Open(f64),
}

/// Lets clients take their turns for some time, each on a connection of its own.
pub(crate) fn drive(
    target: &Target,
    clients: Vec<Box<dyn Turn>>,
    pace: Pace,
    duration: Duration,
) -> Samples {
    let count = clients.len();
    let ready = AtomicUsize::new(0);
    let parts: Vec<Samples> = thread::scope(|scope| {
        let started: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, client)| {
                let ready = &ready;
                scope.spawn(move || one(target, client, number, count, pace, duration, ready))
            })
            .collect();
        let parts = started.into_iter();
        parts.map(|it| it.join().expect("a client ends")).collect()
    });
    let mut all = Samples::default();
    for part in parts {
        let elapsed = all.elapsed.max(part.elapsed);
        all.micros.extend(part.micros);
        all.requests += part.requests;
        all.errors += part.errors;
        all.elapsed = elapsed;
    }
    all.micros.sort_unstable();
    all
}

fn one(
    target: &Target,
    mut client: Box<dyn Turn>,
    number: usize,
    count: usize,
    pace: Pace,
    duration: Duration,
    ready: &AtomicUsize,
) -> Samples {
    let mut samples = Samples::default();
    let mut connection = target.connect().ok();
    ready.fetch_add(1, Ordering::SeqCst);
    while ready.load(Ordering::SeqCst) < count {
        thread::yield_now();
    }
    let start = Instant::now();
    for turn in 0.. {
        let due = match pace {
            Pace::Closed => Instant::now(),
            Pace::Open(rate) => {
                let before = to_f64(turn * count + number);
                start + Duration::from_secs_f64(before / rate)
            }
        };
        if due.duration_since(start) >= duration {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let done = match &mut connection {
            Some(connection) => client.take(connection, turn),
            None => Err(std::io::ErrorKind::NotConnected.into()),
        };
        if let Ok(requests) = done {
            samples.requests += requests;
            let micros = due.elapsed().as_micros();
            samples
                .micros
                .push(u32::try_from(micros).unwrap_or(u32::MAX));
        } else {
            samples.errors += 1;
            connection = target.connect().ok();
        }
    }
    samples.elapsed = start.elapsed();
    samples
}

/// New connections, each for one request.
pub(crate) fn handshakes(
    target: &Target,
    request: &[u8],
    clients: usize,
    duration: Duration,
) -> Samples {
    let one = || {
        let (mut samples, start) = (Samples::default(), Instant::now());
        while start.elapsed() < duration {
            let begun = Instant::now();
            let done = target.connect().and_then(|mut it| it.exchange(request));
            if matches!(done, Ok(200)) {
                samples.requests += 1;
                let micros = begun.elapsed().as_micros();
                samples
                    .micros
                    .push(u32::try_from(micros).unwrap_or(u32::MAX));
            } else {
                samples.errors += 1;
            }
        }
        samples.elapsed = start.elapsed();
        samples
    };
    thread::scope(|scope| {
        let started: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
        let mut all = Samples::default();
        for it in started {
            let part = it.join().expect("a client ends");
            let elapsed = all.elapsed.max(part.elapsed);
            all.add(part);
            all.elapsed = elapsed;
        }
        all
    })
}
