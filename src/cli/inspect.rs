//! `overdub inspect`: what a capture holds, for people and as JSON Lines.

mod body;
mod filter;
mod json;
mod messages;
mod remarks;
mod show;
pub(super) mod text;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::capture::{CaptureError, Reader};
use crate::model::{Exchange, ExchangeId, Nanos, Remark, Request, SessionInfo, Version};

use super::{CliError, Console, Exit};
use filter::Filter;
use text::{Lines, cut, millis, seconds, utc, visible};
pub(super) use text::{count, ranges, size};

/// Hosts and statuses that the summary names.
const NAMED: usize = 12;

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The capture (.dub)
    file: PathBuf,
    /// List the sessions only
    #[arg(long, conflicts_with_all = ["exchange", "filter"])]
    sessions: bool,
    /// Show everything of one exchange
    #[arg(long, value_name = "N", conflicts_with = "filter")]
    exchange: Option<u64>,
    /// List the exchanges for which all of these hold, such as 'method=POST status=4xx'
    #[arg(long, value_name = "EXPR", long_help = format!("List the exchanges for which all terms hold: {}", filter::TERMS))]
    filter: Option<String>,
    /// Print JSON: one exchange (or session) a line, or one object with --exchange
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let wanted = match &arguments.filter {
        Some(text) => Filter::parse(text).map_err(|sentence| CliError::new(Exit::Usage, sentence))?,
        None => Filter::default(),
    };
    let reader = Reader::open(&arguments.file).map_err(|error| cannot_read(&arguments.file, &error))?;
    let console = Console::new(false);
    remark_on_damage(&console, &arguments.file, &reader);
    let mut out = console.data();
    let printed = match arguments.exchange {
        Some(number) => one(&mut out, arguments, &reader, number),
        None if arguments.sessions => sessions(&mut out, &reader, arguments.json).map_err(Stop::from),
        None if arguments.json || arguments.filter.is_some() => list(&mut out, arguments, &reader, &wanted),
        None => summary(&mut out, &arguments.file, &reader),
    };
    settle(printed.and_then(|()| Ok(out.flush()?)).map(|()| Exit::Passed))
}

/// Why a command ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Stdout is gone or full.
    Output(io::Error),
    /// Anything else.
    Failure(CliError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<CliError> for Stop {
    fn from(error: CliError) -> Self {
        Self::Failure(error)
    }
}

/// The outcome of a command that printed data: whoever stops reading has what they wanted.
pub(super) fn settle(outcome: Result<Exit, Stop>) -> Result<Exit, CliError> {
    match outcome {
        Ok(exit) => Ok(exit),
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Passed),
        Err(Stop::Output(error)) => Err(CliError::because(Exit::Broken, "cannot write to stdout", &error)),
        Err(Stop::Failure(error)) => Err(error),
    }
}

/// A capture that cannot be opened, in one sentence that says what to do.
pub(super) fn cannot_read(path: &Path, error: &CaptureError) -> CliError {
    let path = path.display();
    match error {
        CaptureError::NotACapture => {
            CliError::new(Exit::Usage, format!("{path} is not an overdub capture; `overdub record -o FILE` makes one"))
        }
        CaptureError::Header => CliError::new(
            Exit::Usage,
            format!("the header of {path} is damaged; `overdub repair {path} -o NEW.dub` saves what is behind it"),
        ),
        CaptureError::Io(cause) | CaptureError::DiskFull(cause) => {
            CliError::because(Exit::Usage, format_args!("cannot read {path}"), cause as &dyn Error)
        }
        other => CliError::because(Exit::Usage, path, other),
    }
}

fn remark_on_damage(console: &Console, path: &Path, reader: &Reader) {
    let (damage, path) = (reader.damage(), path.display());
    if damage.torn_bytes > 0 {
        let cut = size(damage.torn_bytes);
        console.warn(format_args!(
            "{path} is torn: its last {cut} cannot be read; `overdub repair {path} -o NEW.dub` makes a sound file of the rest"
        ));
    }
    if !damage.bad_frames.is_empty() || !damage.lost_exchanges.is_empty() {
        let (frames, lost) = (damage.bad_frames.len() as u64, damage.lost_exchanges.len() as u64);
        console.warn(format_args!(
            "{path} is damaged: {} unreadable, {} known to be lost; `overdub verify {path}` lists them",
            count(frames, "frame"),
            count(lost, "exchange")
        ));
    }
}

