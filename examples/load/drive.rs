//! Sends requests without a pause between them (closed loop), or at a fixed rate (open loop). In an
//! open loop, the time of each request counts from when it was due, even if it was sent later.
//!
//! One thread per core drives its share of the connections. With a thread for each of 64
//! connections, the generator took a fifth of the machine from the server that it measures.

use std::num::NonZero;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::lane::{self, Every, Lane, Turn};
use crate::wire::Target;

/// The measurements of some turns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// The time of each turn in microseconds, ascending once they were added to others.
    pub(crate) micros: Vec<u32>,
    pub(crate) requests: usize,
    pub(crate) errors: usize,
    /// What the first of the errors says.
    pub(crate) error: Option<String>,
    pub(crate) elapsed: Duration,
}

impl Samples {
    /// Counts one more turn, which began or was due at `since`.
    pub(crate) fn count(&mut self, since: Instant) {
        self.requests += 1;
        let micros = since.elapsed().as_micros();
        self.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
    }

    /// Counts failures, of which the first is told.
    pub(crate) fn fail(&mut self, count: usize, error: impl FnOnce() -> String) {
        self.errors += count;
        self.error.get_or_insert_with(error);
    }

    /// Counts the failures of others.
    pub(crate) fn fail_too(&mut self, count: usize, error: Option<String>) {
        self.errors += count;
        self.error = self.error.take().or(error);
    }

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

    /// Joins the samples of threads that ran side by side, without sorting them: that would count
    /// as CPU time of the database, which runs in this process.
    pub(crate) fn together(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.micros.extend(part.micros);
            all.requests += part.requests;
            all.fail_too(part.errors, part.error);
            all.elapsed = all.elapsed.max(part.elapsed);
        }
        all
    }

    /// Adds samples that were taken later.
    pub(crate) fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.micros.sort_unstable();
        self.requests += other.requests;
        self.fail_too(other.errors, other.error);
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
    /// As soon as the previous one is answered.
    Closed,
    /// At this many turns a second, by all clients together.
    Open(f64),
}

impl Pace {
    /// When this one of so many clients takes its turns; `None` in a closed loop.
    pub(crate) fn every(self, number: usize, clients: usize) -> Option<Every> {
        match self {
            Self::Closed => None,
            Self::Open(rate) => Some(Every {
                first: to_f64(number) / rate,
                then: to_f64(clients) / rate,
            }),
        }
    }
}

/// Lets clients take turns for this long, each on a connection of its own.
pub(crate) fn drive(
    target: &Target,
    clients: Vec<Box<dyn Turn>>,
    pace: Pace,
    duration: Duration,
) -> Samples {
    let (count, cores) = (clients.len(), thread::available_parallelism());
    let threads = cores.map_or(1, NonZero::get).min(count);
    let mut shares: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, client) in clients.into_iter().enumerate() {
        shares[number % threads].push((number, client));
    }
    let ready = &Barrier::new(threads);
    let work = |share: Vec<(usize, Box<dyn Turn>)>| {
        let lanes = share
            .into_iter()
            .map(|(number, client)| Lane::new(target, client, pace.every(number, count)));
        let lanes = lanes.collect();
        ready.wait();
        lane::run(lanes, duration)
    };
    thread::scope(|scope| {
        let started = shares.into_iter().map(|it| scope.spawn(move || work(it)));
        let started: Vec<_> = started.collect();
        let parts = started.into_iter();
        Samples::together(parts.map(|it| it.join().expect("a thread ends")))
    })
}

/// Opens new connections, each for one request. Also returns how many resumed a session.
pub(crate) fn handshakes(
    target: &Target,
    request: &[u8],
    clients: usize,
    duration: Duration,
) -> (Samples, usize) {
    let exchange = || {
        let mut connection = target.connect()?;
        match connection.exchange(request)? {
            200 => Ok(connection.is_resumed()),
            status => Err(std::io::Error::other(status.to_string())),
        }
    };
    let resumed = AtomicUsize::new(0);
    let one = || {
        let (mut samples, start) = (Samples::default(), Instant::now());
        while start.elapsed() < duration {
            let begun = Instant::now();
            match exchange() {
                Ok(is_resumed) => {
                    samples.count(begun);
                    resumed.fetch_add(usize::from(is_resumed), Ordering::Relaxed);
                }
                Err(error) => samples.fail(1, || error.to_string()),
            }
        }
        samples.elapsed = start.elapsed();
        samples
    };
    let all = thread::scope(|scope| {
        let started: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
        let parts = started.into_iter();
        Samples::together(parts.map(|it| it.join().expect("a client ends")))
    });
    (all, resumed.into_inner())
}
