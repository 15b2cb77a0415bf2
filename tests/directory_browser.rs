//! The Team Directory as people meet it: chromium against the real binary over TLS. These need
//! `chromium` and `chromedriver`, so they are run by name: `cargo test --test main --
//! --ignored directory_browser`. `AXE_CORE` names a file of axe-core for the look at
//! accessibility. Pictures are left in `target/directory/`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use golinks_scim::secret::Secret;
use serde_json::{Value, json};

use crate::support::browser::{Browser, key};
use crate::support::{CORE, Server, Talk, number};

const NODES_MAX: u64 = 300;
/// From one look to the next; the rest of a request and a frame, and the driver's own polling.
const LIVE_MAX: Duration = Duration::from_millis(2000 + 400);
const OPERATIONS: usize = 500;

/// Counts nodes and moved content from now on, in the page itself.
const WATCH: &str = "(() => {
    window.nodes = 0; window.shift = 0; window.leaks = [];
    const count = () => { nodes = Math.max(nodes, document.querySelectorAll('*').length); };
    new MutationObserver(count).observe(document, {childList: true, subtree: true});
    count();
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) shift += entry.value;
    }).observe({type: 'layout-shift', buffered: true});
})()";

/// A server with people, a token that may read them, and a browser at the page.
struct Visit {
    talk: Talk,
    token: Secret,
    browser: Browser,
}

impl Visit {
    fn begin(talk: Talk, width: u32, height: u32) -> Self {
        let token = talk.server.token_with("directory", &["--scope", "read"]);
        let browser = Browser::start(width, height);
        let visit = Self {
            talk,
            token,
            browser,
        };
        visit.open("/");
        visit
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.talk.server.address())
    }

    /// Opens a page and waits for its form.
    fn open(&self, path: &str) {
        self.browser.open(&self.url(path));
        self.browser.wait("document.activeElement?.id === 'token'");
        self.browser.value(WATCH);
    }

    fn sign_in(&self) {
        self.browser.keys(&[self.token.reveal(), key::ENTER]);
        self.browser.wait(&settled(None));
    }

    /// Nothing was asked of anybody else, nothing was complained of, nothing moved, and the
    /// page never had too many nodes.
    fn assert_clean(&self) {
        let nodes = self.browser.value("nodes").as_u64().expect("a count");
        let shift = self.browser.value("shift").as_f64().expect("a number");
        println!("at most {nodes} nodes, layout shift {shift}");
        assert!(nodes <= NODES_MAX, "{nodes} nodes");
        assert!(shift.abs() < f64::EPSILON, "layout shift {shift}");
        let complaints = self.browser.log("browser");
        assert!(complaints.is_empty(), "{complaints:#?}");
        self.assert_own_host();
    }

    /// Gives the targets of the requests since it was asked for last.
    fn assert_own_host(&self) -> Vec<String> {
        let own = self.url("/");
        let mut targets = Vec::new();
        for entry in self.browser.log("performance") {
            let message = entry["message"].as_str().expect("a text");
            let message: Value = serde_json::from_str(message).expect("JSON");
            let message = &message["message"];
            if message["method"] != "Network.requestWillBeSent" {
                continue;
            }
            let url = message["params"]["request"]["url"].as_str().expect("a URL");
            // What the browser has in itself before it goes anywhere.
            if url.starts_with("chrome://") || url == "about:blank" {
                continue;
            }
            let target = url.strip_prefix(&own);
            targets.push(target.unwrap_or_else(|| panic!("asked {url}")).to_owned());
        }
        targets
    }
}

/// The list shows people, and if it is said how many, those.
fn settled(totals: Option<&str>) -> String {
    let rows = "document.querySelector('.row:not(.waiting) .name')?.textContent";
    match totals {
        Some(totals) => format!(
            "{rows} && document.getElementById('totals').textContent === {}",
            json!(totals)
        ),
        None => rows.to_owned(),
    }
}

