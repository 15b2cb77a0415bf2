//! Users change while the page is open: when the page shows the change, and what stays in place.

use std::time::Duration;

use serde_json::{Value, json};

use super::MEDDLE;
use crate::support::browser::{Browser, key};
use crate::support::visit::{Visit, add, person, settled, start};

/// Two seconds, plus the time that the driver takes to notice.
const LIVE_MAX: Duration = Duration::from_millis(2000 + 200);
/// The time from one check for changes to the next: the page begins one every 1.9 s.
const PERIOD_SECONDS: std::ops::RangeInclusive<f64> = 1.8..=2.05;

#[test]
#[ignore = "needs chromium and chromedriver"]
fn changes_are_seen_within_two_seconds_and_asked_for_in_a_tab_that_is_seen() {
    let mut talk = start(39);
    add(&mut talk, &person("jane.doe@example.com", "Jane", "Doe"));
    let mut visit = Visit::begin(talk, 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("40 people")));
    browser.click(".row");
    browser.wait("document.querySelector('#panel dd.status')?.textContent === 'Active'");

    // On a busy machine some may be late, so the quickest counts.
    let mut times = Vec::new();
    for (command, status) in [
        ("deactivate", "Inactive"),
        ("reactivate", "Active"),
        ("deactivate", "Inactive"),
    ] {
        let server = &visit.talk.server;
        let output = server.cli(&["user", command, "jane.doe@example.com"]);
        assert_eq!(output.status, Some(0), "{output:?}");
        times.push(browser.wait(&format!(
            "document.querySelector('#panel dd.status').textContent === '{status}' && \
             document.querySelector('.row .status').textContent === '{status}'"
        )));
    }
    for name in ["new.one@example.com", "new.two@example.com"] {
        add(&mut visit.talk, &person(name, "New", "Person"));
        times.push(browser.wait(&format!(
            "document.querySelector('.row .email').textContent === '{name}'"
        )));
    }
    assert_eq!(browser.text_of("#totals"), "42 people");
    println!("changes were seen after {times:?}");
    let quickest = times.iter().min().expect("some");
    assert!(*quickest <= LIVE_MAX, "{times:?}");
    assert!(times.iter().all(|time| *time <= 3 * LIVE_MAX), "{times:?}");

    visit.assert_own_host();
    let polls = await_polls(browser, 4);
    let pauses = polls.windows(2).map(|pair| pair[1] - pair[0]);
    let pause = pauses.fold(f64::MAX, f64::min);
    assert!(PERIOD_SECONDS.contains(&pause), "{polls:?}");

    // A hidden tab sends no request until it is visible again.
    browser.minimize();
    browser.wait("document.hidden");
    requests(browser);
    std::thread::sleep(Duration::from_secs(5));
    let hidden = requests(browser);
    assert!(hidden.is_empty(), "asked in a hidden tab: {hidden:#?}");
    let unseen = person("while.hidden@example.com", "While", "Hidden");
    add(&mut visit.talk, &unseen);
    browser.restore();
    browser.wait("!document.hidden");
    browser.wait("document.querySelector('.row .email').textContent.startsWith('while.hidden')");
    visit.assert_clean();
}

/// Waits for `count` requests for the list, asserts that each only asks whether it has changed, and
/// returns their times in seconds.
fn await_polls(browser: &Browser, count: usize) -> Vec<f64> {
    let mut polls = Vec::new();
    for _ in 0..600 {
        let asked = requests(browser).into_iter();
        // Excludes the requests for further pages.
        for request in asked.filter(|one| url(one).contains("cursor=&")) {
            let tag = &request["request"]["headers"]["If-None-Match"];
            assert!(tag.is_string(), "not conditional: {request:#}");
            polls.push(request["timestamp"].as_f64().expect("seconds"));
        }
        if polls.len() >= count {
            return polls;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the list is not looked for: {polls:?}");
}

/// The requests to the API since the last call.
fn requests(browser: &Browser) -> Vec<Value> {
    let all = browser.messages("Network.requestWillBeSent").into_iter();
    all.filter(|one| url(one).contains("/scim/v2/")).collect()
}

fn url(request: &Value) -> &str {
    request["request"]["url"].as_str().unwrap_or_default()
}

/// Here a search shows the change before any check for changes does.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn the_panel_follows_whatever_brought_the_news() {
    let mut talk = start(5);
    add(&mut talk, &person("jane.doe@example.com", "Jane", "Doe"));
    let visit = Visit::begin(talk, 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("6 people")));
    browser.click(".row");
    browser.wait("document.querySelector('#panel dd.status')?.textContent === 'Active'");
    browser.value(MEDDLE);
    browser.value(
        "meddle = (path, options, go) => options.headers['If-None-Match']
            ? Promise.resolve(new Response(null, {status: 304})) : go(), 1",
    );
    let output = visit
        .talk
        .server
        .cli(&["user", "deactivate", "jane.doe@example.com"]);
    assert_eq!(output.status, Some(0), "{output:?}");
    browser.click("#search");
    browser.keys(&["jane"]);
    browser.wait("document.querySelector('.row .status').textContent === 'Inactive'");
    assert_eq!(browser.text_of("#panel dd.status"), "Active");
    browser.value("meddle = (path, options, go) => go(), 1");
    browser.wait("document.querySelector('#panel dd.status').textContent === 'Inactive'");
    visit.assert_clean();
}

