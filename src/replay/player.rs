//! Plays single steps of one session: renders, sends, checks, extracts. Owns the session's cookies, variables and
//! connections.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::time::timeout;

use crate::measure::{Divergence, Failure, Outcome, Phases, Sample};
use crate::model::{Nanos, Origin, Scheme};
use crate::plan::{PlannedUser, Script, Step};
use crate::rules::ResponseView;
use crate::wire::content;
use crate::wire::cookie::Jar;

use super::check::{self, Seen};
use super::connection::Connection;
use super::engine::Sink;
use super::exchange::{Answer, Ask, Broken, Trace, exchange};
use super::lane::Lane;
use super::request::{Fill, Rendered, render};
use super::schedule::Start;
use super::seed::Random;
use super::trust;

/// Longest body that is kept to be looked at, coded or decoded.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was played.
    Over {
        /// Which.
        step: u32,
        /// When it ended.
        at: Nanos,
        /// Why there was no whole answer.
        failure: Option<Failure>,
    },
    /// The run ended before it could begin.
    NotPlayed,
}

/// One pass of one user.
#[derive(Debug)]
pub struct Player<'a, S> {
    lane: &'a Lane<S>,
    planned: &'a PlannedUser,
    script: &'a Script,
    pass: u32,
    own: RefCell<Own>,
}

/// What the user has, and shares with nobody. Never borrowed across an await.
#[derive(Debug)]
struct Own {
    jar: Jar,
    variables: Vec<Option<String>>,
    /// Open connections with nothing to do, by target.
    idle: Vec<(u32, Connection)>,
    tls: Option<Arc<ClientConfig>>,
}

impl<'a, S: Sink> Player<'a, S> {
    /// A user at the start of a pass.
    pub fn new(lane: &'a Lane<S>, planned: &'a PlannedUser, script: &'a Script, pass: u32) -> Self {
        let own =
            Own { jar: Jar::default(), variables: vec![None; script.variables.len()], idle: Vec::new(), tls: None };
        Self { lane, planned, script, pass, own: RefCell::new(own) }
    }

    /// Plays one step from its start to its sample.
    pub async fn play(&self, start: Start) -> Ended {
        let lane = self.lane;
        let step = &self.script.steps[start.step as usize];
        let Ok(_permit) = lane.in_flight.acquire().await else { return Ended::NotPlayed };
        if lane.is_halting() {
            return Ended::NotPlayed;
        }
        let mut request = lane.buffers.for_writing();
        let (rendered, mut divergences) = self.render(start.step, &mut request);
        let path = rendered.path(&request);
        let mut trace = Trace::default();
        let mut phases = Phases::default();
        let started = lane.clock.now();
        let result = self.ask(step, &request, &mut trace, &mut phases).await;
        let done = trace.last.unwrap_or_else(|| lane.clock.now());
        lane.buffers.done_writing(request);
        let outcome = match result {
            Ok(answer) => {
                self.learn(step, &path, &answer, &mut divergences);
                if divergences.is_empty() { Outcome::Ok } else { Outcome::Diverged(divergences) }
            }
            Err(broken) => {
                let failure = broken.failure;
                lane.failed(broken);
                Outcome::Failed(failure)
            }
        };
        let failure = if let Outcome::Failed(failure) = outcome { Some(failure) } else { None };
        lane.sample(&Sample {
            endpoint: step.endpoint,
            due: start.due,
            ready: start.ready,
            started,
            done,
            phases: trace.complete(phases),
            status: trace.status,
            outcome,
            bytes_sent: trace.sent,
            bytes_received: trace.received,
        });
        Ended::Over { step: start.step, at: done, failure }
    }

    fn render(&self, number: u32, out: &mut Vec<u8>) -> (Rendered, Vec<Divergence>) {
        let lane = self.lane;
        let step = &self.script.steps[number as usize];
        let target = &lane.common.targets[step.target as usize];
        let now = lane.clock.now();
        let own = self.own.borrow();
        let who = [self.script.session.0, self.planned.clone, self.pass, number].map(u64::from);
        let mut fill = Fill {
            variables: &own.variables,
            row: &self.planned.row,
            random: Random::new(lane.common.plan.seed, &who),
            unix: lane.unix(now),
            stale: RefCell::default(),
        };
        let jar = |path: &str| own.jar.header(&cookie_origin(&target.origin), path, now);
        let mut scratch = lane.buffers.for_writing();
        let rendered = render(&step.request, &target.authority, &mut fill, jar, (out, &mut scratch));
        lane.buffers.done_writing(scratch);
        let stale = fill.stale.into_inner();
        let stale = stale.into_iter().map(|id| Divergence::Stale { variable: self.variable_name(id.0) }).collect();
        (rendered, stale)
    }

