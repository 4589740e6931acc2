//! What the agent answers over HTTP: whether it lives and is ready, its metrics, and how policies stand.
//!
//! One set of answers on two sockets: what anybody may ask on TCP, all of it on a Unix socket of the node.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::metrics::Metrics;
use crate::worker::Question;

/// How long the worker may take for an answer. It answers between two batches of news.
const PATIENCE: Duration = Duration::from_secs(10);

/// To read every entry of large tables back is a matter of seconds.
const LONG_PATIENCE: Duration = Duration::from_secs(60);

/// The way to the worker.
#[derive(Debug, Clone)]
pub struct Desk {
    /// What is asked of it.
    pub questions: mpsc::Sender<Question>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
}

/// What anybody may ask.
pub fn open(desk: Desk) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(desk)
}

/// What whoever may open the node's socket may ask beside that.
pub fn local(desk: Desk) -> Router {
    let more = Router::new().route("/v1/status", get(status)).route("/v1/attest", get(attest));
    open(desk.clone()).merge(more.with_state(desk))
}

/// Alive as long as the worker answers.
async fn healthz(State(desk): State<Desk>) -> Response {
    match desk.ask(Question::Alive).await {
        Some(()) => "ok\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the worker does not answer\n").into_response(),
    }
}

/// Ready when the kernel holds everything that the API server had.
async fn readyz(State(desk): State<Desk>) -> Response {
    match desk.metrics.is_ready() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "policies are not in force yet: see ringfence status\n")
            .into_response(),
    }
}

async fn metrics(State(desk): State<Desk>) -> Response {
    // Without the worker the figures are old, and `ready` and `up` tell.
    let _: Option<()> = desk.ask(Question::Measure).await;
    match desk.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn status(State(desk): State<Desk>) -> Response {
    answer(desk.ask(Question::Report).await)
}

async fn attest(State(desk): State<Desk>) -> Response {
    match desk.ask_for(LONG_PATIENCE, Question::Attest).await {
        Some(Err(why)) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        Some(Ok(attestation)) => answer(Some(attestation)),
        None => answer(None::<()>),
    }
}

fn answer<T: serde::Serialize>(value: Option<T>) -> Response {
    match value {
        Some(value) => Json(value).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the worker does not answer\n").into_response(),
    }
}

impl Desk {
    /// What the worker says; `None` where it does not, or not in time.
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        self.ask_for(PATIENCE, question).await
    }

    async fn ask_for<T>(
        &self,
        patience: Duration,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.questions.send(question(reply)).await.ok()?;
            answer.await.ok()
        };
        timeout(patience, asked).await.ok().flatten()
    }
}
