//! Every bound on what comes from outside, by name, in one place: a buffer, a queue, a loop or
//! a recursion that is fed from there is bounded by one of these. Units stand last in each name.
//! Sizes of buffers and pauses that nobody outside has a say in stay with their code.

use std::time::Duration;

/// A TLS handshake, from accept to finished, absolute.
pub const HANDSHAKE_DURATION_MAX: Duration = Duration::from_secs(10);
/// A request head, from its first byte to its empty line, absolute.
pub const HEAD_DURATION_MAX: Duration = Duration::from_secs(10);
/// A request body, from the end of the head to its last byte, absolute.
pub const BODY_DURATION_MAX: Duration = Duration::from_secs(30);
/// Writing one answer, absolute.
pub const WRITE_DURATION_MAX: Duration = Duration::from_secs(30);
/// Writing the answer to a request that took nearly all of its time.
pub const LAST_ANSWER_DURATION_MAX: Duration = Duration::from_secs(1);
/// One request from its first byte to the last byte of its answer, absolute.
pub const REQUEST_DURATION_MAX: Duration = Duration::from_secs(60);
/// A kept connection that says nothing.
pub const IDLE_DURATION_MAX: Duration = Duration::from_secs(75);
/// A connection, however busy; it ends after the answer that passes this age.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(3600);
/// Reading and dropping what a refused caller still sends, before closing.
pub const DISCARD_DURATION_MAX: Duration = Duration::from_secs(1);
/// Requests already read are finished within this time after SIGTERM.
pub const DRAIN_DURATION_MAX: Duration = Duration::from_secs(20);

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
/// A request body after its framing is taken off.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// What is read and dropped of a body that nobody will look at, to keep the connection.
pub const DISCARD_BYTES_MAX: usize = 64 * 1024;
/// What is taken off the socket and dropped before a connection is closed: a whole body
/// that is still on its way, and its TLS. Closing over unread bytes sends a reset, and many
/// clients that write everything before they read would lose the answer to it.
pub const GOODBYE_BYTES_MAX: usize = BODY_BYTES_MAX + DISCARD_BYTES_MAX;
/// A chunk size in hexadecimal digits (RFC 9112 section 7.1).
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;
/// Extensions of one chunk.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 256;
/// Trailer fields, parsed and thrown away.
pub const TRAILERS_COUNT_MAX: usize = 32;
/// An answer is held in memory up to this size; beyond it is streamed. Each connection may hold
/// one that nobody takes; a page of 200 users of 1 KB is told with its length all the same.
pub const ANSWER_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// A piece of a streamed answer, which ends after the user that passes it: with most users it fits
/// into the 64 KiB that TLS buffers.
pub const ANSWER_PIECE_BYTES: usize = 48 * 1024;
/// An answer that the product's own clients are willing to hold.
pub const CLIENT_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Connections at one time, each with a worker of its own.
pub const CONNECTIONS_MAX: usize = 512;
/// The same where the system gives hardly any descriptors.
pub const CONNECTIONS_MIN: usize = 8;
/// Descriptors that are left to everything else: the store, the local door, those on their way out.
pub const DESCRIPTORS_BESIDE: u64 = 128;
/// Descriptors for [`CONNECTIONS_MAX`] connections and for the server itself.
pub const DESCRIPTORS_NEEDED: u64 = CONNECTIONS_MAX as u64 + DESCRIPTORS_BESIDE;
/// TLS sessions that can be resumed; one identity provider opens a few dozen connections.
pub const TLS_SESSIONS_MAX: usize = 4096;
/// Connections without a valid token from one address (one /64 of IPv6).
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 64;
/// The part of all connections, one in so many, beyond which a token's are the first to make room.
pub const TOKEN_CONNECTIONS_PART: usize = 4;
/// What a client has to take its answer before it may have to make room for somebody else.
pub const ANSWER_TAKEN_MIN: Duration = Duration::from_secs(1);
/// Between two looks for connections whose token is no longer good.
pub const TOKENS_LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Accepted connections that wait for a worker to come free.
pub const CONNECTIONS_WAITING_MAX: usize = 64;
/// Waiting for a place among those; until then the listen backlog holds newcomers.
pub const WORKER_WAIT_MAX: Duration = Duration::from_secs(1);
/// Listen backlog of the network door.
pub const LISTEN_BACKLOG: i32 = 1024;
/// Stack of one worker thread.
pub const WORKER_STACK_BYTES: usize = 1024 * 1024;
/// Workers of the local door.
pub const LOCAL_WORKERS: usize = 8;
/// Whether the local door lets anybody in.
pub const LOCAL_PROBE_WAIT_MAX: Duration = Duration::from_secs(1);
/// For those at the local door to take their answers, however long the network door's took.
pub const LOCAL_DRAIN_DURATION_MIN: Duration = Duration::from_secs(1);

