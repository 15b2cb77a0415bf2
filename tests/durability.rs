//! A 2xx means that the change is on disk: the server is killed with SIGKILL while 50 writers are
//! at work, started again, and asked for everything that it had acknowledged.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use golinks_scim::directory::describe;
use golinks_scim::idp::client::Client;
use golinks_scim::secret::{self, Secret};
use golinks_scim::store::Store;
use serde_json::{Value, json};

use crate::support;
use crate::support::wire::PATIENCE;
use crate::support::{Server, number};

const WRITERS: usize = 50;

/// What the server has told one writer about its user.
struct Told {
    id: String,
    user_name: String,
    /// The last acknowledged title.
    title: u64,
    /// The title of the request that got no answer, if there was one.
    in_flight: Option<u64>,
}

#[test]
#[ignore = "long: 1,000 rounds; KILL_ROUNDS=N runs fewer"]
fn kill_9_loses_no_acknowledged_write() {
    kill_rounds(number("KILL_ROUNDS", 1000));
}

#[test]
fn three_rounds_of_kill_9_lose_no_acknowledged_write() {
    kill_rounds(3);
}

#[test]
fn an_ordinary_restart_loses_nothing_either() {
    let mut server = Server::start_with(&["--rate-limit", "off"]);
    let token = Arc::new(server.token("okta"));
    let acknowledged = Arc::default();
    let writers = start_writers(&server, &token, "restart", &acknowledged);
    await_writes(&acknowledged, 2 * WRITERS);
    // By SIGTERM: requests that were read are answered, and the exit status is 0.
    server.restart();
    let told = join(writers);
    assert!(!told.is_empty(), "nothing was written before the restart");
    check(&server, &token, &told);
    server.stop();
}

fn kill_rounds(rounds: usize) {
    let mut server = Server::start_with(&["--rate-limit", "off"]);
    let token = Arc::new(server.token("okta"));
    let (mut users, mut acknowledged) = (0, 0);
    for round in 0..rounds {
        let acknowledged_now = Arc::default();
        let writers = start_writers(&server, &token, &round.to_string(), &acknowledged_now);
        await_writes(&acknowledged_now, 1);
        std::thread::sleep(moment());
        server.kill_and_restart();
        let told = join(writers);
        check(&server, &token, &told);
        users += told.len();
        acknowledged += told.iter().map(|told| told.title + 1).sum::<u64>();
    }
    assert!(
        acknowledged > 0,
        "nothing was acknowledged in {rounds} rounds"
    );
    let listed = server.import(&token).users.len();
    assert!(
        listed >= users,
        "{listed} users are listed, {users} were acknowledged"
    );
    let changes = audited_changes(server);
    assert!(
        changes >= acknowledged,
        "{changes} audit rows for {acknowledged} acknowledged writes"
    );
    println!("{rounds} rounds: {acknowledged} acknowledged writes to {users} users, 0 lost");
}

