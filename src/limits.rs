//! Every bound on input from outside, by name, in one place: each buffer, queue, loop or recursion
//! that such input feeds is bounded by one of these. The unit comes last in a name, or before a
//! word such as `MAX`, `DEFAULT` or `STEP`. Buffer sizes and pauses that input from outside cannot
//! influence stay with their code.

use std::time::Duration;

// The times of a connection

/// A TLS handshake in total, from when a worker begins it until it is complete.
pub const HANDSHAKE_DURATION_MAX: Duration = Duration::from_secs(10);
/// A request head in total, from its first byte to its empty line.
pub const HEAD_DURATION_MAX: Duration = Duration::from_secs(10);
/// A request body in total, from the end of the head to its last byte.
pub const BODY_DURATION_MAX: Duration = Duration::from_secs(30);
/// Writing one answer in total.
pub const WRITE_DURATION_MAX: Duration = Duration::from_secs(30);
/// Writing the answer to a request that has used up nearly all of [`REQUEST_DURATION_MAX`].
pub const LAST_ANSWER_DURATION_MAX: Duration = Duration::from_secs(1);
/// One request in total, from its first byte to the last byte of its answer.
pub const REQUEST_DURATION_MAX: Duration = Duration::from_secs(60);
/// Silence on a kept connection.
pub const IDLE_DURATION_MAX: Duration = Duration::from_secs(75);
/// The age of a connection, even a busy one: it ends after the first answer beyond this age.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(3600);
/// Silence in the body of a refused request while the body is dropped, whether the connection is
/// kept or about to be closed; dropping it all takes at most [`BODY_DURATION_MAX`].
pub const DISCARD_SILENCE_MAX: Duration = Duration::from_secs(1);
/// Silence of a client after its last answer was sent, while what it still sends is dropped before
/// closing (RFC 9112 section 9.6); dropping it all takes at most [`BODY_DURATION_MAX`].
pub const LINGER_SILENCE_MAX: Duration = Duration::from_secs(3);
/// The same while the server is closing, but in total, so that no client delays the server's end.
/// Also the time for writing the last few bytes of a connection.
pub const CLOSE_DURATION_MAX: Duration = Duration::from_secs(1);
/// Pause between two attempts to read more of a dropped body where a read cannot block.
pub const DISCARD_PAUSE: Duration = Duration::from_millis(20);
/// The time after SIGTERM within which requests already read are finished.
pub const DRAIN_DURATION_MAX: Duration = Duration::from_secs(20);

// Requests and answers as bytes

/// Request line: method, target, version.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;
/// One header field line.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;
/// The whole head with its empty line.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header fields in one head.
pub const HEADERS_COUNT_MAX: usize = 100;
/// Parameters in one query.
pub const QUERY_PARAMETERS_MAX: usize = 64;
/// A request body without its framing.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of an unwanted body that are read and dropped to keep the connection.
pub const DISCARD_BYTES_MAX: usize = 64 * 1024;
/// Bytes read and dropped before a connection is closed, such as a body that is still arriving,
/// even one that is too large, for up to [`BODY_DURATION_MAX`]. Closing with unread bytes sends a
/// reset, which would cost many clients their answer: those that write everything before they read,
/// such as reverse proxies.
pub const LINGER_BYTES_MAX: usize = 16 * BODY_BYTES_MAX;
/// A chunk size in hexadecimal digits (RFC 9112 section 7.1).
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;
/// Extensions of one chunk.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 256;
/// Trailer fields, which are parsed and discarded.
pub const TRAILERS_COUNT_MAX: usize = 32;
/// A larger answer is streamed, a smaller one held in memory. Each connection may hold one that its
/// client does not read; still, a page of 200 users of 1 KB has a `Content-Length`.
pub const ANSWER_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// A piece of a streamed answer ends after the user that reaches this size. With most users, a
/// piece fits into the 64 KiB that TLS buffers.
pub const ANSWER_PIECE_BYTES: usize = 48 * 1024;
/// The largest answer that the program's own clients hold in memory.
pub const CLIENT_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