/// Refusals of one address without a valid token within [`FAILURE_WINDOW`] that are logged;
/// the ones beyond are not, and failed authentications among them are answered 429.
pub const FAILURES_PER_WINDOW_MAX: u32 = 20;
/// Refusals of strangers that are logged within [`FAILURE_WINDOW`], whatever addresses they
/// come from.
pub const FAILURES_TOLD_MAX: u32 = 1000;
/// The time within which failed authentications are counted.
pub const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// Addresses whose failures are counted; beyond it the oldest is forgotten.
pub const FAILURE_ADDRESSES_MAX: usize = 8192;
/// Networks that one token may be bound to.
pub const ALLOWED_NETWORKS_MAX: usize = 64;
/// Requests per second per token, unless the command line or the token says otherwise.
pub const RATE_PER_SECOND_DEFAULT: u32 = 200;
/// Seconds of the rate that may come at once: a burst of 1,000 at the default rate.
pub const RATE_BURST_SECONDS: u32 = 5;
/// The longest wait that a 429 asks for.
pub const RETRY_AFTER_SECONDS_MAX: u32 = 300;

/// Deactivations within an hour that are warned of, unless configured otherwise: more than
/// this, and than [`ALARM_PERCENT_DEFAULT`] of the active users.
pub const ALARM_DEACTIVATIONS_DEFAULT: u32 = 50;
/// See [`ALARM_DEACTIVATIONS_DEFAULT`].
pub const ALARM_PERCENT_DEFAULT: u32 = 20;
/// Principals whose deactivations within one minute are told apart.
pub const ALARM_PRINCIPALS_MAX: usize = 64;
/// Rows of the audit trail that a start looks for deactivations in.
pub const ALARM_ROWS_MAX: usize = 50_000;

/// `startIndex` as it is read and shown at most, beyond every page: clients read it into a signed
/// number of 32 bits.
pub const START_INDEX_MAX: usize = 0x7fff_ffff;
/// Resources per page when `count` is absent.
pub const COUNT_DEFAULT: usize = 100;
/// Resources per page at most; a larger `count` is lowered to this.
pub const COUNT_MAX: usize = 500;
/// Resources per page at most for the administrator, whose commands list whole directories.
pub const ADMINISTRATOR_COUNT_MAX: usize = 10_000;
/// How long a cursor can be used at least (`cursorTimeout`); twice as long at most.
pub const CURSOR_DURATION_MIN: Duration = Duration::from_secs(3600);
/// A cursor as text: the longest position, sealed, in base64.
pub const CURSOR_BYTES_MAX: usize = 1024;
/// Places that are remembered where pages by index ended.
pub const PLACES_MAX: usize = 4096;
/// How long such a place is remembered.
pub const PLACE_DURATION_MAX: Duration = Duration::from_secs(300);
/// A text to search for.
pub const SEARCH_BYTES_MAX: usize = 256;
/// What of one value a user is found by; the rest is not searched.
pub const SEARCHED_VALUE_BYTES_MAX: usize = 512;
/// What a user is found by, in bytes of its plain form: it is kept in memory.
pub const SEARCHED_BYTES_MAX: usize = 2048;
/// What of a value decides its place in a sorted list.
pub const SORT_KEY_BYTES_MAX: usize = 256;
/// Sorted queries that are worked on at one time; others wait for their turn. Each may hold
/// a key for every user.
pub const SORTS_AT_ONCE_MAX: usize = 2;
/// Waiting for such a turn; beyond it the caller gets 503.
pub const SORT_WAIT_MAX: Duration = Duration::from_secs(20);
/// Entity tags in one `If-Match` or `If-None-Match`.
pub const ENTITY_TAGS_MAX: usize = 64;
/// Operations of one bulk request.
pub const BULK_OPERATIONS_MAX: usize = 1000;
/// Refused operations of one bulk request that are noted like refused requests: one request is not
/// to fill the memory of refusals, nor its principal's rows of a day.
pub const BULK_REFUSALS_NOTED_MAX: usize = 20;
/// Rows of a file that one request imports, in one commit: others' writes wait for no more.
pub const IMPORT_ROWS_MAX: usize = 1000;
/// Bytes of such rows as JSON; what stands around them has the rest of a body.
pub const IMPORT_ROWS_BYTES_MAX: usize = BODY_BYTES_MAX - 128 * 1024;
/// One row of a file. Whatever stands in it, it fits into a request as JSON.
pub const IMPORT_ROW_BYTES_MAX: usize = 128 * 1024;
/// Users whom a comparison prints a command for; the others are told of by their number.
pub const DIFF_COMMANDS_USERS_MAX: usize = 10_000;
/// Users per page of an export: such a page is held, however large they are.
pub const EXPORT_COUNT_MAX: usize = 1000;
/// One stored user, rendered.
pub const USER_BYTES_MAX: usize = 64 * 1024;
/// A filter expression.
pub const FILTER_BYTES_MAX: usize = 4 * 1024;
/// Nested parentheses, value paths and negations in a filter.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Comparisons in one filter.
pub const FILTER_CLAUSES_MAX: usize = 100;
/// Operations in one PATCH.
pub const PATCH_OPERATIONS_MAX: usize = 1000;
/// Values of lists that one PATCH, or all of one bulk request, may look at, counted once for each
/// comparison.
pub const PATCH_COMPARISONS_MAX: usize = 2_000_000;
/// Bytes of text that one such comparison looks at; each further so many count as one more.
pub const PATCH_COMPARED_BYTES: usize = 64;
/// What a byte of a text beyond ASCII counts as in comparisons: to fold it takes a hundred times as
/// long, and texts are short.
pub const FOLDED_BYTES_COST: usize = 16;
/// Bytes of a stored user that count as one such comparison where it is changed: to read it, to
/// write it and to tell the audit trail takes some 40 ns a byte, while everybody who writes waits.
pub const CHANGED_BYTES_PER_COMPARISON: usize = 8;
/// Values of one multi-valued attribute.
pub const VALUES_MAX: usize = 1000;

