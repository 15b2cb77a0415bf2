//! The Team Directory as people use it: chromium against the real binary over TLS. These tests need
//! `chromium` and `chromedriver`, so they are run by name: `cargo test --test main -- --ignored
//! directory_browser`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::browser::key;
use crate::support::visit::{Visit, add, person, picture, populate, settled, start};
use crate::support::{Server, Talk};

#[test]
#[ignore = "needs chromium and chromedriver"]
fn somebody_is_found_opened_and_seen_to_change() {
    let mut talk = start(40);
    let jane = add(&mut talk, &person("jane.doe@example.com", "Jane", "Doe"));
    let hostile = "<img src=x onerror=\"document.title='run'\">";
    add(
        &mut talk,
        &person(hostile, "<b>Bold</b>", "<script>1</script>"),
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

    // The users who were changed last come first. Values are shown as text.
    assert_eq!(
        browser.text_of(".row .name"),
        "<b>Bold</b> <script>1</script>"
    );
    assert_eq!(browser.text_of(".row .email"), hostile);
    browser.click(".row");
    browser.wait("document.querySelector('#panel .facts')");
    assert!(browser.text_of("#panel").contains(hostile));
    assert_eq!(browser.value("document.images.length"), 1, "the page's own");
    assert_eq!(
        browser.text("document.title"),
        "<b>Bold</b> <script>1</script> – Team Directory"
    );

    // As pasted from two cells of a spreadsheet.
    browser.value(
        "search.value = 'dOE\\tjan', search.dispatchEvent(new Event('input', { bubbles: true })), 1",
    );
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
    browser.wait(
        "document.querySelector('#panel dd.status').textContent === 'Inactive' && \
         document.querySelector('.row .status').textContent === 'Inactive'",
    );
    browser.keys(&[key::ESCAPE, key::ESCAPE]);
    browser.wait(&settled(Some("42 people")));
    assert_eq!(browser.text("document.title"), "Team Directory");

    // A user without a status is listed with the inactive ones.
    let removal = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "remove", "path": "active"}],
    });
    let target = format!("/Users/{id}");
    visit.talk.json("PATCH", &target, Some(&removal), 200);
    browser.click("input[value=inactive]");
    browser.wait(
        "document.querySelector('.row .email')?.textContent === 'jane.doe@example.com' && \
         document.querySelector('.row .status').textContent === 'Inactive'",
    );

    // Deletes the person whose details are shown.
    visit.open(&format!("/directory/#/person/{id}"));
    visit.sign_in();
    browser.wait("document.querySelector('#panel h2').textContent === 'Jane Doe'");
    visit.assert_clean();
    visit.talk.json("DELETE", &target, None, 204);
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
#[ignore = "needs chromium and chromedriver"]
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
    // There are no users yet.
    browser.wait("!document.getElementById('nobody').hidden");
    assert!(browser.text_of("#nobody").contains("Nobody is here yet"));
    // The tab keeps the token. When the token is revoked, the page signs out and shows the server's
    // words.
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
#[ignore = "needs chromium and chromedriver"]
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
#[ignore = "needs chromium and chromedriver"]
fn five_thousand_people_are_scrolled_a_page_at_a_time() {
    let visit = Visit::begin(start(5000), 1280, 900);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("5,000 people")));
    let began = Instant::now();
    while browser
        .text("[...document.querySelectorAll('.row')].map((row) => row.ariaPosInSet).join()")
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
    // The order is by last change, descending: the users who were created first come last.
    let last = browser.text(first);
    assert!(last.starts_with("person.000"), "{last}");
    let targets = visit.assert_own_host();
    let lists: Vec<&String> = targets
        .iter()
        .filter(|target| target.starts_with("scim/"))
        .collect();
    assert!(lists.len() >= 50, "{} pages", lists.len());
    for list in &lists {
        let is_further = list.contains("cursor=") && !list.contains("cursor=&");
        let count = if is_further { "count=100" } else { "count=28" };
        assert!(list.contains(count), "{list}");
    }
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
#[ignore = "needs chromium and chromedriver"]
fn everything_can_be_done_with_keys() {
    let visit = Visit::begin(start(300), 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("300 people")));
    let pointed = "document.getElementById(document.getElementById('list')\
                   .getAttribute('aria-activedescendant') ?? '')?.ariaPosInSet";
    assert_eq!(browser.text("document.activeElement.id"), "search");
    browser.keys(&["rosa"]);
    browser.wait(&settled(Some("15 of 300 people")));
    browser.keys(&[key::DOWN, key::DOWN, key::DOWN, key::UP]);
    assert_eq!(browser.text(pointed), "2");
    browser.keys(&[key::ENTER]);
    browser.wait("document.activeElement.tagName === 'H2'");
    browser.wait("document.querySelector('#panel .facts')");
    // Moves to the email's copy button, and presses it.
    browser.allow_copying();
    browser.keys(&[key::TAB, key::TAB, key::SPACE]);
    browser.wait("document.activeElement.textContent === 'Copied'");
    browser.wait("document.getElementById('said').textContent === 'Email copied'");
    browser.wait("document.activeElement.textContent === 'Copy'");
    browser.keys(&[key::ESCAPE]);
    browser.wait("document.activeElement.id === 'list' && location.hash === ''");
    browser.keys(&["/"]);
    browser.wait("document.activeElement.id === 'search'");
    browser.keys(&[key::ESCAPE]);
    browser.wait(&settled(Some("300 people")));
    // Moves on to the filter, the attribute to sort by, the order, and the list.
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
#[ignore = "needs chromium and chromedriver"]
fn keys_that_are_meant_for_something_else_do_nothing_else() {
    let visit = Visit::begin(start(300), 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    browser.click("input[value=inactive]");
    browser.wait(&settled(Some("27 of 300 people")));
    browser.keys(&["/"]);
    browser.keys(&["rosa"]);
    browser.wait("/^[12] of 300/.test(document.getElementById('totals').textContent)");
    // Keys that belong to an input method's composition in progress.
    browser.value(
        "for (const key of ['Enter', 'Escape']) {
            // The latter is what Safari sends at its end.
            for (const how of [{isComposing: true}, {keyCode: 229}]) {
                document.activeElement.dispatchEvent(
                    new KeyboardEvent('keydown', {key, bubbles: true, ...how}));
            }
        }",
    );
    assert_eq!(browser.text("search.value + location.hash"), "rosa");
    browser.keys(&[key::ESCAPE]);
    browser.wait(&settled(Some("27 of 300 people")));
    browser.value("document.getElementById('sort').focus()");
    browser.keys(&["/"]);
    assert_eq!(browser.text("document.activeElement.id"), "sort");
    visit.assert_clean();
}