// Connections, workers and both servers

/// Connections at one time, each with a worker of its own.
pub const CONNECTIONS_MAX: usize = 512;
/// Connections at one time where the system allows hardly any descriptors.
pub const CONNECTIONS_MIN: usize = 8;
/// Descriptors reserved for everything else: the store, the local socket, connections that are
/// being closed.
pub const DESCRIPTORS_RESERVED: u64 = 128;
/// Descriptors for [`CONNECTIONS_MAX`] connections and for the server itself.
pub const DESCRIPTORS_NEEDED: u64 = CONNECTIONS_MAX as u64 + DESCRIPTORS_RESERVED;
/// TLS sessions that can be resumed; an identity provider opens a few dozen connections.
pub const TLS_SESSIONS_MAX: usize = 4096;
/// Pause between two log lines about strangers' connections that were closed to make room.
pub const EVICTION_TOLD_PAUSE: Duration = Duration::from_secs(60);
/// Pause between two log lines about connections that could not be accepted: without it, an
/// attacker could fill the disk.
pub const ACCEPT_TOLD_PAUSE: Duration = Duration::from_secs(1);
/// A share is 1/N of all connections. While strangers have no more than a share, connections of a
/// token that has more are the first to make room.
pub const CONNECTIONS_SHARE_PART: usize = 4;
/// How long a client has to take its answer before its connection may be closed to make room.
pub const ANSWER_TAKEN_MIN: Duration = Duration::from_secs(1);
/// Pause between two checks for connections whose token is no longer valid.
pub const TOKENS_LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Accepted connections that wait for a free worker.
pub const CONNECTIONS_WAITING_MAX: usize = 64;
/// The wait for a place among [`CONNECTIONS_WAITING_MAX`]; meanwhile new connections stay in the
/// listen backlog.
pub const WORKER_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a worker without a connection is kept.
pub const WORKER_IDLE_MAX: Duration = Duration::from_secs(60);
/// Listen backlog of the HTTPS server.
pub const LISTEN_BACKLOG: i32 = 1024;
/// Stack of one worker thread.
pub const WORKER_STACK_BYTES: usize = 1024 * 1024;
/// Workers of the local socket.
pub const LOCAL_WORKERS: usize = 8;
/// Servers of the local socket that accept no more connections but still serve the open ones.
pub const LOCAL_ENDED_MAX: usize = 4;
/// Pause between two checks for requests on such connections.
pub const LOCAL_ENDED_PAUSE: Duration = Duration::from_millis(100);
/// Interval between two checks that the local socket accepts connections.
pub const LOCAL_LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// The wait for the outcome of such a check.
pub const LOCAL_PROBE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Minimum time for clients of the local socket to take their answers, even if the answers of the
/// HTTPS server used up the time.
pub const LOCAL_DRAIN_DURATION_MIN: Duration = Duration::from_secs(1);

// Failed authentications, and the rate of requests

/// Failures logged per address within [`FAILURE_WINDOW`]: this many failed authentications, and as
/// many other refusals without a valid token. Beyond that, none are logged, and failed
/// authentications are answered 429.
pub const FAILURES_PER_WINDOW_MAX: u32 = 20;
/// Refusals logged within [`FAILURE_WINDOW`], over all callers without a valid token.
pub const FAILURES_TOLD_MAX: u32 = 1000;
/// The time within which failed authentications are counted.
pub const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// Addresses whose failures are counted; beyond this number the oldest is forgotten.
pub const FAILURE_ADDRESSES_MAX: usize = 8192;
/// Networks that one token may be bound to.
pub const ALLOWED_NETWORKS_MAX: usize = 64;
/// Requests per second per token, unless the command line or the token says otherwise.
pub const RATE_PER_SECOND_DEFAULT: u32 = 200;
/// Seconds' worth of the rate that may come at once: a burst of 1,000 at the default rate.
pub const RATE_BURST_SECONDS: u32 = 5;
/// The longest wait that a 429 asks for.
pub const RETRY_AFTER_SECONDS_MAX: u32 = 300;
/// After how long a caller may try again if too many others were in the way, or if the check after
/// a start is not finished.
pub const RETRY_SOON_SECONDS: u32 = 5;
/// After how long a caller may try again if the disk failed.
pub const RETRY_DISK_SECONDS: u32 = 30;

