//! The index of the integration tests: one binary, one module for each subject.

#![allow(clippy::print_stdout, reason = "the long tests say what they counted")]

/// House rules that a machine can check.
mod tidy;

/// The store: durability, conflicts, turns, its file.
mod store;

/// The HTTPS client of the product: connections kept and replaced, whom it trusts.
mod client;

/// The command line as scripts and people meet it.
mod cli;

/// Configuration, what SIGHUP changes, and the service manager.
mod configuration;

/// README and manual: what their console blocks show is what happens.
mod console;

/// What a running server says about itself: metrics, readiness, the deactivation alarm.
mod watch;

/// Warnings about tokens, certificates and deactivations under a moving clock; an unreadable store.
mod warnings;

/// `check`: every failure that it knows is provoked, and what it prints fixes it.
mod check;

/// The guides, filled in for their installation; their commands do what the guides say.
mod guide;

/// What manual, README and guides name exists; the page on errors has every text.
mod manual;

/// Okta's suites and the lives of its users, over TLS against the real binary.
mod okta;

/// Entra ID, OneLogin, JumpCloud, SailPoint and authentik, over TLS against the real binary.
mod identity_providers;

/// The real binary on a data directory of its own.
mod support;

/// Users and patches as values: what is kept, forgiven, refused.
mod scim;

/// Laws of filters and patches, over thousands of random ones.
mod properties;

/// The directory against a map, over ten thousand random operations.
mod model;

/// What users were, who changed them, and undoing changes.
mod history;

/// Power cuts at every sync: whatever a disk may be left with can be opened.
mod crash;

/// Commits that are synced while the next plans are run.
mod overlap;

/// A disk that fails or is full: nothing acknowledged is lost, reading goes on.
mod faults;

/// Files that root makes for the server, and those that the server makes for root.
mod ownership;

/// Stores of older formats: upgraded, kept as they were, cut off in the middle.
mod upgrade;

/// A start that serves before everything was checked, and the index kept for it.
mod start;

/// Bits that flip in the file: reported, never served.
mod corruption;

/// The audit trail: refusals in it and their explanations; listing and following.
mod audit;

/// The audit trail as stored: damage is named, old rows are removed.
mod trail;

/// Backups made under load, checked, put back.
mod backup;

/// The customer's certificate: requested, installed, and exchanged while it is served.
mod certificate;

/// A clock that jumps, and the private authority's leaf renewed while it is served.
mod clock;

/// SIGTERM under load: no request that was read goes without its answer.
mod endings;

/// The request parser, compared with a second one.
mod http1;

/// Small requests meant to cost much.
mod bombs;

/// Targets meant to be other paths, values meant to be heads or log lines.
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

/// Pages while others write: nobody twice, nobody missed.
mod walk;

/// Tolerances: understood and counted, or refused in strict mode.
mod tolerance;

/// Discovery, paging, projections, deletion, groups, large pages.
mod protocol;

/// The Team Directory's files over HTTP: headers, caching, compression, the switch.
mod directory;

/// The Team Directory in a real browser.
mod directory_browser;

/// The same while users change, answers come late or never, the tab is hidden.
mod directory_live;

/// How the Team Directory looks, light, dark, narrow and read out; a search among 100,000.
mod directory_look;

/// Tokens, scopes, rates, and nothing secret anywhere.
mod access;

/// Bad input: each kind its own error, and nothing changed.
mod bad_input;

/// The local socket, asked as no command asks.
mod local;

/// Files of users: imported, exported, compared.
mod csv;

/// A script of commands with a server and without; what listings look like.
mod script;

/// API throttling: fifty jobs that obey `Retry-After`, and everybody arrives.
mod throttle;

/// Slow attacks and exhausted descriptors, with a valid client beside them.
mod slow;

/// Tokens that take every connection or all the memory, and others served beside them.
mod hoarders;

/// The privileges that a running server has given up; two servers on one directory.
mod hardening;

/// The HTTPS server, byte by byte over real TLS.
mod door;

/// Hostile bytes: a table of malformed and odd requests, with a token and without.
mod hostile;
