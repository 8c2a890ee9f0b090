//! One entry becomes one exchange.
//!
//! Main type: [`Import`].

use std::collections::HashMap;
use std::io::{Read, Seek};
use std::net::{Ipv4Addr, SocketAddr};

use super::address::{self, Address};
use super::fields::{self, Fields};
use super::json::Value;
use super::load::{Entry, Loader};
use super::messages;
use super::network::{self, Writer};
use super::survey::{Place, Survey};
use super::text::base64_bytes;
use super::timing::{self, Phases, Tls};
use super::{Cached, Config, HarError, Summary};
use crate::import::flaws::Flaws;
use crate::model::{Body, Headers, Incomplete, Origin, Remark, Request, Response, Scheme, Transport, Version};
use crate::observe::Recorder;

/// Who the client is: a HAR does not say, and it is one client.
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// Most connections that are told apart.
const CONNECTIONS: usize = 1_000_000;

/// An import under way.
pub(super) struct Import<'a, R> {
    pub(super) loader: Loader<R>,
    survey: &'a Survey,
    config: Config,
    pub(super) recorder: &'a mut Recorder,
    writer: Writer,
    connections: HashMap<String, u64>,
    last_connection: u64,
    /// The room of the last entry, for the next one.
    room: Entry,
    pub(super) summary: Summary,
}

/// An entry that went over the network.
#[derive(Clone, Copy)]
pub(super) struct Seen<'e> {
    pub(super) text: &'e Entry,
    pub(super) entry: Value<'e>,
    pub(super) request: Value<'e>,
    /// With its status, when there is one.
    pub(super) response: Option<(Value<'e>, u16)>,
    /// What stands under `response`, also when there was none.
    told: Option<Value<'e>>,
}

impl<'a, R: Read + Seek> Import<'a, R> {
    pub(super) fn new(
        input: R,
        survey: &'a Survey,
        config: Config,
        recorder: &'a mut Recorder,
    ) -> Result<Self, HarError> {
        let summary = Summary {
            entries: survey.entries() + survey.no_entries + survey.beyond,
            undated: survey.undated,
            unreadable: Flaws { count: survey.no_entries, ..Flaws::default() },
            beyond: survey.beyond,
            damage: survey.damage.clone(),
            ..Summary::default()
        };
        Ok(Self {
            loader: Loader::new(input)?,
            survey,
            config,
            recorder,
            writer: Writer::of(&survey.creator, &survey.browser),
            connections: HashMap::new(),
            last_connection: 0,
            room: Entry::default(),
            summary,
        })
    }

    /// Imports the entry at this place.
    pub(super) fn entry(&mut self, place: Place) -> Result<(), HarError> {
        let mut room = std::mem::take(&mut self.room);
        let done = match self.loader.entry(place, &mut room)? {
            true => self.loaded(place, &room),
            false => {
                self.summary.unreadable.add(place.offset, "too long");
                Ok(())
            }
        };
        self.room = room;
        done
    }

    fn loaded(&mut self, place: Place, text: &Entry) -> Result<(), HarError> {
        let entry = text.value();
        let Some((entry, request)) = entry.and_then(|entry| Some((entry, entry.get("request")?))) else {
            self.summary.unreadable.add(place.offset, "cannot be read as JSON");
            return Ok(());
        };
        let url = request.get("url").and_then(Value::text).unwrap_or_default();
        let (origin, target, socket) = match Address::of(&url) {
            Address::Web { origin, target, socket } => (origin, target, socket),
            Address::Elsewhere(scheme) => {
                *self.summary.elsewhere.entry(scheme).or_default() += 1;
                return Ok(());
            }
            Address::Unreadable => {
                self.summary.unreadable.add(place.offset, "has no URL");
                return Ok(());
            }
        };
        let method =
            request.get("method").and_then(Value::words).map_or("GET".into(), |method| method.trim().to_owned());
        if method.eq_ignore_ascii_case("CONNECT") && !socket && messages::sockets(entry).is_none() {
            *self.summary.elsewhere.entry("CONNECT".to_owned()).or_default() += 1;
            return Ok(());
        }
        let told = entry.get("response");
        let response = told.and_then(|response| Some((response, status(response)?)));
        if let Some((response, status)) = response
            && self.config.cached == Cached::Skip
            && network::came_from_cache(entry, response, status, self.writer)
        {
            self.summary.not_from_network += 1;
            return Ok(());
        }
        let seen = Seen { text, entry, request, response, told };
        self.exchange(place, seen, origin, target, method)
    }

