//! A scripted person: logs in, orders, attaches a file, searches for the order, logs out. Every value that the server
//! gave is taken from the page it stood on, as a browser and the page's script would.

use std::time::Duration;

use serde_json::{Value, json};

use super::accounts::Account;
use super::browser::{Answer, Ask, Browser, BrowserConfig, BrowserError};
use super::forms::{encode, form_field, tag_attribute};
use super::picture;

const PAGE: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

/// Who visits, how, and how patiently.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Where to and through which proxy.
    pub browser: BrowserConfig,
    /// Who.
    pub account: Account,
    /// Factor on the pauses of 100 to 400 ms between clicks; 0 means none.
    pub pauses: f64,
}

/// What a visit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journey {
    /// Number of the order placed.
    pub order: u64,
    /// Requests sent.
    pub requests: u64,
}

/// Why a visit did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// No answer.
    #[error("no answer at `{step}`")]
    Browser {
        /// Step of the visit.
        step: &'static str,
        /// What happened.
        #[source]
        source: BrowserError,
    },
    /// Another answer than the one that leads on.
    #[error("status {status} instead of {wanted} at `{step}`")]
    Status {
        /// Step of the visit.
        step: &'static str,
        /// What came.
        status: u16,
        /// What was needed.
        wanted: u16,
    },
    /// The answer lacks something that the next step needs.
    #[error("no {what} in the answer at `{step}`")]
    Missing {
        /// Step of the visit.
        step: &'static str,
        /// Such as `form token`.
        what: &'static str,
    },
}

/// Sends this person through the whole visit.
///
/// # Errors
/// At the first step whose answer does not lead on.
pub async fn visit(visitor: &Visitor) -> Result<Journey, VisitError> {
    let browser = Browser::new(visitor.browser.clone()).map_err(at("set up"))?;
    let mut person = Person { visitor, browser, referer: None, clicks: 0 };
    person.arrive().await?;
    let shop = person.log_in().await?;
    let api_key = between(&shop, "\"apiKey\":\"", "\"").ok_or(missing("shop", "api key"))?;
    let (cart, version) = person.fill_cart(&shop, &api_key).await?;
    let order = person.check_out(&cart, version).await?;
    let number = order.number;
    person.attach(order, &api_key).await?;
    let last_page = person.search(number).await?;
    person.log_out(&last_page).await?;
    Ok(Journey { order: number, requests: person.browser.requests() })
}

/// A visit under way.
struct Person<'a> {
    visitor: &'a Visitor,
    browser: Browser,
    /// Path of the page that is shown.
    referer: Option<String>,
    clicks: u32,
}

/// The page of a fresh order.
struct OrderPage {
    number: u64,
    path: String,
    page: String,
}

