//! Requests to the sample shop become answers: which endpoint, which checks, which page.
//!
//! Sees whole requests and gives whole replies; sockets and content codings are [`super::site`]'s.

use std::time::Duration;

use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, COOKIE, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH, LOCATION, SET_COOKIE,
};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::shop::{Cart, Order, Proof, Shop};
use super::state::Refusal;
use super::{forms, pages};

/// Whether the connection was encrypted; decides the `Secure` attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Over TLS.
    Tls,
    /// Plain text.
    Plain,
}

/// A whole request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) channel: Channel,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Vec<u8>,
}

/// How long the shop pretends to think: the same for equal endpoints.
pub(super) fn delay(method: &Method, path: &str) -> Duration {
    let millis = match (method.as_str(), path) {
        ("POST", "/checkout") => 5,
        ("POST", "/login") => 4,
        (_, "/search") => 3,
        (_, "/state") => 0,
        (_, path) if path.starts_with("/static/") => 1,
        _ => 2,
    };
    Duration::from_millis(millis)
}

/// The answer to this request.
pub(super) fn answer(shop: &Shop, asked: &Asked) -> Reply {
    let cookies: Vec<&str> = asked.headers.get_all(COOKIE).iter().filter_map(|v| v.to_str().ok()).collect();
    let sid = cookies.iter().flat_map(|c| c.split(';')).find_map(|c| c.trim().strip_prefix("sid="));
    let header = |name: &str| asked.headers.get(name).and_then(|v| v.to_str().ok());
    let proof = Proof { sid, token: header("x-csrf-token"), api_key: header("x-api-key") };
    let result = route(shop, asked, proof);
    result.unwrap_or_else(|refusal| {
        shop.refused(refusal);
        refuse(refusal, asked.path.starts_with("/api/"))
    })
}

fn route(shop: &Shop, asked: &Asked, proof: Proof<'_>) -> Result<Reply, Refusal> {
    let segments: Vec<&str> = asked.path.split('/').skip(1).collect();
    let method = if asked.method == Method::HEAD { "GET" } else { asked.method.as_str() };
    match (method, segments.as_slice()) {
        ("GET", [""]) => Ok(html(StatusCode::OK, pages::home())),
        ("GET", ["static", name]) => asset(name, asked),
        ("GET", ["state"]) => Ok(json_reply(StatusCode::OK, &serde_json::to_value(shop.state()).unwrap_or_default())),
        ("GET", ["login"]) => Ok(login_page(shop, asked, proof, "", None)),
        ("POST", ["login"]) => log_in(shop, asked, proof),
        ("GET", ["welcome"]) => {
            shop.enter(proof, forms::field(&forms::fields(&asked.query), "ticket"))?;
            Ok(redirect(StatusCode::FOUND, "/shop"))
        }
        ("GET", ["shop"]) => Ok(html(StatusCode::OK, pages::shop(&shop.visit(proof)?))),
        ("POST", ["logout"]) => log_out(shop, asked, proof),
        ("GET", ["checkout"]) => {
            let query = forms::fields(&asked.query);
            let cart = shop.cart(proof, forms::field(&query, "cart").ok_or(Refusal::Malformed)?)?;
            Ok(html(StatusCode::OK, pages::checkout(&shop.visit(proof)?, &cart)))
        }
        ("POST", ["checkout"]) => check_out(shop, asked, proof),
        ("GET", ["search"]) => {
            let query = forms::fields(&asked.query);
            let word = forms::field(&query, "q").ok_or(Refusal::Malformed)?;
            let hits = shop.search(proof, word)?;
            Ok(html(StatusCode::OK, pages::search(&shop.visit(proof)?, word, &hits)))
        }
        ("GET", ["orders", number]) => {
            let query = forms::fields(&asked.query);
            let order = shop.order(proof, parse(number)?, forms::field(&query, "ref"))?;
            Ok(html(StatusCode::OK, pages::order(&shop.visit(proof)?, &order)))
        }
        ("POST", ["orders", number, "attachment"]) => attach(shop, asked, proof, parse(number)?),
        (method, ["api", rest @ ..]) => api(shop, method, rest, asked, proof),
        _ => Err(Refusal::NotFound),
    }
}

