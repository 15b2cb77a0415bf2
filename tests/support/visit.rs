//! A visit to the Team Directory: a server with users, a browser that shows the page, and the
//! assertions that hold for every visit.

use std::path::Path;
use std::time::Duration;

use golinks_scim::secret::Secret;
use serde_json::{Value, json};

use super::browser::{Browser, key};
use super::{CORE, Talk};

const NODES_MAX: u64 = 300;
/// Users per bulk request.
const OPERATIONS: usize = 500;

/// A script that makes the page record its greatest number of nodes and its layout shifts.
const WATCH: &str = "(() => {
    window.nodes = 0; window.shift = 0; window.moved = [];
    const count = () => { nodes = Math.max(nodes, document.querySelectorAll('*').length); };
    new MutationObserver(count).observe(document, {childList: true, subtree: true});
    count();
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
            if (entry.hadRecentInput) continue;
            shift += entry.value;
            for (const {node, previousRect, currentRect} of entry.sources) {
                const what = node?.outerHTML ?? node?.parentElement?.outerHTML;
                moved.push([what?.slice(0, 200), previousRect, currentRect]);
            }
        }
    }).observe({type: 'layout-shift', buffered: true});
})()";

/// A server with users, a token that may read them, and a browser that shows the page.
pub(crate) struct Visit {
    pub(crate) talk: Talk,
    pub(crate) token: Secret,
    pub(crate) browser: Browser,
}

impl Visit {
    pub(crate) fn begin(talk: Talk, width: u32, height: u32) -> Self {
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

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.talk.server.address())
    }

    /// Opens the page and waits for the sign-in form.
    pub(crate) fn open(&self, path: &str) {
        // Another page in between, because a change of the fragment alone does not reload the page.
        self.browser.open("about:blank");
        self.browser.open(&self.url(path));
        self.browser.wait("document.activeElement?.id === 'token'");
        self.browser.value(WATCH);
    }

    pub(crate) fn sign_in(&self) {
        self.browser.keys(&[self.token.reveal(), key::ENTER]);
        self.browser.wait(&settled(None));
    }

    /// Asserts that no request went to another host, the browser logged nothing, nothing moved, and
    /// the page never had too many nodes.
    pub(crate) fn assert_clean(&self) {
        let nodes = self.browser.value("nodes").as_u64().expect("a count");
        let shift = self.browser.value("shift").as_f64().expect("a number");
        println!("at most {nodes} nodes, layout shift {shift}");
        assert!(nodes <= NODES_MAX, "{nodes} nodes");
        let moved = self.browser.value("moved");
        assert!(
            shift.abs() < f64::EPSILON,
            "layout shift {shift}: {moved:#}"
        );
        let complaints = self.browser.log("browser");
        assert!(complaints.is_empty(), "{complaints:#?}");
        self.assert_own_host();
    }

    /// Asserts that no request went to another host. Returns the targets of the requests since the
    /// last call.
    pub(crate) fn assert_own_host(&self) -> Vec<String> {
        let own = self.url("/");
        let mut targets = Vec::new();
        for params in self.browser.messages("Network.requestWillBeSent") {
            let url = params["request"]["url"].as_str().expect("a URL");
            // The browser's own pages, shown before it opens the Team Directory.
            let page = params["documentURL"].as_str().unwrap_or_default();
            let is_browsers = ["chrome://", "chrome-untrusted://", "about:blank"];
            if is_browsers.iter().any(|begin| page.starts_with(begin)) {
                continue;
            }
            let target = url.strip_prefix(&own);
            targets.push(target.unwrap_or_else(|| panic!("asked {url}")).to_owned());
        }
        targets
    }
}

/// An expression that is true once the list shows users, with these totals if given.
pub(crate) fn settled(totals: Option<&str>) -> String {
    let rows = "document.querySelector('.row:not(.waiting) .name')?.textContent";
    match totals {
        Some(totals) => format!(
            "{rows} && document.getElementById('totals').textContent === {}",
            json!(totals)
        ),
        None => rows.to_owned(),
    }
}

pub(crate) fn person(user_name: &str, given: &str, family: &str) -> Value {
    json!({
        "schemas": [CORE], "userName": user_name, "displayName": format!("{given} {family}"),
        "name": {"givenName": given, "familyName": family}, "active": true,
        "emails": [{"value": user_name, "type": "work", "primary": true}]
    })
}

/// Adds a user in a millisecond of its own, because the list shows the last changed first.
pub(crate) fn add(talk: &mut Talk, user: &Value) -> Value {
    std::thread::sleep(Duration::from_millis(5));
    talk.json("POST", "/Users", Some(user), 201)
}

/// Creates users whose names repeat and differ as those of real people do.
pub(crate) fn populate(talk: &mut Talk, count: usize) {
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

pub(crate) fn start(count: usize) -> Talk {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    populate(&mut talk, count);
    talk
}

/// The median.
pub(crate) fn middle<T: PartialOrd>(mut values: Vec<T>) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).expect("they are numbers"));
    values.swap_remove(values.len() / 2)
}

pub(crate) fn picture(browser: &Browser, name: &str) {
    // The port differs each time; the picture should not.
    browser.value("document.getElementById('host').textContent = 'scim.example.com', 1");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/directory");
    browser.screenshot(&folder.join(format!("{name}.png")));
}
