//! The index of the integration tests: one binary, one module for each subject.

#![allow(clippy::print_stdout, reason = "the long tests say what they counted")]

/// House rules that a machine can check.
mod tidy;

/// The store: durability, conflicts, turns, its file.
mod store;

/// The program's own HTTPS client: how it keeps and replaces connections, and whom it trusts.
mod client;

/// The command line, as scripts and people use it.
mod cli;

/// Configuration, what SIGHUP changes, and the service manager.
mod configuration;

/// The console blocks of README and manual: the commands are run and their output compared.
mod console;

/// What a running server says about itself: metrics, readiness, the deactivation alarm.
mod watch;

/// Warnings about tokens, certificates and deactivations under a moving clock; an unreadable store.
mod warnings;

/// `check`: each failure that it can report is provoked, and the command that it prints fixes it.
mod check;

/// The guides: filled in for the installation, with commands that do what the guides say.
mod guide;

/// Everything that manual, README and guides name exists; the page on errors has every error text.
mod manual;

/// Okta's test suites and the life cycle of its users, over TLS against the real binary.
mod okta;

/// Entra ID, OneLogin, JumpCloud, SailPoint and authentik, over TLS against the real binary.
mod identity_providers;

/// Helpers: the real binary on a data directory of its own, and clients of it.
mod support;

/// Users and patches as values, without a server: what is kept, tolerated or refused.
mod scim;

/// Properties of filters and patches, checked on thousands of random ones.
mod properties;

/// The directory, compared with a simple map over ten thousand random operations.
mod model;

/// Past states of users, who changed them, and undoing changes.
mod history;

/// Power cuts at every sync: whatever a cut may leave on the disk can be opened.
mod crash;

/// Overlapping commits: one is synced while the plans of the next writes run.
mod overlap;

/// A disk that fails or is full: nothing acknowledged is lost, reading goes on.
mod faults;

/// Who owns the files that root creates for the server, and those that the server creates for root.
mod ownership;

/// Stores of older formats: upgraded, with the old file kept, even if the upgrade is interrupted.
mod upgrade;

/// A server that serves before its whole store is checked, and the index that is saved for the next
/// start.
mod start;

/// Flipped bits in the store's file: reported, never served.
mod corruption;

/// The audit trail: refusals in it and their explanations; listing and following.
mod audit;

/// The audit trail as stored: damage is reported, old rows are removed.
mod trail;

/// Backups: made under load, verified, restored.
mod backup;

/// The customer's certificate: requested, installed, and replaced while the server runs.
mod certificate;

/// A clock that jumps, and the private authority's leaf renewed while the server runs.
mod clock;

/// SIGTERM under load: every request that was read is answered.
mod endings;

/// The request parser, compared with a second parser.
mod http1;

/// Small requests designed to be expensive.
mod bombs;

/// Targets that pretend to be other paths, and values that pretend to be headers or log lines.
mod disguises;

/// Kill -9 and restarts under load: nothing that was acknowledged is lost.
mod durability;

/// RFC 7643, clause by clause: attributes, discovery.
mod rfc7643;

/// RFC 7644 sections 3.4 and 3.9: filters, sorting, projections, search.
mod rfc7644_query;

/// RFC 7644 sections 3.3, 3.5, 3.6, 3.12, 3.13, 3.14 and 4: changes, versions, errors.
mod rfc7644_change;

/// RFC 7644 section 3.7: bulk requests.
mod rfc7644_bulk;

/// RFC 9865: pages by cursor.
mod rfc9865;

/// Paging while others write: nobody is listed twice, nobody is missed.
mod walk;

/// Departures from the RFCs: tolerated and counted in compatible mode, refused in strict mode.
mod tolerance;

/// Discovery, paging, projections, deletion, groups, large pages.
mod protocol;

/// The Team Directory's files over HTTP: headers, caching, compression, the switch.
mod directory;

/// The Team Directory in a real browser.
mod directory_browser;

/// The Team Directory in a browser while users change, answers come late or never, or the tab is
/// hidden.
mod directory_live;

/// How the Team Directory looks: light, dark, narrow, to a screen reader; a search among 100,000
/// users.
mod directory_look;

/// Tokens, scopes and rate limits; and that no secret is shown anywhere.
mod access;

/// Bad input: each kind gets its own error and changes nothing.
mod bad_input;

/// The local socket, with requests that no command of the program sends.
mod local;

/// Files of users: imported, exported, compared.
mod csv;

/// A script of commands with a server and without; what listings look like.
mod script;

/// API throttling: fifty jobs obey `Retry-After`, and every user is created in the end.
mod throttle;

/// Slow attacks and exhausted descriptors, with a valid client beside them.
mod slow;

/// Tokens that take every connection or much memory, while other tokens are still served.
mod hoarders;

/// The privileges that a running server has given up; two servers on one directory.
mod hardening;

/// The HTTPS server, byte by byte over real TLS.
mod door;

/// Hostile bytes: a table of malformed and odd requests, with a token and without.
mod hostile;
