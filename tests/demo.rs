//! The sample site and its visitors.

use std::time::Duration;

use overdub::demo::{
    Account, Answer, Ask, Browser, BrowserConfig, Site, SiteConfig, Visitor, account, accounts, form_field,
    tag_attribute, visit,
};

fn in_runtime<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let limit = Duration::from_secs(60);
    runtime.block_on(async { tokio::time::timeout(limit, test).await.expect("the test hangs") })
}

async fn site() -> Site {
    Site::start(SiteConfig { seed: Some(1), plain_http: true }).await.unwrap()
}

fn to(site: &Site) -> BrowserConfig {
    BrowserConfig {
        origin: site.origin_url(),
        proxy: None,
        roots_pem: site.ca_pem().to_owned(),
        user_agent: "test".to_owned(),
    }
}

fn visitor(site: &Site, number: u32) -> Visitor {
    Visitor { browser: to(site), account: account(number).unwrap(), pauses: 0.0 }
}

/// A person in the shop: the browser, the shop page's form token and the API key.
struct Inside {
    browser: Browser,
    token: String,
    api_key: String,
    user_id: u64,
}

async fn log_in(browser: &mut Browser, account: &Account) -> Answer {
    let page = browser.send(Ask::get("/login")).await.unwrap().text();
    let token = form_field(&page, "/login", "csrf_token").unwrap();
    let fields = [("csrf_token", token.as_str()), ("username", &account.username), ("password", &account.password)];
    browser.send(Ask::form("/login", &fields)).await.unwrap()
}

async fn enter(site: &Site, number: u32) -> Inside {
    let mut browser = Browser::new(to(site)).unwrap();
    let answer = log_in(&mut browser, &account(number).unwrap()).await;
    browser.send(Ask::get(answer.header("location").unwrap())).await.unwrap();
    let page = browser.send(Ask::get("/shop")).await.unwrap().text();
    let behind = |text: &str| page.split(text).nth(1).unwrap().to_owned();
    Inside {
        token: tag_attribute(&page, "<meta name=\"csrf-token\"", "content").unwrap(),
        api_key: behind("\"apiKey\":\"").split('"').next().unwrap().to_owned(),
        user_id: behind("\"user\":{\"id\":").split(',').next().unwrap().parse().unwrap(),
        browser,
    }
}

impl Inside {
    async fn api(&mut self, method: &'static str, target: &str, body: Option<&str>) -> Answer {
        let (token, key) = (self.token.clone(), self.api_key.clone());
        self.api_as(method, target, body, (&token, &key)).await
    }

    async fn api_as(&mut self, method: &'static str, target: &str, body: Option<&str>, as_: (&str, &str)) -> Answer {
        let body = body.map(|text| ("application/json".to_owned(), text.as_bytes().to_vec()));
        let ask = Ask { method, target: target.to_owned(), headers: Vec::new(), body };
        self.browser.send(ask.with("X-CSRF-Token", as_.0).with("X-Api-Key", as_.1)).await.unwrap()
    }