/// Values in one body, where an object counts as [`BODY_OBJECT_VALUES`]: as text a value may be two
/// bytes, in memory it is 32, and an object some 500.
pub const BODY_VALUES_MAX: usize = 500_000;
/// What an object in a body counts as.
pub const BODY_OBJECT_VALUES: usize = 8;
/// A body beyond which a request is worked on in turns: one user is hardly ever larger.
pub const BODY_BYTES_WITHOUT_TURN: usize = 8 * 1024;
/// Requests with a body between that and [`USER_BYTES_MAX`] that are worked on at one time.
pub const LARGE_BODIES_AT_ONCE_MAX: usize = 16;
/// Requests with a larger one that are, which are no users but bulk requests.
pub const BULK_BODIES_AT_ONCE_MAX: usize = 4;
/// Waiting for such a turn; beyond it the caller gets 503.
pub const BODY_TURN_WAIT_MAX: Duration = Duration::from_secs(10);

/// Live API tokens.
pub const TOKENS_MAX: usize = 1000;
/// Tokens of the product itself, for `check`, at one time; one more makes the oldest forgotten.
pub const PASSING_TOKENS_MAX: usize = 16;
/// Life of such a token: a suite of `check` may take so long whose every answer comes as late as
/// one may.
pub const PASSING_TOKEN_SECONDS: i64 = 300;
/// Characters of a token's name.
pub const TOKEN_NAME_CHARS_MAX: usize = 64;
/// What is kept of the User-Agent that last used a token.
pub const USER_AGENT_BYTES_MAX: usize = 200;
/// The name that an administrator goes by at the local door.
pub const CLAIMED_NAME_CHARS_MAX: usize = 64;
/// Seconds between writes of "last used".
pub const LAST_USED_FLUSH_SECONDS: u64 = 60;

