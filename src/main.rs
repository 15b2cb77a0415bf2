//! The executable: what was typed goes in, an exit code comes out.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    golinks_scim::cli::run(std::env::args_os())
}