    /// Sends the request over an idle connection or a new one, and puts the connection back when it is still good.
    async fn ask(&self, step: &Step, request: &[u8], trace: &mut Trace, phases: &mut Phases) -> Result<Answer, Broken> {
        let lane = self.lane;
        let keep = if check::needs_body(&step.expect) || step.extract.iter().any(|e| e.extractor.needs_body()) {
            BODY_BYTES
        } else {
            0
        };
        let ask = Ask { request, method: &step.request.method, keep };
        if let Some(connection) = self.idle(step.target) {
            let result = self.exchange(connection, step.target, ask, trace).await;
            match result {
                // The server closed it in the moment it was used: nothing was answered, so nothing was lost.
                Err(Broken { failure: Failure::Closed, .. }) if trace.received == 0 => trace.begun = None,
                result => return result,
            }
        }
        let target = &lane.common.targets[step.target as usize];
        let tls = target.is_tls().then(|| self.tls()).flatten();
        let limit = lane.common.config.connect_timeout;
        let connection = target.dial(tls.as_ref(), limit, lane.clock, phases).await?;
        self.exchange(connection, step.target, ask, trace).await
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        target: u32,
        ask: Ask<'_>,
        trace: &mut Trace,
    ) -> Result<Answer, Broken> {
        let lane = self.lane;
        let limit: Duration = lane.common.config.answer_timeout;
        let mut buffer = lane.buffers.for_reading();
        let result = timeout(limit, exchange(&mut connection, ask, lane.clock, &mut buffer, trace)).await;
        lane.buffers.done_reading(buffer);
        let origin = &lane.common.targets[target as usize].origin;
        let answer = result
            .unwrap_or_else(|_| Err(Broken::new(Failure::Timeout, format!("no whole answer within {limit:?}"))))
            .map_err(|broken| Broken { detail: format!("{origin}: {}", broken.detail), ..broken })?;
        if answer.reusable {
            self.own.borrow_mut().idle.push((target, connection));
        }
        Ok(answer)
    }

    /// The idle connection used last that is still good; those that are not are closed.
    fn idle(&self, target: u32) -> Option<Connection> {
        let idle = &mut self.own.borrow_mut().idle;
        while let Some(at) = idle.iter().rposition(|(of, _)| *of == target) {
            let (_, mut connection) = idle.remove(at);
            if connection.is_fit() {
                return Some(connection);
            }
        }
        None
    }

    /// The user's own TLS settings: a user resumes its own TLS sessions and nobody else's.
    fn tls(&self) -> Option<Arc<ClientConfig>> {
        let own = &mut self.own.borrow_mut().tls;
        if own.is_none() {
            *own = self.lane.common.tls.as_ref().map(trust::for_one_user);
        }
        own.clone()
    }

    /// Takes cookies and values from an answer and notes how it differs.
    fn learn(&self, step: &Step, path: &str, answer: &Answer, divergences: &mut Vec<Divergence>) {
        let lane = self.lane;
        let headers = &answer.head.headers;
        let target = &lane.common.targets[step.target as usize];
        let own = &mut *self.own.borrow_mut();
        let now = lane.clock.now();
        for cookie in headers.all("set-cookie") {
            let unix = i64::try_from(lane.unix(now).as_secs()).unwrap_or(i64::MAX);
            store(&mut own.jar, cookie, &cookie_origin(&target.origin), path, (now, unix));
        }
        let whole = answer.body.len() as u64 == answer.body_bytes;
        let decoded = headers
            .text("content-encoding")
            .filter(|_| !answer.body.is_empty())
            .and_then(|coding| content::decode(coding, &answer.body, BODY_BYTES).ok());
        let body = decoded.as_deref().unwrap_or(&answer.body);
        let seen =
            Seen { status: answer.head.status, headers, body: whole.then_some(body), body_bytes: answer.body_bytes };
        divergences.extend(check::divergence(&step.expect, &seen, (&step.request.method, path)));
        let view = ResponseView::new(headers, body);
        for extraction in &step.extract {
            match extraction.extractor.extract(&view) {
                Some(value) => {
                    if let Some(place) = own.variables.get_mut(extraction.variable.0 as usize) {
                        *place = Some(value);
                    }
                }
                None if extraction.required => {
                    divergences.push(Divergence::Missing { variable: self.variable_name(extraction.variable.0) });
                }
                None => {}
            }
        }
    }

    fn variable_name(&self, id: u32) -> String {
        self.script.variables.get(id as usize).cloned().unwrap_or_default()
    }
}

/// Cookies are kept as if the target were reached over TLS: a plain test environment must still get back the cookies
/// that the application marks `Secure`.
fn cookie_origin(target: &Origin) -> Origin {
    Origin { scheme: Scheme::Https, ..target.clone() }
}

/// Stores a cookie. One for another domain (the recorded one, which the target replaces) is kept for the target.
fn store(jar: &mut Jar, cookie: &[u8], origin: &Origin, path: &str, (now, unix): (Nanos, i64)) {
    if jar.store(cookie, origin, path, now, unix).is_some() {
        return;
    }
    let is_domain = |part: &&[u8]| part.trim_ascii_start().get(..6).is_some_and(|p| p.eq_ignore_ascii_case(b"domain"));
    let parts: Vec<&[u8]> = cookie.split(|&b| b == b';').collect();
    if parts.iter().skip(1).any(is_domain) {
        let hosted: Vec<&[u8]> =
            parts.iter().enumerate().filter(|(at, part)| *at == 0 || !is_domain(part)).map(|(_, p)| *p).collect();
        let _ = jar.store(&hosted.join(&b';'), origin, path, now, unix);
    }
}

impl Trace {
    /// The phases of the exchange added to those of its connection.
    fn complete(&self, mut phases: Phases) -> Phases {
        phases.send = self.begun.zip(self.sent_all).map(|(from, to)| to.since(from));
        phases.wait = self.sent_all.zip(self.first).map(|(from, to)| to.since(from));
        phases.receive = self.first.zip(self.last).map(|(from, to)| to.since(from));
        phases
    }
}
