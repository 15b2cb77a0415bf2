//! A script of commands that does the same with a server running and without one, and what commands
//! print.
//!
//! - `commands`: the script; completions; commands that wait for the store.
//! - `output`: what commands print: documents for programs, lists, tables.

mod commands;
mod output;
