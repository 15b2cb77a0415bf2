//! What the browser does for the page: it keeps the token while the tab lives, runs nothing but the
//! page's own code, and may lack what the page uses.

use std::time::Duration;

use serde_json::{Value, json};

use super::MEDDLE;
use crate::support::Talk;
use crate::support::browser::key;
use crate::support::visit::{Visit, populate, settled, start};

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
    // A reload shows the person whom the address names, without signing in again.
    browser.click(".row");
    browser.wait("document.querySelector('#panel .facts')");
    let name = browser.text_of("#panel h2");
    browser.value("location.reload()");
    browser.wait(&format!(
        "document.querySelector('#panel .facts') && \
         document.querySelector('#panel h2').textContent === {}",
        json!(name)
    ));
    // Something between page and server refuses the request.
    browser.value(MEDDLE);
    browser.value(
        "meddle = () => Promise.resolve(new Response('<p>Sign in first', {status: 403})), 1",
    );
    browser.wait("!document.getElementById('notice').hidden");
    assert_eq!(browser.value("sessionStorage.length"), 1);
    browser.value("meddle = (path, options, go) => go(), 1");
    browser.wait("document.getElementById('notice').hidden");
    // Signing out forgets everything.
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

    // When a token has expired, the page shows the server's words.
    let short = visit.talk.server.token_with("short", &["--expires", "1s"]);
    std::thread::sleep(Duration::from_millis(1500));
    browser.keys(&[short.reveal(), key::ENTER]);
    browser.wait("document.getElementById('sign-in-error').textContent.includes('(request ')");
    let told = browser.text_of("#sign-in-error");
    assert!(told.contains("the API token is not valid here"), "{told}");

    // The kept token is forgotten when somebody signs in with another one.
    browser.value("sessionStorage.setItem('golinks-scim-token', 'other')");
    block(json!(["*/scim/v2/*"]));
    browser.value("location.reload()");
    browser.wait("document.getElementById('sign-in-error')?.textContent.includes('reload')");
    block(json!([]));
    visit.sign_in();
    browser.wait("sessionStorage.length === 0");
    visit.assert_own_host();
}

/// The browser enforces the content security policy, whatever the page's own code does.
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

/// The page can do without some things that a browser may lack. A browser that cannot run it is
/// told so by the page itself.
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
    // The words appear only after a while, even for a user who prefers reduced motion.
    browser.prefer("light");
    browser.open(&visit.url("/directory/"));
    let waits = "getComputedStyle(document.getElementById('lacking')).animation";
    let waits = browser.text(waits);
    assert!(
        waits.starts_with("5s ") && waits.ends_with(" appear"),
        "{waits}"
    );
    browser.wait("document.body.innerText.includes('newer browser')");

    // A browser that loads everything, but is older than the ones that the sentence names.
    browser.debug("Network.setBlockedURLs", &json!({"urls": []}));
    let older = json!({"source": "delete HTMLElement.prototype.inert"});
    browser.debug("Page.addScriptToEvaluateOnNewDocument", &older);
    browser.open(&visit.url("/directory/?older"));
    browser.wait("document.body.innerText.includes('newer browser')");
    assert!(!browser.text_of("body").contains("API token"));
}
