//! The executable: what was typed goes in, an exit code comes out.

use std::process::ExitCode;

fn main() -> ExitCode {
    golinks_scim::cli::run(std::env::args_os())
}
