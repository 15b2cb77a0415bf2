//! How the Team Directory looks and how fast it is: light, dark and narrow, to whoever listens
//! to it, and among a hundred thousand people. Run by name like `directory_browser`. `AXE_CORE`
//! names the file of axe-core, pictures are left in `target/directory/`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::visit::{Visit, middle, person, picture, populate, settled, start};
use crate::support::{CORE, Talk, number};

#[test]
#[ignore = "needs chromium and chromedriver"]
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
        Some(&person("elena.petrova@example.com", "Елена", "Петрова")),
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
    // As many rows as there can be, beside the person with the most lines.
    browser.resize(2400, 2600);
    browser.wait("document.querySelectorAll('.row').length > 24");
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
    // A screen shows what there is sixty times a second, and nothing in between.
    const FRAME_MILLISECONDS: f64 = 1000.0 / 60.0;
    const MEASURE: &str = "new Promise((done) => {
        const list = document.getElementById('rows');
        let began = 0;
        document.getElementById('search').addEventListener('input', () => {
            began = performance.now();
        }, {once: true});
        const totals = document.getElementById('totals');
        new MutationObserver((_, observer) => {
            observer.disconnect();
            const placed = performance.now() - began;
            requestAnimationFrame(() => {
                const channel = new MessageChannel();
                channel.port1.onmessage = () => done([placed, performance.now() - began]);
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
        let (mut placed, mut screen, mut server) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..7 {
            let browser = &visit.browser;
            browser.value(
                "document.getElementById('search').value = ''; \
                           document.getElementById('search').dispatchEvent(new Event('input'))",
            );
            browser.wait("!document.getElementById('totals').textContent.includes(' of ')");
            std::thread::sleep(Duration::from_millis(300));
            let typed = json!(text);
            let took = browser.value(&format!(
                "(() => {{ const seen = {MEASURE}; const field = document.getElementById('search'); \
                 field.value = {typed}; field.dispatchEvent(new Event('input')); return seen; }})()"
            ));
            let time = |at: usize| took[at].as_f64().expect("a time") - DEBOUNCE_MILLISECONDS;
            placed.push(time(0));
            screen.push(time(1));
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
        let (placed, screen, server) = (middle(placed), middle(screen), middle(server));
        println!(
            "{count} users, {text:?}: in the page {placed:.1} ms after the debounce of 150 ms, on \
             the screen {screen:.1} ms; the server's own time {server:.1} ms; {:.1} and {:.1} times",
            placed / server,
            screen / server
        );
        assert!(screen <= 5.0 * server + FRAME_MILLISECONDS, "{text}");
    }
    visit.assert_clean();
}