/// While users are provisioned, the row that somebody is about to click stays under the pointer.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn rows_that_are_looked_at_stay_where_they_are() {
    let mut visit = Visit::begin(start(160), 1280, 600);
    visit.sign_in();
    let browser = &visit.browser;
    let mut count = 160;
    // On the first page, across its end, and on the second one.
    for place in [10, 25, 60] {
        browser.wait(&settled(Some(&format!("{count} people"))));
        browser.value(&format!(
            "document.getElementById('list').scrollTop = {}",
            place * 60 + 30
        ));
        let seen = "(() => {
            const {left, top} = document.getElementById('list').getBoundingClientRect();
            const row = document.elementFromPoint(left + 100, top + 100).closest('.row');
            return row?.querySelector('.email').textContent;
        })()";
        browser.wait(seen);
        browser.wait("!document.querySelector('.row.waiting')");
        let before = browser.text(seen);
        for number in 0..3 {
            let name = format!("new.{place}.{number}@example.com");
            add(&mut visit.talk, &person(&name, "New", "Person"));
        }
        count += 3;
        browser.wait(&settled(Some(&format!("{count} people"))));
        browser.wait("!document.querySelector('.row.waiting')");
        assert_eq!(browser.text(seen), before, "{place}");
    }
    visit.browser.value(MEDDLE);
    who_is_changed_further_down_moves_nobody(&visit);
    who_is_deleted_is_gone_at_once(&mut visit, count);
    let browser = &visit.browser;
    browser.value("document.getElementById('list').scrollTop = 0");
    browser.wait("document.querySelector('.row .email')");
    add(
        &mut visit.talk,
        &person("last@example.com", "Last", "Person"),
    );
    browser.wait(
        "[...document.querySelectorAll('.row')].find((row) => row.ariaPosInSet === '1')\
         ?.querySelector('.email').textContent === 'last@example.com'",
    );
    visit.assert_clean();
}

/// The addresses in the rows, from top to bottom.
const EMAILS: &str = "[...document.querySelectorAll('.row')].sort((one, other) => \
    one.ariaPosInSet - other.ariaPosInSet).map((row) => row.querySelector('.email').textContent)";

/// Shows the end of the first page and the beginning of the second. The second page is not loaded
/// again until the test releases it.
fn hold_the_second_page(browser: &Browser) {
    browser.value("document.getElementById('list').scrollTop = 24 * 60 + 30");
    // Waits for the first row at this place: the rows so far were further down.
    browser.wait("document.querySelector('.row[aria-posinset=\"23\"]')");
    browser.wait("!document.querySelector('.row.waiting')");
    browser.value(
        "window.release = undefined; meddle = async (path, options, go) => {
            if (/cursor=[^&]/.test(path)) await new Promise((done) => { window.release = done; });
            return go();
        }, 1",
    );
}

/// When a user on the second page moves to the top, another user moves from the first page to the
/// second.
fn who_is_changed_further_down_moves_nobody(visit: &Visit) {
    let browser = &visit.browser;
    hold_the_second_page(browser);
    let expected = browser.value(EMAILS);
    let name = "person.000081@example.com";
    let output = visit.talk.server.cli(&["user", "deactivate", name]);
    assert_eq!(output.status, Some(0), "{output:?}");
    browser.wait("window.release");
    assert_eq!(browser.value(EMAILS), expected);
    browser.value("meddle = (path, options, go) => go(), release(), 1");
    browser.wait("!document.querySelector('.row.waiting')");
    assert_eq!(browser.value(EMAILS), expected);
}

