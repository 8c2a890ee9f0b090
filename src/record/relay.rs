//! One exchange on its way: the request goes up and the response comes down at the same time, byte for byte, as it
//! arrives. Main function: [`relay`].
//!
//! ```text
//!  sending ──request whole──► listening ──response whole──► done      the client's FIN is passed on while listening
//!     └──────response whole──► sending on (server keeps alive) | done (server closes)
//! ```

use std::io;
use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::select;

use crate::model::Side;
use crate::wire::http1::{Event, Framing, Http1Error, Reader, ResponseHead, keeps_alive, veil_alt_svc};

use super::Http3Hints;
use super::link::{Intake, Io, Link};
use super::tee::Tape;
use super::upstream::Upstream;

/// Requests that a client sends ahead are read up to here while a response is under way.
const AHEAD_BYTES: usize = 64 * 1024;

/// The request to pass on.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Method.
    pub(super) method: String,
    /// Head as the server gets it.
    pub(super) head: Vec<u8>,
    /// Whether it has a body.
    pub(super) has_body: bool,
    /// Whether body bytes (or the end of the message) are still to be read from the client.
    pub(super) body_to_come: bool,
    /// Whether the client wants to go on after it.
    pub(super) keeps_alive: bool,
}

/// How an exchange went.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The response is whole, at the client. Says whether both sides can go on.
    Answered { keeps_alive: bool },
    /// Response whole, request not: the server did not want the rest.
    Refused,
    /// Head of the final response passed on; what follows is not HTTP.
    Upgraded { to_http2: bool },
    /// The client failed.
    ClientGone(String),
    /// The client sent rubbish inside the request.
    ClientMalformed(Http1Error),
    /// The server failed. Says whether anything had come from it, and whether its connection broke rather than ended.
    ServerFailed { reason: String, heard: bool, broke: bool },
}

/// What has happened so far, visible while the exchange is under way.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Something of the response came.
    heard: AtomicBool,
    /// Something of the response went to the client.
    told: AtomicBool,
}

impl Progress {
    /// Whether the client got anything for this exchange.
    pub(super) fn told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }
}

/// The final response, as far as the connection is concerned.
#[derive(Debug, Default)]
struct Answer {
    keeps_alive: bool,
    upgraded: Option<Upgraded>,
}

/// What the connection becomes.
#[derive(Debug)]
struct Upgraded {
    to_http2: bool,
}

enum UpError {
    Client(String),
    Malformed(Http1Error),
    Server(io::Error),
}

enum DownError {
    Client(io::Error),
    Server { reason: String, broke: bool },
}

/// Passes one request up and its response down, and tells the tape.
pub(super) async fn relay(
    client: &mut Link,
    requests: &mut Reader,
    upstream: &mut Upstream,
    outgoing: &mut Outgoing,
    tape: &Tape,
    progress: &Progress,
) -> Outcome {
    upstream.reader.expect(&outgoing.method);
    let wants_more = outgoing.keeps_alive;
    let Link { intake: server_in, outlet: server_out, .. } = &mut upstream.link;
    let Link { intake: client_in, outlet: client_out, .. } = client;
    let mut down = pin!(pass_down(server_in, (&mut upstream.reader, upstream.hints), client_out, tape, progress));
    let mut answer = None;
    let sent = {
        let mut up = pin!(pass_up(client_in, requests, server_out, outgoing, tape));
        loop {
            select! {
                biased;
                sent = &mut up => break Some(sent),
                down = &mut down, if answer.is_none() => {
                    let over = !matches!(&down, Ok(Answer { keeps_alive: true, upgraded: None }));
                    answer = Some(down);
                    if over {
                        break None;
                    }
                }
            }
        }
    };
    let whole = matches!(sent, Some(Ok(())));
    let mut sending = None;
    match sent {
        Some(Err(UpError::Client(reason))) => return Outcome::ClientGone(reason),
        Some(Err(UpError::Malformed(error))) => return Outcome::ClientMalformed(error),
        // Its answer may be on its way all the same.
        Some(Err(UpError::Server(error))) => sending = Some(error),
        Some(Ok(())) | None => {}
    }
    let answer = match answer {
        Some(answer) => answer,
        None if !whole => down.await,
        None => {
            let mut ear = pin!(listen(client_in, server_out));
            select! {
                biased;
                answer = &mut down => answer,
                error = &mut ear => return Outcome::ClientGone(error.to_string()),
            }
        }
    };
    match answer {
        Ok(Answer { upgraded: Some(Upgraded { to_http2 }), .. }) => Outcome::Upgraded { to_http2 },
        Ok(_) if !whole => Outcome::Refused,
        Ok(Answer { keeps_alive, .. }) => Outcome::Answered { keeps_alive: keeps_alive && wants_more },
        Err(DownError::Client(error)) => Outcome::ClientGone(format!("did not take the whole response ({error})")),
        Err(DownError::Server { reason, broke }) => {
            let reason = sending.map_or(reason, |error| format!("did not take the whole request ({error})"));
            Outcome::ServerFailed { reason, heard: progress.heard(), broke }
        }
    }
}