fn one(out: &mut impl Write, arguments: &Arguments, reader: &Reader, number: u64) -> Result<(), Stop> {
    let exchange = match reader.exchange(ExchangeId(number)) {
        Ok(exchange) => exchange,
        Err(CaptureError::NoExchange(_)) => {
            let last = reader.last_exchange().map_or(0, |id| id.0);
            let sentence = format!("{} has no exchange {number}; the last is {last}", arguments.file.display());
            return Err(CliError::new(Exit::Usage, sentence).into());
        }
        Err(error) => return Err(cannot_read(&arguments.file, &error).into()),
    };
    if arguments.json {
        let messages = reader.messages(exchange.id).unwrap_or_else(|error| {
            let file = arguments.file.display();
            Console::new(false).warn(format_args!("{file}: the messages of exchange {number} are left out: {error}"));
            Vec::new()
        });
        Ok(json_line(out, &json::Whole::of(reader, &exchange, messages))?)
    } else {
        Ok(show::exchange(out, reader, &exchange)?)
    }
}

fn list(out: &mut impl Write, arguments: &Arguments, reader: &Reader, wanted: &Filter) -> Result<(), Stop> {
    if !arguments.json {
        writeln!(out, "{:>7} {:>7} {:>11} {:>10} {:>10}  status", "id", "session", "start s", "ms", "bytes")?;
    }
    for exchange in readable(reader, &arguments.file) {
        let exchange = exchange?;
        if !wanted.wants(&exchange) {
            continue;
        }
        if arguments.json {
            json_line(out, &json::Line::of(&exchange, json::MessageTotals::of(reader, &exchange)))?;
        } else {
            table_line(out, &exchange)?;
        }
    }
    Ok(())
}

/// The exchanges that can be read, with a remark for each that cannot.
fn readable<'a>(reader: &'a Reader, path: &'a Path) -> impl Iterator<Item = Result<Exchange, CliError>> + 'a {
    reader.exchanges().filter_map(|exchange| match exchange {
        Ok(exchange) => Some(Ok(exchange)),
        Err(error @ (CaptureError::Io(_) | CaptureError::DiskFull(_))) => Some(Err(cannot_read(path, &error))),
        Err(error) => {
            Console::new(false).warn(format_args!("{}: an exchange is left out: {error}", path.display()));
            None
        }
    })
}

fn table_line(out: &mut impl Write, exchange: &Exchange) -> io::Result<()> {
    let response = exchange.response.as_ref();
    let took = Nanos::from_duration(exchange.timing.finished.since(exchange.timing.started));
    write!(
        out,
        "{:>7} {:>7} {:>11} {:>10} {:>10}  {:<5} {} {}",
        exchange.id.0,
        exchange.session.0,
        seconds(exchange.timing.started),
        millis(took.0),
        response.map_or(0, |r| r.body.len),
        response.map_or_else(|| "-".to_owned(), |r| r.status.to_string()),
        method(&exchange.request),
        url(&exchange.request),
    )?;
    if let Some(why) = &exchange.incomplete {
        write!(out, "  [{}]", visible(why.to_string().as_bytes(), Lines::Escape))?;
    }
    if let Some(what) = noise(exchange) {
        write!(out, "  [noise: {}]", visible(what.as_bytes(), Lines::Escape))?;
    }
    writeln!(out)
}

/// What a browser asked for itself, when it is that.
fn noise(exchange: &Exchange) -> Option<&str> {
    exchange.remarks.iter().find_map(Remark::as_noise)
}

/// The method, safe for a terminal; `?` when it is not known.
fn method(request: &Request) -> String {
    if request.method.is_empty() { "?".to_owned() } else { visible(request.method.as_bytes(), Lines::Escape) }
}

/// The URL, safe for a terminal, with `?` apart from the origin when the target is not known.
fn url(request: &Request) -> String {
    let url = visible(request.url().as_bytes(), Lines::Escape);
    if request.target.is_empty() { format!("{url} ?") } else { url }
}

