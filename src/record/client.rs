//! One client's HTTP conversation: request after request, each to its server, until either side has enough.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::select;
use tokio::time::{sleep, timeout};

use crate::model::{Body, Headers, Incomplete, Nanos, Origin, Request, Side, Timing, Transport};
use crate::wire::http1::{Event, Framing, Http1Error, Limits, Reader, RequestHead, keeps_alive};

use super::Proxy;
use super::connection::Visitor;
use super::credentials;
use super::link::Link;
use super::listener::Stop;
use super::marks::{self, Label};
use super::pages::Page;
use super::relay::{Outcome, Outgoing, Progress, relay};
use super::target::{Route, RouteError, Routed, proxy_login, route};
use super::tee::{Ending, Tape};
use super::tls;
use super::tunnel;
use super::upstream::{ConnectError, Lost, Pool, Upstream};

/// How long a client may be silent between requests.
const IDLE_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How long a head may take once it has begun.
const HEAD_LIMIT: Duration = Duration::from_secs(60);
/// How long the rest of a client's bytes is awaited after our last word, so that it can be read.
const LINGER: Duration = Duration::from_secs(1);

/// Longest body that is read of a request that is asked for credentials, so that the connection can go on.
const UNWELCOME_BYTES: usize = 64 * 1024;

/// One client connection that speaks HTTP.
pub(super) struct Client {
    /// Shared by all connections.
    pub(super) proxy: Arc<Proxy>,
    /// Who.
    pub(super) visitor: Visitor,
    /// The client's bytes.
    pub(super) link: Link,
    /// Makes messages of them.
    requests: Reader,
    /// Where the requests go.
    route: Route,
    /// Server name the client asked for in its TLS handshake.
    sni: Option<String>,
    /// Its servers.
    pool: Pool,
    /// Why the connection to the server that was tried before the first request failed.
    blocked: Option<ConnectError>,
    /// Turns true when the recording ends.
    stop: Stop,
}

/// Why a conversation ended.
pub(super) enum Farewell {
    /// No more HTTP here; nothing is left to do.
    Over,
    /// The client asked for a tunnel to `host:port`.
    Connect(Box<Client>, RequestHead),
}

enum Heard {
    Request(Box<Asked>),
    Malformed(Http1Error),
    /// The client closed, we have waited long enough, or the recording ends.
    Over,
}

/// Why a client may not use the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unwelcome {
    /// It does not say who it is, whoever that may be.
    Nameless,
    /// It gives no credentials.
    Silent,
    /// It gives wrong ones.
    Wrong,
}

/// A request head with how its body is framed and when its first byte came.
struct Asked {
    head: RequestHead,
    framing: Framing,
    started: Nanos,
}

impl Client {
    /// At its first request.
    pub(super) fn new(proxy: Arc<Proxy>, visitor: Visitor, link: Link, route: Route, stop: Stop) -> Self {
        let requests = Reader::requests(Limits::default());
        Self { proxy, visitor, link, requests, route, sni: None, pool: Pool::default(), blocked: None, stop }
    }

    /// Inside TLS that we ended: with the name asked for, and the connection that told us the server's names or why not.
    pub(super) fn secured(mut self, sni: Option<String>, tried: Option<Result<Upstream, ConnectError>>) -> Self {
        self.sni = sni;
        match tried {
            Some(Ok(upstream)) => self.pool.put(upstream),
            Some(Err(error)) => self.blocked = Some(error),
            None => {}
        }
        self
    }

    /// Passes requests on until the conversation is over.
    pub(super) async fn converse(mut self) -> Farewell {
        loop {
            let asked = match self.hear().await {
                Heard::Request(asked) => *asked,
                Heard::Malformed(error) => {
                    self.proxy.tally.malformed();
                    self.refuse("GET", &Page::bad_request(&error.to_string())).await;
                    return Farewell::Over;
                }
                Heard::Over => return Farewell::Over,
            };
            if let Err(unwelcome) = self.admit(&asked.head) {
                if self.challenge(&asked, unwelcome).await {
                    continue;
                }
                return Farewell::Over;
            }
            if matches!(self.route, Route::Absolute) && asked.head.method == "CONNECT" {
                return Farewell::Connect(Box::new(self), asked.head);
            }
            if !self.exchange(asked).await {
                return Farewell::Over;
            }
        }
    }

