//! Brings the documentation up to date with the program. The tests that compare the two know how; here they are only
//! told to write.

use std::process::Command;

use anyhow::{Context, bail};

/// Runs the tests that compare, writing.
pub(crate) fn run() -> anyhow::Result<()> {
    // The table of contents lists what the others have written, so that it comes last.
    for tests in ["examples::", "docs::command_pages", "docs::the_table"] {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["test", "--quiet", "-p", "ringfence", "--test", "cli", "--", tests])
            .env("RINGFENCE_BLESS", "1")
            .status()
            .context("cargo could not be run")?;
        if !status.success() {
            bail!("the documentation could not be written: see above");
        }
    }
    println!("written; `git diff docs examples README.md` shows what has changed");
    Ok(())
}