fn json_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

fn sessions(out: &mut impl Write, reader: &Reader, json: bool) -> io::Result<()> {
    if json {
        return reader.sessions().iter().try_for_each(|summary| json_line(out, &json::SessionLine::of(summary)));
    }
    let client = |text: &str| cut(&visible(text.as_bytes(), Lines::Escape), 40);
    let widest = |texts: &mut dyn Iterator<Item = String>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
    let width = widest(&mut reader.sessions().iter().map(|s| client(&s.info.client))).max(6);
    // Captures of old, and those of sources that name their sessions, have no evidence.
    let told = widest(&mut reader.sessions().iter().map(|s| evidence(&s.info)));
    let told = if told == 0 { 0 } else { told.max(8) + 2 };
    let column = if told == 0 { "" } else { "evidence" };
    writeln!(out, "session  {:<width$} exchanges     start s  duration s  {column:<told$}user agent", "client")?;
    for summary in reader.sessions() {
        let agent = summary.info.user_agent.as_deref().unwrap_or("-");
        writeln!(
            out,
            "{:>7}  {:<width$} {:>9} {:>11} {:>11}  {:<told$}{}",
            summary.info.id.0,
            client(&summary.info.client),
            summary.exchanges,
            seconds(summary.first),
            seconds(Nanos::from_duration(summary.last.since(summary.first))),
            evidence(&summary.info),
            cut(&visible(agent.as_bytes(), Lines::Escape), 60),
        )?;
    }
    Ok(())
}

/// What tells a session from others, and whether its beginning was seen.
fn evidence(info: &SessionInfo) -> String {
    let text = cut(&visible(info.evidence.as_bytes(), Lines::Escape), 40);
    match (text.is_empty(), info.midway) {
        (_, false) => text,
        (true, true) => "begins midway".to_owned(),
        (false, true) => format!("{text}, begins midway"),
    }
}

/// What the summary counts.
#[derive(Debug, Default)]
struct Totals {
    exchanges: u64,
    incomplete: u64,
    noise: u64,
    request_bytes: u64,
    response_bytes: u64,
    hosts: BTreeMap<String, u64>,
    statuses: BTreeMap<String, u64>,
    transactions: BTreeMap<String, u64>,
}

impl Totals {
    fn add(&mut self, exchange: &Exchange) {
        let response = exchange.response.as_ref();
        self.exchanges += 1;
        self.incomplete += u64::from(exchange.incomplete.is_some());
        self.request_bytes = self.request_bytes.saturating_add(exchange.request.body.len);
        self.response_bytes = self.response_bytes.saturating_add(response.map_or(0, |r| r.body.len));
        *self.hosts.entry(exchange.request.origin.authority()).or_default() += 1;
        let status = response.map_or_else(|| "none".to_owned(), |r| r.status.to_string());
        *self.statuses.entry(status).or_default() += 1;
        self.noise += u64::from(noise(exchange).is_some());
        if let Some(label) = &exchange.transaction {
            *self.transactions.entry(label.clone()).or_default() += 1;
        }
    }
}

fn summary(out: &mut impl Write, path: &Path, reader: &Reader) -> Result<(), Stop> {
    let mut totals = Totals::default();
    for exchange in readable(reader, path) {
        totals.add(&exchange?);
    }
    let provenance = reader.provenance();
    let one_line = |text: &str| visible(text.as_bytes(), Lines::Escape);
    let (first, last) = reader.span().unwrap_or_default();
    writeln!(out, "capture    {}", path.display())?;
    writeln!(out, "source     {}", one_line(&provenance.source))?;
    let recorded = utc(provenance.anchor_unix_ns);
    writeln!(out, "recorded   {recorded} by overdub {}", one_line(&provenance.program))?;
    writeln!(out, "duration   {} s", seconds(Nanos::from_duration(last.since(first))))?;
    writeln!(out, "sessions   {}", reader.sessions().len())?;
    writeln!(out, "exchanges  {}, {} incomplete", totals.exchanges, totals.incomplete)?;
    if reader.message_count() > 0 {
        writeln!(out, "messages   {}", reader.message_count())?;
    }
    let (asked, answered) = (size(totals.request_bytes), size(totals.response_bytes));
    writeln!(out, "bodies     {asked} in requests, {answered} in responses")?;
    writeln!(out, "hosts      {}", most_frequent(&totals.hosts))?;
    writeln!(out, "statuses   {}", most_frequent(&totals.statuses))?;
    if !totals.transactions.is_empty() {
        writeln!(out, "marks      {}", most_frequent(&totals.transactions))?;
    }
    if totals.noise > 0 {
        writeln!(out, "noise      {} of browsers themselves (--filter noise)", count(totals.noise, "exchange"))?;
    }
    writeln!(out, "damage     {}", damage_in_words(reader))?;
    writeln!(out)?;
    Ok(sessions(out, reader, false)?)
}