/// How long a start waits for the look at everything in the store, which then goes on behind it.
/// Enough for some 50,000 users.
pub const LOOK_BEFORE_START_MAX: Duration = Duration::from_millis(250);
/// How long a request waits for the look behind a start, where nothing else can tell whether
/// somebody is there. Then it is told to come back.
pub const LOOK_WAIT_MAX: Duration = Duration::from_secs(10);
/// Chunks of the index, of 512 users and some 60 KB each, that one commit saves.
pub const INDEX_CHUNKS_AT_ONCE: usize = 64;
/// The store's page cache: of a large store. The system's own cache does the rest.
pub const STORE_CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same of a small one, which would otherwise be in memory twice.
pub const STORE_CACHE_BYTES_MIN: usize = 8 * 1024 * 1024;
/// The part of the file, one in so many bytes, that it is in between.
pub const STORE_CACHE_PART: usize = 8;
/// Free space of the data directory's file system below which the server is not ready.
pub const DISK_FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Files of one format that upgrades keep beside the store.
pub const KEPT_FORMATS_MAX: u32 = 20;
/// A backup that the server made and nobody has fetched; then the next one removes it.
pub const BACKUP_UNFETCHED_SECONDS: i64 = 60;
/// Between two attempts to write to a disk that is full.
pub const DISK_FULL_RETRY_PAUSE: Duration = Duration::from_millis(250);
/// A caller whose write waits for space; beyond it the caller is sent away.
pub const DISK_FULL_WAIT_MAX: Duration = Duration::from_secs(10);
/// Between two attempts to read a store that is being reopened.
pub const READ_PAUSE: Duration = Duration::from_millis(20);
/// Such attempts; together a second.
pub const READ_PAUSES_MAX: u32 = 50;
/// What is kept in memory of a store whose disk takes no writes.
pub const OVERLAY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Parts of the store that were written since the last sync, 16 bytes of memory each; of more it
/// is only known that they are many.
pub const UNSYNCED_PARTS_MAX: usize = 65_536;
/// Changes that the writer puts into one commit.
pub const BATCH_CHANGES_MAX: usize = 128;
/// Rows of the audit trail that wait for somebody's commit.
pub const AUDIT_NOTES_MAX: usize = 256;
/// Rows of the audit trail that one commit removes.
pub const AUDIT_TRIM_ROWS_MAX: u64 = 5000;
/// Rows of the audit trail in one answer, in bytes; whoever asks goes on from there.
pub const AUDIT_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Rows of the audit trail that one request looks at; whoever asks goes on from there.
pub const AUDIT_SCAN_ROWS_MAX: u64 = 200_000;
/// Others with the same userName whom one answer about a user tells of.
pub const NAMESAKES_TOLD_MAX: usize = 5;
/// Users whose changes are taken back by one request, and what is kept of those changes
/// meanwhile.
pub const UNDO_SLICE_USERS_MAX: usize = 10_000;
/// See [`UNDO_SLICE_USERS_MAX`].
pub const UNDO_SLICE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Users whose changes are taken back in one commit.
pub const UNDO_BATCH_USERS: usize = 1000;
/// After it what was undone is told, and the rest is asked for again: with one more wait for the
/// disk it is shorter than [`LOCAL_ANSWER_WAIT_MAX`].
pub const UNDO_STEP_DURATION: Duration = Duration::from_secs(20);
/// Of the changes that an undo has taken back, so many are named in its row, the newest ones.
pub const UNDO_CHANGES_TOLD_MAX: usize = 1000;
/// Values that an undo tells are no longer than this, each as JSON; of others it tells the
/// attribute alone.
pub const UNDO_VALUE_BYTES_MAX: usize = 64;
/// Refusals of one minute that get a row each in the audit trail; the ones beyond are counted
/// in one row.
pub const REFUSALS_PER_WINDOW_MAX: u32 = 120;
/// That minute.
pub const REFUSAL_WINDOW: Duration = Duration::from_secs(60);
/// Rows of refusals within a day of 24 hours, so that a client in a loop cannot push the history
/// out: at the largest they are 10 MB.
pub const REFUSALS_PER_DAY_MAX: u32 = 2000;
/// That day.
pub const REFUSAL_DAY: Duration = Duration::from_secs(24 * 3600);
/// A shape as it is kept.
pub const SHAPE_BYTES_MAX: usize = 4 * 1024;
/// Refusals of principals that are remembered, to be explained.
pub const REFUSALS_REMEMBERED_MAX: usize = 1000;
/// The same of callers without a valid token.
pub const STRANGERS_REMEMBERED_MAX: usize = 100;
/// Rows of a request's changes that an explanation shows.
pub const EXPLAINED_CHANGES_MAX: usize = 20;
/// A body whose shape is kept with its refusal.
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
/// Working on one step of a verification of the audit trail, of which the client waits for each.
pub const VERIFICATION_STEP_DURATION: Duration = Duration::from_secs(5);
/// Rows between two looks at the time.
pub const VERIFICATION_ROWS_STEP: u64 = 5000;
/// A verification that nobody asks to go on; it holds a state of the store.
pub const VERIFICATION_IDLE_MAX: Duration = Duration::from_secs(60);
/// What a verification has found, told one by one; more is counted.
pub const VERIFICATION_FINDINGS_MAX: usize = 20;
/// The smallest `audit_keep` that is accepted.
pub const AUDIT_KEEP_DAYS_MIN: i64 = 30;
/// See [`AUDIT_KEEP_DAYS_MIN`].
pub const AUDIT_KEEP_BYTES_MIN: u64 = 1024 * 1024;
/// Between two removals by age.
pub const AUDIT_TRIM_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// From the start of a server to its first removal by age.
pub const AUDIT_TRIM_FIRST_PAUSE: Duration = Duration::from_secs(3600);
/// The part of the rows that is not removed by age at one time, whatever the clock says.
pub const AUDIT_TRIM_SHARE: u64 = 8;
/// Changes that wait for the writer; beyond it the caller gets 503. With the two batches that are
/// being written and synced they leave some of [`CONNECTIONS_MAX`] for readers, however long the
/// disk takes.
pub const WRITE_QUEUE_MAX: usize = CONNECTIONS_MAX / 4;
const _: () = assert!(WRITE_QUEUE_MAX + 2 * BATCH_CHANGES_MAX < CONNECTIONS_MAX);
/// For a change to be on disk; after it one that has not begun is given up, unless it is better
/// made late, and of one that has begun nobody knows.
pub const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);
/// For a change of tokens to begin, behind others and behind what was not confirmed before it. With
/// one more wait for the disk it is shorter than [`LOCAL_ANSWER_WAIT_MAX`]: a token is not issued
/// after whoever asked for it has gone.
pub const TOKEN_CHANGE_WAIT_MAX: Duration = Duration::from_secs(20);
const _: () = assert!(
    TOKEN_CHANGE_WAIT_MAX.as_secs() + WRITE_WAIT_MAX.as_secs() < LOCAL_ANSWER_WAIT_MAX.as_secs()
);
/// Waiting for another process to let go of the store at start.
pub const STORE_LOCK_WAIT: Duration = Duration::from_secs(10);