// The alarm about deactivations

/// The alarm is raised when the deactivations within an hour exceed both this number and
/// [`ALARM_PERCENT_DEFAULT`] of the active users, unless configured otherwise.
pub const ALARM_DEACTIVATIONS_DEFAULT: u32 = 50;
/// See [`ALARM_DEACTIVATIONS_DEFAULT`].
pub const ALARM_PERCENT_DEFAULT: u32 = 20;
/// Principals whose deactivations within one minute are counted separately.
pub const ALARM_PRINCIPALS_MAX: usize = 64;
/// Rows of the audit trail that are searched for deactivations before a start completes; the rest
/// of the last hour is counted in the background.
pub const ALARM_ROWS_MAX: usize = 50_000;

// Queries: pages, search, sorting and turns

/// The largest `startIndex` that is read and shown, beyond every page: clients parse it as a signed
/// 32-bit number.
pub const START_INDEX_MAX: usize = 0x7fff_ffff;
/// Resources per page when `count` is absent.
pub const COUNT_DEFAULT: usize = 100;
/// Resources per page at most; a larger `count` is lowered to this.
pub const COUNT_MAX: usize = 500;
/// Resources per page at most for the administrator, whose commands list whole directories.
pub const ADMINISTRATOR_COUNT_MAX: usize = 10_000;
/// The least time for which a cursor is valid (`cursorTimeout`); the most is twice as long.
pub const CURSOR_DURATION_MIN: Duration = Duration::from_secs(3600);
/// A cursor as text: the longest position, sealed, in base64.
pub const CURSOR_BYTES_MAX: usize = 1024;
/// Ends of pages by index that are remembered.
pub const PAGE_ENDS_MAX: usize = 4096;
/// How long the end of a page by index is remembered.
pub const PAGE_END_DURATION_MAX: Duration = Duration::from_secs(300);
/// A text to search for.
pub const SEARCH_BYTES_MAX: usize = 256;
/// Bytes of one value of a user that are searched; the rest of the value is not.
pub const SEARCHED_VALUE_BYTES_MAX: usize = 512;
/// Bytes of one user that are searched, in plain form. They are kept in memory.
pub const SEARCHED_BYTES_MAX: usize = 2048;
/// Bytes of a value that decide its place in a sorted list.
pub const SORT_KEY_BYTES_MAX: usize = 256;
/// Queries that scan at a time, including sorted ones; others wait for their turn.
pub const SCANS_AT_ONCE_MAX: usize = 3;
/// Scan turns that one caller may hold: the last one is left for others.
pub const SCANS_OF_ONE_MAX: usize = 2;
/// The wait for a scan turn; after this time the client gets 503. Longer than any turn may last.
pub const SCAN_WAIT_MAX: Duration = Duration::from_secs(20);
/// Queries of one caller that wait for a scan turn, each occupying a connection; further ones get
/// 503 at once.
pub const SCANS_WAITING_MAX: usize = 16;
/// One scan, from the start of its turn; after this time the client gets `tooMany`. A filter of one
/// clause takes a second for a million users.
pub const SCAN_DURATION_MAX: Duration = Duration::from_secs(10);
/// Bytes of rows, counted once per comparison, that are scanned without a turn, and between two
/// checks of the time: some 10 ms.
pub const SCAN_BYTES_WITHOUT_TURN: usize = 8 * 1024 * 1024;
/// Keys for a sorted page that are held in memory without a turn.
pub const SORT_KEYS_WITHOUT_TURN: usize = 1000;
/// Characters of a request's text that the detail of an answer quotes.
pub const QUOTED_CHARS_MAX: usize = 80;

