//! API throttling as Okta experiences it: many jobs run at once, and each obeys `Retry-After`,
//! waits twice as long each further time, and gives up after ten tries. Every user must be created.
//!
//! ```text
//! cargo test --release --test main -- --ignored --exact --nocapture throttle::five_thousand_users_arrive_through_twenty_a_second
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Read, Write};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use golinks_scim::access::Limiter;

use crate::support::wire::{self, Door};
use crate::support::{Server, body, send};

const TRIES_MAX: u32 = 10;
const JOBS: usize = 50;
const RATE: u32 = 20;

/// A user to be created: when the next try is due, the user's number, and the number of tries so
/// far.
type Task = Reverse<(Instant, usize, u32)>;

/// How long Okta waits after a refusal: `Retry-After`, and twice as long each further time.
fn wait(retry_after: u32, tries: u32) -> Duration {
    Duration::from_secs(u64::from(retry_after) << (tries - 1).min(20))
}

/// Sends users through the limit in simulated time. Returns how many gave up.
fn simulated(users: usize, told: impl Fn(u32) -> u32) -> usize {
    let start = Instant::now();
    let limiter = Limiter::new(start);
    // Fifty jobs with 10 ms per request send 5,000 requests per second.
    let first = |user: usize| start + Duration::from_millis(user as u64 / 5);
    let mut tasks: BinaryHeap<Task> = (0..users)
        .map(|user| Reverse((first(user), user, 1)))
        .collect();
    let mut gave_up = 0;
    while let Some(Reverse((now, user, tries))) = tasks.pop() {
        if let Err(seconds) = limiter.admit(RATE, now) {
            if tries == TRIES_MAX {
                gave_up += 1;
            } else {
                tasks.push(Reverse((now + wait(told(seconds), tries), user, tries + 1)));
            }
        }
    }
    gave_up
}

#[test]
fn a_growing_retry_after_brings_everybody_through_and_a_fixed_one_does_not() {
    assert_eq!(simulated(5000, |seconds| seconds), 0);
    let gave_up = simulated(5000, |_| 1);
    println!("with Retry-After 1 for everybody, {gave_up} of 5,000 users give up");
    assert!(gave_up > 0, "a fixed wait would do as well");
}

/// The queue that all jobs share.
struct Queue {
    tasks: Mutex<(BinaryHeap<Task>, usize)>,
    changed: Condvar,
}

impl Queue {
    /// Waits for the next task that is due; `None` once all users are created.
    fn next(&self) -> Option<(usize, u32)> {
        let mut tasks = self.tasks.lock().expect("not poisoned");
        loop {
            if tasks.1 == 0 {
                return None;
            }
            let now = Instant::now();
            let pause = match tasks.0.peek() {
                Some(Reverse((due, ..))) if *due <= now => {
                    let Reverse((_, user, tries)) = tasks.0.pop().expect("it was there");
                    return Some((user, tries));
                }
                Some(Reverse((due, ..))) => *due - now,
                None => Duration::from_secs(1),
            };
            tasks = self
                .changed
                .wait_timeout(tasks, pause)
                .expect("not poisoned")
                .0;
        }
    }

    fn again(&self, due: Instant, user: usize, tries: u32) {
        let mut tasks = self.tasks.lock().expect("not poisoned");
        tasks.0.push(Reverse((due, user, tries)));
        self.changed.notify_one();
    }

    fn arrived(&self) {
        let mut tasks = self.tasks.lock().expect("not poisoned");
        tasks.1 -= 1;
        self.changed.notify_all();
    }
}

/// Creates users over TLS as fifty jobs of Okta do. Returns the greatest number of tries for a
/// user.
fn push(users: usize) -> u32 {
    let server = Server::start_with(&["--rate-limit", &RATE.to_string()]);
    let authorization = format!("Bearer {}", server.token("okta").reveal());
    let now = Instant::now();
    let queue = Queue {
        tasks: Mutex::new((
            (0..users).map(|user| Reverse((now, user, 1))).collect(),
            users,
        )),
        changed: Condvar::new(),
    };
    let most = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..JOBS {
            let mut client = server.client();
            let (queue, most, authorization) = (&queue, &most, &authorization);
            scope.spawn(move || {
                while let Some((user, tries)) = queue.next() {
                    let body = body(&format!("user{user}"));
                    let answer = send(&mut client, authorization, "POST", "/Users", Some(&body));
                    let response = answer.expect("an answer");
                    let mut most = most.lock().expect("not poisoned");
                    *most = (*most).max(tries);
                    drop(most);
                    if response.status == 201 {
                        queue.arrived();
                        continue;
                    }
                    assert_eq!(response.status, 429);
                    assert!(tries < TRIES_MAX, "user{user} gave up after {tries} tries");
                    let told = response
                        .header("retry-after")
                        .and_then(|text| text.parse().ok());
                    let due = Instant::now() + wait(told.expect("whole seconds"), tries);
                    queue.again(due, user, tries + 1);
                }
            });
        }
    });
    let listed = server.cli(&["user", "list", "-o", "jsonl"]);
    assert_eq!(listed.stdout.lines().count(), users);
    let most = *most.lock().expect("not poisoned");
    println!(
        "{users} users through {RATE} a second in {:?}, {most} tries at most",
        now.elapsed()
    );
    server.stop();
    most
}

/// No user needed more than three tries when this was measured; one more is for a busy machine.
const TRIES_SEEN_MAX: u32 = 4;

#[test]
fn a_hundred_and_sixty_users_arrive_through_twenty_a_second() {
    // A burst of 100 passes at this rate, and the others have to wait.
    assert!(push(160) <= TRIES_SEEN_MAX);
}

#[test]
#[ignore = "the long form: some five minutes"]
fn five_thousand_users_arrive_through_twenty_a_second() {
    assert!(push(5000) <= TRIES_SEEN_MAX);
}

/// All requests are admitted before the operations of any are counted, and yet only one is
/// executed.
#[test]
fn bulk_requests_that_come_at_once_pass_the_rate_no_more_than_one_after_the_other() {
    const AT_ONCE: usize = 10;
    const RATE: &str = "10";
    let door = Door::to(Server::start_with(&["--rate-limit", RATE]));
    let create = |number: usize| {
        serde_json::json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(),
                           "data": {"schemas": []}})
    };
    let operations: Vec<_> = (0..200).map(create).collect();
    let body = serde_json::json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": operations,
    })
    .to_string();
    let head = format!(
        "POST /scim/v2/Bulk HTTP/1.1\r\nHOST\r\nContent-Type: application/scim+json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut all: Vec<_> = (0..AT_ONCE).map(|_| door.connect()).collect();
    for tls in &mut all {
        tls.write_all(&door.with_token(&head)).expect("taken");
        // A client that is told to continue was admitted.
        let mut interim = [0; 25];
        tls.read_exact(&mut interim).expect("an answer");
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    for tls in &mut all {
        tls.write_all(body.as_bytes()).expect("taken");
    }
    let answers: Vec<_> = all.iter_mut().map(|tls| wire::read(tls, false)).collect();
    let passed = answers.iter().filter(|it| it.status == 200).count();
    let refused = answers.iter().filter(|it| it.status == 429);
    assert_eq!((passed, refused.clone().count()), (1, AT_ONCE - 1));
    for answer in refused {
        let told = answer.header("retry-after").expect("when to come back");
        assert!(told.parse::<u32>().expect("seconds") > 1, "{told}");
    }
}
