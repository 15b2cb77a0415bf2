//! The log: one line per event on standard error. Logging never blocks a request. Text from outside
//! is escaped, long lines are cut, and a closed or blocked standard error only loses lines, which
//! are counted.
//!
//! Lines for people are written by `simple_logger`, whose `eprintln!` panics when standard error is
//! broken and blocks when it is full; hence the log has a thread of its own. Lines for log
//! collectors are JSON objects, which also contain the parts of a request's line as separate
//! members.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant as Monotonic};

use log::kv::{self, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::{Map, json};
use simple_logger::SimpleLogger;

use crate::clock::{Clock, Instant, SystemClock};
use crate::limits;

const WRITER_THREAD: &str = "log-writer";
const OURS: &str = "golinks_scim";
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(1);
/// Pause between two lines that report lost lines, while more keep getting lost.
const LOST_PAUSE: Duration = Duration::from_secs(1);

/// The message of the standard library before it aborts the process because a destructor panicked
/// during a panic.
const LAST_WORDS: &str = "panic in a destructor during cleanup";

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// An entry in the queue to the writing thread.
enum Entry {
    Line(Line),
    Flush(SyncSender<()>),
}

struct Line {
    /// When the event happened, since the line may wait before it is written.
    at: Instant,
    level: log::Level,
    target: String,
    text: String,
    /// The named parts of the text; empty in [`Format::Text`].
    parts: Map<String, serde_json::Value>,
}

struct Logger {
    level: AtomicUsize,
    format: Format,
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Starts the log. Call this once, before anything is logged. `when_damaged` is called when the
/// process is about to be aborted because damage in the store's file makes the store's library
/// panic over and over.
pub fn start(level: LevelFilter, format: Format, when_damaged: fn()) {
    let (queue, entries) = sync_channel(limits::LOG_QUEUE_LINES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&dropped);
    let started = thread::Builder::new()
        .name(WRITER_THREAD.to_owned())
        .spawn(move || write_all(&entries, &Writer::new(format), &count));
    if started.is_err() {
        // Without the thread there is no log, but the program continues.
        return;
    }
    let logger = LOGGER.get_or_init(|| Logger {
        level: AtomicUsize::new(level as usize),
        format,
        queue,
        dropped,
    });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
        std::panic::set_hook(Box::new(move |info| {
            log_panic(info);
            if is_end_by_damage(info) {
                when_damaged();
            }
        }));
    }
}

/// Sets the least severe level that is logged from now on.
pub fn set_level(level: LevelFilter) {
    if let Some(logger) = LOGGER.get() {
        logger.level.store(level as usize, Ordering::Relaxed);
        log::set_max_level(level);
    }
}

/// Whether lines are written as JSON, for log collectors.
pub fn is_json() -> bool {
    LOGGER.get().map(|logger| logger.format) == Some(Format::Json)
}

/// Waits until everything logged so far is written, for a second at most.
pub fn flush() {
    if let Some(logger) = LOGGER.get() {
        let (done, written) = sync_channel(1);
        if logger.queue.try_send(Entry::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_WAIT_MAX);
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = self.level.load(Ordering::Relaxed);
        let level = if metadata.target().starts_with(OURS) {
            level
        } else {
            level.min(LevelFilter::Warn as usize)
        };
        metadata.level() as usize <= level
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut parts = Parts::default();
        if self.format == Format::Json {
            // A visit fails only if a visitor does, and this one never fails.
            let _ = record.key_values().visit(&mut parts);
        }
        let entry = Entry::Line(Line {
            at: SystemClock.now(),
            level: record.level(),
            target: record.target().to_owned(),
            text: escape(&record.args().to_string()),
            parts: parts.0,
        });
        if self.queue.try_send(entry).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// The named parts of a line.
#[derive(Default)]
struct Parts(Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Parts {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let part = match (value.to_u64(), value.to_borrowed_str()) {
            (Some(number), _) => json!(number),
            (None, Some(text)) if !text.is_empty() => json!(escape(text)),
            // An absent or empty part is left out.
            (None, _) => return Ok(()),
        };
        self.0.insert(key.to_string(), part);
        Ok(())
    }
}

fn write_all(entries: &Receiver<Entry>, writer: &Writer, dropped: &AtomicU64) {
    let mut told = Monotonic::now();
    let mut next = entries.recv().ok();
    while let Some(entry) = next {
        match entry {
            Entry::Line(line) => writer.write(line),
            Entry::Flush(done) => {
                // The process may end after this.
                tell_lost(writer, dropped);
                let _ = done.send(());
            }
        }
        // Reporting each lost line would cause even more lost lines.
        next = entries.try_recv().ok();
        if next.is_none() || told.elapsed() >= LOST_PAUSE {
            tell_lost(writer, dropped);
            told = Monotonic::now();
        }
        next = next.or_else(|| entries.recv().ok());
    }
}

fn tell_lost(writer: &Writer, dropped: &AtomicU64) {
    let lost = dropped.swap(0, Ordering::Relaxed);
    if lost > 0 {
        writer.write(Line {
            at: SystemClock.now(),
            level: log::Level::Warn,
            target: OURS.to_owned(),
            text: format!("{lost} log lines were dropped: standard error was too slow"),
            parts: Map::new(),
        });
    }
}

/// Writes lines to standard error.
struct Writer {
    format: Format,
    for_people: SimpleLogger,
    is_journal: bool,
}

impl Writer {
    fn new(format: Format) -> Self {
        Self {
            format,
            for_people: SimpleLogger::new().with_level(LevelFilter::Trace),
            is_journal: is_journal(),
        }
    }

    fn write(&self, line: Line) {
        // A broken standard error is no reason to stop: it may work again later.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let mut begin = String::new();
            if self.is_journal {
                begin = format!("<{}>", priority(line.level));
            }
            // Standard error is unbuffered: each piece is a separate write.
            let write = |text: String| io::stderr().write_all(text.as_bytes());
            match self.format {
                Format::Text => {
                    // If writing the time fails, the line may still get through.
                    let _ = write(format!("{begin}{} ", line.at));
                    self.for_people.log(
                        &Record::builder()
                            .level(line.level)
                            .target(&line.target)
                            .args(format_args!("{}", line.text))
                            .build(),
                    );
                }
                Format::Json => {
                    let _ = write(format!("{begin}{}\n", line.into_json()));
                }
            }
        }));
    }
}

