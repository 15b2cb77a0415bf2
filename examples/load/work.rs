//! The workloads: what clients request of the server, each as a client's turns.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lane::{Answer, Turn};
use crate::seed;
use crate::wire::request;

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const USERS: &str = "/scim/v2/Users";
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

/// The numbers of the users in a page, in order.
pub(crate) fn numbers(page: &[u8]) -> impl Iterator<Item = usize> {
    const BEFORE: &[u8] = b"\"userName\":\"jane.doe.";
    memchr::memmem::find_iter(page, BEFORE).map(|at| {
        let digits = page[at + BEFORE.len()..].iter();
        let digits = digits.take_while(|it| it.is_ascii_digit());
        digits.fold(0, |number, it| number * 10 + usize::from(it - b'0'))
    })
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

/// Whether the workload of this name can have a fixed rate.
pub(crate) fn has_rate(name: &str) -> bool {
    let plain = WORKLOADS.iter().map(|(name, ..)| *name);
    plain.chain([BESIDE_A_SCAN]).any(|it| it == name)
}

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
            asked: Asked::default(),
        };
        if matches!(self, Self::Get | Self::Name) {
            client.prepared = (0..PREPARED).map(|_| client.ask(self, 0)).collect();
        }
        Box::new(client)
    }

    /// A request of the kind that can be repeated and has no body.
    pub(crate) fn sample(self, known: &Known) -> Vec<u8> {
        let target = match self {
            Self::Name => by_name(known.users / 2),
            Self::Page(part) => page(page_start(known, part)),
            Self::Scan => scan(),
            _ => path(&known.ids[0]),
        };
        request("GET", &target, &known.token, None)
    }
}

fn path(id: &str) -> String {
    format!("{USERS}/{id}")
}

