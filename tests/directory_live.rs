//! The Team Directory while other things happen: users change, answers come late or not at
//! all, the tab is hidden, the browser is asked to run what it should not. Run by name like
//! `directory_browser`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Talk;
use crate::support::browser::{Browser, key};
use crate::support::visit::{Visit, add, person, populate, settled, start};

/// Two seconds, and what it takes the driver to see it.
const LIVE_MAX: Duration = Duration::from_millis(2000 + 200);
/// How often is looked: each two seconds, and a little more for what a request takes.
const PERIOD_SECONDS: std::ops::RangeInclusive<f64> = 1.8..=2.05;

/// An error as the server tells it (RFC 7644 section 3.12).
fn refusal(detail: &str) -> String {
    let urn = "urn:ietf:params:scim:api:messages:2.0:Error";
    json!({"schemas": [urn], "detail": detail}).to_string()
}

/// Puts `meddle(path, options, go)` between the page and the network; `go` sends the request.
const MEDDLE: &str = "(() => {
    const real = window.fetch;
    window.meddle = (path, options, go) => go();
    window.fetch = (path, options) => meddle(path, options, (other) =>
        real(path, {...options, ...other}));
})()";

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

    // A busy machine may be late: what counts is the quickest.
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

    // Behind another tab nothing is asked for; in front of it again, at once.
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

/// Waits until the list was looked for so often, and wants each to be a question whether
/// anything has changed; tells when, in seconds.
fn await_polls(browser: &Browser, count: usize) -> Vec<f64> {
    let mut polls = Vec::new();
    for _ in 0..600 {
        let asked = requests(browser).into_iter();
        // Not those for further pages.
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

/// The requests to the API since they were asked for last.
fn requests(browser: &Browser) -> Vec<Value> {
    let all = browser.messages("Network.requestWillBeSent").into_iter();
    all.filter(|one| url(one).contains("/scim/v2/")).collect()
}

fn url(request: &Value) -> &str {
    request["request"]["url"].as_str().unwrap_or_default()
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn the_newest_answer_wins_and_enter_opens_what_was_typed() {
    let visit = Visit::begin(start(200), 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("200 people")));
    browser.value(MEDDLE);
    // The answer to the first search comes after that to the second, though nobody wants it.
    browser.value(
        "window.late = 0; meddle = async (path, options, go) => {
            if (!path.includes('search=rosa')) return go();
            const answer = await go({signal: undefined});
            await new Promise((done) => { window.release = done; });
            late += 1;
            return answer;
        }, 1",
    );
    browser.click("#search");
    browser.keys(&["rosa"]);
    browser.wait("window.release");
    browser.value("document.getElementById('search').select()");
    browser.keys(&["samir"]);
    browser.wait(&settled(Some("10 of 200 people")));
    browser.wait("document.querySelector('.row .name').textContent.startsWith('Samir')");
    browser.value("release(), new Promise((done) => setTimeout(done, 500))");
    assert_eq!(browser.value("late"), 1);
    let names = "[...document.querySelectorAll('.row .name')].map((name) => name.textContent)";
    let names = browser.value(names);
    let all = names.as_array().expect("names");
    assert!(
        all.iter()
            .all(|name| name.as_str().unwrap_or_default().starts_with("Samir")),
        "{names}"
    );

    // Faster than the answer.
    browser.value("meddle = (path, options, go) => go(), 1");
    browser.value("document.getElementById('search').select()");
    browser.keys(&["person.000123", key::ENTER]);
    browser.wait("document.querySelector('#panel .facts')");
    let shown = browser.text_of("#panel");
    assert!(shown.contains("person.000123@example.com"), "{shown}");
    visit.assert_clean();
}

/// A search brings the news of a change before any look for changes does.
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

/// While somebody is provisioned, who is about to be clicked stays under the pointer.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn rows_that_are_looked_at_stay_where_they_are() {
    let mut visit = Visit::begin(start(160), 1280, 600);
    visit.sign_in();
    let browser = &visit.browser;
    let mut count = 160;
    // In the first page, over its end, and in the second one.
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

/// The addresses in sight, from above.
const EMAILS: &str = "[...document.querySelectorAll('.row')].sort((one, other) => \
    one.ariaPosInSet - other.ariaPosInSet).map((row) => row.querySelector('.email').textContent)";

/// Shows the end of the first page and the beginning of the second one, which does not come
/// again until it is released.
fn hold_the_second_page(browser: &Browser) {
    browser.value("document.getElementById('list').scrollTop = 24 * 60 + 30");
    // The first one that exists there: those who were seen before were further down.
    browser.wait("document.querySelector('.row[aria-posinset=\"23\"]')");
    browser.wait("!document.querySelector('.row.waiting')");
    browser.value(
        "window.release = undefined; meddle = async (path, options, go) => {
            if (/cursor=[^&]/.test(path)) await new Promise((done) => { window.release = done; });
            return go();
        }, 1",
    );
}