    fn exchange(
        &mut self,
        place: Place,
        seen: Seen<'_>,
        origin: Origin,
        target: Vec<u8>,
        method: String,
    ) -> Result<(), HarError> {
        let Seen { entry, request, response, .. } = seen;
        let fields = fields::fields(request);
        let version = version(&fields, request, response.map(|(response, _)| response));
        let target = own_target(request).or_else(|| path(&fields)).unwrap_or(target);
        let mut headers = fields.headers;
        if matches!(version, Version::Http2 | Version::Http3) {
            fields::without_http1(&mut headers, &origin.authority());
        }
        let mut remarks = Vec::new();
        if headers.first("cookie").is_none()
            && let Some(cookie) = fields::cookie_of(request)
        {
            headers.push(if version == Version::Http2 { "cookie" } else { "Cookie" }, cookie);
            remarks.push(Remark::Other("the Cookie field was made from the source's list of cookies".to_owned()));
        }
        let start = self.recorder.instant(place.start);
        let tls = if self.writer.tls_behind { Tls::Behind } else { Tls::Inside };
        let timing = timing::own_timing(entry, start)
            .unwrap_or_else(|| Phases::of(entry).timing(start, tls, response.is_some()));
        let transport = self.transport(entry, &origin, version);
        let message = Request {
            origin,
            method,
            target,
            version,
            headers,
            body: Body::default(),
            trailers: listed(request, "_overdub_trailers"),
        };
        let mut draft = self.recorder.begin(message, timing, transport)?;
        draft.exchange.transaction = self.transaction(entry);
        draft.exchange.remarks = remarks;
        self.request_body(&mut draft, seen)?;
        self.response(&mut draft, seen, version)?;
        self.messages(&mut draft, seen)?;
        if draft.exchange.incomplete.is_none() {
            draft.exchange.incomplete = incomplete(seen);
        }
        self.summary.exchanges += 1;
        self.summary.unanswered += u64::from(response.is_none());
        Ok(self.recorder.finish(draft)?)
    }

    fn transaction(&self, entry: Value<'_>) -> Option<String> {
        let page = entry.get("pageref").and_then(Value::words).filter(|_| !self.writer.page_is_tab)?;
        Some(self.survey.pages.get(&*page).map_or_else(|| page.clone().into_owned(), Clone::clone))
    }

    fn transport(&mut self, entry: Value<'_>, origin: &Origin, version: Version) -> Transport {
        let client = entry.get("_overdub_client").and_then(|text| text.text()?.parse().ok()).unwrap_or(CLIENT);
        let number = |name: &str| entry.get(name).and_then(Value::count);
        let connection = self.connection(entry, origin);
        let words = |value: Option<Value<'_>>| value.and_then(Value::words).map(|text| text.into_owned());
        let tls = words(entry.get("_overdub_tls")).or_else(|| {
            let said = entry.get("_securityDetails")?.get("protocol")?.words()?;
            said.strip_prefix("TLS 1").map(|minor| format!("TLSv1{minor}"))
        });
        let alpn = match version {
            Version::Http2 if origin.scheme == Scheme::Https => Some("h2".to_owned()),
            Version::Http3 => Some("h3".to_owned()),
            _ => None,
        };
        Transport {
            client,
            client_connection: connection,
            upstream_connection: number("_overdub_upstream").or(Some(connection)),
            stream: number("_overdub_stream").and_then(|stream| u32::try_from(stream).ok()),
            tls,
            alpn: words(entry.get("_overdub_alpn")).or(alpn),
            sni: words(entry.get("_overdub_sni")),
        }
    }