fn person(user_name: &str, given: &str, family: &str) -> Value {
    json!({
        "schemas": [CORE], "userName": user_name, "displayName": format!("{given} {family}"),
        "name": {"givenName": given, "familyName": family}, "active": true,
        "emails": [{"value": user_name, "type": "work", "primary": true}]
    })
}

/// People with names that differ and repeat as they do in life.
fn populate(talk: &mut Talk, count: usize) {
    const GIVEN: [&str; 20] = [
        "Amara",
        "Björn",
        "Chloé",
        "Daniel",
        "Elif",
        "Farah",
        "Grace",
        "Hiroshi",
        "Ines",
        "Jonas",
        "Katarzyna",
        "Liam",
        "Mei",
        "Noor",
        "Olivia",
        "Pedro",
        "Quentin",
        "Rosa",
        "Samir",
        "Tomás",
    ];
    const FAMILY: [&str; 23] = [
        "Andersson",
        "Brandt",
        "Castillo",
        "Dubois",
        "Eriksen",
        "Fischer",
        "Garcia",
        "Haddad",
        "Ivanova",
        "Jansen",
        "Kowalski",
        "Lindqvist",
        "Moreau",
        "Nakamura",
        "Okafor",
        "Petrov",
        "Quist",
        "Rossi",
        "Santos",
        "Tanaka",
        "Urban",
        "Vogel",
        "Weber",
    ];
    let numbers: Vec<usize> = (0..count).collect();
    for chunk in numbers.chunks(OPERATIONS) {
        let operations: Vec<Value> = chunk
            .iter()
            .map(|number| {
                let given = GIVEN[number % GIVEN.len()];
                let family = FAMILY[number / 7 % FAMILY.len()];
                let mut data = person(&format!("person.{number:06}@example.com"), given, family);
                data["active"] = json!(number % 11 != 3);
                json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(), "data": data})
            })
            .collect();
        let bulk = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": operations
        });
        let answer = talk.json("POST", "/Bulk", Some(&bulk), 200);
        assert_eq!(answer["Operations"][0]["status"], "201", "{answer:.300}");
    }
}

fn start(count: usize) -> Talk {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    populate(&mut talk, count);
    talk
}

#[test]
#[ignore = "needs a browser; .ci/run runs it by name"]
fn somebody_is_found_opened_and_seen_to_change() {
    let mut talk = start(40);
    let jane = talk.json(
        "POST",
        "/Users",
        Some(&person("jane.doe@example.com", "Jane", "Doe")),
        201,
    );
    let hostile = "<img src=x onerror=\"document.title='run'\">";
    talk.json(
        "POST",
        "/Users",
        Some(&person(hostile, "<b>Bold</b>", "<script>1</script>")),
        201,
    );
    let mut visit = Visit::begin(talk, 1280, 800);
    assert_eq!(visit.browser.text("location.pathname"), "/directory/");
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("42 people")));
    assert_eq!(
        browser.text("document.cookie + localStorage.length + sessionStorage.length"),
        "00"
    );

    // Whoever changed last comes first; values are text.
    assert_eq!(
        browser.text_of(".row .name"),
        "<b>Bold</b> <script>1</script>"
    );
    assert_eq!(browser.text_of(".row .email"), hostile);
    browser.click(".row");
    browser.wait("document.querySelector('#panel .facts')");
    assert!(browser.text_of("#panel").contains(hostile));
    assert_eq!(browser.value("document.images.length"), 1, "the page's own");
    assert_eq!(browser.text("document.title"), "Team Directory");

    browser.click("#search");
    browser.keys(&["dOE jan"]);
    browser.wait(&settled(Some("1 of 42 people")));
    browser.click(".row");
    let id = jane["id"].as_str().expect("an id").to_owned();
    browser.wait(&format!("location.hash === '#/person/{id}'"));
    browser.wait("document.querySelector('#panel h2').textContent === 'Jane Doe'");
    browser.wait("document.querySelector('#panel dd.status')?.textContent === 'Active'");
    let shown = browser.text_of("#panel");
    for wanted in [
        "jane.doe@example.com",
        &id,
        "name.givenName",
        "emails (work, primary)",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }

    let output = visit
        .talk
        .server
        .cli(&["user", "deactivate", "jane.doe@example.com"]);
    assert_eq!(output.status, Some(0), "{output:?}");
    let took = browser.wait_for(
        "document.querySelector('#panel dd.status').textContent === 'Inactive' && \
         document.querySelector('.row .status').textContent === 'Inactive'",
        LIVE_MAX,
    );
    println!("a deactivation was seen after {} ms", took.as_millis());

    browser.keys(&[key::ESCAPE, key::ESCAPE]);
    browser.wait(&settled(Some("42 people")));
    for name in [
        "new.one@example.com",
        "new.two@example.com",
        "new.three@example.com",
    ] {
        visit
            .talk
            .json("POST", "/Users", Some(&person(name, "New", "Person")), 201);
        let took = browser.wait_for(
            &format!("document.querySelector('.row .email').textContent === '{name}'"),
            LIVE_MAX,
        );
        println!("a new user was seen after {} ms", took.as_millis());
    }
    assert_eq!(browser.text_of("#totals"), "45 people");

    // Who is open is deleted.
    browser.open(&visit.url(&format!("/directory/#/person/{id}")));
    browser.value("location.reload()");
    browser.wait("document.activeElement?.id === 'token'");
    browser.value(WATCH);
    visit.sign_in();
    browser.wait("document.querySelector('#panel h2').textContent === 'Jane Doe'");
    visit.assert_clean();
    visit
        .talk
        .json("DELETE", &format!("/Users/{id}"), None, 204);
    browser.wait("document.querySelector('#panel h2').textContent === 'There is no such person'");
    browser.log("browser"); // the browser itself tells of the 404
    browser.click("#sign-out");
    browser.wait("!document.getElementById('sign-in').hidden");
    assert!(
        !browser
            .text("document.body.textContent")
            .contains("Person New")
    );
    visit.assert_own_host();
}

