//! The index of the integration tests: one binary, one module for each subject.

#![allow(clippy::print_stdout, reason = "the long tests say what they counted")]

/// House rules that a machine can check.
mod tidy;

/// The store: durability, conflicts, failing disks.
mod store;

/// The HTTPS client of the product: connections kept and replaced, whom it trusts.
mod client;

/// The command line as scripts and people meet it.
mod cli;

/// Configuration, what SIGHUP changes, and the service manager.
mod configuration;

/// README and manual: what stands in their console blocks is what happens.
mod console;

/// What a running server tells of itself: metrics, readiness, warnings.
mod watch;

/// Tokens, certificates and deactivations under a clock that moves; a store that is away.
mod warnings;

/// `check`: what it knows is provoked, and what it prints mends it.
mod check;
mod check_like;
mod check_network;

/// The guides, filled in for their installation; the commands in them do what they say.
mod guide;

/// What manual, README and guides name is there; the page on errors has every text.
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

/// What users were, who changed them, and taking changes back.
mod history;

/// Power cuts at every sync: what a disk may leave, opened.
mod crash;

/// Commits that are synced while the next plans are run.
mod overlap;

/// A disk that fails or is full: nothing acknowledged is lost, reading goes on.
mod faults;

/// Files that root makes for the server, and the server for root.
mod ownership;

/// Stores of older formats: upgraded, kept as they were, cut off in the middle.
mod upgrade;

/// A start that serves before everything was looked at, and the index that is kept for it.
mod start;

/// Bits that flip in the file: told, never answered.
mod corruption;

/// The audit trail: refusals in it, explained; listed and followed.
mod audit;

/// The audit trail as it is kept: what is wrong with it named, old rows removed.
mod trail;

/// Backups made under load, checked, put back.
mod backup;

/// The customer's certificate, exchanged while it is served.
mod certificate;

/// A clock that jumps, and the private authority's leaf renewed while it is served.
mod clock;

/// SIGTERM under load: no request that was read goes without its answer.
mod endings;

/// The parser of requests beside a second one.
mod http1;

/// Small requests that mean to cost much.
mod bombs;

/// Targets that mean to be other paths, values that mean to be heads or log lines.
mod disguises;

/// Kill -9 and restarts under load: nothing that was acknowledged is lost.
mod durability;

/// RFC 7643, clause by clause: attributes, discovery.
mod rfc7643;

/// RFC 7644 sections 3.4 and 3.9: filters, sorting, projections, search.
mod rfc7644_query;

/// RFC 7644 sections 3.3, 3.5, 3.6, 3.12, 3.14: changes, versions, errors.
mod rfc7644_change;

/// RFC 7644 section 3.7: bulk requests.
mod rfc7644_bulk;

/// RFC 9865: pages by cursor.
mod rfc9865;

/// Pages while others write: nobody twice, nobody missed.
mod walk;

/// What is forgiven: understood and counted, or refused in strict mode.
mod tolerance;

/// Discovery, paging, projections, deletion, groups, large pages.
mod protocol;

/// The Team Directory's files over HTTP: headers, caching, compression, the switch.
mod directory;

/// The Team Directory in a real browser.
mod directory_browser;

/// The same while users change, answers come late or not at all, the tab is hidden.
mod directory_live;

/// How the Team Directory looks, light, dark, narrow and read out; a search among 100,000.
mod directory_look;

/// Tokens, scopes, rates, and nothing secret anywhere.
mod access;

/// Bad input: each kind its own error, and nothing changed.
mod bad_input;

/// Files of users: in, out, compared.
mod csv;

/// A script of commands with a server and without; what listings look like.
mod script;

/// API throttling: fifty jobs that obey `Retry-After`, and everybody arrives.
mod throttle;

/// Slow attacks and exhausted descriptors, with a valid client beside them.
mod slow;

/// Tokens that take every place or all the memory, and who is served beside them.
mod hoarders;

/// What a running server has given up; two servers on one directory.
mod hardening;

/// The network door, byte by byte over real TLS.
mod door;

/// Hostile bytes: a table of malformed and odd requests, with a token and without.
mod hostile;
