//! The page of a code, and the list of all.

use std::fmt::Write;

use ringfence_lint::{CODES, Code};

use crate::complaint::Complaint;

/// The page of a code; the list of all for `all`.
pub(super) fn of(text: &str) -> anyhow::Result<String> {
    if text == "all" {
        let mut list = String::new();
        for code in CODES {
            let _ =
                writeln!(list, "{} {:<8} {:<26} {}", code.id, code.level.to_string(), code.name, code.title);
        }
        return Ok(list);
    }
    let found = Code::find(text).map(|code| code.page.to_owned());
    found.ok_or_else(|| {
        Complaint::new(format!("`{text}` is no code of check"))
            .help("ringfence check --explain shows them all")
            .into()
    })
}