/// Somebody of the second page who comes to the top pushes another over the end of the first one.
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

/// Somebody near the end of the first page, while the second one is on its way.
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

/// Whoever uses keys or reads far down is not thrown elsewhere by what others do.
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
    // With the key on the button, by a link: to the person.
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

    // The button that helped is gone.
    browser.value("meddle = () => Promise.reject(new TypeError('away')), 1");
    browser.wait("!document.getElementById('notice').hidden");
    browser.value("document.querySelector('#notice button').focus()");
    browser.value("meddle = (path, options, go) => go(), 1");
    browser.keys(&[key::SPACE]);
    browser.wait("document.getElementById('notice').hidden");
    assert_eq!(browser.text("document.activeElement.id"), "list");
    // Closed by going back, with the focus in it.
    browser.value("document.querySelector('#panel h2').focus(), location.hash = ''");
    browser.wait("document.activeElement.id === 'list'");
    // Far down, where no row was pointed at so far.
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

/// What did not come, comes by itself when it can.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn failures_heal() {
    let visit = Visit::begin(start(400), 1280, 800);
    let browser = &visit.browser;
    browser.value(MEDDLE);
    // A further page, and a person.
    browser.value(
        "window.refused = 0; meddle = (path, options, go) => {
            if (options.headers['If-None-Match'] || /cursor=&/.test(path)) return go();
            refused += 1;
            return Promise.reject(new TypeError('away'));
        }, 1",
    );
    visit.sign_in();
    browser.wait(&settled(Some("400 people")));
    browser.value("document.getElementById('list').scrollTop = 1300");
    browser.wait("refused > 0 && !document.getElementById('notice').hidden");
    browser.wait("document.querySelector('.row.waiting')");
    browser.value("document.querySelector('.row:not(.waiting)').click()");
    browser.wait("document.querySelector('#panel h2').textContent.includes('cannot be shown')");
    browser.value("meddle = (path, options, go) => go(), 1");
    browser.wait("!document.querySelector('.row.waiting')");
    browser.wait("document.querySelector('#panel .facts')");
    browser.wait("document.getElementById('notice').hidden");

    // A search that fails is made again.
    browser.value("meddle = () => Promise.reject(new TypeError('away')), 1");
    browser.click("#search");
    browser.keys(&["rosa"]);
    browser.wait("!document.getElementById('notice').hidden");
    let told = browser.text_of("#notice");
    assert!(told.contains("The server cannot be reached."), "{told}");
    browser.value("meddle = (path, options, go) => go(), 1");
    browser.click("#notice button");
    browser.wait(&settled(Some("20 of 400 people")));
    browser.wait("document.getElementById('notice').hidden");
    visit.assert_clean();
}

