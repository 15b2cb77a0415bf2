//! The workloads: what clients request of the server, each as a client's turns.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lane::{Answer, Turn};
use crate::seed;
use crate::wire::request;

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const TITLE: &str = "\"title\":\"";

/// The directory under load, as the clients know it.
pub(crate) struct Known {
    pub(crate) token: String,
    pub(crate) users: usize,
    /// Ids of some users, from all over the directory.
    pub(crate) ids: Vec<String>,
    /// Counts created users, so that each has a name of its own.
    pub(crate) created: AtomicUsize,
    /// How often each owner has modified its users. Who is active follows from this.
    pub(crate) modified: [AtomicUsize; OWNERS],
}

/// How many clients own users. Each changes only its own, so that every request really changes a
/// user.
pub(crate) const OWNERS: usize = 64;

/// The user with this number and title, as JSON text: the generator must not take the time that a
/// JSON value would cost.
pub(crate) fn user(number: usize, title: &str) -> String {
    let (name, external_id) = (name(number), external_id(number));
    format!(
        r#"{{"schemas":["{CORE}"],"userName":"{name}","externalId":"{external_id}","displayName":"Jane Doe {number}","name":{{"givenName":"Jane","familyName":"Doe {number}"}},"emails":[{{"value":"{name}","type":"work","primary":true}}],"title":"{title}","active":true,"locale":"en-US"}}"#
    )
}

pub(crate) fn name(number: usize) -> String {
    format!("jane.doe.{number}@example.com")
}

pub(crate) fn external_id(number: usize) -> String {
    format!("00u{number:017}")
}

/// The user that a client changes next, in order, as a place among those with known ids.
pub(crate) fn own(client: usize, turn: usize) -> usize {
    let own = seed::IDS / OWNERS;
    client % OWNERS * own + turn % own
}

/// The number of a client's round through its own users, so that a user gets another number each
/// time.
fn round(turn: usize) -> usize {
    turn / (seed::IDS / OWNERS)
}

/// What a client requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Name,
    /// A page of 100, this many percent into the directory.
    Page(usize),
    Post,
    Patch,
    Put,
    GetPut,
    /// Four reads to each write.
    Mix,
    /// A filter that looks at every user.
    Scan,
}

/// How many clients a workload has, and what it is compared with.
#[derive(Clone, Copy)]
pub(crate) enum Clients {
    /// Readers: compared with a responder that sends the same bytes.
    Readers,
    /// Writers: compared with redb alone, with as many writers and batches of the same size.
    Writers,
    /// A single writer: compared with redb alone, with one writer.
    OneWriter,
}

pub(crate) const IMPORTS: [(&str, usize); 2] = [("import by 100", 100), ("import by 200", 200)];

pub(crate) const WORKLOADS: [(&str, Kind, Clients); 12] = [
    ("get", Kind::Get, Clients::Readers),
    ("userName eq", Kind::Name, Clients::Readers),
    ("page first", Kind::Page(0), Clients::Readers),
    ("page middle", Kind::Page(50), Clients::Readers),
    ("page last", Kind::Page(100), Clients::Readers),
    ("unindexed filter", Kind::Scan, Clients::Readers),
    ("mix 80:20", Kind::Mix, Clients::Readers),
    ("one writer", Kind::Post, Clients::OneWriter),
    ("post", Kind::Post, Clients::Writers),
    ("patch active", Kind::Patch, Clients::Writers),
    ("put", Kind::Put, Clients::Writers),
    ("get, put", Kind::GetPut, Clients::Writers),
];

pub(crate) const BESIDE_A_SCAN: &str = "get beside a scan";

/// The name, and whether TLS sessions are resumed.
pub(crate) const HANDSHAKES: [(&str, bool); 2] =
    [("handshake full", false), ("handshake resumed", true)];

/// The names of all workloads, in the order in which they are run.
pub(crate) fn all_names() -> impl Iterator<Item = &'static str> {
    let imports = IMPORTS.iter().map(|(name, _)| *name);
    let plain = WORKLOADS.iter().map(|(name, ..)| *name);
    let shaken = HANDSHAKES.iter().map(|(name, _)| *name);
    imports.chain(plain).chain([BESIDE_A_SCAN]).chain(shaken)
}

impl Kind {
    pub(crate) fn client(self, known: &Arc<Known>, number: usize) -> Box<dyn Turn> {
        let mut client = Client {
            kind: self,
            known: Arc::clone(known),
            random: Random(number as u64 * 7919 + 1),
            number,
            started: known.created.fetch_add(1, Ordering::Relaxed),
            prepared: Vec::new(),
        };
        if matches!(self, Self::Get | Self::Name) {
            client.prepared = (0..PREPARED).map(|_| client.retrieval(self)).collect();
        }
        Box::new(client)
    }

    /// A request of the kind that can be repeated and has no body.
    pub(crate) fn sample(self, known: &Known) -> Vec<u8> {
        let target = match self {
            Self::Name => by_name(known.users / 2),
            Self::Page(part) => page(known, part),
            Self::Scan => scan(),
            _ => format!("/scim/v2/Users/{}", known.ids[0]),
        };
        request("GET", &target, &known.token, None)
    }
}