impl Line {
    fn into_json(self) -> serde_json::Value {
        let mut line = json!({
            "time": self.at.to_string(),
            "level": self.level.as_str().to_ascii_lowercase(),
            "message": self.text,
        });
        if let Some(members) = line.as_object_mut() {
            members.extend(self.parts);
        }
        line
    }
}

/// The priority of `syslog(3)`.
fn priority(level: log::Level) -> u8 {
    match level {
        log::Level::Error => 3,
        log::Level::Warn => 4,
        log::Level::Info => 6,
        log::Level::Debug | log::Level::Trace => 7,
    }
}

/// Whether standard error is the journal, which reads `<priority>` before a line
/// (`JOURNAL_STREAM` in `systemd.exec(5)`).
fn is_journal() -> bool {
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else {
        return false;
    };
    std::env::var("JOURNAL_STREAM")
        .is_ok_and(|stream| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

thread_local! {
    static LAST_PANIC_IS_OF_STORE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the last panic on this thread came from the store's library, which panics when it meets
/// a damaged page.
pub fn is_last_panic_of_store() -> bool {
    LAST_PANIC_IS_OF_STORE.get()
}

/// Logs a panic and its location: every panic is a bug, or damage in the store's file.
fn log_panic(info: &PanicHookInfo<'_>) {
    if thread::current().name() == Some(WRITER_THREAD) {
        return;
    }
    LAST_PANIC_IS_OF_STORE.set(is_of_store(info));
    let what = if is_of_store(info) {
        "the store's file is damaged, its library stopped"
    } else {
        "bug"
    };
    let place = info
        .location()
        .map_or_else(String::new, |place| format!(" at {place}"));
    log::error!("{what}{place}: {}", words_of(info));
}

fn is_of_store(info: &PanicHookInfo<'_>) -> bool {
    let is_of_store = |part: &str| part == "redb" || part.starts_with("redb-");
    let place = info.location();
    place.is_some_and(|it| it.file().split('/').any(is_of_store))
}

/// The message of a panic.
fn words_of<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or(payload.downcast_ref::<&str>().copied())
        .unwrap_or_default()
}

/// Whether the process is about to abort, because a destructor panicked during a panic of the
/// store's library. This happens with a file whose damage the library did not notice when it opened
/// the file.
fn is_end_by_damage(info: &PanicHookInfo<'_>) -> bool {
    thread_local! {
        static STORE_HAS_PANICKED: Cell<bool> = const { Cell::new(false) };
    }
    if is_of_store(info) {
        STORE_HAS_PANICKED.set(true);
    }
    words_of(info) == LAST_WORDS && STORE_HAS_PANICKED.get()
}

/// Makes the text fit on one line: escapes control characters, line separators and characters that
/// change the direction of text, and cuts text that is too long.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if escaped.len() >= limits::LOG_LINE_BYTES_MAX {
            escaped.push('…');
            break;
        }
        if is_dangerous(c) {
            // Writing to a String does not fail.
            let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a character affects a terminal or the text shown around it.
pub fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_a_line_or_a_terminal() {
        for (text, wanted) in [
            ("plain é 漢", "plain é 漢"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("\u{7f}\u{9b}", "\\u{7f}\\u{9b}"),
            ("\u{2028}\u{202e}", "\\u{2028}\\u{202e}"),
        ] {
            assert_eq!(escape(text), wanted);
        }
        let long = escape(&"x".repeat(3 * limits::LOG_LINE_BYTES_MAX));
        assert!(long.len() <= limits::LOG_LINE_BYTES_MAX + 8);
    }

    #[test]
    fn a_full_queue_costs_lines_and_no_time() {
        let (queue, entries) = sync_channel(2);
        let logger = Logger {
            level: AtomicUsize::new(LevelFilter::Info as usize),
            format: Format::Text,
            queue,
            dropped: Arc::new(AtomicU64::new(0)),
        };
        for _ in 0..5 {
            let metadata = Metadata::builder()
                .level(log::Level::Info)
                .target(OURS)
                .build();
            logger.log(
                &Record::builder()
                    .metadata(metadata)
                    .args(format_args!("line"))
                    .build(),
            );
        }
        assert_eq!(logger.dropped.load(Ordering::Relaxed), 3);
        assert_eq!(entries.try_iter().count(), 2);
    }
}