    /// Waits for the next request head; meanwhile watches the idle servers.
    async fn hear(&mut self) -> Heard {
        loop {
            let started = self.link.intake.first;
            let step = match self.requests.read(&self.link.intake.bytes) {
                Ok(step) => step,
                Err(error) => return Heard::Malformed(error),
            };
            self.link.intake.used(step.consumed);
            match step.event {
                Some(Event::Request(head, framing)) => {
                    return Heard::Request(Box::new(Asked { head, framing, started }));
                }
                _ if step.consumed > 0 => continue,
                _ => {}
            }
            let begun = !self.link.intake.bytes.is_empty();
            let limit = if begun { HEAD_LIMIT } else { IDLE_LIMIT };
            select! {
                biased;
                more = self.link.intake.more() => if !matches!(more, Ok(1..)) { return Heard::Over },
                lost = self.pool.watch() => if lost == Lost::Pinned && !begun { return Heard::Over },
                () = self.stop.requested(), if !begun => return Heard::Over,
                () = sleep(limit) => return Heard::Over,
            }
        }
    }

    /// One request and its response. True when another may follow.
    async fn exchange(&mut self, asked: Asked) -> bool {
        let Asked { head, framing, started } = asked;
        if marks::concerns(&head, &self.route) {
            self.mark(&head).await;
            return false;
        }
        let routed = route(&head, &self.route);
        if !matches!(self.route, Route::Reverse(_) | Route::Named(_))
            && let Some(page) = self.proxy.onboarding.answer(&head, &routed, self.visitor.local)
        {
            self.refuse(&head.method, &page).await;
            return false;
        }
        let Routed { origin, target, headers, raw, transaction, pins } = match routed {
            Ok(routed) => routed,
            Err(error) => {
                self.proxy.tally.malformed();
                let page = match error {
                    RouteError::NotProxied => Page::not_a_site(),
                    RouteError::NotAProxy => Page::not_a_proxy(),
                    RouteError::Target => Page::bad_request("its target is no http or https URL"),
                };
                self.refuse(&head.method, &page).await;
                return false;
            }
        };
        let mut outgoing = Outgoing {
            keeps_alive: keeps_alive(head.version, &head.headers),
            method: head.method.clone(),
            head: raw,
            has_body: !matches!(framing, Framing::None | Framing::Length(0)),
            body_to_come: true,
        };
        let request = Request {
            origin: origin.clone(),
            method: head.method,
            target,
            version: head.version,
            headers,
            body: Body::default(),
            trailers: Headers::default(),
        };
        let tape = self.tape(request, started, transaction);
        match self.try_servers(&origin, pins, &mut outgoing, &tape).await {
            Ok((outcome, upstream, told)) => self.conclude(outcome, upstream, &outgoing, tape, told).await,
            Err(error) => {
                self.proxy.tally.unreachable(&origin.to_string(), error.chain());
                tape.fail(Incomplete::Connect(error.chain()));
                self.refuse_taped(&outgoing, &Page::unreachable(&origin, &error), tape).await;
                false
            }
        }
    }

    /// Relays over an idle connection or a new one; once more when an idle one turns out to be dead.
    async fn try_servers(
        &mut self,
        origin: &Origin,
        pins: bool,
        outgoing: &mut Outgoing,
        tape: &Tape,
    ) -> Result<(Outcome, Upstream, bool), ConnectError> {
        loop {
            let mut upstream = self.server(origin).await?;
            upstream.pinned |= pins;
            tape.carry(|timing, transport| {
                transport.upstream_connection = Some(upstream.number);
                transport.tls.clone_from(&upstream.tls);
                transport.alpn.clone_from(&upstream.alpn);
                let phases = upstream.phases.take();
                timing.connect = phases.map(|phases| phases.connect);
                timing.tls = phases.and_then(|phases| phases.tls);
            });
            let progress = Progress::default();
            let outcome = relay(&mut self.link, &mut self.requests, &mut upstream, outgoing, tape, &progress).await;
            let died = matches!(outcome, Outcome::ServerFailed { heard: false, .. });
            if died && upstream.waited && !upstream.pinned && !outgoing.has_body && is_idempotent(&outgoing.method) {
                continue;
            }
            return Ok((outcome, upstream, progress.told()));
        }
    }