fn by_name(number: usize) -> String {
    format!(
        "/scim/v2/Users?filter=userName+eq+%22{}%22",
        name(number).replace('@', "%40")
    )
}

fn page(known: &Known, part: usize) -> String {
    let last = known.users.saturating_sub(100);
    format!(
        "/scim/v2/Users?startIndex={}&count=100",
        last * part / 100 + 1
    )
}

fn scan() -> String {
    "/scim/v2/Users?filter=title+co+%22nobody+has+this%22&count=1".to_owned()
}

/// The number of requests that a client has ready. Otherwise the generator would spend time on
/// writing them, which it does not for the responder: that is sent the same request again and
/// again.
const PREPARED: usize = 2000;

struct Client {
    kind: Kind,
    known: Arc<Known>,
    random: Random,
    number: usize,
    /// Tells this client's titles from those of an earlier client with the same number.
    started: usize,
    prepared: Vec<Vec<u8>>,
}

impl Turn for Client {
    fn first(&mut self, turn: usize) -> Cow<'_, [u8]> {
        if self.prepared.is_empty() {
            Cow::Owned(self.ask(self.kind_at(turn), turn))
        } else {
            Cow::Borrowed(&self.prepared[turn % PREPARED])
        }
    }

    fn next(
        &mut self,
        turn: usize,
        asked: usize,
        answer: Answer<'_>,
    ) -> io::Result<Option<Vec<u8>>> {
        answer.expect(if self.kind == Kind::Post { 201 } else { 200 })?;
        if self.kind != Kind::GetPut || asked == 2 {
            return Ok(None);
        }
        let user = std::str::from_utf8(answer.body).map_err(io::Error::other)?;
        let (before, title) = user
            .split_once(TITLE)
            .ok_or_else(|| io::Error::other("a user without a title"))?;
        let after = title.find('"').map_or("", |end| &title[end..]);
        let body = format!("{before}{TITLE}{}{after}", self.title(turn));
        Ok(Some(self.request("PUT", &self.own(turn), Some(&body))))
    }
}

impl Client {
    fn kind_at(&self, turn: usize) -> Kind {
        match self.kind {
            Kind::Mix if turn % 5 == 4 => Kind::Patch,
            Kind::Mix if turn.is_multiple_of(2) => Kind::Name,
            Kind::Mix => Kind::Get,
            kind => kind,
        }
    }

    /// The first request of a turn.
    fn ask(&mut self, kind: Kind, turn: usize) -> Vec<u8> {
        match kind {
            Kind::Get | Kind::Mix | Kind::Name => self.retrieval(kind),
            Kind::Page(part) => self.request("GET", &page(&self.known, part), None),
            Kind::Scan => self.request("GET", &scan(), None),
            Kind::Post => {
                let number = self.known.users + self.known.created.fetch_add(1, Ordering::Relaxed);
                self.request("POST", "/scim/v2/Users", Some(&user(number, "Engineer")))
            }
            Kind::Patch => {
                let modified = &self.known.modified[self.number % OWNERS];
                let turn = modified.fetch_add(1, Ordering::Relaxed);
                let active = round(turn) % 2 == 1;
                let body = format!(
                    r#"{{"schemas":["{PATCH}"],"Operations":[{{"op":"replace","value":{{"active":{active}}}}}]}}"#
                );
                self.request("PATCH", &self.own(turn), Some(&body))
            }
            Kind::Put => {
                let number = seed::number_at(own(self.number, turn), self.known.users);
                let body = user(number, &self.title(turn));
                self.request("PUT", &self.own(turn), Some(&body))
            }
            Kind::GetPut => self.request("GET", &self.own(turn), None),
        }
    }

    /// Retrieves any user, by id or by name.
    fn retrieval(&mut self, kind: Kind) -> Vec<u8> {
        let target = if kind == Kind::Name {
            by_name(self.random.below(self.known.users))
        } else {
            format!("/scim/v2/Users/{}", self.anybody())
        };
        self.request("GET", &target, None)
    }

    /// The path of one of this client's own users.
    fn own(&self, turn: usize) -> String {
        let ids = &self.known.ids;
        format!("/scim/v2/Users/{}", ids[own(self.number, turn) % ids.len()])
    }

    /// A title that the user does not have yet.
    fn title(&self, turn: usize) -> String {
        format!("Engineer {}-{}", self.started, round(turn))
    }

    fn anybody(&mut self) -> String {
        let at = self.random.below(self.known.ids.len());
        self.known.ids[at].clone()
    }

    fn request(&self, method: &str, target: &str, body: Option<&str>) -> Vec<u8> {
        request(method, target, &self.known.token, body)
    }
}

/// Repeats the same bytes: the request that the responder is sent.
pub(crate) struct Repeat(pub(crate) Vec<u8>);

impl Turn for Repeat {
    fn first(&mut self, _: usize) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }

    fn next(&mut self, _: usize, _: usize, answer: Answer<'_>) -> io::Result<Option<Vec<u8>>> {
        answer.expect(200).map(|()| None)
    }
}

/// Numbers that look random and are the same in each run (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % most.max(1)
    }
}
