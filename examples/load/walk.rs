//! Workloads with something else going on at the same time: a full import while users are changed,
//! and retrievals while a filter looks at every user.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::drive::{Pace, Samples, drive};
use crate::lane::Turn;
use crate::wire::{Target, request};
use crate::work::{self, Kind, Known};

/// Changes per second while an import reads, and how many clients make them.
const WRITES_PER_SECOND: f64 = 50.0;
const WRITERS: usize = 4;

/// The figures of an import, besides the times of its pages.
pub(crate) struct Walk {
    /// Medians of the first and the last tenth of the pages, in milliseconds.
    pub(crate) first: f64,
    pub(crate) last: f64,
    /// The changes made meanwhile.
    pub(crate) writes: Samples,
}

/// Reads all users page by page, as Okta does, while others are changed. A turn is a page.
pub(crate) fn import(
    target: &Target,
    known: &std::sync::Arc<Known>,
    count: usize,
) -> (Samples, Walk) {
    let is_over = AtomicBool::new(false);
    let (micros, errors, elapsed, writes) = thread::scope(|scope| {
        let writing = scope.spawn(|| change(target, known, &is_over));
        let start = Instant::now();
        let (micros, errors) = read(target, known, count);
        let elapsed = start.elapsed();
        is_over.store(true, Ordering::SeqCst);
        (micros, errors, elapsed, writing.join().expect("it ends"))
    });
    let tenth = (micros.len() / 10).max(1);
    let median = |part: &[u32]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part.get(part.len() / 2)
            .map_or(0.0, |it| f64::from(*it) / 1e3)
    };
    let (first, last) = (
        median(&micros[..tenth.min(micros.len())]),
        median(&micros[micros.len().saturating_sub(tenth)..]),
    );
    let mut pages = Samples {
        requests: micros.len(),
        micros,
        errors,
        elapsed,
        ..Samples::default()
    };
    pages.micros.sort_unstable();
    let walk = Walk {
        first,
        last,
        writes,
    };
    (pages, walk)
}

/// The time of each page in order, in microseconds, and how many pages failed, or users were missed
/// or came twice.
fn read(target: &Target, known: &Known, count: usize) -> (Vec<u32>, usize) {
    let mut connection = target.connect().expect("the server answers");
    let (mut micros, mut errors) = (Vec::new(), 0);
    let mut is_seen = vec![false; known.users];
    for start in (1..=known.users).step_by(count) {
        let path = format!("/scim/v2/Users?startIndex={start}&count={count}");
        let page = request("GET", &path, &known.token, None);
        let begun = Instant::now();
        if matches!(connection.exchange(&page), Ok(200)) {
            let took = begun.elapsed().as_micros();
            micros.push(u32::try_from(took).unwrap_or(u32::MAX));
            for number in work::numbers(connection.body()) {
                match is_seen.get_mut(number) {
                    Some(is_seen) if !*is_seen => *is_seen = true,
                    _ => errors += 1,
                }
            }
        } else {
            errors += 1;
            connection = target.connect().expect("the server answers");
        }
    }
    errors += is_seen.into_iter().filter(|it| !it).count();
    (micros, errors)
}

/// Changes users at a fixed rate until the import is over.
fn change(target: &Target, known: &std::sync::Arc<Known>, is_over: &AtomicBool) -> Samples {
    let mut all = Samples::default();
    while !is_over.load(Ordering::SeqCst) {
        let clients = (0..WRITERS).map(|it| Kind::Patch.client(known, it));
        let pace = Pace::Open(WRITES_PER_SECOND);
        all.add(drive(
            target,
            clients.collect(),
            pace,
            Duration::from_millis(500),
        ));
    }
    all
}

/// Takes these turns while the filter of one more client looks at every user again and again. Also
/// returns how often per second it did.
pub(crate) fn beside_a_scan(
    target: &Target,
    known: &std::sync::Arc<Known>,
    clients: Vec<Box<dyn Turn>>,
    pace: Pace,
    duration: Duration,
) -> (Samples, f64) {
    thread::scope(|scope| {
        let scanning = scope.spawn(|| {
            let scan = vec![Kind::Scan.client(known, 0)];
            drive(target, scan, Pace::Closed, duration)
        });
        let mut samples = drive(target, clients, pace, duration);
        let scanned = scanning.join().expect("it ends");
        let per_second = scanned.per_second();
        samples.fail_too(scanned.errors, scanned.error);
        (samples, per_second)
    })
}
