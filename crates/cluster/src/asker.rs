//! A connection to one API server: paths in, JSON out. What is asked and what it means is not known here.

use std::path::PathBuf;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use serde_json::Value;

use crate::error::Error;

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

/// Asks one API server.
#[derive(Clone)]
pub(crate) struct Asker {
    client: Client,
    server: String,
}

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An answer.
    Json(Value),
    /// There is no such thing.
    Absent,
    /// It may not be asked for; what the server says.
    Forbidden(String),
    /// Why the server cannot tell.
    Refused(String),
}

/// How much of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// Whether anything is in it.
    First,
}

/// Connects to the API server that a kubeconfig names, or inside a cluster as the pod's own account. Nothing is asked yet.
///
/// # Errors
/// If there is no kubeconfig, or what it says cannot be used.
pub async fn connect(access: &Access) -> Result<Client, Error> {
    let mut config = config(access).await?;
    // Whoever watches has waits of its own; those of the client grow to minutes while a server that restarts refuses.
    config.default_retry = false;
    let server = config.cluster_url.to_string();
    Client::try_from(config).map_err(|source| Error::Client { server, source: Box::new(source) })
}

async fn config(access: &Access) -> Result<Config, Error> {
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    let failed = |source| Error::Kubeconfig { path: access.kubeconfig.clone(), source };
    match &access.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)
        }
        None => match Config::from_kubeconfig(&options).await {
            Ok(config) => Ok(config),
            // In a pod there is no kubeconfig, but an account. One that is named or broken is an error.
            Err(error) if access.context.is_none() && is_absent(&error, is_named()) => {
                Config::incluster().map_err(|_| failed(error))
            }
            Err(error) => Err(failed(error)),
        },
    }
}

impl Asker {
    /// Over a connection that there is.
    pub(crate) fn of(client: Client) -> Asker {
        Asker { client, server: "the API server".to_owned() }
    }

    pub(crate) async fn new(access: &Access) -> Result<Asker, Error> {
        let config = config(access).await?;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config)
            .map_err(|source| Error::Client { server: server.clone(), source: Box::new(source) })?;
        Ok(Asker { client, server })
    }

    /// The error of an answer that is of no use.
    pub(crate) fn refused(&self, what: &str, message: impl Into<String>) -> Error {
        Error::Refused { server: self.server.clone(), what: what.to_owned(), message: message.into() }
    }

    /// What is at a path.
    pub(crate) async fn get(&self, path: &str, accept: &str) -> Result<Answer, Error> {
        match self.ask(path, accept).await? {
            Ok(answer) => Ok(Answer::Json(answer)),
            Err((404, _)) => Ok(Answer::Absent),
            Err((403, message)) => Ok(Answer::Forbidden(message)),
            Err((_, message)) => Ok(Answer::Refused(message)),
        }
    }

    /// A list, page by page.
    pub(crate) async fn list(&self, path: &str, extent: Extent) -> Result<Answer, Error> {
        let mut whole: Option<Value> = None;
        let limit = if extent == Extent::Whole { PAGE } else { 1 };
        let mut query = format!("?limit={limit}");
        loop {
            let page = match self.ask(&format!("{path}{query}"), "application/json").await? {
                Ok(page) => page,
                Err((404, _)) if whole.is_none() => return Ok(Answer::Absent),
                Err((403, message)) => return Ok(Answer::Forbidden(message)),
                // It took so long that what the first pages came from is gone: all at once, then.
                Err((410, _)) if whole.is_some() => {
                    (whole, query) = (None, String::new());
                    continue;
                }
                Err((_, message)) => return Ok(Answer::Refused(message)),
            };
            if !is_list(&page) {
                return Ok(Answer::Refused("something that is no list".to_owned()));
            }
            let next = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default();
            query = format!("?limit={limit}&continue={}", escaped(next));
            let is_last = next.is_empty() || extent == Extent::First;
            match &mut whole {
                None => whole = Some(page),
                Some(whole) => append(whole, page),
            }
            if is_last {
                return Ok(whole.map_or(Answer::Absent, Answer::Json));
            }
        }
    }

    /// One question: the answer, or the status that the server gives instead.
    async fn ask(&self, path: &str, accept: &str) -> Result<Result<Value, (u16, String)>, Error> {
        let unreachable =
            |source| Error::Unreachable { server: self.server.clone(), source: Box::new(source) };
        let request = Request::get(path).header("Accept", accept).body(Vec::new());
        let request = request.map_err(|error| unreachable(kube::Error::HttpError(error)))?;
        match self.client.request_text(request).await {
            Ok(text) => serde_json::from_str(&text).map(Ok).map_err(|source| Error::Malformed {
                server: self.server.clone(),
                what: path.to_owned(),
                source,
            }),
            Err(kube::Error::Api(status)) if status.code == 401 => {
                let (server, message) = (self.server.clone(), status.message.clone());
                Err(Error::Unauthorized { server, message })
            }
            Err(kube::Error::Api(status)) => Ok(Err((status.code, status.message.clone()))),
            Err(source) => Err(unreachable(source)),
        }
    }
}