// Bulk requests, imports and lists

/// Operations of one bulk request.
pub const BULK_OPERATIONS_MAX: usize = 1000;
/// Refused operations of one bulk request that are noted like refused requests. One request must
/// not fill the memory of refusals or use up its principal's rows for a day.
pub const BULK_REFUSALS_NOTED_MAX: usize = 20;
/// Rows of a file that one request imports in one commit. Other writes wait no longer than that
/// commit takes.
pub const IMPORT_ROWS_MAX: usize = 1000;
/// Bytes of the rows of one import request as JSON; the rest of the body is for the text around
/// them.
pub const IMPORT_ROWS_BYTES_MAX: usize = BODY_BYTES_MAX - 128 * 1024;
/// Values in the rows of one import request. The rest of [`BODY_VALUES_MAX`] is for the header,
/// each cell of which takes at least one byte.
pub const IMPORT_ROWS_VALUES_MAX: usize = BODY_VALUES_MAX - IMPORT_ROW_BYTES_MAX - 1024;
/// One row of a file. Whatever it contains, it fits into a request as JSON.
pub const IMPORT_ROW_BYTES_MAX: usize = 128 * 1024;
/// Users imported from a pipe, in bytes: they are first written to a file beside the store.
pub const IMPORT_STREAM_BYTES_MAX: u64 = 4 << 30;
/// Bytes of piped users that are written between two checks of the free space.
pub const IMPORT_STREAM_PART_BYTES: u64 = 1 << 20;
/// Users to deactivate or reactivate for whom a comparison prints commands; for more users, it
/// prints how to write them to a file.
pub const DIFF_COMMANDS_USERS_MAX: usize = 1000;
/// Users or audit rows per page of a list or an export; a page is held in memory, however large
/// they are.
pub const LISTED_COUNT_MAX: usize = 1000;

// Users, filters and patches

/// One stored user as rendered, without its status.
pub const USER_BYTES_MAX: usize = 64 * 1024;
/// A new userName. Every name fits into a filter: a filter may have [`FILTER_BYTES_MAX`], and JSON
/// escapes may double the length of the name.
pub const USER_NAME_BYTES_MAX: usize = 1024;
/// A filter expression.
pub const FILTER_BYTES_MAX: usize = 4 * 1024;
/// Nested parentheses, value paths and negations in a filter.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Comparisons in one filter.
pub const FILTER_CLAUSES_MAX: usize = 100;
/// Operations in one PATCH.
pub const PATCH_OPERATIONS_MAX: usize = 1000;
/// Comparisons of list values that one PATCH, or all of one bulk request, may make; a value counts
/// once for each comparison.
pub const PATCH_COMPARISONS_MAX: usize = 2_000_000;
/// Bytes of text that one comparison of a PATCH covers; every N more bytes count as another one.
pub const PATCH_COMPARED_BYTES: usize = 64;
/// The number of bytes that a non-ASCII byte counts as where a filter or an order compares it, or
/// where its user is changed. Folding such a byte takes a hundred times as long, but texts are
/// short, and each counts as a comparison anyway, so 16 is enough.
pub const FOLDED_BYTES_COST: usize = 16;
/// N bytes of a stored user count as one comparison of a PATCH when the user is changed: reading,
/// writing and auditing a user takes some 40 ns a byte, during which all other writes wait.
pub const CHANGED_BYTES_PER_COMPARISON: usize = 8;
/// Values of one multi-valued attribute.
pub const VALUES_MAX: usize = 1000;
/// Words of a part of a name that are looked up in the whole name.
pub const NAME_WORDS_SEARCHED_MAX: usize = 16;

// Bodies

