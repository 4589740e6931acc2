//! Everything listed once.

use std::path::PathBuf;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use ringfence_k8s::Node;
use serde_json::Value;

use crate::error::Error;
use crate::resource::{Need, RESOURCES, Resource};
use crate::tree::tree;

/// How many objects come in one answer, as kubectl asks.
const PAGE: usize = 500;

/// Which cluster, and as whom.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The kubeconfig; `None`: `KUBECONFIG`, `~/.kube/config`, or inside a cluster the pod's own.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; `None`: the current one.
    pub context: Option<String>,
    /// Where to look if not everything may be listed in all namespaces.
    pub namespace: Option<String>,
}

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
        for resource in &RESOURCES {
            asker.list(resource, access.namespace.as_deref(), &mut snapshot).await?;
        }
        Ok(snapshot)
    })
}

/// Asks one API server.
struct Asker {
    client: Client,
    server: String,
}

/// What came of asking for a list.
enum Answer {
    List(Value),
    Absent,
    Forbidden(String),
}

impl Asker {
    async fn new(access: &Access) -> Result<Asker, Error> {
        let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
        let failed = |source| Error::Kubeconfig { path: access.kubeconfig.clone(), source };
        let config = match &access.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)?
            }
            None => match Config::from_kubeconfig(&options).await {
                Ok(config) => config,
                // In a pod there is no kubeconfig, but an account. One that is named or broken is an error.
                Err(error) if access.context.is_none() && is_absent(&error) => {
                    Config::incluster().map_err(|_| failed(error))?
                }
                Err(error) => return Err(failed(error)),
            },
        };
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config)
            .map_err(|source| Error::Client { server: server.clone(), source: Box::new(source) })?;
        Ok(Asker { client, server })
    }

    /// Adds a list, or what it means that it cannot be had.
    async fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        snapshot: &mut Snapshot,
    ) -> Result<(), Error> {
        let message = match self.pages(&resource.path()).await? {
            Answer::List(list) => {
                snapshot.lists.push(tree(list));
                return Ok(());
            }
            Answer::Absent if resource.need == Need::Verdicts => {
                let message = "no such kind of object".to_owned();
                return Err(Error::Refused { server: self.server.clone(), what: resource.path(), message });
            }
            Answer::Absent => return Ok(()),
            Answer::Forbidden(message) => message,
        };
        let what = match resource.group() {
            "" => resource.plural.to_owned(),
            group => format!("{}.{group}", resource.plural),
        };
        if let Some(namespace) = namespace.filter(|_| resource.namespaced) {
            let path = format!("/{}/namespaces/{namespace}/{}", resource.api, resource.plural);
            if let Answer::List(list) = self.pages(&path).await? {
                snapshot.lists.push(tree(list));
                snapshot.notes.push(format!(
                    "{what} may be listed in namespace {namespace} only: the answer does not know those elsewhere"
                ));
                return Ok(());
            }
        }
        match resource.need {
            Need::Names => {
                snapshot.notes.push(format!("{what} may not be listed, and are left out: {message}"));
                Ok(())
            }
            Need::Verdicts | Need::VerdictsWhereThere => Err(Error::Forbidden { what, message }),
        }
    }

    /// A whole list, page by page.
    async fn pages(&self, path: &str) -> Result<Answer, Error> {
        let mut whole: Option<Value> = None;
        let mut query = format!("?limit={PAGE}");
        loop {
            let text = match self.get(&format!("{path}{query}")).await {
                Ok(text) => text,
                Err(kube::Error::Api(status)) => match status.code {
                    404 if whole.is_none() => return Ok(Answer::Absent),
                    403 => return Ok(Answer::Forbidden(status.message.clone())),
                    401 => {
                        let (server, message) = (self.server.clone(), status.message.clone());
                        return Err(Error::Unauthorized { server, message });
                    }
                    // It took so long that what the first pages came from is gone: all at once, then.
                    410 if whole.is_some() => {
                        (whole, query) = (None, String::new());
                        continue;
                    }
                    _ => {
                        let message = status.message.clone();
                        let (server, what) = (self.server.clone(), path.to_owned());
                        return Err(Error::Refused { server, what, message });
                    }
                },
                Err(source) => {
                    return Err(Error::Unreachable { server: self.server.clone(), source: Box::new(source) });
                }
            };
            let page: Value = serde_json::from_str(&text).map_err(|source| Error::Malformed {
                server: self.server.clone(),
                what: path.to_owned(),
                source,
            })?;
            if !is_list(&page) {
                let message = "something that is no list".to_owned();
                let (server, what) = (self.server.clone(), path.to_owned());
                return Err(Error::Refused { server, what, message });
            }
            let next = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default();
            query = format!("?limit={PAGE}&continue={}", escaped(next));
            let is_last = next.is_empty();
            match &mut whole {
                None => whole = Some(page),
                Some(whole) => append(whole, page),
            }
            if is_last {
                return Ok(whole.map_or(Answer::Absent, Answer::List));
            }
        }
    }

    async fn get(&self, path: &str) -> Result<String, kube::Error> {
        let request = Request::get(path).header("Accept", "application/json").body(Vec::new());
        self.client.request_text(request.map_err(kube::Error::HttpError)?).await
    }
}

/// Whether there is no kubeconfig where one is looked for by custom.
fn is_absent(error: &KubeconfigError) -> bool {
    let is_named = std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty());
    !is_named
        && match error {
            KubeconfigError::FindPath => true,
            KubeconfigError::ReadConfig(error, _) => error.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        }
}

/// Whether an answer is a list, if an empty one: whatever else it is, it does not say that nothing is there.
fn is_list(answer: &Value) -> bool {
    answer.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
        && answer.get("items").is_some_and(Value::is_array)
}

fn append(list: &mut Value, mut page: Value) {
    let more = page.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
    if let (Some(items), Some(more)) = (list.get_mut("items").and_then(Value::as_array_mut), more) {
        items.extend(more);
    }
}

/// A token as it must stand in a query: what is no letter or digit as its bytes.
fn escaped(token: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    token.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_escaped() {
        assert_eq!(escaped("aZ9-_.~"), "aZ9-_.~");
        assert_eq!(escaped("a=b&c/d+ä"), "a%3Db%26c%2Fd%2B%C3%A4");
    }

    #[test]
    fn pages_become_one_list() {
        let mut list = serde_json::json!({"kind": "PodList", "items": [1, 2]});
        append(&mut list, serde_json::json!({"items": [3]}));
        append(&mut list, serde_json::json!({"items": null}));
        assert_eq!(list, serde_json::json!({"kind": "PodList", "items": [1, 2, 3]}));
    }
}