/// No answer is none: neither to somebody in whose place another is opened, nor to a search.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn what_is_told_stays_until_somebody_answers() {
    let visit = Visit::begin(start(40), 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("40 people")));
    browser.value(MEDDLE);
    browser.value(
        "window.waiting = 0, meddle = (path, {signal}) => new Promise((_, fail) => {
            if (!/search=|Users.o/.test(path)) return fail(new TypeError('away'));
            waiting += 1;
            signal.addEventListener('abort', () => fail(signal.reason));
        }), 1",
    );
    let notice = "document.getElementById('notice').hidden";
    browser.wait(&format!("!{notice}"));
    let stays = |what: &str| {
        browser.value("new Promise((done) => setTimeout(done, 50))");
        assert_eq!(browser.value(notice), false, "{what}");
    };
    for id in ["one", "other", "."] {
        browser.value(&format!("location.hash = '#/person/{id}'"));
        browser.wait(&format!(
            "decodeURIComponent(location.hash) === '#/person/{id}' && \
             (document.getElementById('panel').ariaBusy === 'true') === {}",
            id != "."
        ));
        stays(id);
    }
    browser.click("#search");
    browser.keys(&["rosa"]);
    browser.wait("waiting >= 3");
    browser.click("#notice button");
    stays("a search");
    browser.value("meddle = (path, options, go) => go(), 1");
    browser.click("input[value=active]");
    browser.wait(notice);

    // A look that takes long while something else fails: no seconds are left to count.
    browser.value(
        "window.hanging = 0, meddle = (path, options, go) => {
            if (path.includes('Users/')) return Promise.reject(new TypeError('away'));
            hanging += 1;
            return new Promise((done) => { window.release = () => done(go()); });
        }, 1",
    );
    browser.wait("hanging === 1");
    browser.value("location.hash = '#/person/1'");
    browser.wait(&format!("!{notice}"));
    let told = browser.text_of("#notice");
    assert!(told.contains("Trying again in"), "{told}");
    browser.wait("document.getElementById('notice').textContent.includes('Trying again…')");
    browser.value("location.hash = '', meddle = (path, options, go) => go(), release(), 1");
    browser.wait(notice);
    visit.assert_clean();
}

/// Under a new search nothing old can be opened, and the first one that succeeds ends what is
/// told of those before it, whatever the server has asked for.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_search_that_fails_shows_nobody_and_the_next_one_ends_the_waiting() {
    let mut visit = Visit::begin(start(40), 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("40 people")));
    browser.value(MEDDLE);
    let search = |text: &str| {
        browser.value(&format!(
            "document.getElementById('search').value = '{text}', \
             document.getElementById('search').dispatchEvent(new Event('input'))"
        ));
    };
    let answer = |body: &str, init: &Value| {
        let body = json!(body);
        browser.value(&format!(
            "window.asked = 0; meddle = (path, options, go) => {{
                if (!path.includes('search=rosa')) return go();
                asked += 1;
                return Promise.resolve(new Response({body}, {init}));
            }}, 1"
        ));
    };
    let between = "The answer came from something between this page and the server.";
    for (body, init, told, seconds) in [
        (
            "<!doctype html><p>Sign in to the network",
            json!({"status": 200}),
            between,
            Some(1..=30),
        ),
        (
            "{\"error\": \"login\"}",
            json!({"status": 200}),
            between,
            Some(1..=30),
        ),
        ("null", json!({"status": 200}), between, Some(1..=30)),
        (
            &refusal("not this one"),
            json!({"status": 400}),
            "not this one",
            None,
        ),
        (
            &refusal("later"),
            json!({"status": 503, "headers": {"Retry-After": "3600"}}),
            "later",
            Some(50..=60),
        ),
        (
            &refusal("at once"),
            json!({"status": 503, "headers": {"Retry-After": "-5"}}),
            "at once",
            Some(1..=30),
        ),
    ] {
        answer(body, &init);
        search("rosa");
        browser.wait("!document.getElementById('notice').hidden");
        let notice = browser.text_of("#notice");
        assert!(notice.starts_with(told), "{notice}");
        let again = notice.split_once("Trying again in ");
        let again = again.and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
        match seconds {
            Some(seconds) => assert!(seconds.contains(&again.unwrap_or(0)), "{notice}"),
            None => assert_eq!(again, None, "{notice}"),
        }
        assert_eq!(browser.text_of("#totals"), "");
        let rows = "document.querySelectorAll('.row:not(.waiting)').length";
        assert_eq!(browser.value(rows), 0);
        if init["status"] == 400 {
            // Nobody asks the same again.
            browser.value("new Promise((done) => setTimeout(done, 2500))");
            assert_eq!(browser.value("asked"), 1);
        }
        browser.value("meddle = (path, options, go) => go(), 1");
        search("samir");
        browser.wait(&settled(Some("2 of 40 people")));
        browser.wait("document.getElementById('notice').hidden");
    }
    add(
        &mut visit.talk,
        &person("samir.new@example.com", "Samir", "New"),
    );
    browser.wait(&settled(Some("3 of 41 people")));
    browser.value("location.hash = '#/person/.'");
    browser.wait("document.querySelector('#panel h2').textContent === 'There is no such person'");
    visit.assert_clean();
}

