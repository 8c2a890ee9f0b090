//! The live proxy: relays byte for byte, records a tee. Knows neither import, rules nor replay.
//!
//! [`start`] with a [`Config`] gives a [`Recording`]; [`Recording::stop`] ends it with a [`RecordSummary`].
//!
//! ```text
//! listener ──► connection ──► client ──► relay ◄──► upstream     HTTP/1, request by request
//!              (TLS, SOCKS)  └─────────► tunnel ◄──►             everything else, as bytes
//!                                           │ notes, never waiting
//!                                          tee ──► journal (a thread) ──► observe ──► capture
//! ```

mod chain;
mod client;
mod config;
mod connection;
mod credentials;
mod curation;
mod dial;
mod edited;
mod editor;
mod error;
mod filter;
pub mod glob;
mod host_pattern;
mod journal;
mod link;
mod listed;
mod listener;
mod lru;
mod marks;
mod noise;
mod onboarding;
mod opening;
mod pages;
mod relay;
mod reverse;
mod socks;
mod tally;
mod target;
mod tee;
mod tls;
mod transparent;
mod tunnel;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::KeyLog;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::capture::{Reader, Summary};
use crate::observe::Recorder;
use crate::wire::http2::Veil;
use crate::wire::identity::Sessions;
use crate::wire::redact;

use config::source;
use credentials::Names;
use curation::Curation;
use journal::{Journal, Written};
use link::Clock;
use onboarding::Onboarding;
use tally::Tally;
use tee::Tee;
use tls::Tls;
use tls::keylog::{self, Keylog, KeylogFile};
use tls::passthrough::Passthrough;

pub use chain::{Egress, ProxyUrlError, UpstreamProxy};
pub use config::{Config, Http3Hints, Mode};
pub use credentials::{Credentials, CredentialsError, Door};
pub use error::{AuthorityError, RecordError};
pub use filter::{Cause, Filter, PATTERNS, Pattern, PatternError, Verdict};
pub use host_pattern::{HostPattern, HostPatternError};
pub use listed::Listed;
pub use marks::{Label, LabelError, MARK_PATH, Mark};
pub use onboarding::{OWN_HOST, TrustBundle};
pub use reverse::{Address, Reverse};
pub use tally::{HostCount, Notice, Passed, Rejection, Remarks};
pub use tls::TlsOptions;
pub use tls::authority::{CertificateAuthority, RootDetails};
pub use tls::identity::{ClientIdentity, IdentityError};
pub use tls::passthrough::{Consequence, PassReason, Refusal};
pub use tls::trust::UpstreamTrust;

/// Notices that wait for an operator who does not look.
const WAITING_NOTICES: usize = 256;

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordSummary {
    /// What the capture holds.
    pub file: Summary,
    /// Incomplete exchanges by reason.
    pub incomplete: BTreeMap<String, u64>,
    /// Exchanges that passed and were left out as the filter says, by what left them out.
    pub left_out: BTreeMap<String, u64>,
    /// Exchanges that are tagged as browser noise.
    pub noise: u64,
    /// Exchanges that were seen and are not in the capture at all.
    pub lost: u64,
    /// What was redacted, when that was asked for.
    pub redacted: Option<redact::Tally>,
    /// The first thing that went wrong with the file.
    pub trouble: Option<String>,
    /// What is no exchange.
    pub remarks: Remarks,
}

/// A running recording. Dropped without [`Recording::stop`], it ends at once and the capture is closed in the background.
#[derive(Debug)]
pub struct Recording {
    addresses: Vec<SocketAddr>,
    output: PathBuf,
    stop: watch::Sender<bool>,
    listening: JoinSet<()>,
    writing: thread::JoinHandle<Written>,
    keylog: Option<keylog::Writing>,
    tee: Tee,
    tally: Arc<Tally>,
    notices: mpsc::Receiver<Notice>,
}

/// What all connections share.
pub(crate) struct Proxy {
    addresses: Vec<SocketAddr>,
    mode: Mode,
    egress: Egress,
    /// Clients have to give the proxy a user name.
    asks_user: bool,
    door: Door,
    clock: Clock,
    tls: Tls,
    hints: Http3Hints,
    onboarding: Onboarding,
    passthrough: Passthrough,
    tee: Tee,
    tally: Arc<Tally>,
    clients: AtomicU64,
    upstreams: AtomicU64,
}