/// Sends the head and then the body as it comes from the client.
async fn pass_up(
    client: &mut Intake,
    requests: &mut Reader,
    server: &mut WriteHalf<Io>,
    outgoing: &mut Outgoing,
    tape: &Tape,
) -> Result<(), UpError> {
    let mut head = Some(&outgoing.head);
    loop {
        let mut used = 0;
        while outgoing.body_to_come {
            let rest = &client.bytes[used..];
            let step = requests.read(rest).map_err(UpError::Malformed)?;
            match step.event {
                Some(Event::Body(range)) => tape.body(Side::Request, &rest[range]),
                Some(Event::End(trailers)) => {
                    tape.request_done(trailers, client.last);
                    outgoing.body_to_come = false;
                }
                Some(Event::Request(..) | Event::Response(..)) => break,
                None if step.consumed == 0 => break,
                None => {}
            }
            used += step.consumed;
        }
        tape.sending();
        let sent = match head.take() {
            Some(head) if used == 0 => send(server, head).await,
            Some(head) => send(server, &[head, &client.bytes[..used]].concat()).await,
            None => send(server, &client.bytes[..used]).await,
        };
        sent.map_err(UpError::Server)?;
        client.used(used);
        if !outgoing.body_to_come {
            return Ok(());
        }
        match client.more().await {
            Ok(0) => return Err(UpError::Client("closed inside the request".into())),
            Ok(_) => {}
            Err(error) => return Err(UpError::Client(error.to_string())),
        }
    }
}

/// Reads ahead what the client sends while it waits, and passes its FIN on. Ends when the client's connection breaks.
async fn listen(client: &mut Intake, server: &mut WriteHalf<Io>) -> io::Error {
    while client.bytes.len() < AHEAD_BYTES {
        match client.more().await {
            Ok(0) => {
                // Requests that were sent ahead still have to go up.
                if client.bytes.is_empty() {
                    let _ = server.shutdown().await;
                }
                break;
            }
            Ok(_) => {}
            Err(error) => return error,
        }
    }
    std::future::pending().await
}

/// Passes the response down as it comes from the server, interim responses first.
async fn pass_down(
    server: &mut Intake,
    (responses, hints): (&mut Reader, Http3Hints),
    client: &mut WriteHalf<Io>,
    tape: &Tape,
    progress: &Progress,
) -> Result<Answer, DownError> {
    let mut answer = None;
    loop {
        let batch = Batch::read(server, responses, tape, &mut answer);
        if !server.bytes.is_empty() {
            progress.heard.store(true, Ordering::Relaxed);
        }
        if batch.used > 0 {
            progress.told.store(true, Ordering::Relaxed);
            if hints == Http3Hints::Removed {
                for head in &batch.heads {
                    veil_alt_svc(&mut server.bytes[head.clone()]);
                }
            }
            send(client, &server.bytes[..batch.used]).await.map_err(DownError::Client)?;
            if answer.is_some() {
                tape.answering();
            }
            server.used(batch.used);
        }
        match batch.then {
            Ok(false) => {}
            Ok(true) => return Ok(answer.unwrap_or_default()),
            Err(error) => return Err(DownError::Server { reason: error.to_string(), broke: false }),
        }
        match server.more().await {
            Ok(0) => {
                return match responses.end_of_input() {
                    Ok(Some(Event::End(trailers))) => {
                        tape.response_done(trailers, tape.now());
                        Ok(Answer { keeps_alive: false, ..answer.unwrap_or_default() })
                    }
                    _ => {
                        let reason =
                            if progress.heard() { "closed inside the response" } else { "closed without an answer" };
                        Err(DownError::Server { reason: reason.into(), broke: false })
                    }
                };
            }
            Ok(_) => {}
            Err(error) => return Err(DownError::Server { reason: error.to_string(), broke: true }),
        }
    }
}

/// What could be made of the bytes at hand.
struct Batch {
    /// So many may be passed on.
    used: usize,
    /// Where among them heads are.
    heads: Vec<Range<usize>>,
    /// Whether that was the last of the response.
    then: Result<bool, Http1Error>,
}

impl Batch {
    fn read(server: &Intake, responses: &mut Reader, tape: &Tape, answer: &mut Option<Answer>) -> Self {
        let (mut used, mut heads) = (0, Vec::new());
        loop {
            let rest = &server.bytes[used..];
            let step = match responses.read(rest) {
                Ok(step) => step,
                Err(error) => return Self { used, heads, then: Err(error) },
            };
            if matches!(step.event, Some(Event::Response(..))) {
                heads.push(used..used + step.consumed);
            }
            used += step.consumed;
            match step.event {
                Some(Event::Body(range)) => tape.body(Side::Response, &rest[range]),
                Some(Event::End(trailers)) => {
                    tape.response_done(trailers, server.last);
                    return Self { used, heads, then: Ok(true) };
                }
                Some(Event::Response(head, _)) if head.status < 200 && head.status != 101 => tape.interim(head),
                Some(Event::Response(head, framing)) => {
                    *answer = Some(Answer::of(&head, framing));
                    tape.response(head, server.first);
                    if framing == Framing::Tunnel {
                        tape.response_done(Default::default(), server.last);
                        return Self { used, heads, then: Ok(true) };
                    }
                }
                Some(Event::Request(..)) => return Self { used, heads, then: Err(Http1Error::Syntax) },
                None if step.consumed == 0 => return Self { used, heads, then: Ok(false) },
                None => {}
            }
        }
    }
}

impl Answer {
    fn of(head: &ResponseHead, framing: Framing) -> Self {
        let keeps_alive = keeps_alive(head.version, &head.headers) && framing != Framing::UntilClose;
        let upgraded = || Upgraded {
            to_http2: head.headers.text("upgrade").is_some_and(|name| name.trim().eq_ignore_ascii_case("h2c")),
        };
        Self { keeps_alive, upgraded: (framing == Framing::Tunnel).then(upgraded) }
    }
}

async fn send(to: &mut WriteHalf<Io>, bytes: &[u8]) -> io::Result<()> {
    if !bytes.is_empty() {
        to.write_all(bytes).await?;
        to.flush().await?;
    }
    Ok(())
}