/// Whether the environment names a kubeconfig.
fn is_named() -> bool {
    std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty())
}

/// Whether there is no kubeconfig, as nobody has named one and none is where it is by custom.
fn is_absent(error: &KubeconfigError, is_named: bool) -> bool {
    !is_named
        && match error {
            KubeconfigError::FindPath => true,
            KubeconfigError::ReadConfig(error, _) => error.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        }
}

/// Whether an answer is a list, if an empty one (null, where Go has no slice): whatever else it is, it does not say that
/// nothing is there.
fn is_list(answer: &Value) -> bool {
    answer.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
        && answer.get("items").is_some_and(|items| items.is_array() || items.is_null())
}

/// Adds the items of a page.
fn append(list: &mut Value, mut page: Value) {
    let Some(more) = page.get_mut("items").map(Value::take).filter(Value::is_array) else { return };
    match (list.get_mut("items"), more) {
        (Some(Value::Array(items)), Value::Array(more)) => items.extend(more),
        (Some(items), more) => *items = more,
        (None, _) => {}
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
    use serde_json::json;

    #[test]
    fn tokens_are_escaped() {
        assert_eq!(escaped("aZ9-_.~"), "aZ9-_.~");
        assert_eq!(escaped("a=b&c/d+ä"), "a%3Db%26c%2Fd%2B%C3%A4");
    }

    #[test]
    fn pages_become_one_list() {
        let mut list = json!({"kind": "PodList", "items": [1, 2]});
        append(&mut list, json!({"items": [3]}));
        append(&mut list, json!({"items": null}));
        assert_eq!(list, json!({"kind": "PodList", "items": [1, 2, 3]}));
        let mut list = json!({"kind": "PodList", "items": null});
        append(&mut list, json!({"items": [3]}));
        assert_eq!(list, json!({"kind": "PodList", "items": [3]}));
    }

    #[test]
    fn only_a_kubeconfig_that_is_not_there_is_absent() {
        let missing = Kubeconfig::read_from("no/such/file").unwrap_err();
        assert!(is_absent(&missing, false));
        assert!(!is_absent(&missing, true));
        assert!(is_absent(&KubeconfigError::FindPath, false));
        let folder = Kubeconfig::read_from(env!("CARGO_MANIFEST_DIR")).unwrap_err();
        assert!(!is_absent(&folder, false), "{folder}");
        let broken = Kubeconfig::from_yaml("clusters: [").unwrap_err();
        assert!(!is_absent(&broken, false), "{broken}");
        assert!(!is_absent(&KubeconfigError::CurrentContextNotSet, false));
    }

    #[test]
    fn lists_and_what_is_none() {
        assert!(is_list(&json!({"kind": "PodList", "items": []})));
        assert!(is_list(&json!({"kind": "PodList", "items": null})));
        for answer in
            [json!({}), json!({"kind": "PodList"}), json!({"items": []}), json!({"kind": "Pod", "items": []})]
        {
            assert!(!is_list(&answer), "{answer}");
        }
    }
}
