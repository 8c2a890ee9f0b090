//! Accepts clients, owns their tasks, and ends them with the recording.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Proxy;
use super::connection::serve;

/// For exchanges under way when the recording ends.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// Pause after a failed accept (no descriptors left).
const RETRY: Duration = Duration::from_millis(50);

/// Tells tasks that the recording ends.
#[derive(Clone, Debug)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Turns true, or loses its sender, when the recording ends.
    pub(super) fn new(receiver: watch::Receiver<bool>) -> Self {
        Self(receiver)
    }

    /// Waits for the end of the recording. Cancellation-safe.
    pub(super) async fn requested(&mut self) {
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

/// Serves clients until told to stop.
pub(super) async fn run(listener: TcpListener, proxy: Arc<Proxy>, mut stop: Stop) {
    let mut clients = JoinSet::new();
    let stopped = stop.clone();
    let Ok(address) = listener.local_addr() else { return };
    loop {
        select! {
            biased;
            () = stop.requested() => break,
            Some(_) = clients.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, peer)) => {
                    clients.spawn(serve(proxy.clone(), tcp, peer, address, stopped.clone()));
                }
                Err(_) => sleep(RETRY).await,
            },
        }
    }
    drop(listener);
    let all = async { while clients.join_next().await.is_some() {} };
    if timeout(GRACE, all).await.is_err() {
        clients.shutdown().await;
    }
}
