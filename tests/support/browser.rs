//! A real browser: Debian's chromium, controlled by chromedriver over the WebDriver protocol, which
//! is plain HTTP on this machine. Expressions are evaluated through the debugger, to which the
//! page's content security policy does not apply.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use golinks_scim::http1::client::{Request, Response, ResponseError, read_response};
use serde_json::{Value, json};
use tempfile::TempDir;

const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Far longer than any step takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const INSTALL: &str = "apt-get install chromium chromium-driver";

/// Keys by their WebDriver code points (WebDriver, section 17.4.2).
pub(crate) mod key {
    pub(crate) const TAB: &str = "\u{e004}";
    pub(crate) const ENTER: &str = "\u{e007}";
    pub(crate) const ESCAPE: &str = "\u{e00c}";
    pub(crate) const SPACE: &str = " ";
    pub(crate) const END: &str = "\u{e010}";
    pub(crate) const HOME: &str = "\u{e011}";
    pub(crate) const UP: &str = "\u{e013}";
    pub(crate) const RIGHT: &str = "\u{e014}";
    pub(crate) const DOWN: &str = "\u{e015}";
}

/// One browser with one window. Nothing of it remains after it is dropped.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    /// The folder of the browser's files, removed with it.
    profile: TempDir,
}

impl Browser {
    /// Starts a browser with a new profile, in a window of this size.
    pub(crate) fn start(width: u32, height: u32) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error}; {INSTALL}"));
        let stdout = driver.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let (_, rest) = line.split_once("successfully on port ")?;
            rest.trim_end_matches('.').parse().ok()
        });
        let port: u16 = port.expect("the driver tells its port");
        let mut browser = Self {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            profile: TempDir::new().expect("a folder"),
        };
        let wanted = capabilities(browser.profile.path());
        let response = browser.send("POST", "/session", Some(&wanted));
        let response = response.unwrap_or_else(|error| panic!("chromedriver: {error}"));
        let told = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(response.status, 200, "no browser: {told}; {INSTALL}");
        let session: Value = serde_json::from_str(&told).expect("JSON");
        browser.session = text(&session["value"]["sessionId"]);
        browser.resize(width, height);
        // Some versions first show a page of their own.
        browser.debug("Page.bringToFront", &json!({}));
        browser
    }

    /// Sets the size of the viewport.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.debug(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
    }

    /// Sets the preferred color scheme, light or dark, and a preference for reduced motion.
    pub(crate) fn prefer(&self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.debug(
            "Emulation.setEmulatedMedia",
            &json!({"features": [feature, {"name": "prefers-reduced-motion", "value": "reduce"}]}),
        );
    }

    pub(crate) fn open(&self, url: &str) {
        self.command("POST", "/url", Some(&json!({"url": url})));
    }

    /// The value of an expression in the page, or of the promise that it returns.
    pub(crate) fn value(&self, expression: &str) -> Value {
        let parameters = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
            "userGesture": false
        });
        let answer = self.debug("Runtime.evaluate", &parameters);
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression:.200}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// [`Self::value`] as text.
    pub(crate) fn text(&self, expression: &str) -> String {
        text(&self.value(expression))
    }

    /// The text of an element.
    pub(crate) fn text_of(&self, selector: &str) -> String {
        self.text(&format!(
            "document.querySelector({}).innerText",
            json!(selector)
        ))
    }

    /// Waits until an expression is true, and returns how long that took.
    pub(crate) fn wait(&self, expression: &str) -> Duration {
        let began = Instant::now();
        while self.value(&format!("Boolean({expression})")) != json!(true) {
            assert!(
                began.elapsed() < PATIENCE,
                "{expression} does not come to hold; the page shows:\n{}\n{}",
                self.text_of("body"),
                json!(self.log("browser")),
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        began.elapsed()
    }

    /// Lets the page write to the clipboard, and the test read it.
    pub(crate) fn allow_copying(&self) {
        let permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"];
        self.debug(
            "Browser.grantPermissions",
            &json!({"permissions": permissions}),
        );
    }

    /// Clicks in the middle of an element, as a mouse does.
    pub(crate) fn click(&self, selector: &str) {
        let found = json!({"using": "css selector", "value": selector});
        let element = self.command("POST", "/element", Some(&found));
        let id = element
            .as_object()
            .and_then(|object| object.values().next())
            .map(text)
            .expect("an element's id");
        self.command("POST", &format!("/element/{id}/click"), Some(&json!({})));
    }

    /// Types texts and keys into the element that has the focus.
    pub(crate) fn keys(&self, keys: &[&str]) {
        let strokes: Vec<Value> = keys
            .iter()
            .flat_map(|keys| keys.chars())
            .flat_map(|key| {
                let stroke = |what: &str| json!({"type": what, "value": key.to_string()});
                [stroke("keyDown"), stroke("keyUp")]
            })
            .collect();
        let actions = json!([{"type": "key", "id": "keyboard", "actions": strokes}]);
        self.command("POST", "/actions", Some(&json!({"actions": actions})));
    }

    /// Saves the visible part of the page as PNG.
    pub(crate) fn screenshot(&self, path: &Path) {
        let picture = self.command("GET", "/screenshot", None);
        let picture = STANDARD.decode(text(&picture)).expect("base64");
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, picture).expect("written");
    }

    /// The entries of a log since the last call.
    pub(crate) fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.command("POST", "/se/log", Some(&json!({"type": kind})));
        entries.as_array().cloned().unwrap_or_default()
    }

    /// The DevTools events of this name since the last call.
    pub(crate) fn messages(&self, name: &str) -> Vec<Value> {
        let entries = self.log("performance").into_iter();
        let messages = entries.map(|entry| {
            let told: Value = serde_json::from_str(&text(&entry["message"])).expect("JSON");
            told["message"].clone()
        });
        let named = messages.filter(|message| message["method"] == name);
        named.map(|mut message| message["params"].take()).collect()
    }

    /// Minimizes the window, which hides its tab.
    pub(crate) fn minimize(&self) {
        self.command("POST", "/window/minimize", Some(&json!({})));
    }

    /// Brings the window back.
    pub(crate) fn restore(&self) {
        self.command(
            "POST",
            "/window/rect",
            Some(&json!({"width": 1280, "height": 900})),
        );
    }

    /// Runs a command of the DevTools protocol.
    pub(crate) fn debug(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.command("POST", "/goog/cdp/execute", Some(&body))
    }

    fn command(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.call(method, &format!("/session/{}{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let response = self.send(method, path, body);
        let response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let told = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(response.status, 200, "{method} {path}: {told}");
        let mut answer: Value = serde_json::from_str(&told).expect("JSON");
        answer["value"].take()
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, ResponseError> {
        let mut stream = TcpStream::connect(self.address).map_err(ResponseError::Io)?;
        stream.set_read_timeout(Some(2 * PATIENCE)).expect("set");
        let host = self.address.to_string();
        let headers = [("Host", host.as_str()), ("Connection", "close")];
        let body = body.map(|body| body.to_string().into_bytes());
        let request = Request {
            method,
            target: path,
            headers: &headers,
            body: body.as_deref(),
        };
        let mut bytes = Vec::new();
        request.write(&mut bytes);
        stream.write_all(&bytes).map_err(ResponseError::Io)?;
        read_response(&mut stream, false, ANSWER_BYTES_MAX)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver closes its browser only on request, not when the driver itself is stopped. An
        // error here is ignored, so that the test reports the failure that came before it.
        if !self.session.is_empty() {
            let _ = self.send("DELETE", &format!("/session/{}", self.session), None);
        }
        let pid = rustix::process::Pid::from_child(&self.driver);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        self.driver.wait().ok();
    }
}

fn capabilities(profile: &Path) -> Value {
    let profile = format!("--user-data-dir={}", profile.display());
    json!({"capabilities": {"alwaysMatch": {
        "acceptInsecureCerts": true,
        "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        "goog:chromeOptions": {"args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--lang=en-GB", profile
        ]}
    }}})
}

fn text(value: &Value) -> String {
    value.as_str().map(str::to_owned).unwrap_or_default()
}