/// A 400 is the last word on a search alone: people are seen to change behind any other.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn what_is_refused_once_does_not_end_the_looking_for_changes() {
    let mut visit = Visit::begin(start(40), 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("40 people")));
    browser.value(MEDDLE);
    let refuse = |which: &str| {
        browser.value(&format!(
            "window.asked = 0; meddle = (path, options, go) => {which} && ++asked
                ? Promise.resolve(new Response({}, {{status: 400}})) : go(), 1",
            json!(refusal("refused"))
        ));
    };
    refuse("/Users\\/1/.test(path)");
    browser.value("location.hash = '#/person/1'");
    browser.wait("document.querySelector('#panel h2').textContent.includes('cannot be shown')");
    assert!(browser.text_of("#panel").contains("refused"));
    add(&mut visit.talk, &person("one@example.com", "One", "More"));
    browser.wait(&settled(Some("41 people")));
    let notice = "document.getElementById('notice').hidden";
    assert_eq!(browser.value(notice), true);
    browser.value("location.hash = ''");
    // A look for changes.
    refuse("asked < 1");
    browser.wait(&format!("!{notice}"));
    let told = browser.text_of("#notice");
    assert!(told.contains("Trying again in"), "{told}");
    browser.wait(notice);
    add(&mut visit.talk, &person("two@example.com", "Two", "More"));
    browser.wait(&settled(Some("42 people")));
    visit.assert_clean();
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_tab_keeps_its_token_while_nobody_refuses_it() {
    let visit = Visit::begin(start(5), 1000, 700);
    let browser = &visit.browser;
    browser.click("#keep");
    browser.click("#token");
    visit.sign_in();
    let block = |urls: Value| {
        browser.debug("Network.setBlockedURLs", &json!({"urls": urls}));
    };
    block(json!(["*/scim/v2/*"]));
    browser.value("location.reload()");
    browser.wait("document.getElementById('sign-in-error')?.textContent.includes('reload')");
    assert_eq!(browser.value("sessionStorage.length"), 1);
    block(json!([]));
    browser.value("location.reload()");
    browser.wait(&settled(Some("5 people")));
    browser.log("browser"); // the browser itself tells of what was blocked
    // The panel of whom the link names, in the same tab.
    browser.click(".row");
    browser.wait("document.querySelector('#panel .facts')");
    let name = browser.text_of("#panel h2");
    browser.value("location.reload()");
    browser.wait(&format!(
        "document.querySelector('#panel .facts') && \
         document.querySelector('#panel h2').textContent === {}",
        json!(name)
    ));
    // Somebody else refuses it.
    browser.value(MEDDLE);
    browser.value(
        "meddle = () => Promise.resolve(new Response('<p>Sign in first', {status: 403})), 1",
    );
    browser.wait("!document.getElementById('notice').hidden");
    assert_eq!(browser.value("sessionStorage.length"), 1);
    browser.value("meddle = (path, options, go) => go(), 1");
    browser.wait("document.getElementById('notice').hidden");
    // Signing out forgets it all.
    browser.click("#sign-out");
    browser.wait("!document.getElementById('sign-in').hidden");
    assert_eq!(browser.value("sessionStorage.length"), 0);
    let left = browser.text("document.body.textContent");
    assert!(!left.contains("Andersson"), "{left}");
    assert_eq!(
        browser.value("document.getElementById('keep').checked"),
        false
    );
    browser.value("location.reload()");
    browser.wait("document.activeElement?.id === 'token'");

    // An expired one is told in the server's words.
    let short = visit.talk.server.token_with("short", &["--expires", "1s"]);
    std::thread::sleep(Duration::from_millis(1500));
    browser.keys(&[short.reveal(), key::ENTER]);
    browser.wait("document.getElementById('sign-in-error').textContent.includes('(request ')");
    let told = browser.text_of("#sign-in-error");
    assert!(told.contains("the API token is not valid here"), "{told}");

    // Nor does one that is kept outlive signing in with another.
    browser.value("sessionStorage.setItem('golinks-scim-token', 'other')");
    block(json!(["*/scim/v2/*"]));
    browser.value("location.reload()");
    browser.wait("document.getElementById('sign-in-error')?.textContent.includes('reload')");
    block(json!([]));
    visit.sign_in();
    browser.wait("sessionStorage.length === 0");
    visit.assert_own_host();
}