/// What the body of an answer has that shows this user.
fn with_name(number: usize) -> String {
    format!(r#""userName":"{}""#, name(number))
}

fn by_name(number: usize) -> String {
    format!(
        "{USERS}?filter=userName+eq+%22{}%22",
        name(number).replace('@', "%40")
    )
}

/// The page of 100 that begins with the user of this number.
fn page(start: usize) -> String {
    format!("{USERS}?startIndex={}&count=100", start + 1)
}

/// The number of the first user of a page, this many percent into the directory.
fn page_start(known: &Known, part: usize) -> usize {
    known.users.saturating_sub(100) * part / 100
}

fn scan() -> String {
    format!("{USERS}?filter=title+co+%22nobody+has+this%22&count=1")
}

/// How many retrievals a client has ready. Otherwise the generator would spend time on writing
/// them, which it does not for the responder: that is sent the same request again and again.
const PREPARED: usize = 2000;

/// How many bytes of the responder's body are looked at, as many as of the server's.
const EXPECTED: usize = 40;

/// A request, and a text that the body of the answer must have.
#[derive(Default)]
struct Asked {
    request: Vec<u8>,
    expects: String,
}

struct Client {
    kind: Kind,
    known: Arc<Known>,
    random: Random,
    number: usize,
    /// Tells this client's titles from those of an earlier client with the same number.
    started: usize,
    prepared: Vec<Asked>,
    /// What was requested last, unless that was prepared.
    asked: Asked,
}

impl Turn for Client {
    fn first(&mut self, turn: usize) -> &[u8] {
        if self.prepared.is_empty() {
            self.asked = self.ask(self.kind_at(turn), turn);
        }
        &self.asked(turn).request
    }

    fn next(
        &mut self,
        turn: usize,
        asked: usize,
        answer: Answer<'_>,
    ) -> io::Result<Option<Vec<u8>>> {
        let status = if self.kind == Kind::Post { 201 } else { 200 };
        answer.expect(status, &self.asked(turn).expects)?;
        if self.kind != Kind::GetPut || asked == 2 {
            return Ok(None);
        }
        let user = std::str::from_utf8(answer.body).map_err(io::Error::other)?;
        let (before, title) = user
            .split_once(TITLE)
            .ok_or_else(|| io::Error::other("a user without a title"))?;
        let after = title.find('"').map_or("", |end| &title[end..]);
        let title = self.title(turn);
        let body = format!("{before}{TITLE}{title}{after}");
        self.asked.expects = format!(r#"{TITLE}{title}""#);
        let target = path(self.own(turn));
        Ok(Some(request(
            "PUT",
            &target,
            &self.known.token,
            Some(&body),
        )))
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

    /// What was requested last in this turn.
    fn asked(&self, turn: usize) -> &Asked {
        let prepared = self.prepared.get(turn % PREPARED);
        prepared.unwrap_or(&self.asked)
    }

    /// The first request of a turn.
    fn ask(&mut self, kind: Kind, turn: usize) -> Asked {
        let (method, target, body, expects) = match kind {
            Kind::Get | Kind::Mix => {
                let id = self.anybody();
                ("GET", path(&id), None, format!(r#""id":"{id}""#))
            }
            Kind::Name => {
                let number = self.random.below(self.known.users);
                ("GET", by_name(number), None, with_name(number))
            }
            Kind::Page(part) => {
                let start = page_start(&self.known, part);
                ("GET", page(start), None, with_name(start))
            }
            Kind::Scan => ("GET", scan(), None, r#""totalResults":0"#.to_owned()),
            Kind::Post => {
                let number = self.known.users + self.known.created.fetch_add(1, Ordering::Relaxed);
                let body = user(number, "Engineer");
                ("POST", USERS.to_owned(), Some(body), with_name(number))
            }
            Kind::Patch => {
                let modified = &self.known.modified[self.number % OWNERS];
                let turn = modified.fetch_add(1, Ordering::Relaxed);
                let active = round(turn) % 2 == 1;
                let body = format!(
                    r#"{{"schemas":["{PATCH}"],"Operations":[{{"op":"replace","value":{{"active":{active}}}}}]}}"#
                );
                let expects = format!(r#""active":{active}"#);
                ("PATCH", path(self.own(turn)), Some(body), expects)
            }
            Kind::Put => {
                let number = seed::number_at(own(self.number, turn), self.known.users);
                let title = self.title(turn);
                let expects = format!(r#"{TITLE}{title}""#);
                (
                    "PUT",
                    path(self.own(turn)),
                    Some(user(number, &title)),
                    expects,
                )
            }
            Kind::GetPut => {
                let id = self.own(turn);
                ("GET", path(id), None, format!(r#""id":"{id}""#))
            }
        };
        let request = request(method, &target, &self.known.token, body.as_deref());
        Asked { request, expects }
    }

    /// The id of one of this client's own users.
    fn own(&self, turn: usize) -> &str {
        &self.known.ids[own(self.number, turn)]
    }

    /// A title that the user does not have yet.
    fn title(&self, turn: usize) -> String {
        format!("Engineer {}-{}", self.started, round(turn))
    }

    fn anybody(&mut self) -> String {
        let at = self.random.below(self.known.ids.len());
        self.known.ids[at].clone()
    }
}

/// Repeats the same request, which the responder always answers alike.
pub(crate) struct Repeat(Asked);

impl Repeat {
    /// The answer must begin as this one does, after its head.
    pub(crate) fn new(request: &[u8], answer: &[u8]) -> Self {
        let body = memchr::memmem::find(answer, b"\r\n\r\n").map_or(0, |end| end + 4);
        let start: Vec<u8> = answer[body..].iter().copied().take(EXPECTED).collect();
        Self(Asked {
            request: request.to_vec(),
            expects: String::from_utf8_lossy(&start).into_owned(),
        })
    }
}

impl Turn for Repeat {
    fn first(&mut self, _: usize) -> &[u8] {
        &self.0.request
    }

    fn next(&mut self, _: usize, _: usize, answer: Answer<'_>) -> io::Result<Option<Vec<u8>>> {
        answer.expect(200, &self.0.expects).map(|()| None)
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