/// Values in one body; an object counts as [`BODY_OBJECT_VALUES`] of them. A value may take only
/// two bytes as text, but takes 32 in memory, and an object some 500.
pub const BODY_VALUES_MAX: usize = 500_000;
/// The number of values that an object in a body counts as.
pub const BODY_OBJECT_VALUES: usize = 8;
/// Requests with a larger body are handled in turns: the body of a single user is hardly ever
/// larger.
pub const BODY_BYTES_WITHOUT_TURN: usize = 8 * 1024;
/// Requests with a body between [`BODY_BYTES_WITHOUT_TURN`] and [`USER_BYTES_MAX`] that are handled
/// at a time.
pub const LARGE_BODIES_AT_ONCE_MAX: usize = 16;
/// Requests with a body beyond [`USER_BYTES_MAX`], such as bulk requests, that are handled at a
/// time.
pub const BULK_BODIES_AT_ONCE_MAX: usize = 4;
/// The wait for the turn of a large body; after that the caller gets 503.
pub const BODY_TURN_WAIT_MAX: Duration = Duration::from_secs(10);

// Tokens, and the names of callers

/// Live API tokens.
pub const TOKENS_MAX: usize = 1000;
/// Live API tokens of one name, all but the newest of which end soon: each rotation writes all.
pub const TOKENS_OF_NAME_MAX: usize = 16;
/// Temporary tokens of the program itself, for `check`, at a time; beyond this number the oldest is
/// forgotten.
pub const TEMPORARY_TOKENS_MAX: usize = 16;
/// Life of a temporary token: as long as a suite of `check` takes if every answer comes as late as
/// allowed.
pub const TEMPORARY_TOKEN_SECONDS: i64 = 300;
/// Characters of a token's name.
pub const TOKEN_NAME_CHARS_MAX: usize = 64;
/// Bytes kept of the User-Agent that last used a token.
pub const USER_AGENT_BYTES_MAX: usize = 200;
/// The name that an administrator claims at the local socket.
pub const CLAIMED_NAME_CHARS_MAX: usize = 64;
/// Seconds between writes of "last used".
pub const LAST_USED_FLUSH_SECONDS: u64 = 60;

// The store

/// How long a start waits for the check of the whole store, which then continues in the background.
/// Enough for some 50,000 users.
pub const CHECK_BEFORE_START_MAX: Duration = Duration::from_millis(250);
/// How long a request waits for the check that continues after a start, if only the check can tell
/// whether a user exists. After that the caller must try again later.
pub const CHECK_WAIT_MAX: Duration = Duration::from_secs(10);
/// Chunks of the index that one commit saves, each of 512 users and some 60 KB.
pub const INDEX_CHUNKS_AT_ONCE: usize = 64;
/// The page cache of a large store. The system's own cache does the rest.
pub const STORE_CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The page cache of a small store, which would otherwise be in memory twice.
pub const STORE_CACHE_BYTES_MIN: usize = 8 * 1024 * 1024;
/// The page cache is 1/N of the size of the store's file when opened, within
/// [`STORE_CACHE_BYTES_MIN`] and [`STORE_CACHE_BYTES_MAX`].
pub const STORE_CACHE_PART: usize = 8;
/// Bytes around a write to the store's file in which holes are filled.
pub const FILLED_AT_ONCE_BYTES: u64 = 256 * 1024;
/// Free space of the data directory's file system below which the server is not ready.
pub const DISK_FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Files of one format that upgrades keep beside the store.
pub const KEPT_FORMATS_MAX: u32 = 20;
/// Age at which the next backup or export removes a backup that the server made and nobody fetched,
/// or the draft of a backup or an export.
pub const LEFT_BEHIND_SECONDS: i64 = 60;
/// Bytes of a backup that are written to standard output at a time.
pub const BACKUP_STREAM_BYTES: usize = 64 * 1024;
/// Bytes of a backup that are copied to another disk before the copy may be interrupted.
pub const BACKUP_PART_BYTES: u64 = 1 << 20;
/// Users brought back by a restore whom its output names.
pub const RETURNED_USERS_TOLD_MAX: usize = 20;
/// Pause between two attempts to write to a disk that is full.
pub const DISK_FULL_RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How long a write waits for space; after that it is refused.
pub const DISK_FULL_WAIT_MAX: Duration = Duration::from_secs(10);
/// Pause between two attempts to read a store that is being reopened.
pub const READ_PAUSE: Duration = Duration::from_millis(20);
/// Attempts to read a store that is being reopened; together they take a second.
pub const READ_PAUSES_MAX: u32 = 50;
/// Bytes kept in memory for a store whose disk accepts no writes.
pub const OVERLAY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Parts of the store written since the last sync that are remembered, at 16 bytes of memory each;
/// beyond this number, any part may have been written.
pub const UNSYNCED_PARTS_MAX: usize = 65_536;
/// Changes of several requests that the writer puts into one commit; the changes of one request are
/// never split.
pub const BATCH_CHANGES_MAX: usize = 128;