    async fn server(&mut self, origin: &Origin) -> Result<Upstream, ConnectError> {
        if let Some(error) = self.blocked.take() {
            return Err(error);
        }
        match self.pool.take(origin).await {
            Some(upstream) => Ok(upstream),
            None => {
                let (way, sni) = (self.visitor.way, self.sni.as_deref());
                Upstream::open(&self.proxy, way, origin, sni, &vec![tls::HTTP1.to_vec()]).await
            }
        }
    }

    /// Ends the exchange on tape and towards the client. True when another may follow.
    async fn conclude(
        &mut self,
        outcome: Outcome,
        mut upstream: Upstream,
        outgoing: &Outgoing,
        tape: Tape,
        told: bool,
    ) -> bool {
        match outcome {
            Outcome::Answered { keeps_alive } => {
                tape.finish(None);
                if keeps_alive {
                    self.pool.put(upstream);
                } else {
                    self.close().await;
                }
                keeps_alive
            }
            Outcome::Refused => {
                tape.finish(Some(Incomplete::Upstream("answered before the whole request was sent".into())));
                self.close().await;
                false
            }
            Outcome::Upgraded { to_http2 } => {
                let wiretap = tape.switch(upstream.relayed(self.visitor, self.sni.clone()));
                let veil = self.proxy.veil().filter(|_| to_http2);
                tunnel::copy(&mut self.link, &mut upstream.link, wiretap, veil, &mut self.stop).await;
                false
            }
            Outcome::ClientGone(reason) => {
                tape.finish(Some(Incomplete::Client(reason)));
                false
            }
            Outcome::ClientMalformed(error) => {
                tape.finish(Some(Incomplete::Client(error.to_string())));
                if !told {
                    self.refuse(&outgoing.method, &Page::bad_request(&error.to_string())).await;
                }
                false
            }
            Outcome::ServerFailed { reason, heard, broke } => {
                // An idle connection that died under a request that must not be sent twice: the client sees a closed
                // connection, as it would without us, and knows what to do.
                tape.fail(Incomplete::Upstream(reason.clone()));
                if !told && (heard || !upstream.waited) {
                    self.refuse_taped(outgoing, &Page::broken(&upstream.origin, &reason), tape).await;
                } else if broke {
                    self.link.break_off();
                }
                false
            }
        }
    }
}

/// What we say ourselves.
impl Client {
    /// Whether the client may use the proxy, and says who it is where that is asked for; the writer is told.
    fn admit(&self, head: &RequestHead) -> Result<(), Unwelcome> {
        // What is asked of the proxy as if it were a site goes no further; marks look for themselves who sets them.
        let is_ours = head.method != "CONNECT" && (head.target.starts_with(b"/") || marks::concerns(head, &self.route));
        if !matches!(self.route, Route::Absolute) || is_ours {
            return Ok(());
        }
        let wanted = self.proxy.door.asks(self.visitor.peer, self.visitor.local);
        let given = proxy_login(&head.headers);
        match (wanted, &given) {
            (Some(_), None) => return Err(Unwelcome::Silent),
            (Some(wanted), Some((user, password))) if !wanted.are(user, password, self.proxy.names()) => {
                return Err(Unwelcome::Wrong);
            }
            (None, None) if self.proxy.asks_user => return Err(Unwelcome::Nameless),
            _ => {}
        }
        if let Some((user, _)) = given.filter(|_| self.proxy.asks_user) {
            self.proxy.tee.introduce(self.visitor.number, String::from_utf8_lossy(&user).into_owned());
        }
        Ok(())
    }

    /// Asks for what was not given. True when the client may try again on this connection, as many do that give nothing
    /// until they are asked; wrong credentials cost a connection each.
    async fn challenge(&mut self, asked: &Asked, unwelcome: Unwelcome) -> bool {
        let page = match unwelcome {
            Unwelcome::Nameless => Page::who_are_you(),
            Unwelcome::Silent | Unwelcome::Wrong => Page::credentials(self.proxy.names()),
        };
        let head = &asked.head;
        if unwelcome == Unwelcome::Wrong {
            self.proxy.tally.turned_away(self.visitor.peer.ip());
            self.refuse(&head.method, &page).await;
            return false;
        }
        // A client that waits for our word before it sends a body may send none now: nobody knows where the next head begins.
        let is_clear = keeps_alive(head.version, &head.headers) && head.headers.first("expect").is_none();
        if !is_clear || !matches!(timeout(HEAD_LIMIT, self.short_body(UNWELCOME_BYTES)).await, Ok(Some(_))) {
            self.refuse(&head.method, &page).await;
            return false;
        }
        let bytes = page.bytes_before_more(&head.method);
        self.link.outlet.write_all(&bytes).await.is_ok() && self.link.outlet.flush().await.is_ok()
    }

