//! One exchange for people: heads, bodies, timing.

use std::io::{self, Write};

use crate::capture::Reader;
use crate::model::{Body, Exchange, Headers, Nanos, Response, Span};

use super::body::{Content, look_into};
use super::text::{Lines, millis, size, visible};
use super::{messages, remarks};

/// Prints everything of an exchange.
pub(super) fn exchange(out: &mut impl Write, reader: &Reader, exchange: &Exchange) -> io::Result<()> {
    writeln!(out, "exchange {} of session {}", exchange.id.0, exchange.session.0)?;
    writeln!(out, "{}", super::url(&exchange.request))?;
    if let Some(transaction) = &exchange.transaction {
        writeln!(out, "transaction: {}", line(transaction.as_bytes()))?;
    }
    if let Some(why) = &exchange.incomplete {
        writeln!(out, "incomplete: {}", line(why.to_string().as_bytes()))?;
    }
    for remark in &exchange.remarks {
        writeln!(out, "remark: {}", line(remarks::words(remark).as_bytes()))?;
    }
    let request = &exchange.request;
    writeln!(out, "\n-- request")?;
    let method = super::method(request);
    let target = if request.target.is_empty() { "?".to_owned() } else { line(&request.target) };
    writeln!(out, "{method} {target} {}", super::version(request.version))?;
    message(out, reader, &request.headers, &request.body, &request.trailers)?;
    for interim in &exchange.interim {
        writeln!(out, "\n-- interim response")?;
        response(out, reader, interim)?;
    }
    match &exchange.response {
        Some(final_one) => {
            writeln!(out, "\n-- response")?;
            response(out, reader, final_one)?;
        }
        None => writeln!(out, "\n-- no response")?,
    }
    messages::table(out, reader, exchange)?;
    writeln!(out, "\n-- timing, in ms after the start of the exchange")?;
    timing(out, exchange)?;
    writeln!(out, "\n-- transport")?;
    transport(out, exchange)
}

fn response(out: &mut impl Write, reader: &Reader, response: &Response) -> io::Result<()> {
    let version = super::version(response.version);
    writeln!(out, "{version} {} {}", response.status, line(&response.reason))?;
    message(out, reader, &response.headers, &response.body, &response.trailers)
}

fn message(
    out: &mut impl Write,
    reader: &Reader,
    headers: &Headers,
    body: &Body,
    trailers: &Headers,
) -> io::Result<()> {
    fields(out, headers)?;
    if !body.is_empty() {
        show_body(out, reader, headers, body)?;
    }
    if !trailers.0.is_empty() {
        writeln!(out, "\n[trailers]")?;
        fields(out, trailers)?;
    }
    Ok(())
}

fn fields(out: &mut impl Write, headers: &Headers) -> io::Result<()> {
    headers.0.iter().try_for_each(|(name, value)| writeln!(out, "{}: {}", line(name), line(value)))
}

fn show_body(out: &mut impl Write, reader: &Reader, headers: &Headers, body: &Body) -> io::Result<()> {
    let media = line(headers.first("content-type").unwrap_or(b"no media type"));
    let (bytes, decoded, problem) = match look_into(reader, headers, body) {
        Content::Missing(why) => return writeln!(out, "\n[body: {}, {media}; {why}]", size(body.len)),
        Content::Read { bytes, decoded, problem } => (bytes, decoded, problem),
    };
    let coding = decoded
        .map_or(String::new(), |coding| format!(", {} undone: {}", line(coding.as_bytes()), size(bytes.len() as u64)));
    let problem = problem.map_or(String::new(), |problem| format!("; {}", line(problem.as_bytes())));
    let declared_text = media.starts_with("text/");
    let is_text = !bytes.contains(&0) && (declared_text || std::str::from_utf8(&bytes).is_ok());
    let not_shown = if is_text { "" } else { "; not text" };
    writeln!(out, "\n[body: {}, {media}{coding}{problem}{not_shown}]", size(body.len))?;
    if is_text {
        writeln!(out, "{}", visible(&bytes, Lines::Keep))?;
    }
    Ok(())
}

fn timing(out: &mut impl Write, exchange: &Exchange) -> io::Result<()> {
    let timing = &exchange.timing;
    let since = |at: Nanos| millis(Nanos::from_duration(at.since(timing.started)).0);
    let mut instant = |name: &str, at: Option<Nanos>| match at {
        Some(at) => writeln!(out, "{name:<24}{:>12}", since(at)),
        None => Ok(()),
    };
    instant("request complete", timing.request_done)?;
    instant("sent to server", timing.upstream_sent)?;
    instant("first byte from server", timing.upstream_first)?;
    instant("first byte to client", timing.client_first)?;
    instant("last byte from server", timing.upstream_done)?;
    instant("finished", Some(timing.finished))?;
    let mut span = |name: &str, span: Option<Span>| match span {
        Some(span) => {
            let took = millis(Nanos::from_duration(span.duration()).0);
            writeln!(out, "{name:<24}{:>12}  took {took}", since(span.start))
        }
        None => Ok(()),
    };
    span("connect", timing.connect)?;
    span("TLS handshake", timing.tls)?;
    writeln!(out, "the exchange started {} ms after the recording", millis(timing.started.0))
}

fn transport(out: &mut impl Write, exchange: &Exchange) -> io::Result<()> {
    let transport = &exchange.transport;
    writeln!(out, "client {}, its connection {}", transport.client, transport.client_connection)?;
    match transport.upstream_connection {
        Some(number) => write!(out, "connection {number} to the server")?,
        None => write!(out, "no connection to the server")?,
    }
    if let Some(stream) = transport.stream {
        write!(out, ", stream {stream}")?;
    }
    for (name, value) in [("", &transport.tls), ("ALPN ", &transport.alpn), ("SNI ", &transport.sni)] {
        if let Some(value) = value {
            write!(out, ", {name}{}", line(value.as_bytes()))?;
        }
    }
    writeln!(out)
}

fn line(bytes: &[u8]) -> String {
    visible(bytes, Lines::Escape)
}