#[test]
#[ignore = "needs a browser; .ci/run runs it by name"]
fn what_the_server_says_is_shown() {
    let talk = Talk::with(Server::start());
    let visit = Visit::begin(talk, 1000, 700);
    let browser = &visit.browser;
    browser.keys(&["Bearer golinks_scim_wrong", key::ENTER]);
    browser.wait("document.getElementById('sign-in-error').textContent.includes('(request ')");
    let told = browser.text_of("#sign-in-error");
    assert!(told.contains("the API token is not valid here"), "{told}");
    let metrics = visit
        .talk
        .server
        .token_with("metrics", &["--scope", "metrics"]);
    browser.keys(&[metrics.reveal(), key::ENTER]);
    browser.wait("document.getElementById('sign-in-error').textContent.includes('--scope read')");
    browser.click("#keep");
    browser.value(
        "document.getElementById('token').select(), document.getElementById('token').focus()",
    );
    browser.keys(&[visit.token.reveal(), key::ENTER]);
    // Nobody is there yet.
    browser.wait("!document.getElementById('nobody').hidden");
    assert!(browser.text_of("#nobody").contains("Nobody is here yet"));
    // Kept for this tab; a token that is revoked ends it with the server's words.
    browser.value("location.reload()");
    browser.wait("!document.getElementById('people').hidden");
    assert_eq!(browser.value("sessionStorage.length"), 1);
    visit.talk.server.cli(&["token", "revoke", "directory"]);
    browser.wait("!document.getElementById('sign-in').hidden");
    assert!(browser.text_of("#sign-in-error").contains("not valid here"));
    assert_eq!(browser.value("sessionStorage.length"), 0);
    visit.assert_own_host();
}

