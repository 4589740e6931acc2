//! `ringfence.toml`: what is accepted, and how bad things are here.
//!
//! ```toml
//! [levels]
//! RF072 = "warning"   # error, warning, note or off
//!
//! [[ignore]]
//! code = "RF061"
//! policy = "shop/*"   # optional; * stands for anything
//! reason = "the shop is public"
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ringfence_k8s::Level;
use ringfence_lint::{Code, Finding, Ignore};
use toml::{Table, Value};

use crate::complaint::Complaint;

/// The name of the file.
const NAME: &str = "ringfence.toml";

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) ignores: Vec<Ignore>,
    /// By code; `None`: off.
    levels: BTreeMap<&'static str, Option<Level>>,
}

impl Config {
    /// The file that is named, or else the nearest above the first path; without any, nothing.
    pub(super) fn find(named: Option<&Path>, paths: &[PathBuf]) -> anyhow::Result<Config> {
        let found = match named {
            Some(path) => Some(path.to_owned()),
            None => paths.iter().find(|p| p.as_os_str() != "-").and_then(|p| nearest(p)),
        };
        let Some(path) = found else { return Ok(Config::default()) };
        let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            Complaint::new(format!("{}: {}", path.display(), error.to_string().trim_end()))
        })?;
        Config::of(table, &path.display().to_string()).map_err(|message| {
            let example = "[[ignore]]\\ncode = \"RF061\"\\npolicy = \"shop/web\"\\nreason = \"why\"";
            Complaint::new(format!("{}: {message}", path.display()))
                .help(format!("an entry reads {}", example.replace("\\n", "; ")))
                .into()
        })
    }

    fn of(table: Table, file: &str) -> Result<Config, String> {
        let mut config = Config::default();
        for (key, value) in table {
            match (key.as_str(), value) {
                ("levels", Value::Table(levels)) => {
                    for (code, level) in levels {
                        config.levels.insert(known(&code)?.id, level_of(&code, &level)?);
                    }
                }
                ("ignore", Value::Array(entries)) => {
                    for (place, entry) in entries.into_iter().enumerate() {
                        let source = format!("{file}, ignore {}", place + 1);
                        config.ignores.push(ignore(entry, source)?);
                    }
                }
                ("levels", _) => return Err("`levels` is a table: [levels]".to_owned()),
                ("ignore", _) => return Err("`ignore` is a list of tables: [[ignore]]".to_owned()),
                (other, _) => return Err(format!("`{other}` is unknown; known are `levels` and `ignore`")),
            }
        }
        Ok(config)
    }

    /// The finding at the level that it has here; `None` where it is off. What cannot be read stays an error.
    pub(super) fn level(&self, finding: Finding) -> Option<Finding> {
        if finding.code.level == Level::Error {
            return Some(finding);
        }
        match self.levels.get(finding.code.id) {
            Some(level) => level.map(|level| Finding { level, ..finding }),
            None => Some(finding),
        }
    }
}

fn nearest(path: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(path).ok()?;
    real.ancestors().map(|folder| folder.join(NAME)).find(|file| file.is_file())
}

fn known(code: &str) -> Result<&'static Code, String> {
    Code::find(code).ok_or_else(|| format!("`{code}` is no code; ringfence check --explain shows them all"))
}

fn level_of(code: &str, level: &Value) -> Result<Option<Level>, String> {
    match level.as_str() {
        Some("error") => Ok(Some(Level::Error)),
        Some("warning") => Ok(Some(Level::Warning)),
        Some("note") => Ok(Some(Level::Note)),
        Some("off") => Ok(None),
        _ => Err(format!("the level of {code} is \"error\", \"warning\", \"note\" or \"off\"")),
    }
}

fn ignore(entry: Value, source: String) -> Result<Ignore, String> {
    let Value::Table(entry) = entry else {
        return Err("`ignore` is a list of tables: [[ignore]]".to_owned());
    };
    let mut fields = BTreeMap::new();
    for (key, value) in entry {
        let Value::String(text) = value else { return Err(format!("`{key}` of an ignore is a string")) };
        fields.insert(key, text);
    }
    let code = fields.remove("code").ok_or("an ignore without `code`")?;
    let reason = fields.remove("reason").filter(|r| !r.trim().is_empty());
    let reason = reason.ok_or_else(|| format!("the ignore of {code} has no `reason`"))?;
    let policy = fields.remove("policy");
    if let Some(other) = fields.keys().next() {
        return Err(format!("`{other}` is unknown in an ignore; known are `code`, `policy` and `reason`"));
    }
    Ok(Ignore { code: known(&code)?, policy, reason, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_in_a_config_is_said() {
        let check = |text: &str, expect: &str| {
            let error = Config::of(text.parse().unwrap(), "ringfence.toml").unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        check("a = 1", "`a` is unknown");
        check("levels = 1", "`levels` is a table");
        check("[levels]\nRF999 = 'off'", "`RF999` is no code");
        check("[levels]\nRF001 = 'loud'", "the level of RF001");
        check("[[ignore]]\nreason = 'x'", "without `code`");
        check("[[ignore]]\ncode = 'RF001'", "no `reason`");
        check("[[ignore]]\ncode = 'RF001'\nreason = ' '", "no `reason`");
        check("[[ignore]]\ncode = 'RF001'\nreason = 'x'\nfoo = 'x'", "`foo` is unknown");
        let good = Config::of("[levels]\nRF001 = 'off'".parse().unwrap(), "ringfence.toml").unwrap();
        assert_eq!(good.levels.get("RF001"), Some(&None));
    }
}
