//! What can go wrong between here and an API server.

use std::path::PathBuf;

use thiserror::Error;

/// Why a cluster could not be read.
#[derive(Debug, Error)]
pub enum Error {
    /// A kubeconfig that was named, or is in its usual place, is not there or cannot be read.
    #[error("the kubeconfig{} cannot be used", path.as_ref().map(|p| format!(" {}", p.display())).unwrap_or_default())]
    Kubeconfig {
        /// The file, if one was named.
        path: Option<PathBuf>,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// What the kubeconfig says cannot be used to connect.
    #[error("no connection to {server} can be made from the kubeconfig")]
    Client {
        /// The API server.
        server: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The API server did not answer.
    #[error("{server} does not answer")]
    Unreachable {
        /// The API server.
        server: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The API server does not accept who is asking.
    #[error("{server} does not know who is asking: {message}")]
    Unauthorized {
        /// The API server.
        server: String,
        /// What it says.
        message: String,
    },
    /// Something that is needed may not be listed.
    #[error("{what} may not be listed: {message}")]
    Forbidden {
        /// The kind in the plural, with its group.
        what: String,
        /// What the API server says.
        message: String,
    },
    /// Another answer than what was asked for.
    #[error("{server} answered {what} with: {message}")]
    Refused {
        /// The API server.
        server: String,
        /// What was asked for.
        what: String,
        /// What it says.
        message: String,
    },
    /// What came is no JSON.
    #[error("{server} answered {what} with something that is no JSON")]
    Malformed {
        /// The API server.
        server: String,
        /// What was asked for.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Reading could not begin.
    #[error("no thread could be started for the connection")]
    Runtime(#[from] std::io::Error),
}

/// An error with all that is behind it, in one line. Many repeat in their own text what caused them; that is said once.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