fn damage_in_words(reader: &Reader) -> String {
    let damage = reader.damage();
    let mut parts = Vec::new();
    if damage.unfinished {
        parts.push("not closed properly, or still being written".to_owned());
    }
    if damage.torn_bytes > 0 {
        parts.push(format!("{} cut at the end", size(damage.torn_bytes)));
    }
    if !damage.bad_frames.is_empty() {
        parts.push(count(damage.bad_frames.len() as u64, "damaged frame"));
    }
    if !damage.lost_exchanges.is_empty() {
        parts.push(format!("{} lost", count(damage.lost_exchanges.len() as u64, "exchange")));
    }
    let messages = damage.lost_messages.iter().fold(0_u64, |sum, (_, lost)| sum.saturating_add(*lost));
    if messages > 0 {
        parts.push(format!("{} lost", count(messages, "message")));
    }
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// The most frequent names with their counts, most frequent first.
fn most_frequent(counts: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<(&String, &u64)> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let named = sorted.iter().take(NAMED);
    let mut parts: Vec<String> =
        named.map(|(name, count)| format!("{} ({count})", visible(name.as_bytes(), Lines::Escape))).collect();
    if sorted.len() > NAMED {
        parts.push(format!("{} more", sorted.len() - NAMED));
    }
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

/// Media type of the response.
fn content_type(exchange: &Exchange) -> Option<String> {
    let value = exchange.response.as_ref()?.headers.first("content-type")?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
        Version::Http3 => "HTTP/3",
        Version::Http09 => "HTTP/0.9",
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{
        Body, Headers, Incomplete, Origin, Remark, Request, Response, Scheme, SessionId, Side, Timing, Transport,
        Version,
    };

    use super::*;

    /// A POST to shop.test that was answered with 404 and broke off.
    pub(super) fn exchange() -> Exchange {
        Exchange {
            id: ExchangeId(7),
            session: SessionId(2),
            transaction: Some("pay".into()),
            request: Request {
                origin: Origin::new(Scheme::Http, "shop.test", 8000),
                method: "POST".into(),
                target: b"/a/b?q=1".to_vec(),
                version: Version::Http11,
                headers: Headers::default(),
                body: Body::default(),
                trailers: Headers::default(),
            },
            interim: Vec::new(),
            response: Some(Response {
                version: Version::Http11,
                status: 404,
                reason: b"No".to_vec(),
                headers: Headers(vec![(b"Content-Type".to_vec(), b"text/html; charset=utf-8".to_vec())]),
                body: Body::default(),
                trailers: Headers::default(),
            }),
            timing: Timing {
                started: Nanos(5_000_000),
                client_first: Some(Nanos(7_500_000)),
                finished: Nanos(9_000_000),
                ..Timing::default()
            },
            transport: Transport {
                client: ([127, 0, 0, 1], 9).into(),
                client_connection: 1,
                upstream_connection: Some(2),
                stream: None,
                tls: None,
                alpn: None,
                sni: None,
            },
            incomplete: Some(Incomplete::Upstream("closed \x1b[2J early".into())),
            remarks: Vec::new(),
        }
    }

    #[test]
    fn a_json_line_has_the_promised_fields() {
        let mut out = Vec::new();
        json_line(&mut out, &json::Line::of(&exchange(), None)).unwrap();
        let expected =
            r#"{"id":7,"session":2,"transaction":"pay","method":"POST","url":"http://shop.test:8000/a/b?q=1","#
                .to_owned()
                + r#""host":"shop.test:8000","status":404,"content_type":"text/html; charset=utf-8","started_us":5000,"#
                + r#""duration_us":4000,"ttfb_us":2500,"request_bytes":0,"response_bytes":0,"#
                + r#""incomplete":"server: closed \u001b[2J early"}"#;
        assert_eq!(String::from_utf8(out).unwrap().trim_end(), expected);
    }

    #[test]
    fn a_json_line_tells_of_messages_remarks_and_unknown_fields_when_there_are_any() {
        let unknown = |position, name: Option<&[u8]>| Remark::UnknownField {
            side: Side::Request,
            position,
            name: name.map(<[u8]>::to_vec),
        };
        let remarks =
            vec![unknown(2, Some(b":path")), unknown(5, None), Remark::Gap { side: Side::Response, at: 10, bytes: 3 }];
        let mut out = Vec::new();
        let messages = Some(json::MessageTotals { count: 2, frames: Some(3) });
        json_line(&mut out, &json::Line::of(&Exchange { remarks, ..exchange() }, messages)).unwrap();
        let expected = r#","messages":{"count":2,"frames":3},"remarks":["request field 2 (:path) is not known","#
            .to_owned()
            + r#""request field 5 is not known","3 B of the response body are missing at offset 10"],"#
            + r#""unknown_fields":[{"side":"request","position":2,"name":":path"},"#
            + r#"{"side":"request","position":5,"name":null}]}"#;
        let line = String::from_utf8(out).unwrap();
        assert!(line.trim_end().ends_with(&expected), "{line}");
    }

    #[test]
    fn noise_is_shown_on_a_line() {
        let exchange = Exchange { remarks: vec![Remark::noise("Chromium updates")], ..exchange() };
        let (mut table, mut line) = (Vec::new(), Vec::new());
        table_line(&mut table, &exchange).unwrap();
        json_line(&mut line, &json::Line::of(&exchange, None)).unwrap();
        assert!(String::from_utf8(table).unwrap().ends_with("early]  [noise: Chromium updates]\n"));
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["noise"], "Chromium updates");
        assert_eq!(line["remarks"][0], "browser noise: Chromium updates");
    }

    #[test]
    fn interim_responses_are_counted_on_a_line_and_written_out_with_one_exchange() {
        let final_head = exchange().response.unwrap();
        let interim = vec![Response { status: 100, ..final_head.clone() }, Response { status: 103, ..final_head }];
        let exchange = Exchange { interim, ..exchange() };
        let mut line = Vec::new();
        json_line(&mut line, &json::Line::of(&exchange, None)).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["interim"], 2);
    }

    #[test]
    fn an_unknown_method_or_target_is_a_question_mark() {
        let mut exchange = exchange();
        exchange.request.method.clear();
        exchange.request.target.clear();
        let mut out = Vec::new();
        table_line(&mut out, &exchange).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("404   ? http://shop.test:8000 ?  [server"), "{text}");
    }

    #[test]
    fn the_evidence_of_a_session_says_whether_it_begins_midway() {
        for (evidence, midway, shown) in [
            ("cookie sid", false, "cookie sid"),
            ("cookie \x1b", true, "cookie \\x1b, begins midway"),
            ("", true, "begins midway"),
            ("", false, ""),
        ] {
            let info = SessionInfo { evidence: evidence.into(), midway, ..SessionInfo::default() };
            assert_eq!(super::evidence(&info), shown);
        }
    }

    #[test]
    fn a_table_line_is_one_line_without_control_characters() {
        let mut out = Vec::new();
        table_line(&mut out, &exchange()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.chars().filter(|c| c.is_control()).collect::<String>(), "\n");
        assert!(text.contains("404   POST http://shop.test:8000/a/b?q=1  [server: closed \\x1b[2J early]"), "{text}");
    }

    #[test]
    fn a_reader_that_went_away_is_success_and_a_full_disk_is_not() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(settle(Err(Stop::Output(closed))).unwrap(), Exit::Passed);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(settle(Err(Stop::Output(full))).unwrap_err().exit, Exit::Broken);
    }
}