#[test]
#[ignore = "needs a browser; .ci/run runs it by name"]
fn a_server_that_is_busy_or_away_is_waited_for() {
    let mut talk = Talk::start(&[]);
    populate(&mut talk, 3);
    let slow = talk
        .server
        .token_with("slow", &["--scope", "read", "--rate-limit", "1"]);
    let visit = Visit::begin(talk, 1000, 700);
    let browser = &visit.browser;
    browser.keys(&[slow.reveal(), key::ENTER]);
    browser.wait(&settled(Some("3 people")));
    let authorization = json!(format!("Bearer {}", slow.reveal()));
    browser.value(&format!(
        "window.pest = setInterval(() => fetch('/scim/v2/Users?count=0', \
         {{headers: {{Authorization: {authorization}}}}}), 150), 1"
    ));
    browser.wait("!document.getElementById('notice').hidden");
    browser.value("clearInterval(pest)");
    let told = browser.text_of("#notice");
    assert!(told.contains("too many requests for this token"), "{told}");
    browser.wait("document.getElementById('notice').hidden");
    let Visit { talk, browser, .. } = visit;
    talk.server.stop();
    browser.wait("document.getElementById('notice').textContent.includes('cannot be reached')");
    assert!(
        browser.text_of("#list").contains("Amara"),
        "what is there stays"
    );
    picture(&browser, "notice");
}

#[test]
#[ignore = "needs a browser; .ci/run runs it by name"]
fn five_thousand_people_are_scrolled_a_page_at_a_time() {
    let visit = Visit::begin(start(5000), 1280, 900);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("5,000 people")));
    let began = Instant::now();
    while browser
        .text("[...document.querySelectorAll('.row')].map((row) => row.ariaPosInset).join()")
        .split(',')
        .all(|place| place != "5000")
    {
        browser.value("document.getElementById('list').scrollTop += 2500");
        std::thread::sleep(Duration::from_millis(20));
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the end is not reached"
        );
    }
    browser.wait("!document.querySelector('.row.waiting')");
    let first = "document.querySelector('.row[aria-posinset=\"5000\"] .email')?.textContent";
    // In the order of change, descending, the first that was created is last.
    let last = browser.text(first);
    assert!(last.starts_with("person.000"), "{last}");
    let targets = visit.assert_own_host();
    let lists: Vec<&String> = targets
        .iter()
        .filter(|target| target.starts_with("scim/"))
        .collect();
    assert!(lists.len() >= 50, "{} pages", lists.len());
    assert!(
        lists.iter().all(|target| target.contains("count=100")),
        "{lists:?}"
    );
    let mut cursors: Vec<&str> = lists
        .iter()
        .filter_map(|target| target.split("cursor=").nth(1)?.split('&').next())
        .filter(|cursor| !cursor.is_empty())
        .collect();
    let all = cursors.len();
    cursors.sort_unstable();
    cursors.dedup();
    assert_eq!(all, cursors.len(), "no page was asked for twice");
    println!("{all} further pages in {} ms", began.elapsed().as_millis());
    visit.assert_clean();
}

#[test]
#[ignore = "needs a browser; .ci/run runs it by name"]
fn everything_can_be_done_with_keys() {
    let visit = Visit::begin(start(300), 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("300 people")));
    let pointed = "document.getElementById(document.getElementById('list')\
                   .getAttribute('aria-activedescendant') ?? '')?.ariaPosInset";
    assert_eq!(browser.text("document.activeElement.id"), "search");
    browser.keys(&["rosa"]);
    browser.wait(&settled(Some("15 of 300 people")));
    browser.keys(&[key::DOWN, key::DOWN, key::DOWN, key::UP]);
    assert_eq!(browser.text(pointed), "2");
    browser.keys(&[key::ENTER]);
    browser.wait("document.activeElement.tagName === 'H2'");
    browser.wait("document.querySelector('#panel .facts')");
    // The copy button of the email is reached and pressed.
    browser.debug(
        "Browser.grantPermissions",
        &json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}),
    );
    browser.keys(&[key::TAB, key::TAB, key::SPACE]);
    browser.wait("document.activeElement.textContent === 'Copied' || document.querySelector('#panel .small').textContent === 'Copied'");
    browser.wait("document.getElementById('said').textContent === 'Email copied'");
    browser.keys(&[key::ESCAPE]);
    browser.wait("document.activeElement.id === 'list' && location.hash === ''");
    browser.keys(&["/"]);
    browser.wait("document.activeElement.id === 'search'");
    browser.keys(&[key::ESCAPE]);
    browser.wait(&settled(Some("300 people")));
    // On to the filter, the order, the list.
    browser.keys(&[key::TAB, key::RIGHT, key::RIGHT]);
    browser.wait(&settled(Some("27 of 300 people")));
    assert!(!browser.text_of("#rows").contains("\nActive"));
    browser.keys(&[key::TAB, key::DOWN]);
    browser.wait("document.getElementById('order').textContent === '↑'");
    browser.keys(&[key::TAB, key::SPACE, key::TAB]);
    browser.wait("document.getElementById('order').textContent === '↓'");
    browser.wait("document.querySelector('.row .name').textContent.endsWith('Weber')");
    assert_eq!(browser.text("document.activeElement.id"), "list");
    browser.keys(&[key::END]);
    browser.wait(&format!("{pointed} === '27'"));
    browser.keys(&[key::HOME, key::ENTER]);
    browser.wait("document.querySelector('#panel .facts')");
    visit.assert_clean();
}