/// The policy is kept by the browser, whatever the page's own code does.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn the_browser_runs_nothing_else_and_asks_nobody_else() {
    let mut talk = Talk::start(&[]);
    populate(&mut talk, 3);
    let visit = Visit::begin(talk, 1000, 700);
    visit.sign_in();
    let browser = &visit.browser;
    let refused = |what: &str, code: &str| {
        let told = browser.text(&format!(
            "(async () => {{ try {{ {code}; return 'done'; }} catch (error) {{ \
             return error.name; }} }})()"
        ));
        assert_eq!(told, "TypeError", "{what}");
    };
    refused("another server", "await fetch('https://127.0.0.1:1/')");
    refused(
        "markup from a text",
        "document.body.innerHTML = '<img src=x onerror=window.run=1>'",
    );
    refused(
        "code from a text",
        "document.body.append(Object.assign(document.createElement('script'), \
         {text: 'window.run = 1'}))",
    );
    refused(
        "a handler from a text",
        "document.body.setAttribute('onclick', 'window.run = 1')",
    );
    browser.value(
        "new Promise((done) => {
            const frame = document.createElement('iframe');
            frame.onload = done;
            frame.src = '/directory/';
            document.body.append(frame);
        })",
    );
    assert_eq!(browser.text("typeof window.run"), "undefined");
    assert_eq!(
        browser.value("document.querySelector('iframe').contentDocument"),
        json!(null)
    );
    assert_eq!(browser.text("document.cookie"), "");
    let complaints = browser.log("browser");
    assert!(complaints.len() >= 4, "the browser tells: {complaints:#?}");
}

/// Of three things the page can do without; of a browser that does not run it, it says so itself.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_browser_that_lacks_something_has_the_page_or_is_told_why_not() {
    let visit = Visit::begin(start(5), 1000, 700);
    let browser = &visit.browser;
    assert_eq!(
        browser.value("document.getElementById('lacking').hidden"),
        true
    );
    let lacking = "delete Intl.Segmenter; delete AbortSignal.any; delete AbortSignal.timeout; \
                   Object.defineProperty(window, 'sessionStorage', {get() { \
                   throw new DOMException('', 'SecurityError'); }})";
    browser.debug(
        "Page.addScriptToEvaluateOnNewDocument",
        &json!({"source": lacking}),
    );
    visit.open("/");
    browser.click("#keep");
    browser.click("#token");
    visit.sign_in();
    browser.wait(&settled(Some("5 people")));
    assert_eq!(browser.text_of(".row .avatar").chars().count(), 2);
    browser.click(".row");
    browser.wait("document.querySelector('#panel .facts')");
    browser.click("#sign-out");
    browser.wait("!document.getElementById('sign-in').hidden");
    visit.assert_clean();

    let blocked = json!({"urls": ["*/directory/words.*"]});
    browser.debug("Network.setBlockedURLs", &blocked);
    browser.open("about:blank");
    // Not before it is sure, where no motion is wanted either.
    browser.prefer("light");
    browser.open(&visit.url("/directory/"));
    let waits = "getComputedStyle(document.getElementById('lacking')).animation";
    let waits = browser.text(waits);
    assert!(
        waits.starts_with("5s ") && waits.ends_with(" appear"),
        "{waits}"
    );
    browser.wait("document.body.innerText.includes('newer browser')");

    // One that loads everything and is older than what the sentence names.
    browser.debug("Network.setBlockedURLs", &json!({"urls": []}));
    let older = json!({"source": "delete HTMLElement.prototype.inert"});
    browser.debug("Page.addScriptToEvaluateOnNewDocument", &older);
    browser.open(&visit.url("/directory/?older"));
    browser.wait("document.body.innerText.includes('newer browser')");
    assert!(!browser.text_of("body").contains("API token"));
}
