//! Everything listed once: what the cluster serves, then each kind that matters.

use ringfence_k8s::Node;
use serde_json::Value;

use crate::asker::{Access, Answer, Asker, Extent};
use crate::discovery::{self, Apis, Served};
use crate::error::Error;
use crate::resource::{self, Need, Resource};
use crate::tree::tree;

/// What a cluster holds.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Lists, as the API server gave them.
    pub lists: Vec<Node>,
    /// What was left out, and what that means.
    pub notes: Vec<String>,
}

/// Lists everything that matters, and waits for it.
///
/// # Errors
/// If the API server cannot be asked, or does not let everything be listed without which answers would be wrong.
pub fn read(access: &Access) -> Result<Snapshot, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let asker = Asker::new(access).await?;
        let mut snapshot = Snapshot::default();
        let served = discover(&asker, &mut snapshot).await?;
        let plan = resource::plan(&served);
        snapshot.notes.extend(plan.notes);
        let namespace = access.namespace.as_deref();
        let mut partly = Vec::new();
        for resource in &plan.resources {
            if list(&asker, resource, namespace, &mut snapshot).await? == Listed::InNamespace {
                partly.push(resource.name());
            }
        }
        if let Some(namespace) = namespace.filter(|_| !partly.is_empty()) {
            snapshot.notes.push(format!(
                "in namespace {namespace} only may be listed: {}; the answer does not know those elsewhere",
                partly.join(", ")
            ));
        }
        Ok(snapshot)
    })
}

/// What the API server serves beyond the core's kinds.
async fn discover(asker: &Asker, snapshot: &mut Snapshot) -> Result<Vec<Served>, Error> {
    let strange = || asker.refused("/apis", "something that does not say what it serves");
    let answer = match asker.get("/apis", discovery::ACCEPT).await? {
        Answer::Json(answer) => answer,
        // Without it nobody can say that there are no other policies.
        Answer::Forbidden(message) => {
            return Err(Error::Forbidden { what: "what the cluster serves (/apis)".to_owned(), message });
        }
        Answer::Refused(message) => return Err(asker.refused("/apis", message)),
        Answer::Absent => return Err(strange()),
    };
    let (all, unknown) = match discovery::apis(&answer).ok_or_else(strange)? {
        Apis::All(all, stale) => (all, stale),
        Apis::Versions(versions) => one_by_one(asker, versions).await?,
    };
    for version in unknown {
        snapshot.notes.push(format!(
            "the cluster cannot tell at present what {version} serves: if policies are among it, they are not seen"
        ));
    }
    Ok(all)
}

/// What is served in each version, and the versions of which that cannot be told.
async fn one_by_one(asker: &Asker, versions: Vec<String>) -> Result<(Vec<Served>, Vec<String>), Error> {
    let (mut all, mut unknown) = (Vec::new(), Vec::new());
    for version in versions {
        let path = format!("/apis/{version}");
        match asker.get(&path, "application/json").await? {
            Answer::Json(answer) => {
                let strange = || asker.refused(&path, "something that does not say what it serves");
                all.extend(discovery::resources(&version, &answer).ok_or_else(strange)?);
            }
            Answer::Forbidden(message) => {
                return Err(Error::Forbidden { what: format!("what {version} serves"), message });
            }
            Answer::Refused(_) | Answer::Absent => unknown.push(version),
        }
    }
    Ok((all, unknown))
}

/// How much of a kind was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    /// All, or it is told what is not.
    Everywhere,
    /// What is in the namespace that was asked for, and no more.
    InNamespace,
}

/// Adds a list, or what it means that it cannot be had.
async fn list(
    asker: &Asker,
    resource: &Resource,
    namespace: Option<&str>,
    snapshot: &mut Snapshot,
) -> Result<Listed, Error> {
    // Of another product's policies one is enough to know that there are any.
    let extent = if resource.need == Need::Warning { Extent::First } else { Extent::Whole };
    let what = resource.name();
    let path = resource.path(None);
    let message = match asker.list(&path, extent).await? {
        Answer::Json(list) => {
            snapshot.keep(resource, list);
            return Ok(Listed::Everywhere);
        }
        Answer::Forbidden(message) => message,
        answer @ (Answer::Absent | Answer::Refused(_)) => {
            let message = match answer {
                Answer::Refused(message) => message,
                _ => "no such kind of object".to_owned(),
            };
            if resource.need != Need::Warning {
                return Err(asker.refused(&path, message));
            }
            snapshot.not_listed(resource, &message);
            return Ok(Listed::Everywhere);
        }
    };
    if let Some(namespace) = namespace.filter(|_| resource.namespaced)
        && let Answer::Json(list) = asker.list(&resource.path(Some(namespace)), extent).await?
    {
        snapshot.keep(resource, list);
        return Ok(Listed::InNamespace);
    }
    if resource.need == Need::Verdicts {
        return Err(Error::Forbidden { what, message });
    }
    snapshot.not_listed(resource, &message);
    Ok(Listed::Everywhere)
}

impl Snapshot {
    fn keep(&mut self, resource: &Resource, list: Value) {
        let is_empty = list.get("items").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if !is_empty && !resource.unread.is_empty() {
            self.notes.push(format!(
                "{} are read in {}; what they say only in {} is not seen",
                resource.name(),
                resource.version,
                resource.unread.join(", "),
            ));
        }
        self.lists.push(tree(list));
    }

    /// Says what it means that something that verdicts do not rest on cannot be listed.
    fn not_listed(&mut self, resource: &Resource, message: &str) {
        let what = resource.name();
        self.notes.push(match resource.need {
            Need::Warning => format!(
                "{what} are another product's policies and passed over; whether there are any cannot be told: {message}"
            ),
            _ => format!("{what} may not be listed, and are left out: {message}"),
        });
    }
}