/// Waits until `count` writes were acknowledged.
fn await_writes(acknowledged: &AtomicUsize, count: usize) {
    let until = Instant::now() + PATIENCE;
    while acknowledged.load(Ordering::SeqCst) < count {
        assert!(Instant::now() < until, "nothing is written");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A random time between 50 and 250 ms.
fn moment() -> Duration {
    let [byte] = secret::random();
    Duration::from_millis(50 + u64::from(byte) * 200 / 255)
}

type Writers = Vec<std::thread::JoinHandle<Option<Told>>>;

fn start_writers(
    server: &Server,
    token: &Arc<Secret>,
    round: &str,
    acknowledged: &Arc<AtomicUsize>,
) -> Writers {
    (0..WRITERS)
        .map(|writer| {
            let (client, token) = (server.client(), Arc::clone(token));
            let user_name = format!("round{round}.writer{writer}@example.com");
            let acknowledged = Arc::clone(acknowledged);
            std::thread::spawn(move || write_until_cut(client, &token, user_name, &acknowledged))
        })
        .collect()
}

fn join(writers: Writers) -> Vec<Told> {
    writers
        .into_iter()
        .filter_map(|writer| writer.join().expect("a writer does not panic"))
        .collect()
}

/// Creates a user and counts up in its title, by PATCH and PUT in turn, until the server is gone.
/// `None` if not even the create was acknowledged.
fn write_until_cut(
    mut client: Client,
    token: &Secret,
    user_name: String,
    acknowledged: &AtomicUsize,
) -> Option<Told> {
    let created = send(
        &mut client,
        token,
        "POST",
        "/Users",
        Some(&body(&user_name, 0)),
    )?;
    let mut told = Told {
        id: created["id"].as_str().expect("an id").to_owned(),
        user_name,
        title: 0,
        in_flight: None,
    };
    loop {
        acknowledged.fetch_add(1, Ordering::SeqCst);
        let next = told.title + 1;
        told.in_flight = Some(next);
        let target = format!("/Users/{}", told.id);
        let answer = if next.is_multiple_of(2) {
            send(
                &mut client,
                token,
                "PUT",
                &target,
                Some(&body(&told.user_name, next)),
            )
        } else {
            let patch = json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "value": {"title": next.to_string()}}]
            });
            send(&mut client, token, "PATCH", &target, Some(&patch))
        };
        if answer.is_none() {
            return Some(told);
        }
        told.title = next;
        told.in_flight = None;
    }
}

fn body(user_name: &str, title: u64) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": user_name, "title": title.to_string(),
        "name": {"givenName": "Kill", "familyName": "Nine"},
        "emails": [{"value": user_name, "type": "work", "primary": true}],
    })
}

/// Sends a request; `None` if there was no answer, or the answer says that the server is stopping.
fn send(
    client: &mut Client,
    token: &Secret,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Option<Value> {
    let authorization = format!("Bearer {}", token.reveal());
    let response = support::send(client, &authorization, method, target, body).ok()?;
    if response.status == 503 {
        return None;
    }
    let text = String::from_utf8_lossy(&response.body).into_owned();
    assert!(
        response.status < 300,
        "{method} {target}: {} {text}",
        response.status
    );
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// Asserts that every acknowledged user is there once, as last acknowledged or as the one request
/// without an answer would have left it.
fn check(server: &Server, token: &Secret, told: &[Told]) {
    let mut client = server.client();
    for told in told {
        let target = format!("/Users/{}", told.id);
        let user = send(&mut client, token, "GET", &target, None).expect("the server answers");
        let title: u64 = user["title"]
            .as_str()
            .and_then(|title| title.parse().ok())
            .unwrap_or_else(|| panic!("{user}"));
        let allowed = title == told.title || Some(title) == told.in_flight;
        assert!(
            allowed,
            "{} was told title {} and has {title}\n{}",
            told.user_name,
            told.title,
            server.log()
        );
        let filter = format!("/Users?filter=userName%20eq%20%22{}%22", told.user_name);
        let found = send(&mut client, token, "GET", &filter, None).expect("the server answers");
        assert_eq!(found["totalResults"], 1, "{}", told.user_name);
        assert_eq!(found["Resources"][0]["id"], told.id.as_str());
    }
}

/// The number of creates and changes in the audit trail. Asserts that its chain is whole, and that
/// the version in each user's last row equals the number of the user's rows.
fn audited_changes(server: Server) -> u64 {
    let directory = server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let store = Store::open(&path, Duration::ZERO, describe).expect("the store opens");
    let snapshot = store.snapshot().expect("the store is open");
    let mut rows: HashMap<String, u64> = HashMap::new();
    let mut versions: HashMap<String, String> = HashMap::new();
    snapshot
        .check_audits(0, u64::MAX, |_, row| {
            let row: Value = serde_json::from_str(row).expect("JSON");
            if let Some(user) = row["user"].as_str() {
                *rows.entry(user.to_owned()).or_default() += 1;
                versions.insert(user.to_owned(), row["version"].to_string());
            }
        })
        .expect("the audit trail can be read")
        .expect("the audit chain holds");
    for (user, count) in &rows {
        assert_eq!(versions[user], format!("\"W/\\\"{count}\\\"\""), "{user}");
    }
    assert_eq!(rows.len() as u64, snapshot.users().len());
    rows.values().sum()
}
