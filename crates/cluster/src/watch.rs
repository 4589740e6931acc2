//! What an API server holds, and every change of it, for as long as it is wanted.
//!
//! [`watch`] lists each kind and then follows it. Reconnecting, listing anew where the server has forgotten how far it was
//! told, and waiting between attempts is the work of [`kube::runtime::watcher`]. What vanished meanwhile is not told one by
//! one: it is what a list from [`What::Begin`] to [`What::End`] does not hold.
//!
//! Nothing is lowered here, and nothing is forgotten: that an API server does not answer changes nothing of what is known.

mod absent;
mod backoff;
mod kinds;
mod object;
mod prune;

use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, stream};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Client};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

pub use kinds::Kind;
pub use object::{Name, Object, pod_ranges};

use crate::asker::Asker;
use crate::error::causes;
use kinds::Shape;
use object::Watched;
use prune::{Nodes, Plain, Pods, Specs};

/// Something that was told by the API server, or what asking it has come to.
#[derive(Debug)]
pub struct News {
    /// Of which kind of objects.
    pub kind: Kind,
    /// What.
    pub what: What,
    /// When it came.
    pub at: Instant,
}

/// What is told of a kind.
#[derive(Debug)]
pub enum What {
    /// A list of all objects of the kind begins.
    Begin,
    /// An object came, changed, or is on the list.
    Is(Box<Object>),
    /// An object is gone.
    Gone(Name),
    /// The list is complete: what was not on it since [`What::Begin`] is gone.
    End,
    /// The API server has no such kind. It is asked for again, until it has.
    Absent,
    /// The API server does not answer, or not as it should. It is asked again.
    Failed(String),
}

/// How the API server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many objects come in one answer.
    pub page: u32,
    /// After how many seconds a connection on which nothing comes is given up for dead, and made anew.
    pub timeout_seconds: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        // As kubectl and the client libraries ask; the API server itself ends a watch after five to ten minutes.
        Pace { page: 500, timeout_seconds: 290 }
    }
}

/// Watches all kinds until nobody listens any more.
pub async fn watch(client: Client, pace: Pace, sink: Sender<News>) {
    let config = Config::default().page_size(pace.page).timeout(pace.timeout_seconds);
    let mut all = stream::select_all(Kind::ALL.map(|kind| follow(&client, &config, kind)));
    while let Some(news) = all.next().await {
        if sink.send(news).await.is_err() {
            return;
        }
    }
}

type NewsStream = stream::BoxStream<'static, News>;

fn follow(client: &Client, config: &Config, kind: Kind) -> NewsStream {
    match kind.shape() {
        Shape::Plain => told::<Plain>(client, config, kind).boxed(),
        Shape::Pod => told::<Pods>(client, config, kind).boxed(),
        Shape::Node => told::<Nodes>(client, config, kind).boxed(),
        Shape::Spec => told::<Specs>(client, config, kind).boxed(),
    }
}

fn told<M: prune::Mask>(client: &Client, config: &Config, kind: Kind) -> impl Stream<Item = News> + use<M> {
    let api: Api<Watched<M>> = Api::all_with(client.clone(), &kind);
    let events = watcher::watcher(api, config.clone()).backoff(backoff::waits());
    let asker = Asker::of(client.clone());
    let events = events.scan(false, |was_absent, event| {
        let told_before = std::mem::replace(was_absent, event.as_ref().is_err_and(is_absent));
        std::future::ready(Some((event, told_before)))
    });
    events.then(move |(event, told_before)| {
        let asker = asker.clone();
        async move {
            let what = match event {
                Ok(Event::Init) => What::Begin,
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    What::Is(Box::new(object.into_object(kind)))
                }
                Ok(Event::Delete(object)) => What::Gone(object.name()),
                Ok(Event::InitDone) => What::End,
                Err(error) if is_absent(&error) => {
                    if told_before {
                        sleep(ABSENT_WAIT).await;
                    }
                    absent::really(&asker, kind).await
                }
                Err(error) => trouble(&error),
            };
            News { kind, what, at: Instant::now() }
        }
    })
}

/// How long a kind that is not there is let alone, besides the wait between attempts: most clusters have none of them.
const ABSENT_WAIT: Duration = Duration::from_secs(25);

/// Whether an API server says that there is no such kind, in this version.
fn is_absent(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}

fn trouble(error: &watcher::Error) -> What {
    let told = match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => source,
        // A watch that is too old is followed by a new list.
        watcher::Error::WatchError(status) => return What::Failed(status.message.clone()),
        watcher::Error::NoResourceVersion => return What::Failed(error.to_string()),
    };
    match told {
        kube::Error::Api(status) => What::Failed(status.message.clone()),
        other => What::Failed(causes(other)),
    }
}