/// However many people are opened and closed, the history grows by only one step, and going back
/// opens nobody.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn back_closes_whoever_is_open_and_opens_nobody() {
    let visit = Visit::begin(start(10), 1280, 800);
    visit.open("/directory/?from=mail");
    visit.sign_in();
    let browser = &visit.browser;
    browser.wait(&settled(Some("10 people")));
    let length = || browser.value("history.length").as_u64().expect("a count");
    let before = length();
    let choose = |place: usize| {
        browser.value(&format!(
            "[...document.querySelectorAll('.row')].find((row) => \
             row.ariaPosInSet === '{place}').click()"
        ));
        browser.wait(&format!(
            "document.querySelector('.row.opened')?.ariaPosInSet === '{place}' && \
             document.querySelector('#panel .facts')"
        ));
        assert_eq!(browser.text("location.search"), "?from=mail");
    };
    let closed = "location.href.endsWith('/directory/?from=mail') && \
                  !document.querySelector('#panel .facts')";
    for place in 1..=3 {
        choose(place);
        browser.keys(&[key::ESCAPE]);
        browser.wait("document.activeElement.id === 'list'");
        browser.wait(closed);
    }
    // A click while the browser is still going back, and then a click on another person without
    // closing the first.
    choose(1);
    browser.value("document.querySelector('#panel .close').click()");
    choose(2);
    choose(3);
    assert!(length() <= before + 1, "{} steps more", length() - before);
    let link = browser.text("location.hash");
    browser.value("history.back()");
    browser.wait(closed);
    assert_eq!(browser.text("document.title"), "Team Directory");
    visit.assert_clean();
    // The history entry before a link does not belong to the page.
    visit.open(&format!("/directory/?from=mail{link}"));
    visit.sign_in();
    browser.wait("document.querySelector('#panel .facts')");
    let before = length();
    browser.keys(&[key::ESCAPE]);
    browser.wait(closed);
    assert_eq!(length(), before);
    // A person chosen in place of the one whom a link names is closed by going back, like any
    // other.
    browser.value(&format!("location.replace('{link}')"));
    browser.wait("document.querySelector('#panel .facts')");
    choose(1);
    choose(2);
    assert_eq!(length(), before + 1);
    browser.value("history.back()");
    browser.wait(closed);
    assert_eq!(browser.text_of("#totals"), "10 people");
    visit.assert_clean();
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_person_is_copied_and_the_link_opens_the_same_person_again() {
    let mut talk = start(150);
    let mut grace = person("grace.okafor@example.com", "Grace", "Okafor");
    grace["externalId"] = json!("00u1a2b3c4D5e6F7g8h9");
    grace["title"] = json!("Staff Engineer");
    let grace = add(&mut talk, &grace);
    // So many users that the person is not on the page that is loaded first.
    populate_more(&mut talk);
    let id = grace["id"].as_str().expect("an id");
    let visit = Visit::begin(talk, 1280, 800);
    let browser = &visit.browser;
    browser.allow_copying();
    let clipboard = |button: &str| {
        browser.value("navigator.clipboard.writeText('nothing')");
        browser.click(button);
        browser.wait(
            "[...document.querySelectorAll('button')].some((one) => one.textContent === 'Copied')",
        );
        browser.wait(
            "![...document.querySelectorAll('button')].some((one) => one.textContent === 'Copied')",
        );
        browser.text("navigator.clipboard.readText()")
    };
    assert_eq!(
        clipboard("#copy-command"),
        "golinks-scim token issue directory --scope read"
    );
    browser.click("#token");
    visit.sign_in();
    browser.click("#search");
    browser.keys(&["grace okafor staff"]);
    browser.wait("!document.getElementById('nobody').hidden");
    browser.value("document.getElementById('search').select()");
    browser.keys(&["grace.okafor"]);
    browser.wait(&settled(Some("1 of 301 people")));
    browser.click(".row");
    browser.wait("document.querySelector('#panel .facts')");
    let copy = |what: &str| clipboard(&format!("#panel button[aria-label=\"Copy {what}\"]"));
    assert_eq!(copy("email"), "grace.okafor@example.com");
    assert_eq!(copy("id"), id);
    assert_eq!(copy("external id"), "00u1a2b3c4D5e6F7g8h9");
    let document = clipboard("#panel .actions button:last-child");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(document["title"], "Staff Engineer");
    assert_eq!(document["meta"], grace["meta"]);
    let link = clipboard("#panel .actions button:first-child");
    assert_eq!(link, visit.url(&format!("/directory/#/person/{id}")));

    visit.open(&format!("/directory/#/person/{id}"));
    visit.sign_in();
    browser.wait("document.querySelector('#panel h2').textContent === 'Grace Okafor'");
    browser.wait("document.querySelector('#panel .facts')");
    visit.assert_clean();
}