/// Log lines that wait for standard error; beyond it they are counted and dropped.
pub const LOG_QUEUE_LINES_MAX: usize = 4096;
/// One log line after escaping.
pub const LOG_LINE_BYTES_MAX: usize = 8 * 1024;

/// Life of the private CA.
pub const AUTHORITY_DAYS: i64 = 3650;
/// Life of a leaf certificate of the private CA.
pub const LEAF_DAYS: i64 = 90;
/// A leaf is renewed when less than this is left: two thirds of its life are over.
pub const LEAF_RENEW_DAYS_LEFT: i64 = LEAF_DAYS / 3;
/// Seconds between two looks whether the leaf is to be renewed.
pub const LEAF_LOOK_SECONDS: u64 = 60;
/// Seconds between two looks at the customer's certificate files.
pub const CERTIFICATE_LOOK_SECONDS: u64 = 2;
/// A token that has said nothing for so long is told of by `check`.
pub const QUIET_DAYS: i64 = 7;
/// How far the newest change may lie in the future of a clock that was set a little.
pub const CLOCK_SLACK_SECONDS: i64 = 120;
/// Life of a token unless `--expires` says otherwise.
pub const TOKEN_DAYS_DEFAULT: i64 = 365;
/// One that has ended with none in its place is told of for so long.
pub const ENDED_TOKEN_TOLD_DAYS: i64 = 30;
/// Nobody is told of the end of one whose whole life was shorter: it was meant to end.
pub const TOLD_TOKEN_DAYS_MIN: i64 = 1;
/// Ended ones that are told of one by one; more are told of together.
pub const ENDED_TOKENS_TOLD_MAX: usize = 10;
/// The configuration file.
pub const CONFIGURATION_BYTES_MAX: u64 = 64 * 1024;
/// The longest path of a Unix socket (`sun_path` without its closing zero).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Connecting to a service provider as its client, all addresses of the host together.
pub const CLIENT_CONNECT_DURATION_MAX: Duration = Duration::from_secs(10);
/// One exchange as a client, from its first byte to the last of the answer. Okta closes
/// the socket after the same time.
pub const CLIENT_EXCHANGE_DURATION_MAX: Duration = Duration::from_secs(60);
/// A command's wait for an answer at the local door: longer than anything that a server does for
/// one request.
pub const LOCAL_ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);
/// A command's wait for another process to let go of the store: as long as many commands one after
/// the other take, and no longer than whoever typed it waits without a word.
pub const COMMAND_LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
/// The wait of whoever only wants to know which process serves.
pub const SERVER_LOOKUP_WAIT_MAX: Duration = Duration::from_secs(1);
/// Interim answers (1xx) that a client skips before the final one.
pub const INTERIM_ANSWERS_MAX: usize = 8;
/// Pages that an import walks before it gives up on an end.
pub const IMPORT_PAGES_MAX: usize = 100_000;
/// What a report of a played step keeps of a request or an answer.
pub const REPORT_BODY_BYTES_MAX: usize = 16 * 1024;