#[test]
#[ignore = "needs a browser; .ci/run runs it by name"]
fn everybody_can_use_it_light_dark_and_narrow() {
    let mut talk = start(120);
    let mut long = person(
        "wolfeschlegelsteinhausenbergerdorff.hubert.blaine@subsidiary.example.com",
        "Hubert Blaine",
        "Wolfeschlegelsteinhausenbergerdorff-Montgomery-Featherstonehaugh",
    );
    long["active"] = json!(false);
    talk.json("POST", "/Users", Some(&long), 201);
    talk.json(
        "POST",
        "/Users",
        Some(&person("layla.hassan@example.com", "ليلى", "حسن")),
        201,
    );
    talk.json(
        "POST",
        "/Users",
        Some(&person("tanaka.yuki@example.com", "由紀", "田中")),
        201,
    );
    let grace = talk.json("POST", "/Users", Some(&rich()), 201);
    let id = grace["id"].as_str().expect("an id").to_owned();
    let visit = Visit::begin(talk, 1280, 800);
    let browser = &visit.browser;
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        picture(browser, &format!("sign-in-{scheme}"));
        axe(browser, &format!("sign-in, {scheme}"));
    }
    visit.sign_in();
    browser.wait(&settled(Some("124 people")));
    for scheme in ["dark", "light"] {
        browser.prefer(scheme);
        axe(browser, &format!("list, {scheme}"));
    }
    browser.value(&format!("location.hash = '#/person/{id}'"));
    browser.wait("document.querySelector('#panel .rest')");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        axe(browser, &format!("panel, {scheme}"));
        picture(browser, scheme);
    }
    let ground = "getComputedStyle(document.body).backgroundColor";
    let dark = browser.text(ground);
    browser.prefer("light");
    assert_ne!(browser.text(ground), dark);
    browser.resize(360, 740);
    let fits = "document.documentElement.scrollWidth <= 360 && document.body.scrollWidth <= 360";
    browser.wait("document.getElementById('panel').getBoundingClientRect().width === 360");
    assert_eq!(browser.value(fits), true);
    axe(browser, "panel, narrow");
    picture(browser, "narrow-person");
    browser.click("#panel .close");
    browser.wait("getComputedStyle(document.getElementById('panel')).display === 'none'");
    assert_eq!(browser.value(fits), true);
    axe(browser, "list, narrow");
    picture(browser, "narrow");
    browser.click("#search");
    browser.keys(&["nobody at all"]);
    browser.wait("!document.getElementById('nobody').hidden");
    axe(browser, "nobody, narrow");
    picture(browser, "nobody");
    visit.assert_clean();
}

