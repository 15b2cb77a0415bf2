//! Answers that come late, fail, refuse, or never come: what the page shows, and how it recovers.

use serde_json::{Value, json};

use super::MEDDLE;
use crate::support::browser::key;
use crate::support::visit::{Visit, add, person, settled, start};

/// An error as the server sends it (RFC 7644 section 3.12).
fn refusal(detail: &str) -> String {
    let urn = "urn:ietf:params:scim:api:messages:2.0:Error";
    json!({"schemas": [urn], "detail": detail}).to_string()
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn the_newest_answer_wins_and_enter_opens_what_was_typed() {
    let visit = Visit::begin(start(200), 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("200 people")));
    browser.value(MEDDLE);
    // The answer to the first search comes after the answer to the second, though the page has
    // aborted the first.
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

    // Enter is pressed before the answer comes.
    browser.value("meddle = (path, options, go) => go(), 1");
    browser.value("document.getElementById('search').select()");
    browser.keys(&["person.000123", key::ENTER]);
    browser.wait("document.querySelector('#panel .facts')");
    let shown = browser.text_of("#panel");
    assert!(shown.contains("person.000123@example.com"), "{shown}");
    visit.assert_clean();
}

/// Everything that could not be loaded is loaded as soon as the server can be reached again.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn failures_heal() {
    let visit = Visit::begin(start(400), 1280, 800);
    let browser = &visit.browser;
    browser.value(MEDDLE);
    // Loading another page of the list fails, and loading a person.
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

    // The button sends a failed search again.
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

/// The page waits half a minute for an answer, which the test makes a moment.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn an_answer_that_never_comes_is_given_up_and_asked_for_again() {
    let mut visit = Visit::begin(start(3), 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("3 people")));
    browser.value(MEDDLE);
    browser.value(
        "window.later = setTimeout, window.first = () => {}, window.go = true, window.asked = 0,
        window.setTimeout = (task, wait) => later(task, wait === 30000 ? 500 : wait),
        meddle = (path, {signal}, real) => go || !path.includes('Users/') ? real() :
            new Promise((_, fail) => {
                if (++asked === 1) first();
                signal.addEventListener('abort', () => later(() => fail(signal.reason), 100));
            }), 1",
    );
    let is_told = |times: u32| {
        let title = "document.querySelector('#panel h2')?.textContent";
        browser.wait(&format!("{title}?.includes('cannot be shown')"));
        let busy = browser.value("document.getElementById('panel').ariaBusy");
        assert_eq!(busy, Value::Null);
        for place in ["#panel", "#notice"] {
            let told = browser.text_of(place);
            assert!(told.contains("The server cannot be reached."), "{told}");
        }
        // The page asks again by itself.
        browser.wait(&format!("asked > {times}"));
        browser.value("go = true");
        browser.wait("document.querySelector('#panel .facts')");
        browser.wait("document.getElementById('notice').hidden");
    };
    browser.value("go = false");
    browser.click(".row:nth-of-type(2)");
    browser.wait("document.getElementById('panel').ariaBusy === 'true'");
    is_told(1);

    // The person is closed and opened again while a look for changes waits for an answer.
    browser.value(
        "asked = 0, go = false, first = () => {
            const who = location.hash;
            location.hash = '';
            later(() => { location.hash = who; }, 20);
        }, 1",
    );
    add(&mut visit.talk, &person("one@example.com", "One", "More"));
    is_told(2);
    visit.assert_clean();
}

/// A notice stays until there is an answer. A request that was aborted for another person does not
/// count as an answer, nor does a search that still waits.
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

    // If another request fails while a check for changes hangs, there are no seconds to count down.
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

/// After a new search, no earlier result is shown. The first search that succeeds hides the notice
/// of failed ones, however long the server has asked the page to wait.
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
            // The page does not repeat a search that was refused.
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

/// Only a search gives up after a 400: if any other request gets one, the page still shows changes.
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
    // Refuses a check for changes.
    refuse("asked < 1");
    browser.wait(&format!("!{notice}"));
    let told = browser.text_of("#notice");
    assert!(told.contains("Trying again in"), "{told}");
    browser.wait(notice);
    add(&mut visit.talk, &person("two@example.com", "Two", "More"));
    browser.wait(&settled(Some("42 people")));
    visit.assert_clean();
}

/// The error text of a failing server has another request id each time.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn whoever_listens_is_told_once_of_what_goes_on_failing() {
    let visit = Visit::begin(start(10), 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("10 people")));
    browser.value(MEDDLE);
    let refusal = json!(refusal("busy: try again in N s (request 00000000000000aN)"));
    browser.value(&format!(
        "window.asked = 0, window.told = 0,
        new MutationObserver(() => told += 1).observe(
            document.querySelector('#notice span'), {{childList: true, subtree: true}}),
        meddle = () => Promise.resolve(new Response({refusal}.replaceAll('N', ++asked),
            {{status: 503}})), 1"
    ));
    browser.wait("asked >= 3");
    browser.wait("document.getElementById('notice').textContent.includes('Trying again in')");
    assert_eq!(browser.value("told"), 1);
    visit.assert_own_host();
}

/// The total was counted for the list that was shown before.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_count_that_comes_late_brings_no_earlier_list_back() {
    let mut visit = Visit::begin(start(40), 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.click("#search");
    browser.keys(&["rosa"]);
    browser.wait("/^[12] of 40/.test(document.getElementById('totals').textContent)");
    browser.value(MEDDLE);
    browser.value(
        "window.isEverybody = false, meddle = (path, options, go) => {
            if (path.includes('search=')) return go();
            if (!path.includes('count=0')) return isEverybody = true, new Promise(() => {});
            return new Promise((done) => { window.release = () => done(go()); });
        }, 1",
    );
    add(&mut visit.talk, &person("one@example.com", "One", "More"));
    browser.wait("window.release");
    browser.keys(&[key::ESCAPE]);
    browser.wait("isEverybody");
    let before = browser.text_of("#totals");
    browser.value("release(), new Promise((done) => setTimeout(done, 500))");
    assert_eq!(browser.text_of("#totals"), before);
    visit.assert_clean();
}
