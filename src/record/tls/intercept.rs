//! TLS inside a tunnel: ended with a certificate of ours and recorded, or passed through.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;

use crate::model::{Origin, Scheme};

use super::first_word::{FirstWord, Reaction};
use super::hello::{Hello, HelloError};
use super::names::Names;
use super::overhear::{Opinion, Overheard};
use super::passthrough::{Consequence, PassReason, Refusal};
use super::{Asked, HTTP1, Learned, alert, alert_text};
use crate::record::Proxy;
use crate::record::connection::{HANDSHAKE_LIMIT, KnownBy, Secured, Tunnel, Visitor};
use crate::record::link::{Io, Link};
use crate::record::opening::Opening;
use crate::record::upstream::Upstream;

impl Tunnel {
    /// Ends the client's TLS with a certificate of ours that has the names of the server's; or lets it pass.
    pub(in crate::record) async fn intercept(mut self, mut link: Link) {
        let policy = &self.proxy.passthrough;
        if let Some(reason) = policy.asked(self.origin.dial_host(), self.origin.port) {
            let server = self.origin.clone();
            return self.pass_through(link, server, reason).await;
        }
        let hello = match timeout(HANDSHAKE_LIMIT, Hello::read(&mut link)).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(HelloError::Unreadable)) => {
                self.proxy.tally.tunnel(&self.origin.authority());
                return self.pass_by(link, "TLS that cannot be read").await;
            }
            Ok(Err(HelloError::Closed)) | Err(_) => return self.proxy.tally.malformed(),
        };
        let server = match &hello.sni {
            Some(name) => Origin::new(Scheme::Https, name, self.origin.port),
            None => Origin { scheme: Scheme::Https, ..self.origin.clone() },
        };
        if self.known_by == KnownBy::Address {
            self.origin = server.clone();
        }
        let policy = &self.proxy.passthrough;
        let asked = policy.asked(server.dial_host(), server.port);
        if let Some(reason) = asked.or_else(|| hello.misfit(&self.proxy.tls)) {
            return self.pass_through(link, server, reason).await;
        }
        let client = self.visitor.peer.ip();
        match policy.refused(client, &server, Instant::now()) {
            None => self.unveil(link, hello, server).await,
            Some(reason) => {
                let (proxy, clock) = (self.proxy.clone(), self.proxy.clock);
                let refusing = server.clone();
                let hear = move |opinion| {
                    if opinion == Opinion::Refused {
                        proxy.passthrough.note_refused_anyway(client, &refusing);
                    }
                };
                let link = Link::new(Box::new(Overheard::of(link.into_io(), hear)), clock);
                self.pass_through(link, server, reason).await;
            }
        }
    }

    async fn pass_through(self, link: Link, server: Origin, reason: PassReason) {
        let what = format!("TLS that was not intercepted: {reason}");
        self.proxy.tally.passed(&server.authority(), reason);
        self.pass_by(link, &what).await;
    }

    /// `server` is whom the client believes to talk to: the tunnel's end, under the name in the hello. Of the client's
    /// protocols we agree on the one that the server has chosen.
    async fn unveil(mut self, link: Link, hello: Hello, server: Origin) {
        let sni = hello.sni.clone();
        let name = server.dial_host().to_owned();
        let asked = Asked { origin: self.origin.clone(), sni: name.clone(), offers: hello.offers() };
        let tls = &self.proxy.tls;
        let known = tls.learned(&asked).filter(Learned::can_wait);
        let tried = match known {
            Some(_) => None,
            None => {
                Some(Upstream::open(&self.proxy, self.visitor.way, &self.origin, sni.as_deref(), &asked.offers).await)
            }
        };
        let alpn = match (&tried, &known) {
            (Some(Ok(server)), _) => server.alpn.clone().map(String::into_bytes),
            (_, Some(known)) => known.alpn.clone(),
            // To tell the client why there is no server.
            _ => asked.offers.iter().any(|offer| offer == HTTP1).then(|| HTTP1.to_vec()),
        };
        let names = known.or_else(|| tls.learned(&asked)).map(|learned| learned.names);
        let names = names.unwrap_or_else(|| Names::of_host(&name)).covering(&name);
        let judge = Judge { proxy: self.proxy.clone(), visitor: self.visitor, server };
        let config = match tls.server_config(&names, alpn.as_deref()).await {
            Ok(config) => config,
            Err(error) => return judge.refused(Refusal::Misfit(format!("no certificate could be made: {error}"))),
        };
        let mut link = match timeout(HANDSHAKE_LIMIT, hello.answer(link, config)).await {
            Ok(Ok(stream)) => {
                let stream: Io = Box::new(FirstWord::of(stream, move |reaction| judge.hear(reaction)));
                Link::new(stream, self.proxy.clock)
            }
            Ok(Err((error, _open))) => return judge.refused(refusal(&error)),
            Err(_) => return judge.refused(Refusal::Misfit("it did not end within 15 seconds".into())),
        };
        let opening = match (alpn.as_deref(), &tried) {
            (Some(b"h2"), _) => Opening::Http2,
            (Some(HTTP1 | b"http/1.0"), _) | (None, Some(Err(_))) => Opening::Http,
            (Some(_), _) => Opening::Other,
            (None, _) => Opening::sniff(&mut link, &mut self.stop).await,
        };
        self.begin(opening, link, Some(Secured { sni, alpn }), tried).await;
    }
}

/// Tells everyone concerned what a client thought of our certificate for a server.
struct Judge {
    proxy: Arc<Proxy>,
    visitor: Visitor,
    server: Origin,
}

impl Judge {
    fn hear(self, reaction: Reaction) {
        match reaction {
            Reaction::Spoke => {
                self.proxy.passthrough.note_accepted(self.visitor.peer.ip(), &self.server);
                self.proxy.tally.accepted(&self.server.authority());
            }
            Reaction::Refused(refusal) => self.refused(refusal),
            Reaction::Unused => {}
        }
    }

    fn refused(self, refusal: Refusal) {
        let client = self.visitor.peer.ip();
        let then = self.proxy.passthrough.note_refused(client, &self.server, refusal.clone(), Instant::now());
        if then != Consequence::Unproven {
            self.proxy.tally.refused(&self.server.authority(), client, refusal, then);
        }
    }
}

/// Why a client broke off its handshake.
pub(in crate::record) fn refusal(error: &io::Error) -> Refusal {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (alert(error), inner) {
        (Some(alert), _) => Refusal::Alert(alert_text(alert)),
        (None, Some(rustls::Error::NoApplicationProtocol)) => {
            Refusal::Misfit("it speaks none of the protocols that the server speaks".to_owned())
        }
        (None, Some(error)) => Refusal::Misfit(error.to_string()),
        (None, None) => Refusal::BrokeOff,
    }
}