// The audit trail

/// Audit rows that wait for the next commit of any change.
pub const AUDIT_ROWS_QUEUED_MAX: usize = 1024;
/// The number of waiting audit rows at which a commit is made for them alone, since many more may
/// follow soon: each token may have 120 a minute.
pub const AUDIT_ROWS_FLUSHED_AT: usize = 64;
/// Rows of the audit trail that one commit removes.
pub const AUDIT_TRIM_ROWS_MAX: u64 = 5000;
/// Bytes of audit rows in one answer; the client asks for the rest.
pub const AUDIT_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Audit rows that one request reads; the client asks for the rest.
pub const AUDIT_SCAN_ROWS_MAX: u64 = 200_000;
/// Other users with the same userName whom one answer about a user lists.
pub const PREVIOUS_HOLDERS_TOLD_MAX: usize = 5;

// Undoing changes

/// Users whose changes are undone by one request.
pub const UNDO_SLICE_USERS_MAX: usize = 10_000;
/// Bytes of changes that one request to undo keeps in memory.
pub const UNDO_SLICE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Users whose changes are undone in one commit.
pub const UNDO_BATCH_USERS_MAX: usize = 1000;
/// After this time, a request to undo reports the part that is done, and the client asks for the
/// rest. Together with one more wait for the disk, it is shorter than [`LOCAL_ANSWER_WAIT_MAX`].
pub const UNDO_STEP_DURATION_MAX: Duration = Duration::from_secs(20);
/// Changes that the audit row of an undo names: the newest ones that it undid.
pub const UNDO_CHANGES_TOLD_MAX: usize = 1000;
/// Longest value, as JSON, that the answer to an undo shows; for longer values it shows only the
/// attribute.
pub const UNDO_VALUE_BYTES_MAX: usize = 64;

// Refusals, and what is remembered of them

/// Refusals of one principal within [`REFUSAL_WINDOW`] that get an audit row each; further ones are
/// counted in one row.
pub const REFUSALS_PER_WINDOW_MAX: u32 = 120;
/// See [`REFUSALS_PER_WINDOW_MAX`].
pub const REFUSAL_WINDOW: Duration = Duration::from_secs(60);
/// Rows of one principal's refusals within [`REFUSAL_DAY`], so that a client in a loop cannot push
/// older history out of the audit trail: at most, they are 10 MB.
pub const REFUSALS_PER_DAY_MAX: u32 = 2000;
/// See [`REFUSALS_PER_DAY_MAX`].
pub const REFUSAL_DAY: Duration = Duration::from_secs(24 * 3600);
/// The shape of a refused request, as stored.
pub const SHAPE_BYTES_MAX: usize = 4 * 1024;
/// Names of ignored attributes and schemas that are kept per request and tolerance.
pub const IGNORED_PER_REQUEST_MAX: usize = 8;
/// Names of ignored attributes and schemas that are kept since the start.
pub const IGNORED_NAMES_MAX: usize = 20;
/// Refusals of principals that are remembered, so that they can be explained.
pub const REFUSALS_REMEMBERED_MAX: usize = 1000;
/// Refusals of callers without a valid token that are remembered, so that they can be explained.
pub const STRANGERS_REMEMBERED_MAX: usize = 100;
/// Rows of a request's changes that an explanation shows.
pub const EXPLAINED_CHANGES_MAX: usize = 20;
/// Largest body whose shape is kept with its refusal.
pub const SHAPE_BODY_BYTES_MAX: usize = 64 * 1024;
/// Nested lists and objects of a shape.
pub const SHAPE_DEPTH_MAX: usize = 6;
/// Members of all objects of a shape.
pub const SHAPE_MEMBERS_MAX: usize = 100;
/// Elements of one list of a shape.
pub const SHAPE_ELEMENTS_MAX: usize = 10;
/// A member's name in a shape.
pub const SHAPE_NAME_BYTES_MAX: usize = 100;
/// A filter, a path or a User-Agent in a shape.
pub const SHAPE_TEXT_CHARS_MAX: usize = 300;