fn populate_more(talk: &mut Talk) {
    for number in 0..150 {
        let name = format!("later.{number:03}@example.com");
        add(talk, &person(&name, "Later", "Still"));
    }
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn people_are_sorted_by_name_email_and_change_and_selected_by_status() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for (email, given, family, active) in [
        ("c@example.com", "Anna", "Zeta", true),
        ("a@example.com", "Zoe", "Mu", false),
        ("b@example.com", "Mia", "Alpha", true),
    ] {
        let mut user = person(email, given, family);
        user["active"] = json!(active);
        // The userNames have a different order.
        user["userName"] = json!(given);
        add(&mut talk, &user);
    }
    let visit = Visit::begin(talk, 1280, 800);
    visit.sign_in();
    let browser = &visit.browser;
    let shown = |wanted: &str| {
        browser.wait(&format!(
            "[...document.querySelectorAll('.row')].sort((one, other) => one.ariaPosInSet - \
             other.ariaPosInSet).map((row) => row.querySelector('.email').textContent[0]).join('') \
             === '{wanted}'"
        ));
    };
    let choose = |value: &str| {
        browser.value(&format!(
            "document.getElementById('sort').value = '{value}', \
             document.getElementById('sort').dispatchEvent(new Event('change', {{bubbles: true}}))"
        ));
    };
    shown("bac");
    choose("emails");
    shown("abc");
    browser.click("#order");
    shown("cba");
    choose("userName");
    shown("cba");
    browser.click("#order");
    shown("abc");
    choose("name.familyName");
    shown("bac");
    browser.click("#order");
    shown("cab");
    choose("meta.lastModified");
    shown("bac");
    browser.click("input[value=active]");
    shown("bc");
    assert_eq!(browser.text_of("#totals"), "2 of 3 people");
    browser.click("input[value=inactive]");
    shown("a");
    assert_eq!(browser.text_of("#totals"), "1 of 3 people");
    browser.click("input[value=all]");
    shown("bac");
    assert_eq!(browser.text_of("#totals"), "3 people");
    visit.assert_clean();
}
