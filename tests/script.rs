//! A script of commands that does the same with and without a running server, and the output of
//! commands.
//!
//! - `commands`: the script; completions; commands that wait for the store.
//! - `output`: what commands print: documents for programs, lists, tables.

mod commands;
mod output;