/// A person with more attributes than the panel has lines for.
fn rich() -> Value {
    let mut user = person("grace.okafor@example.com", "Grace", "Okafor");
    user["externalId"] = json!("00u1a2b3c4D5e6F7g8h9");
    user["title"] = json!("Staff Engineer");
    user["locale"] = json!("en-GB");
    user["timezone"] = json!("Europe/London");
    user["phoneNumbers"] = json!([{"value": "+44 20 7946 0018", "type": "work"}]);
    user["addresses"] = json!([{
        "type": "work", "streetAddress": "1 Finsbury Avenue", "locality": "London",
        "postalCode": "EC2M 2PF", "country": "GB"
    }]);
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    user["schemas"] = json!([CORE, enterprise]);
    user[enterprise] = json!({
        "employeeNumber": "701984", "department": "Platform", "costCenter": "4130"
    });
    user
}

fn picture(browser: &Browser, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/directory");
    browser.screenshot(&folder.join(format!("{name}.png")));
}

/// No violation of any rule that axe-core knows, best practices included.
fn axe(browser: &Browser, what: &str) {
    let path = std::env::var_os("AXE_CORE").map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("target/axe/node_modules/axe-core/axe.min.js")
        },
        PathBuf::from,
    );
    let source = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; tests/axe_core/install", path.display()));
    browser.value(&format!("{source}\n;1"));
    let found = browser.value(
        "axe.run({resultTypes: ['violations']}).then((found) => found.violations.map((one) => \
         ({id: one.id, help: one.help, nodes: one.nodes.map((node) => node.html + ' ' + \
         node.failureSummary)})))",
    );
    assert_eq!(found, json!([]), "{what}: {found:#}");
}

/// From a keystroke to its rows on the screen, beside the server's own time for that search.
#[test]
#[ignore = "100,000 users; takes minutes"]
fn a_search_among_a_hundred_thousand_is_on_the_screen_at_once() {
    const DEBOUNCE_MILLISECONDS: f64 = 150.0;
    const MEASURE: &str = "new Promise((done) => {
        const list = document.getElementById('rows');
        let began = 0;
        document.getElementById('search').addEventListener('input', () => {
            began = performance.now();
        }, {once: true});
        const totals = document.getElementById('totals');
        new MutationObserver((_, observer) => {
            observer.disconnect();
            requestAnimationFrame(() => {
                const channel = new MessageChannel();
                channel.port1.onmessage = () => done(performance.now() - began);
                channel.port2.postMessage(0);
            });
        }).observe(totals, {childList: true, characterData: true, subtree: true});
    })";
    let count = number("DIRECTORY_USERS", 100_000);
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    populate(&mut talk, count);
    let mut visit = Visit::begin(talk, 1280, 900);
    visit.sign_in();
    for text in ["j", "jonas", "person.0999", "rosa weber", "kat kow"] {
        let (mut screen, mut server) = (Vec::new(), Vec::new());
        for _ in 0..7 {
            let browser = &visit.browser;
            browser.value(
                "document.getElementById('search').value = ''; \
                           document.getElementById('search').dispatchEvent(new Event('input'))",
            );
            browser.wait(&format!(
                "!document.getElementById('totals').textContent.includes(' of ')"
            ));
            std::thread::sleep(Duration::from_millis(300));
            let typed = json!(text);
            let took = browser.value(&format!(
                "(() => {{ const seen = {MEASURE}; const field = document.getElementById('search'); \
                 field.value = {typed}; field.dispatchEvent(new Event('input')); return seen; }})()"
            ));
            screen.push(took.as_f64().expect("a time") - DEBOUNCE_MILLISECONDS);
            let target = format!(
                "/Users?count=100&cursor=&sortBy=meta.lastModified&sortOrder=descending&search={}\
                 &attributes=userName,name,displayName,emails,active,meta.lastModified",
                text.replace(' ', "+")
            );
            let began = Instant::now();
            let answer = visit.talk.send("GET", &target, None);
            server.push(began.elapsed().as_secs_f64() * 1000.0);
            assert_eq!(answer.status, 200);
        }
        let (screen, server) = (median(screen), median(server));
        println!(
            "{count} users, {text:?}: on the screen {screen:.1} ms after the debounce of 150 ms; \
             the server's own time {server:.1} ms; {:.1} times",
            screen / server
        );
        assert!(screen <= 5.0 * server, "{text}");
    }
    visit.assert_clean();
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