fn api(shop: &Shop, method: &str, path: &[&str], asked: &Asked, proof: Proof<'_>) -> Result<Reply, Refusal> {
    match (method, path) {
        ("GET", ["users", id, "preferences"]) => {
            let account = shop.preferences(proof, parse(id)?)?;
            let body = json!({"user": account.username, "currency": "EUR", "newsletter": false});
            Ok(json_reply(StatusCode::OK, &body))
        }
        ("POST", ["carts"]) => {
            let _: NewCart = from_json(asked)?;
            let cart = shop.open_cart(proof)?;
            let mut reply = json_reply(StatusCode::CREATED, &cart_json(&cart));
            reply.headers.push((LOCATION, format!("/api/carts/{}", cart.id)));
            Ok(reply)
        }
        ("PUT", ["carts", id, "items"]) => {
            let change: CartChange = from_json(asked)?;
            let known = pages::ARTICLES.iter().any(|(article, ..)| *article == change.article);
            if change.cart != *id || !known || !(1..=99).contains(&change.quantity) {
                return Err(Refusal::Malformed);
            }
            let cart = shop.fill_cart(proof, id, change.version, (change.article, change.quantity))?;
            Ok(json_reply(StatusCode::OK, &cart_json(&cart)))
        }
        ("GET", ["orders", number]) => {
            Ok(json_reply(StatusCode::OK, &order_json(&shop.api_order(proof, parse(number)?)?)))
        }
        _ => Err(Refusal::NotFound),
    }
}

/// Body of `POST /api/carts`.
#[derive(Deserialize)]
struct NewCart {
    #[serde(rename = "currency")]
    _currency: String,
}

/// Body of `PUT /api/carts/{id}/items`.
#[derive(Deserialize)]
struct CartChange {
    cart: String,
    version: u64,
    article: String,
    quantity: u32,
}

fn login_page(shop: &Shop, asked: &Asked, proof: Proof<'_>, username: &str, message: Option<&str>) -> Reply {
    let (new_sid, token) = shop.login_form(proof.sid);
    let mut reply = html(StatusCode::OK, pages::login(&token, username, message));
    reply.headers.extend(new_sid.map(|sid| session_cookie(&sid, asked.channel)));
    reply
}

fn log_in(shop: &Shop, asked: &Asked, proof: Proof<'_>) -> Result<Reply, Refusal> {
    let fields = urlencoded(asked)?;
    let proof = Proof { token: forms::field(&fields, "csrf_token"), ..proof };
    let username = forms::field(&fields, "username").unwrap_or("");
    match shop.log_in(proof, username, forms::field(&fields, "password").unwrap_or("")) {
        Ok((sid, ticket)) => {
            let mut reply = redirect(StatusCode::FOUND, &format!("/welcome?ticket={ticket}"));
            reply.headers.push(session_cookie(&sid, asked.channel));
            Ok(reply)
        }
        Err(Refusal::Password) => {
            shop.refused(Refusal::Password);
            Ok(login_page(shop, asked, proof, username, Some("Name or password are not right.")))
        }
        Err(other) => Err(other),
    }
}

fn log_out(shop: &Shop, asked: &Asked, proof: Proof<'_>) -> Result<Reply, Refusal> {
    let fields = urlencoded(asked)?;
    shop.log_out(Proof { token: forms::field(&fields, "csrf_token"), ..proof })?;
    let mut reply = redirect(StatusCode::SEE_OTHER, "/");
    let (name, value) = session_cookie("", asked.channel);
    reply.headers.push((name, format!("{value}; Max-Age=0")));
    Ok(reply)
}

fn check_out(shop: &Shop, asked: &Asked, proof: Proof<'_>) -> Result<Reply, Refusal> {
    let fields = urlencoded(asked)?;
    let field = |name| forms::field(&fields, name).ok_or(Refusal::Malformed);
    let proof = Proof { token: forms::field(&fields, "csrf_token"), ..proof };
    let number = shop.check_out(proof, field("cart_id")?, parse(field("cart_version")?)?, field("note")?)?;
    Ok(redirect(StatusCode::SEE_OTHER, &format!("/orders/{number}")))
}

fn attach(shop: &Shop, asked: &Asked, proof: Proof<'_>, number: u64) -> Result<Reply, Refusal> {
    let parts = forms::parts(content_type(asked), &asked.body).ok_or(Refusal::Malformed)?;
    let part = |name: &str| parts.iter().find(|part| part.name == name);
    let text = |name: &str| part(name).and_then(|part| std::str::from_utf8(&part.content).ok());
    let file = part("file").filter(|file| !file.content.is_empty()).ok_or(Refusal::Malformed)?;
    let name = file.file.clone().ok_or(Refusal::Malformed)?;
    if text("order_id") != Some(number.to_string().as_str()) {
        return Err(Refusal::Malformed);
    }
    let proof = Proof { token: text("csrf_token"), ..proof };
    shop.attach(proof, number, (name.chars().take(100).collect(), file.content.len()))?;
    Ok(redirect(StatusCode::SEE_OTHER, &format!("/orders/{number}")))
}