// Verifying the audit trail

/// Duration of one step of a verification of the audit trail; the client waits for each step.
pub const VERIFICATION_STEP_DURATION_MAX: Duration = Duration::from_secs(5);
/// Rows that a verification reads between two checks of the time.
pub const VERIFICATION_ROWS_STEP: u64 = 5000;
/// How long a verification that nobody continues is kept; it holds a snapshot of the store.
pub const VERIFICATION_IDLE_MAX: Duration = Duration::from_secs(60);
/// Findings of a verification that are shown one by one; more are only counted.
pub const VERIFICATION_FINDINGS_MAX: usize = 20;

// How much of the audit trail is kept

/// The longest time span that a command or a setting accepts: a hundred years.
pub const TYPED_DAYS_MAX: i64 = 36_500;
/// The smallest `audit_keep` in days that is accepted.
pub const AUDIT_KEEP_DAYS_MIN: i64 = 30;
/// The smallest `audit_keep` in bytes that is accepted.
pub const AUDIT_KEEP_BYTES_MIN: u64 = 1024 * 1024;
/// Pause between two removals of rows of the audit trail by age.
pub const AUDIT_TRIM_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// From the start of a server to its first removal by age.
pub const AUDIT_TRIM_FIRST_PAUSE: Duration = Duration::from_secs(3600);
/// At most 1/N of the rows are removed by age at a time, even if the clock says otherwise.
pub const AUDIT_TRIM_SHARE: u64 = 8;

// Waiting for a write

/// Changes that wait for the writer; beyond this number the caller gets 503. Together with the two
/// batches that are being written and synced, they leave some of [`CONNECTIONS_MAX`] for readers,
/// even if the disk takes long.
pub const WRITE_QUEUE_MAX: usize = CONNECTIONS_MAX / 4;
const _: () = assert!(WRITE_QUEUE_MAX + 2 * BATCH_CHANGES_MAX < CONNECTIONS_MAX);
/// The wait for a change to be on disk. After that, a change that has not begun is abandoned,
/// unless it is better made late than never; the outcome of a change that has begun is unknown.
pub const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);
/// The wait for a change of tokens to begin, behind other changes and behind earlier unconfirmed
/// changes of tokens. Together with one more wait for the disk, this is shorter than
/// [`LOCAL_ANSWER_WAIT_MAX`], so that no token is issued after the caller has gone.
pub const TOKEN_CHANGE_WAIT_MAX: Duration = Duration::from_secs(20);
const _: () = assert!(
    TOKEN_CHANGE_WAIT_MAX.as_secs() + WRITE_WAIT_MAX.as_secs() < LOCAL_ANSWER_WAIT_MAX.as_secs()
);
/// The wait at start for another process to release the store.
pub const STORE_LOCK_WAIT_MAX: Duration = Duration::from_secs(10);

// Log lines

/// Log lines that wait for standard error; further ones are counted and dropped.
pub const LOG_QUEUE_LINES_MAX: usize = 4096;
/// One log line after escaping.
pub const LOG_LINE_BYTES_MAX: usize = 8 * 1024;
/// How often a path is percent-decoded in search of a token, before it is logged or hidden.
pub const LOG_PATH_DECODINGS_MAX: usize = 3;