/// A user near the end of the first page is deleted while the second page is being loaded.
fn who_is_deleted_is_gone_at_once(visit: &mut Visit, count: usize) {
    let browser = &visit.browser;
    hold_the_second_page(browser);
    let name =
        browser.text("document.querySelector('.row[aria-posinset=\"26\"] .email').textContent");
    let mut expected = browser.value(EMAILS);
    let list = expected.as_array_mut().expect("addresses");
    list.retain(|one| one != &json!(name));
    let filter = format!("/Users?filter=userName%20eq%20%22{name}%22");
    let found = visit.talk.json("GET", &filter, None, 200);
    let id = found["Resources"][0]["id"].as_str().expect("an id");
    visit
        .talk
        .json("DELETE", &format!("/Users/{id}"), None, 204);
    browser.wait(&format!(
        "document.getElementById('totals').textContent === '{} people' && window.release",
        count - 1
    ));
    let shown = browser.value(EMAILS);
    let shown = shown.as_array().expect("addresses");
    assert_eq!(shown[..list.len()], list[..]);
    browser.value("meddle = (path, options, go) => go(), release(), 1");
    browser.wait("!document.querySelector('.row.waiting')");
}

/// Changes by others move neither the focus nor the view of a person who reads far down.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn the_focus_and_the_place_stay_while_things_change() {
    let mut talk = start(5);
    let mut jane = person("jane.doe@example.com", "Jane", "Doe");
    let more = (0..60).map(|number| json!({"value": format!("jane.{number}@example.com")}));
    jane["emails"] = more.collect();
    let id = add(&mut talk, &jane)["id"].clone();
    let id = id.as_str().expect("an id");
    let visit = Visit::begin(talk, 1280, 600);
    let browser = &visit.browser;
    // A person opens a link and presses Enter on the button: the focus goes to the details.
    visit.open(&format!("/directory/#/person/{id}"));
    browser.keys(&[visit.token.reveal(), key::TAB, key::TAB, key::TAB]);
    assert_eq!(browser.text("document.activeElement.id"), "enter");
    browser.value(MEDDLE);
    browser.value(
        "meddle = async (path, options, go) => {
            await new Promise((done) => { window.release = done; });
            return go();
        }, 1",
    );
    browser.keys(&[key::ENTER]);
    browser.wait("window.release");
    assert_eq!(browser.text("document.activeElement.id"), "enter");
    browser.value("meddle = (path, options, go) => go(), release()");
    browser.wait("document.querySelector('#panel .rest')");
    assert_eq!(
        browser.text("document.activeElement.textContent"),
        "Jane Doe"
    );

    let change = |command: &str, status: &str| {
        let server = &visit.talk.server;
        let output = server.cli(&["user", command, "jane.doe@example.com"]);
        assert_eq!(output.status, Some(0), "{output:?}");
        browser.wait(&format!(
            "document.querySelector('#panel dd.status').textContent === '{status}'"
        ));
    };
    browser.value(
        "document.querySelector('#panel .rest').focus(), \
         document.querySelector('#panel .rest').scrollTop = 200, \
         document.getElementById('panel').scrollTop = 100",
    );
    change("deactivate", "Inactive");
    assert_eq!(browser.text("document.activeElement.className"), "rest");
    assert_eq!(browser.value("document.activeElement.scrollTop"), 200);
    let top = "document.getElementById('panel').scrollTop";
    assert_eq!(browser.value(top), 100);
    browser.value("document.querySelector('.actions button:last-child').focus()");
    change("reactivate", "Active");
    let focused = "document.activeElement.textContent";
    assert_eq!(browser.text(focused), "Copy JSON");

    // The pressed button disappears, and the focus moves to the list.
    browser.value("meddle = () => Promise.reject(new TypeError('away')), 1");
    browser.wait("!document.getElementById('notice').hidden");
    browser.value("document.querySelector('#notice button').focus()");
    browser.value("meddle = (path, options, go) => go(), 1");
    browser.keys(&[key::SPACE]);
    browser.wait("document.getElementById('notice').hidden");
    assert_eq!(browser.text("document.activeElement.id"), "list");
    // The panel has the focus and is closed by going back.
    browser.value("document.querySelector('#panel h2').focus(), location.hash = ''");
    browser.wait("document.activeElement.id === 'list'");
    // Scrolls down, where the pointer has not been on a row before.
    browser.click("#order");
    browser.wait("document.querySelector('.row .email').textContent.startsWith('person.000000')");
    browser.resize(1280, 400);
    let scrolled = "document.getElementById('list').scrollTop";
    browser.value(&format!("{scrolled} = 90"));
    assert_eq!(browser.value(scrolled), 90);
    browser.value("document.getElementById('list').focus()");
    assert_eq!(browser.value(scrolled), 90);
    let pointed = "document.querySelector('.row.pointed').ariaPosInSet";
    browser.wait(&format!("{pointed} === '3'"));
    visit.assert_clean();
}