    /// The number of the entry's connection. Some writers put the server's port where HAR wants a connection.
    fn connection(&mut self, entry: Value<'_>, origin: &Origin) -> u64 {
        let own = entry.get("_connectionId").and_then(Value::words);
        let told = own.or_else(|| {
            let told = entry.get("connection")?.words()?;
            (*told != origin.port.to_string() && told != "0").then_some(told)
        });
        self.summary.without_connection += u64::from(told.is_none());
        // A WebSocket has its connection for itself.
        let alone = told.is_none() && messages::sockets(entry).is_some();
        let name = told.map_or_else(|| origin.to_string(), |told| format!("#{told}"));
        if alone {
            self.last_connection += 1;
            return self.last_connection;
        }
        if let Some(number) = self.connections.get(&name) {
            return *number;
        }
        self.last_connection += 1;
        if self.connections.len() < CONNECTIONS {
            self.connections.insert(name, self.last_connection);
        }
        self.last_connection
    }
}

/// A final or switching status; browsers put 0 or -1 when there was no response.
fn status(response: Value<'_>) -> Option<u16> {
    let status = response.get("status")?.count()?;
    u16::try_from(status).ok().filter(|status| (100..1000).contains(status))
}

fn version(fields: &Fields, request: Value<'_>, response: Option<Value<'_>>) -> Version {
    let said = fields::version(request).or_else(|| fields::version(response?));
    said.unwrap_or(if fields.pseudo.is_empty() { Version::Http11 } else { Version::Http2 })
}

/// What `:path` says.
fn path(fields: &Fields) -> Option<Vec<u8>> {
    fields.pseudo(":path").filter(|path| path.starts_with('/')).map(address::target_of)
}

fn own_target(request: Value<'_>) -> Option<Vec<u8>> {
    base64_bytes(request.get("_overdub_target")?.inner())
}

/// Fields under a name of our own.
pub(super) fn listed(message: Value<'_>, name: &str) -> Headers {
    message.get(name).map(fields::list).unwrap_or_default()
}

pub(super) fn interim(response: Value<'_>, version: Version) -> Vec<Response> {
    let all = response.get("_overdub_interim").into_iter().flat_map(Value::items);
    let each = all.filter_map(|one| {
        Some(Response {
            version,
            status: status(one)?,
            reason: one.get("statusText").and_then(Value::text).unwrap_or_default().as_bytes().to_vec(),
            headers: fields::fields(one).headers,
            body: Body::default(),
            trailers: Headers::default(),
        })
    });
    each.collect()
}

/// Why the exchange is not whole, when it is not.
fn incomplete(seen: Seen<'_>) -> Option<Incomplete> {
    if let Some(own) = seen.entry.get("_overdub_incomplete") {
        let why = own.get("why").and_then(Value::text).unwrap_or_default().into_owned();
        return Some(match &*own.get("kind")?.text()? {
            "client" => Incomplete::Client(why),
            "connect" => Incomplete::Connect(why),
            "upstream" => Incomplete::Upstream(why),
            "stopped" => Incomplete::Stopped,
            "upgraded" => Incomplete::Upgraded(why),
            _ => Incomplete::NotRecorded(why),
        });
    }
    let failure = network::failure(seen.entry, seen.told);
    match seen.response {
        None => failure.or_else(|| Some(Incomplete::NotRecorded("the source holds no response".to_owned()))),
        Some((response, 101)) if messages::sockets(seen.entry).is_none() => failure.or_else(|| {
            let upgrade = fields::fields(response).headers.text("upgrade").unwrap_or("websocket").to_owned();
            Some(Incomplete::Upgraded(upgrade))
        }),
        Some(_) => failure,
    }
}