// Certificates

/// Authorities of a chain that are examined: more than any client follows.
pub const CHAIN_AUTHORITIES_MAX: usize = 8;

/// Life of the private CA.
pub const AUTHORITY_DAYS: i64 = 3650;
/// Life of a leaf certificate of the private CA.
pub const LEAF_DAYS: i64 = 90;
/// A leaf is renewed when less than this is left: after two thirds of its life.
pub const LEAF_RENEW_DAYS_LEFT: i64 = LEAF_DAYS / 3;
/// Seconds between two checks whether to renew the leaf.
pub const LEAF_LOOK_SECONDS: u64 = 60;
/// Seconds between two checks of the customer's certificate files.
pub const CERTIFICATE_LOOK_SECONDS: u64 = 2;

// Warnings about tokens and the clock

/// `check` reports a token that was not used for this long.
pub const QUIET_DAYS: i64 = 7;
/// How far in the future the newest change may lie, in case the clock was set back a little.
pub const CLOCK_SLACK_SECONDS: i64 = 120;
/// Life of a token unless `--expires` says otherwise.
pub const TOKEN_DAYS_DEFAULT: i64 = 365;
/// How much shorter than intended a token's life may be: the client computes the end of a token
/// shortly before the server issues it.
pub const TOKEN_ISSUE_SLACK_SECONDS: i64 = 60;
/// How long after a token's end a warning is given, if no other token has replaced it.
pub const ENDED_TOKEN_TOLD_DAYS: i64 = 30;
/// Tokens with a shorter life than this end without a warning: they were meant to be short-lived.
pub const TOLD_TOKEN_DAYS_MIN: i64 = 1;
/// Ended tokens that get a warning each; any further ones share one.
pub const ENDED_TOKENS_TOLD_MAX: usize = 10;

// Configuration

/// The configuration file.
pub const CONFIGURATION_BYTES_MAX: u64 = 64 * 1024;
/// The size of a file of certificates or of a key. All authorities that a system trusts take less.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The longest path of a Unix socket (`sun_path` without its closing zero).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

// The program as a client

/// Connecting to a service provider as its client, all addresses of the host together.
pub const CLIENT_CONNECT_DURATION_MAX: Duration = Duration::from_secs(10);
/// One exchange as a client, from its first byte to the last byte of the answer. Okta closes the
/// socket after the same time.
pub const CLIENT_EXCHANGE_DURATION_MAX: Duration = Duration::from_secs(60);
/// How long a command waits for an answer of the local socket: longer than a server works on any
/// request other than those of [`WHOLE_STORE_WAIT_MAX`].
pub const LOCAL_ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a command waits for a copy or a check of the whole store, whose duration depends on the
/// disk. Only a server that has just answered another request is given this long.
pub const WHOLE_STORE_WAIT_MAX: Duration = Duration::from_secs(6 * 3600);
/// How long a command waits for another process to release the store: long enough for many commands
/// one after the other, but no longer than people wait without seeing output.
pub const COMMAND_LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a command waits to find out which process runs the server.
pub const SERVER_LOOKUP_WAIT_MAX: Duration = Duration::from_secs(1);
/// Interim answers (1xx) that a client skips before the final one.
pub const INTERIM_ANSWERS_MAX: usize = 8;
/// Pages that an import fetches before it stops expecting an end.
pub const IMPORT_PAGES_MAX: usize = 100_000;
/// Bytes of a request or an answer that the report of a played step keeps.
pub const REPORT_BODY_BYTES_MAX: usize = 16 * 1024;
/// How long the HTTPS server or the server of the local socket may be silent before `check` reports
/// it.
pub const CHECKED_SERVER_SILENCE_MAX: Duration = Duration::from_secs(5);
/// Pages of leftover test users that one run of `check` deletes.
pub const LEFTOVER_PAGES_MAX: usize = 100;