/// Style sheet, script and logo: they never change, and say so.
fn asset(name: &str, asked: &Asked) -> Result<Reply, Refusal> {
    let (kind, body) = match name {
        "shop.css" => ("text/css; charset=utf-8", pages::STYLE.as_bytes().to_vec()),
        "shop.js" => ("text/javascript; charset=utf-8", pages::SCRIPT.as_bytes().to_vec()),
        "logo.png" => ("image/png", super::picture::png(32, 1)),
        _ => return Err(Refusal::NotFound),
    };
    let tag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..16]);
    let fresh = asked.headers.get(IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == tag.as_bytes());
    let mut headers = vec![(CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()), (ETAG, tag)];
    if fresh {
        return Ok(Reply { status: StatusCode::NOT_MODIFIED, headers, body: Vec::new() });
    }
    headers.push((CONTENT_TYPE, kind.to_owned()));
    Ok(Reply { status: StatusCode::OK, headers, body })
}

fn refuse(refusal: Refusal, api: bool) -> Reply {
    let status = match refusal {
        Refusal::NotLoggedIn if !api => return redirect(StatusCode::SEE_OTHER, "/login"),
        Refusal::NotLoggedIn | Refusal::ApiKey => StatusCode::UNAUTHORIZED,
        Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::Version => StatusCode::CONFLICT,
        Refusal::EmptyCart | Refusal::Malformed => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Token | Refusal::Password | Refusal::Ticket | Refusal::NotYours | Refusal::Reference => {
            StatusCode::FORBIDDEN
        }
    };
    if api {
        json_reply(status, &json!({"error": refusal.reason()}))
    } else {
        html(status, pages::refusal(status.as_u16(), refusal.reason()))
    }
}

fn session_cookie(sid: &str, channel: Channel) -> (HeaderName, String) {
    let secure = if channel == Channel::Tls { "; Secure" } else { "" };
    (SET_COOKIE, format!("sid={sid}; Path=/; HttpOnly; SameSite=Lax{secure}"))
}

fn html(status: StatusCode, page: String) -> Reply {
    reply(status, "text/html; charset=utf-8", page.into_bytes())
}

fn json_reply(status: StatusCode, value: &Value) -> Reply {
    reply(status, "application/json", value.to_string().into_bytes())
}

fn reply(status: StatusCode, kind: &str, body: Vec<u8>) -> Reply {
    let headers = vec![(CONTENT_TYPE, kind.to_owned()), (CACHE_CONTROL, "no-store".to_owned())];
    Reply { status, headers, body }
}

fn redirect(status: StatusCode, to: &str) -> Reply {
    let headers = vec![(LOCATION, to.to_owned()), (CACHE_CONTROL, "no-store".to_owned())];
    Reply { status, headers, body: Vec::new() }
}

fn cart_json(cart: &Cart) -> Value {
    let items: Vec<Value> = cart.items.iter().map(|(article, n)| json!({"article": article, "quantity": n})).collect();
    json!({"cart": {"id": cart.id, "version": cart.version, "items": items}})
}

fn order_json(order: &Order) -> Value {
    let items: Vec<Value> = order.items.iter().map(|(article, n)| json!({"article": article, "quantity": n})).collect();
    let order =
        json!({"number": order.number, "note": order.note, "items": items, "attachments": order.attachments.len()});
    json!({ "order": order })
}

fn content_type(asked: &Asked) -> &str {
    asked.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("")
}

fn urlencoded(asked: &Asked) -> Result<Vec<(String, String)>, Refusal> {
    if !content_type(asked).starts_with("application/x-www-form-urlencoded") {
        return Err(Refusal::Malformed);
    }
    Ok(forms::fields(std::str::from_utf8(&asked.body).map_err(|_| Refusal::Malformed)?))
}

fn from_json<T: serde::de::DeserializeOwned>(asked: &Asked) -> Result<T, Refusal> {
    serde_json::from_slice(&asked.body).map_err(|_| Refusal::Malformed)
}

fn parse(number: &str) -> Result<u64, Refusal> {
    number.parse().map_err(|_| Refusal::NotFound)
}
