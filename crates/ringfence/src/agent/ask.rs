//! Asks the agent of this node over its socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::complaint::Complaint;

/// How long an answer may take: reading all tables back is a matter of seconds where they are large.
const PATIENCE: Duration = Duration::from_secs(70);

/// What the agent answers to a question, as it answers it.
///
/// # Errors
/// If no agent answers, or it cannot answer this now.
pub(crate) fn ask<T: DeserializeOwned>(socket: &Path, path: &str) -> anyhow::Result<T> {
    let missing = |error: std::io::Error| {
        Complaint::new(format!("no agent answers on {}: {error}", socket.display()))
            .help("is `ringfence agent` running on this node? --socket says where else it listens")
    };
    let mut stream = UnixStream::connect(socket).map_err(missing)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(missing)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(missing)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(missing)?;
    let strange =
        || Complaint::new(format!("{} answers, but it is no agent of this version", socket.display()));
    let answer = String::from_utf8(answer).map_err(|_| strange())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(strange)?;
    let status = head.split(' ').nth(1).ok_or_else(strange)?;
    match status {
        "200" => Ok(serde_json::from_str(body).map_err(|_| strange())?),
        "404" => Err(strange().into()),
        _ => Err(Complaint::new(format!("the agent cannot answer now: {}", body.trim())).into()),
    }
}