impl Person<'_> {
    /// The front page with all it loads, then the login page.
    async fn arrive(&mut self) -> Result<(), VisitError> {
        self.browser.set_cookie("tz", "Europe%2FBerlin");
        self.page("front page", Ask::get("/"), 200).await?;
        let assets = ["/static/shop.css", "/static/shop.js", "/static/logo.png"];
        let asks = assets.iter().map(|path| self.dress(Ask::get(*path))).collect();
        let loaded = self.browser.send_all(asks).await.map_err(at("front page"))?;
        for asset in &loaded {
            check("front page", asset, 200)?;
        }
        Ok(())
    }

    /// Through the login form and the redirects behind it; returns the shop page.
    async fn log_in(&mut self) -> Result<String, VisitError> {
        const STEP: &str = "log in";
        let page = self.page(STEP, Ask::get("/login"), 200).await?.text();
        self.think(400).await;
        let token = form_field(&page, "/login", "csrf_token").ok_or(missing(STEP, "form token"))?;
        let Account { username, password, .. } = &self.visitor.account;
        let fields = [("csrf_token", token.as_str()), ("username", username), ("password", password)];
        let answer = self.page(STEP, Ask::form("/login", &fields), 302).await?;
        let welcome = location(STEP, &answer)?;
        let answer = self.page(STEP, Ask::get(welcome), 302).await?;
        let shop = self.page("shop", Ask::get(location(STEP, &answer)?), 200).await?.text();
        let api_key = between(&shop, "\"apiKey\":\"", "\"").ok_or(missing("shop", "api key"))?;
        let user_id = between(&shop, "\"user\":{\"id\":", ",").ok_or(missing("shop", "user id"))?;
        let ask = Ask::get(format!("/api/users/{user_id}/preferences")).with("X-Api-Key", api_key);
        self.script("shop", ask, 200).await?;
        Ok(shop)
    }

    /// Puts articles into a new cart; returns its id and version.
    async fn fill_cart(&mut self, shop: &str, api_key: &str) -> Result<(String, u64), VisitError> {
        const STEP: &str = "fill cart";
        self.think(300).await;
        let token =
            tag_attribute(shop, "<meta name=\"csrf-token\"", "content").ok_or(missing("shop", "csrf meta tag"))?;
        let ask = |method, target: String, body: Value| Ask {
            method,
            target,
            headers: vec![("X-CSRF-Token", token.clone()), ("X-Api-Key", api_key.to_owned())],
            body: Some(("application/json".to_owned(), body.to_string().into_bytes())),
        };
        let opened = self.script(STEP, ask("POST", "/api/carts".to_owned(), json!({"currency": "EUR"})), 201).await?;
        let (id, mut version) = cart(STEP, &opened)?;
        let choices = ["LAMP-BRASS", "MUG-BLUE", "CHAIR-OAK", "RUG-WOOL", "TRAY-CORK"];
        let first = self.visitor.account.number as usize;
        for pick in 0..=first % 3 {
            let article = choices[(first + pick) % choices.len()];
            let change = json!({"cart": id, "version": version, "article": article, "quantity": pick + 1});
            let changed = self.script(STEP, ask("PUT", format!("/api/carts/{id}/items"), change), 200).await?;
            version = cart(STEP, &changed)?.1;
            self.think(200).await;
        }
        Ok((id, version))
    }

    /// Through the order form; returns the page of the new order.
    async fn check_out(&mut self, cart: &str, version: u64) -> Result<OrderPage, VisitError> {
        const STEP: &str = "check out";
        let page = self.page(STEP, Ask::get(format!("/checkout?cart={cart}")), 200).await?.text();
        self.think(350).await;
        let hidden = |name| form_field(&page, "/checkout", name).ok_or(missing(STEP, "hidden field"));
        let (token, cart_id, cart_version) = (hidden("csrf_token")?, hidden("cart_id")?, hidden("cart_version")?);
        if cart_id != cart || cart_version != version.to_string() {
            return Err(missing(STEP, "cart as filled"));
        }
        let fields = [
            ("csrf_token", token.as_str()),
            ("cart_id", &cart_id),
            ("cart_version", &cart_version),
            ("note", &self.visitor.account.tag),
        ];
        let path = location(STEP, &self.page(STEP, Ask::form("/checkout", &fields), 303).await?)?;
        let number = path.rsplit('/').next().and_then(|n| n.parse().ok()).ok_or(missing(STEP, "order number"))?;
        let page = self.page("order", Ask::get(path.clone()), 200).await?.text();
        Ok(OrderPage { number, path, page })
    }

    /// Attaches a picture or a text to the order, then has the page's script read the order.
    async fn attach(&mut self, order: OrderPage, api_key: &str) -> Result<(), VisitError> {
        const STEP: &str = "attach";
        self.think(250).await;
        let action = format!("{}/attachment", order.path);
        let hidden = |name| form_field(&order.page, &action, name).ok_or(missing(STEP, "hidden field"));
        let (token, order_id) = (hidden("csrf_token")?, hidden("order_id")?);
        let number = self.visitor.account.number;
        let (name, kind, content) = if number.is_multiple_of(2) {
            ("wishes.txt", "text/plain", b"Please ring twice.\nThe dog is friendly.\n".to_vec())
        } else {
            ("sketch.png", "image/png", picture::png(24, u8::try_from(number % 250).unwrap_or(0) + 3))
        };
        let boundary = format!("----FormBoundary{}", &blake3::hash(order.page.as_bytes()).to_hex()[..16]);
        let mut body = Vec::new();
        for (field, value) in [("csrf_token", &token), ("order_id", &order_id)] {
            let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
            body.extend(part.into_bytes());
        }
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: {kind}\r\n\r\n"
        );
        body.extend(head.into_bytes());
        body.extend(content);
        body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
        let body = Some((format!("multipart/form-data; boundary={boundary}"), body));
        let ask = Ask { method: "POST", target: action, headers: Vec::new(), body };
        let back = location(STEP, &self.page(STEP, ask, 303).await?)?;
        self.page("order", Ask::get(back), 200).await?;
        let ask = Ask::get(format!("/api/orders/{}", order.number)).with("X-Api-Key", api_key);
        self.script("order", ask, 200).await?;
        Ok(())
    }

    /// Looks for the order by its note and opens what was found; returns that page.
    async fn search(&mut self, number: u64) -> Result<String, VisitError> {
        const STEP: &str = "search";
        self.think(300).await;
        let target = format!("/search?q={}", encode(&self.visitor.account.tag));
        let page = self.page(STEP, Ask::get(target), 200).await?.text();
        self.think(200).await;
        let start = format!("/orders/{number}?ref=");
        let reference = between(&page, &start, "\"").ok_or(missing(STEP, "link to the order"))?;
        Ok(self.page("found order", Ask::get(format!("{start}{reference}")), 200).await?.text())
    }

    async fn log_out(&mut self, page: &str) -> Result<(), VisitError> {
        const STEP: &str = "log out";
        self.think(100).await;
        let token = form_field(page, "/logout", "csrf_token").ok_or(missing(STEP, "form token"))?;
        let answer = self.page(STEP, Ask::form("/logout", &[("csrf_token", &token)]), 303).await?;
        self.page(STEP, Ask::get(location(STEP, &answer)?), 200).await?;
        Ok(())
    }

    /// Opens a page, as a click on a link or a form does.
    async fn page(&mut self, step: &'static str, ask: Ask, wanted: u16) -> Result<Answer, VisitError> {
        let path = ask.target.clone();
        let posts = ask.method == "POST";
        let ask = self.dress(ask.with("Accept", PAGE).with("Upgrade-Insecure-Requests", "1"));
        let answer = self.browser.send(ask).await.map_err(at(step))?;
        check(step, &answer, wanted)?;
        if !posts && wanted == 200 {
            self.referer = Some(path);
        }
        Ok(answer)
    }

    /// Sends what the page's script sends.
    async fn script(&mut self, step: &'static str, ask: Ask, wanted: u16) -> Result<Answer, VisitError> {
        let ask = self.dress(ask.with("Accept", "application/json"));
        let answer = self.browser.send(ask).await.map_err(at(step))?;
        check(step, &answer, wanted)?;
        Ok(answer)
    }

    fn dress(&self, mut ask: Ask) -> Ask {
        let origin = &self.visitor.browser.origin;
        if let Some(path) = &self.referer {
            ask = ask.with("Referer", format!("{origin}{path}"));
        }
        if ask.body.is_some() { ask.with("Origin", origin.clone()) } else { ask }
    }

    /// A pause of about so many milliseconds, not quite the same for each person and click.
    async fn think(&mut self, millis: u32) {
        self.clicks += 1;
        let uneven = (self.visitor.account.number * 29 + self.clicks * 13) % 60;
        let pause = f64::from(millis + uneven) / 1_000.0 * self.visitor.pauses.max(0.0);
        tokio::time::sleep(Duration::try_from_secs_f64(pause).unwrap_or_default()).await;
    }
}

fn cart(step: &'static str, answer: &Answer) -> Result<(String, u64), VisitError> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| missing(step, "JSON"))?;
    let id = body["cart"]["id"].as_str().ok_or(missing(step, "cart id"))?;
    Ok((id.to_owned(), body["cart"]["version"].as_u64().ok_or(missing(step, "cart version"))?))
}

fn location(step: &'static str, answer: &Answer) -> Result<String, VisitError> {
    answer.header("location").map(str::to_owned).ok_or(missing(step, "Location"))
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(rest[..rest.find(after)?].to_owned())
}

fn check(step: &'static str, answer: &Answer, wanted: u16) -> Result<(), VisitError> {
    let status = answer.status;
    if status == wanted { Ok(()) } else { Err(VisitError::Status { step, status, wanted }) }
}

fn missing(step: &'static str, what: &'static str) -> VisitError {
    VisitError::Missing { step, what }
}

fn at(step: &'static str) -> impl FnOnce(BrowserError) -> VisitError {
    move |source| VisitError::Browser { step, source }
}