    async fn open_cart(&mut self) -> String {
        let opened = self.api("POST", "/api/carts", Some(r#"{"currency":"EUR"}"#)).await;
        assert_eq!(opened.status, 201);
        opened.header("location").unwrap().rsplit('/').next().unwrap().to_owned()
    }

    async fn put(&mut self, cart: &str, version: u64) -> u16 {
        let body = format!(r#"{{"cart":"{cart}","version":{version},"article":"MUG-BLUE","quantity":1}}"#);
        self.api("PUT", &format!("/api/carts/{cart}/items"), Some(&body)).await.status
    }

    async fn check_out(&mut self, token: &str, cart: &str, version: &str) -> Answer {
        let fields = [("csrf_token", token), ("cart_id", cart), ("cart_version", version), ("note", "<b>&")];
        self.browser.send(Ask::form("/checkout", &fields)).await.unwrap()
    }

    async fn attach(&mut self, token: &str, order: u64, order_id: u64) -> u16 {
        let body = format!(
            "--B\r\nContent-Disposition: form-data; name=\"csrf_token\"\r\n\r\n{token}\r\n--B\r\n\
             Content-Disposition: form-data; name=\"order_id\"\r\n\r\n{order_id}\r\n--B\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--B--\r\n"
        );
        let body = Some(("multipart/form-data; boundary=B".to_owned(), body.into_bytes()));
        let ask = Ask { method: "POST", target: format!("/orders/{order}/attachment"), headers: Vec::new(), body };
        self.browser.send(ask).await.unwrap().status
    }

    /// A whole order; its number.
    async fn order(&mut self) -> u64 {
        let cart = self.open_cart().await;
        assert_eq!(self.put(&cart, 1).await, 200);
        let token = self.token.clone();
        let placed = self.check_out(&token, &cart, "2").await;
        assert_eq!(placed.status, 303);
        placed.header("location").unwrap().rsplit('/').next().unwrap().parse().unwrap()
    }

    async fn get(&mut self, target: &str) -> Answer {
        self.browser.send(Ask::get(target)).await.unwrap()
    }
}

#[test]
fn a_visit_makes_exactly_one_order_and_leaves_nothing_refused() {
    in_runtime(async {
        let site = site().await;
        let journey = visit(&visitor(&site, 7)).await.unwrap();
        let state = site.state();
        assert_eq!(state.orders, 1);
        assert_eq!(state.order_numbers.iter().copied().collect::<Vec<_>>(), [journey.order]);
        assert_eq!(state.orders_with_own_note, 1);
        for counted in [&state.orders_by_account, &state.uploads_by_account, &state.found_by_account] {
            assert_eq!(counted.iter().map(|(n, c)| (n.as_str(), *c)).collect::<Vec<_>>(), [("user007", 1)]);
        }
        assert!(state.accounts_logged_in.contains("user007") && state.accounts_logged_out.contains("user007"));
        assert!(state.refused.is_empty(), "{:?}", state.refused);
        site.stop().await;
    });
}

#[test]
fn many_visitors_at_once_make_an_order_each() {
    in_runtime(async {
        let site = site().await;
        let mut visits = tokio::task::JoinSet::new();
        for person in accounts(100..=119) {
            let visitor = Visitor { browser: to(&site), account: person, pauses: 0.0 };
            visits.spawn(async move { visit(&visitor).await });
        }
        while let Some(done) = visits.join_next().await {
            done.unwrap().unwrap();
        }
        let state = site.state();
        assert_eq!((state.orders, state.order_numbers.len(), state.orders_with_own_note), (20, 20, 20));
        assert!(state.orders_by_account.len() == 20 && state.uploads_by_account.len() == 20);
        site.stop().await;
    });
}

#[test]
fn plain_http_works_the_same_way() {
    in_runtime(async {
        let site = site().await;
        let mut visitor = visitor(&site, 8);
        visitor.browser.origin = site.plain_origin_url().unwrap();
        visit(&visitor).await.unwrap();
        assert_eq!(site.state().orders, 1);
        site.stop().await;
    });
}

#[test]
fn a_certificate_of_an_unknown_root_is_not_accepted() {
    in_runtime(async {
        let (site, other) = (site().await, site().await);
        let mut visitor = visitor(&site, 9);
        visitor.browser.roots_pem = other.ca_pem().to_owned();
        visit(&visitor).await.unwrap_err();
        assert_eq!(site.state().orders, 0);
        site.stop().await;
        other.stop().await;
    });
}

#[test]
fn the_login_refuses_wrong_tokens_passwords_and_tickets() {
    in_runtime(async {
        let site = site().await;
        let person = account(1).unwrap();
        let mut browser = Browser::new(to(&site)).unwrap();
        let mut stranger = Browser::new(to(&site)).unwrap();
        let page = browser.send(Ask::get("/login")).await.unwrap().text();
        let mine = form_field(&page, "/login", "csrf_token").unwrap();
        let again = browser.send(Ask::get("/login")).await.unwrap().text();
        assert_ne!(form_field(&again, "/login", "csrf_token").unwrap(), mine, "a token is rendered anew");
        let page = stranger.send(Ask::get("/login")).await.unwrap().text();
        let not_mine = form_field(&page, "/login", "csrf_token").unwrap();

        for (token, password, status) in [
            (not_mine.as_str(), person.password.as_str(), 403),
            ("", &person.password, 403),
            (&mine, "wrong", 200),
            (&mine, "", 200),
        ] {
            let fields = [("csrf_token", token), ("username", &person.username), ("password", password)];
            let answer = browser.send(Ask::form("/login", &fields)).await.unwrap();
            assert_eq!(answer.status, status, "{token} {password}");
            assert_eq!(answer.text().contains("Name or password are not right"), status == 200);
        }

        let before = browser.cookie("sid").unwrap().to_owned();
        let answer = log_in(&mut browser, &person).await;
        assert_eq!(answer.status, 302);
        assert_ne!(browser.cookie("sid").unwrap(), before, "the session is another one after the login");
        assert_eq!(browser.send(Ask::get("/shop")).await.unwrap().status, 303, "not before the ticket is used");
        let welcome = answer.header("location").unwrap().to_owned();
        for (target, status) in
            [("/welcome", 403), ("/welcome?ticket=T0", 403), (welcome.as_str(), 302), (welcome.as_str(), 403)]
        {
            assert_eq!(browser.send(Ask::get(target)).await.unwrap().status, status, "{target}");
        }
        assert_eq!(browser.send(Ask::get("/shop")).await.unwrap().status, 200);
        assert_eq!(site.state().accounts_logged_in.len(), 1);
        site.stop().await;
    });
}

#[test]
fn whoever_is_not_logged_in_is_sent_away() {
    in_runtime(async {
        let site = site().await;
        let mut browser = Browser::new(to(&site)).unwrap();
        browser.set_cookie("sid", "0123456789");
        for (target, status) in [
            ("/shop", 303),
            ("/checkout?cart=c_1", 303),
            ("/orders/700001", 303),
            ("/search?q=x", 303),
            ("/api/orders/700001", 401),
            ("/api/users/1/preferences", 401),
            ("/welcome?ticket=T1", 303),
            ("/nowhere", 404),
        ] {
            assert_eq!(browser.send(Ask::get(target)).await.unwrap().status, status, "{target}");
        }
        assert_eq!(site.state().refused["not logged in"], 7);
        site.stop().await;
    });
}

#[test]
fn the_api_refuses_wrong_tokens_keys_versions_and_owners() {
    in_runtime(async {
        let site = site().await;
        let (mut one, mut two) = (enter(&site, 1).await, enter(&site, 2).await);
        let (key, token) = (one.api_key.clone(), one.token.clone());
        let body = Some(r#"{"currency":"EUR"}"#);
        for (token, key, status) in [
            ("", key.as_str(), 403),
            (two.token.as_str(), key.as_str(), 403),
            (&token, "", 401),
            (&token, &two.api_key, 401),
            (&token, &key, 201),
        ] {
            let answer = one.api_as("POST", "/api/carts", body, (token, key)).await;
            assert_eq!(answer.status, status, "{token} {key}");
        }
        assert_eq!(one.api("POST", "/api/carts", Some("{")).await.status, 422);

        let cart = one.open_cart().await;
        for (version, status) in [(0, 409), (2, 409), (1, 200), (1, 409), (2, 200)] {
            assert_eq!(one.put(&cart, version).await, status, "version {version}");
        }
        assert_eq!(two.put(&cart, 3).await, 403, "somebody else's cart");
        assert_eq!(one.put("c_0", 1).await, 404);

        let (own, other) = (one.user_id, two.user_id);
        assert_eq!(one.api("GET", &format!("/api/users/{own}/preferences"), None).await.status, 200);
        assert_eq!(one.api("GET", &format!("/api/users/{other}/preferences"), None).await.status, 403);
        site.stop().await;
    });
}

#[test]
fn orders_are_refused_unless_everything_fits() {
    in_runtime(async {
        let site = site().await;
        let (mut one, mut two) = (enter(&site, 1).await, enter(&site, 2).await);
        let token = one.token.clone();
        let cart = one.open_cart().await;
        assert_eq!(one.check_out(&token, &cart, "1").await.status, 422, "nothing in it");
        assert_eq!(one.put(&cart, 1).await, 200);
        for (token, cart, version, status) in [
            (two.token.as_str(), cart.as_str(), "2", 403),
            ("", &cart, "2", 403),
            (&token, &cart, "1", 409),
            (&token, &cart, "x", 404),
            (&token, "c_1", "2", 404),
        ] {
            assert_eq!(one.check_out(token, cart, version).await.status, status, "{token} {cart} {version}");
        }
        assert_eq!(site.state().orders, 0);
        let placed = one.check_out(&token, &cart, "2").await;
        assert_eq!(placed.status, 303);
        assert_eq!(one.check_out(&token, &cart, "2").await.status, 404, "a cart is ordered once");
        assert_eq!(site.state().orders, 1);

        let path = placed.header("location").unwrap().to_owned();
        let page = one.get(&path).await.text();
        assert!(page.contains("&lt;b&gt;&amp;") && !page.contains("<b>&"), "what was typed is escaped");
        assert_eq!(two.get(&path).await.status, 403);
        assert_eq!(two.get(&format!("/api{path}")).await.status, 401);
        site.stop().await;
    });
}

#[test]
fn attachments_and_search_results_are_bound_to_their_order() {
    in_runtime(async {
        let site = site().await;
        let (mut one, mut two) = (enter(&site, 1).await, enter(&site, 2).await);
        let (first, second) = (one.order().await, one.order().await);
        assert_ne!(first, second);
        let (token, foreign) = (one.token.clone(), two.token.clone());
        assert_eq!(one.attach(&foreign, first, first).await, 403);
        assert_eq!(one.attach(&token, first, second).await, 422, "the hidden order number is another's");
        assert_eq!(two.attach(&foreign, first, first).await, 403);
        assert_eq!(one.attach(&token, first, first).await, 303);
        assert_eq!(site.state().uploads_by_account["user001"], 1);

        let hits = one.get("/search?q=%3CB").await.text();
        let link = |order: u64| {
            let start = format!("/orders/{order}?ref=");
            let rest = hits.split(&start).nth(1).unwrap();
            (start, rest.split('"').next().unwrap().to_owned())
        };
        let ((path, mine), (_, other)) = (link(first), link(second));
        assert!(!two.get("/search?q=%3CB").await.text().contains("?ref="), "only one's own orders are found");
        for (reference, status) in [("", 403), ("AAAA", 403), (other.as_str(), 403), (mine.as_str(), 200)] {
            assert_eq!(one.get(&format!("{path}{reference}")).await.status, status, "{reference}");
        }
        assert_eq!(two.get(&format!("{path}{mine}")).await.status, 403);
        assert_eq!(site.state().found_by_account["user001"], 1);
        site.stop().await;
    });
}

#[test]
fn a_reset_forgets_everything_and_moves_all_ids_on() {
    in_runtime(async {
        let site = site().await;
        let mut before = enter(&site, 1).await;
        let old = before.order().await;
        site.reset();
        assert_eq!(site.state(), overdub::demo::SiteState::default());
        assert_eq!(before.get("/shop").await.status, 303, "sessions are gone");
        let mut after = enter(&site, 1).await;
        let new = after.order().await;
        assert!(new >= old + 100_000, "{old} {new}");
        assert!(after.user_id >= before.user_id + 10_000);
        assert_eq!(after.get(&format!("/orders/{old}")).await.status, 404);
        site.stop().await;
    });
}

#[test]
fn pages_are_packed_assets_are_cached_and_bodies_are_bounded() {
    in_runtime(async {
        let site = site().await;
        let mut browser = Browser::new(to(&site)).unwrap();
        let page = browser.send(Ask::get("/")).await.unwrap();
        assert_eq!(page.header("content-encoding"), Some("gzip"));
        assert!(page.text().contains("</html>"));
        let style = browser.send(Ask::get("/static/shop.css")).await.unwrap();
        assert!(style.header("cache-control").unwrap().contains("immutable"));
        let tag = style.header("etag").unwrap().to_owned();
        let again = browser.send(Ask::get("/static/shop.css").with("If-None-Match", tag)).await.unwrap();
        assert_eq!((again.status, again.body.len()), (304, 0));
        let body = Some(("text/plain".to_owned(), vec![b'x'; 1024 * 1024 + 1]));
        let big = Ask { method: "POST", target: "/login".to_owned(), headers: Vec::new(), body };
        assert_eq!(browser.send(big).await.unwrap().status, 413);
        site.stop().await;
    });
}

#[test]
fn the_state_over_http_is_the_state() {
    in_runtime(async {
        let site = site().await;
        visit(&visitor(&site, 3)).await.unwrap();
        let mut browser = Browser::new(to(&site)).unwrap();
        let told = browser.send(Ask::get("/state")).await.unwrap();
        let told: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
        assert_eq!(told, serde_json::to_value(site.state()).unwrap());
        assert_eq!(told["orders"], 1);
        site.stop().await;
    });
}
