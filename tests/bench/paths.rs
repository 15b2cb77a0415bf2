//! Runs one hot path as often as asked, from the bytes of a request to the bytes of its answer,
//! without TLS. `tests/bench/counts` counts its instructions, which hardly vary between runs,
//! unlike times.
//!
//! ```text
//! cargo bench --bench paths -- get 1000
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use golinks_scim::access::Administrator;
use golinks_scim::api::{Api, Options, Tuning};
use golinks_scim::clock::SystemClock;
use golinks_scim::directory::describe;
use golinks_scim::http1::{Answer, Body, Head};
use golinks_scim::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USERS: usize = 2000;
const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn main() {
    let words: Vec<String> = std::env::args().filter(|it| it != "--bench").collect();
    let [_, path, count] = &words[..] else {
        panic!("paths get|name|page|scan|post|patch|put COUNT");
    };
    let count = count.parse().expect("a count");
    let place = Place::new();
    for turn in 0..count {
        place.take(path, turn);
    }
    place.api.close();
}

struct Place {
    api: Api,
    token: String,
    ids: Vec<String>,
    _folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("users.redb");
        let store = Store::open(&file, Duration::ZERO, describe).expect("a store");
        let options = Options {
            base_url: Some("https://scim.example.com/scim/v2".to_owned()),
            address: Some(([127, 0, 0, 1], 8443).into()),
            tuning: Tuning {
                rate_per_second: None,
                ..Tuning::default()
            },
            certificate: None,
            data_dir: folder.path().to_owned(),
            clock: Arc::new(SystemClock),
        };
        let mut place = Self {
            api: Api::new(store, options).expect("an API"),
            token: String::new(),
            ids: Vec::new(),
            _folder: folder,
        };
        let wanted = json!({"name": "counts", "scope": "full"});
        let issued = place.administer("/admin/tokens", &wanted);
        let token = issued["token"].as_str().expect("a token");
        place.token.push_str(token);
        for start in (0..USERS).step_by(500) {
            let create = |number: usize| {
                json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(),
                       "data": user(number)})
            };
            let all: Vec<Value> = (start..start + 500).map(create).collect();
            let made = place.send(
                "POST",
                "/Bulk",
                &json!({"schemas": [BULK], "Operations": all}),
                200,
            );
            let made: Value = serde_json::from_slice(&made).expect("JSON");
            let locations = made["Operations"].as_array().expect("answers").iter();
            let ids = locations.filter_map(|it| it["location"].as_str()?.rsplit('/').next());
            place.ids.extend(ids.map(str::to_owned));
        }
        assert_eq!(place.ids.len(), USERS);
        place
    }

    fn administer(&self, target: &str, body: &Value) -> Value {
        let head = Head::new("POST", target, &[]).expect("a head");
        let who = Administrator::from_local_socket("counts");
        let admitted = self.api.admit_administrator(&head, &who);
        let admission = admitted.unwrap_or_else(|_| panic!("{target} is refused"));
        let answer = self
            .api
            .answer(admission, Some(body.to_string().as_bytes()));
        serde_json::from_slice(&bytes_of(answer)).expect("JSON")
    }

    fn take(&self, path: &str, turn: usize) {
        let number = turn * 7 % USERS;
        let one = format!("/Users/{}", self.ids[number]);
        let nothing = Value::Null;
        match path {
            "get" => self.send("GET", &one, &nothing, 200),
            "name" => {
                let filter = format!("userName+eq+%22{}%22", name(number).replace('@', "%40"));
                self.send("GET", &format!("/Users?filter={filter}"), &nothing, 200)
            }
            "page" => {
                let start = number / 100 * 100 + 1;
                let target = format!("/Users?startIndex={start}&count=100");
                self.send("GET", &target, &nothing, 200)
            }
            "scan" => {
                let target = "/Users?filter=title+co+%22nobody+has+this%22&count=1";
                self.send("GET", target, &nothing, 200)
            }
            "post" => self.send("POST", "/Users", &user(USERS + turn), 201),
            "patch" => {
                let value = json!({"active": (turn / USERS) % 2 == 1});
                let body = json!({"schemas": [PATCH],
                                  "Operations": [{"op": "replace", "value": value}]});
                self.send("PATCH", &one, &body, 200)
            }
            "put" => {
                let mut body = user(number);
                body["title"] = json!(format!("Engineer {turn}"));
                self.send("PUT", &one, &body, 200)
            }
            other => panic!("there is no path {other}"),
        };
    }

    /// Handles a request as the HTTPS server does, but without the network.
    fn send(&self, method: &str, target: &str, body: &Value, wanted: u16) -> Vec<u8> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let described = if body.is_empty() {
            String::new()
        } else {
            format!(
                "Content-Type: application/scim+json\r\nContent-Length: {}\r\n",
                body.len()
            )
        };
        let head = format!(
            "{method} /scim/v2{target} HTTP/1.1\r\nHost: scim.example.com\r\n\
             Accept: application/scim+json\r\nAuthorization: Bearer {}\r\n\
             User-Agent: counts\r\n{described}\r\n",
            self.token
        );
        let (head, _) = Head::parse(head.as_bytes()).ok().flatten().expect("a head");
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let admitted = self.api.admit(&head, peer);
        let answer = match admitted {
            Ok(admission) => self.api.answer(admission, Some(body.as_bytes())),
            Err(refusal) => refusal.answer,
        };
        let status = answer.status;
        let bytes = bytes_of(answer);
        let told = || String::from_utf8_lossy(&bytes);
        assert_eq!(status, wanted, "{method} {target}: {}", told());
        bytes
    }
}

fn bytes_of(answer: Answer) -> Vec<u8> {
    match answer.body {
        Body::Empty => Vec::new(),
        Body::Bytes(bytes) => bytes,
        Body::Stream(pieces) => {
            let pieces: Result<Vec<_>, _> = pieces.collect();
            pieces.expect("the answer is whole").concat()
        }
    }
}

fn name(number: usize) -> String {
    format!("jane.doe.{number}@example.com")
}

fn user(number: usize) -> Value {
    let name = name(number);
    json!({
        "schemas": [CORE], "userName": name, "externalId": format!("00u{number:017}"),
        "displayName": format!("Jane Doe {number}"),
        "name": {"givenName": "Jane", "familyName": format!("Doe {number}")},
        "emails": [{"value": name, "type": "work", "primary": true}],
        "title": "Engineer", "active": true, "locale": "en-US"
    })
}