/// Starts to listen and to record. Needs a tokio runtime with I/O and time.
///
/// # Errors
/// When the address is taken, the capture cannot be created, or a certificate cannot be used.
pub async fn start(config: Config) -> Result<Recording, RecordError> {
    let Config { listen, mode, egress, door, user_by, output, authority, trust, tls, hints, filter, redactor } = config;
    let TlsOptions { identities, passthrough, auto_passthrough, keylog } = tls;
    let (listeners, addresses) = bind(&listen).await?;
    let (notice_sender, notices) = mpsc::channel(WAITING_NOTICES);
    let tally = Arc::new(Tally::new(notice_sender));
    let (key_log, keylog) = match keylog {
        Some(path) => {
            let file = KeylogFile::open(&path).map_err(|source| RecordError::Keylog { path, source })?;
            let (keylog, writing) = Keylog::start(file, tally.clone()).map_err(RecordError::Thread)?;
            (Arc::new(keylog) as Arc<dyn KeyLog>, Some(writing))
        }
        None => (Arc::new(rustls::NoKeyLog) as Arc<dyn KeyLog>, None),
    };
    let onboarding = Onboarding::new(&authority)?.guarded(door.is_guarded());
    let tls = Tls::new(authority, &trust, &identities, key_log).map_err(RecordError::Trust)?;
    let anchor = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let clock = Clock::start();
    let anchor = u64::try_from(anchor.as_nanos()).unwrap_or(u64::MAX);
    let redacted = if redactor.is_some() { ", redacted" } else { "" };
    let source = format!("{}{redacted}", source(&mode, &addresses));
    let recorder = Recorder::create(&output, &source, anchor, Sessions::by(user_by.clone()))
        .map(|recorder| recorder.redacting(redactor))
        .map_err(|source| RecordError::Create { path: output.clone(), source })?;
    let (tee, notes, waiting) = Tee::new();
    let asks_user = user_by.asks_proxy_user();
    let journal = Journal::new(recorder, clock, Curation::new(filter, hints, tally.clone()), tally.clone());
    let writing = thread::Builder::new()
        .name("overdub-writer".into())
        .spawn(move || journal.run(&notes, &waiting))
        .map_err(RecordError::Thread)?;
    let proxy = Arc::new(Proxy {
        addresses: addresses.clone(),
        mode,
        egress,
        asks_user,
        door,
        clock,
        tls,
        hints,
        onboarding,
        passthrough: Passthrough::new(passthrough, auto_passthrough),
        tee: tee.clone(),
        tally: tally.clone(),
        clients: AtomicU64::new(0),
        upstreams: AtomicU64::new(0),
    });
    let (stop, stopped) = watch::channel(false);
    let mut listening = JoinSet::new();
    for listener in listeners {
        listening.spawn(listener::run(listener, proxy.clone(), listener::Stop::new(stopped.clone())));
    }
    Ok(Recording { addresses, output, stop, listening, writing, keylog, tee, tally, notices })
}

async fn bind(listen: &[SocketAddr]) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), RecordError> {
    let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
    for &address in listen {
        let unusable = |source| RecordError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(unusable)?;
        addresses.push(listener.local_addr().map_err(unusable)?);
        listeners.push(listener);
    }
    Ok((listeners, addresses))
}

impl Recording {
    /// Where the proxy listens, or listens first.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses on which the proxy listens, in the order of [`Config::listen`].
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The next thing the operator should know. Never ends when there is none. Cancellation-safe.
    pub async fn notice(&mut self) -> Notice {
        match self.notices.recv().await {
            Some(notice) => notice,
            None => std::future::pending().await,
        }
    }

    /// From now on each exchange is a notice when it is over, as far as there is room for so many.
    pub fn list(&self) {
        self.tally.list();
    }

    /// Names the transaction of what begins from now on, or ends it. False when the disk cannot keep up.
    pub fn mark(&self, mark: Mark) -> bool {
        marks::set(&self.tee, &self.tally, mark)
    }

    /// Ends the recording: no new connections, about a second for exchanges under way, then the capture is closed.
    ///
    /// # Errors
    /// When the capture cannot be closed; what was flushed before is readable.
    pub async fn stop(mut self) -> Result<RecordSummary, RecordError> {
        let _ = self.stop.send(true);
        while self.listening.join_next().await.is_some() {}
        self.tee.stop();
        let (writing, keylog) = (self.writing, self.keylog);
        let written = tokio::task::spawn_blocking(move || {
            if let Some(keylog) = keylog {
                keylog.finish();
            }
            writing.join()
        });
        let written = written.await;
        let Ok(Ok(Written { summary, closed, incomplete, lost, redacted, trouble })) = written else {
            return Err(RecordError::Writer);
        };
        let remarks = self.tally.remarks();
        let (left_out, noise) = self.tally.curated();
        let mut summary =
            RecordSummary { file: summary, incomplete, left_out, noise, lost, redacted, trouble, remarks };
        match closed {
            Ok(()) => Ok(summary),
            Err(source) => {
                summary.correct(&self.output);
                Err(RecordError::Finish { path: self.output, summary: Box::new(summary), source })
            }
        }
    }
}

impl RecordSummary {
    /// After a file that could not be closed: counts what is in it, not what was meant for it.
    fn correct(&mut self, path: &Path) {
        let found = Reader::open(path).ok();
        let sessions = found.as_ref().map_or(&[][..], Reader::sessions);
        let exchanges = sessions.iter().map(|session| session.exchanges).sum();
        self.lost = self.lost.saturating_add(self.file.exchanges.saturating_sub(exchanges));
        self.file.exchanges = exchanges;
        self.file.sessions = sessions.len() as u64;
        self.file.file_bytes = path.metadata().map_or(0, |file| file.len());
    }
}

impl Proxy {
    /// Whether a connection to this address would come back here.
    fn is_itself(&self, address: SocketAddr) -> bool {
        self.addresses.iter().any(|own| dial::same_listener(*own, address))
    }

    /// Whether nobody can reach it but this machine's users.
    fn is_for_this_machine_only(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().to_canonical().is_loopback())
    }

    /// What is to be said of user names.
    fn names(&self) -> Names {
        if self.asks_user { Names::Free } else { Names::Checked }
    }

    /// Whether this connection came back here all the same.
    fn is_at_the_end_of(&self, tcp: &TcpStream) -> bool {
        let (Ok(local), Ok(peer)) = (tcp.local_addr(), tcp.peer_addr()) else { return false };
        self.addresses.iter().any(|own| dial::reached_listener(*own, local, peer))
    }

    /// What HTTP/2 of servers passes through.
    fn veil(&self) -> Option<Veil> {
        (self.hints == Http3Hints::Removed).then(Veil::default)
    }

    fn next_client(&self) -> u64 {
        self.clients.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn next_upstream(&self) -> u64 {
        self.upstreams.fetch_add(1, Ordering::Relaxed) + 1
    }
}