    fn tape(&self, request: Request, started: Nanos, transaction: Option<Label>) -> Tape {
        let transport = Transport {
            client: self.visitor.peer,
            client_connection: self.visitor.number,
            upstream_connection: None,
            stream: None,
            tls: None,
            alpn: None,
            sni: self.sni.clone(),
        };
        let timing = Timing { started, ..Timing::default() };
        let transaction = transaction.map(String::from);
        self.proxy.tee.begin(self.proxy.clock, request, Ending { timing, transport, incomplete: None, transaction })
    }

    /// Sets or ends a mark that was asked for over HTTP.
    async fn mark(&mut self, head: &RequestHead) {
        let body = timeout(HEAD_LIMIT, self.short_body(marks::BODY_BYTES)).await.unwrap_or_default();
        let near = credentials::is_near(self.visitor.peer, self.visitor.local) || self.proxy.is_for_this_machine_only();
        let page = match marks::understand(head, body.as_deref(), near) {
            Ok(mark) => marks::answer(&self.proxy.tee, &self.proxy.tally, mark),
            Err(refusal) => refusal.page(),
        };
        self.refuse(&head.method, &page).await;
    }

    /// The body of a request to ourselves; none when it is longer than `limit` or breaks off.
    async fn short_body(&mut self, limit: usize) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let step = self.requests.read(&self.link.intake.bytes).ok()?;
            match step.event {
                Some(Event::Body(range)) if body.len() + range.len() <= limit => {
                    body.extend_from_slice(&self.link.intake.bytes[range]);
                }
                Some(Event::End(_)) => {
                    self.link.intake.used(step.consumed);
                    return Some(body);
                }
                Some(_) => return None,
                None if step.consumed == 0 && !matches!(self.link.intake.more().await, Ok(1..)) => return None,
                None => {}
            }
            self.link.intake.used(step.consumed);
        }
    }

    /// Answers with a page of ours and closes.
    pub(super) async fn refuse(&mut self, method: &str, page: &Page) {
        self.say(method, page).await;
        self.close().await;
    }

    /// The same, and keeps what still comes of the request.
    async fn refuse_taped(&mut self, outgoing: &Outgoing, page: &Page, tape: Tape) {
        self.say(&outgoing.method, page).await;
        if outgoing.body_to_come {
            let _ = timeout(LINGER, self.hear_out(&tape)).await;
        }
        drop(tape);
        self.close().await;
    }

    async fn say(&mut self, method: &str, page: &Page) {
        let bytes = page.bytes(method);
        if self.link.outlet.write_all(&bytes).await.is_ok() {
            let _ = self.link.outlet.flush().await;
        }
    }

    /// Reads the rest of a request that goes nowhere.
    async fn hear_out(&mut self, tape: &Tape) {
        loop {
            let Ok(step) = self.requests.read(&self.link.intake.bytes) else { return };
            match step.event {
                Some(Event::Body(range)) => tape.body(Side::Request, &self.link.intake.bytes[range]),
                Some(Event::End(trailers)) => return tape.request_done(trailers, self.link.intake.last),
                Some(Event::Request(..) | Event::Response(..)) => return,
                None if step.consumed == 0 && !matches!(self.link.intake.more().await, Ok(1..)) => return,
                None => {}
            }
            self.link.intake.used(step.consumed);
        }
    }

    /// Closes our direction and waits a little for the client's, so that it can read our last words.
    async fn close(&mut self) {
        if self.link.outlet.shutdown().await.is_ok() {
            let drain = async {
                while matches!(self.link.intake.more().await, Ok(1..)) {
                    self.link.intake.bytes.clear();
                }
            };
            let _ = timeout(LINGER, drain).await;
        }
    }
}

/// May be sent twice (RFC 9110 §9.2.2).
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}
