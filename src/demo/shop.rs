//! What the sample shop knows and what it refuses: sessions, carts, orders. No HTTP, no HTML, no clock.
//!
//! Everything is behind one lock that no method holds longer than it runs. Main type: [`Shop`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::accounts::{Account, account, by_name};
use super::state::{Refusal, SiteState};
use super::tokens::{Chance, masked, signature, unmasks_to};

/// Sessions kept at most; past it the ones nobody logged in with are forgotten.
const MOST_SESSIONS: usize = 50_000;

/// What a request shows to be let in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Proof<'a> {
    /// Session cookie.
    pub(super) sid: Option<&'a str>,
    /// Form token, from a field or a header.
    pub(super) token: Option<&'a str>,
    /// Key of the JSON API.
    pub(super) api_key: Option<&'a str>,
}

/// What a page shows of the person who looks at it. Each token is a rendering of its own.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// Who.
    pub(super) account: Account,
    /// Number of the account on this site.
    pub(super) user_id: u64,
    /// Key of the JSON API.
    pub(super) api_key: String,
    /// For the page's meta tag.
    pub(super) meta_token: String,
    /// For the form that ends the session.
    pub(super) logout_token: String,
    /// For the page's own form.
    pub(super) form_token: String,
}

/// A cart as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cart {
    pub(super) id: String,
    pub(super) version: u64,
    /// Article and quantity.
    pub(super) items: Vec<(String, u32)>,
    owner: u32,
}

/// A placed order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) items: Vec<(String, u32)>,
    pub(super) note: String,
    /// Name and size of each attachment.
    pub(super) attachments: Vec<(String, usize)>,
    owner: u32,
}

#[derive(Debug)]
struct Session {
    secret: [u8; 32],
    /// Number of the account that logged in.
    account: Option<u32>,
    /// Ticket for the page behind the login; taken when it is used.
    ticket: Option<String>,
    /// Set once the ticket was used.
    entered: bool,
    api_key: String,
}

#[derive(Debug)]
struct Inner {
    chance: Chance,
    link_key: [u8; 32],
    sessions: HashMap<String, Session>,
    carts: HashMap<String, Cart>,
    orders: BTreeMap<u64, Order>,
    next_order: u64,
    user_ids_from: u64,
    state: SiteState,
}

/// The shop behind the pages.
#[derive(Debug)]
pub(super) struct Shop {
    inner: Mutex<Inner>,
}

impl Shop {
    /// An empty shop.
    pub(super) fn new(mut chance: Chance) -> Self {
        let inner = Inner {
            link_key: chance.bytes(),
            next_order: 700_000 + chance.below(90_000),
            user_ids_from: 40_000 + chance.below(9_000),
            chance,
            sessions: HashMap::new(),
            carts: HashMap::new(),
            orders: BTreeMap::new(),
            state: SiteState::default(),
        };
        Self { inner: Mutex::new(inner) }
    }

    /// What happened so far.
    pub(super) fn state(&self) -> SiteState {
        self.lock().state.clone()
    }

    /// Forgets orders, carts, sessions and the state; numbers go on far from where they were.
    pub(super) fn reset(&self) {
        let mut shop = self.lock();
        shop.sessions.clear();
        shop.carts.clear();
        shop.orders.clear();
        shop.next_order += 100_000 + shop.chance.below(900_000);
        shop.user_ids_from += 10_000 + shop.chance.below(90_000);
        shop.link_key = shop.chance.bytes();
        shop.state = SiteState::default();
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, refusal: Refusal) {
        *self.lock().state.refused.entry(refusal.reason().to_owned()).or_default() += 1;
    }

    /// A token for the login form, and the id of a new session when there was none.
    pub(super) fn login_form(&self, sid: Option<&str>) -> (Option<String>, String) {
        let mut shop = self.lock();
        let mask = shop.chance.bytes();
        if let Some(session) = sid.and_then(|sid| shop.sessions.get(sid)) {
            return (None, masked(&session.secret, mask));
        }
        let (sid, secret) = shop.new_session(None);
        (Some(sid), masked(&secret, mask))
    }

    /// Logs in: the session of before is gone; returns the id of the new one and the ticket for the next page.
    pub(super) fn log_in(&self, proof: Proof<'_>, name: &str, password: &str) -> Result<(String, String), Refusal> {
        let mut shop = self.lock();
        shop.check_token(proof)?;
        let account = by_name(name).filter(|account| account.password == password).ok_or(Refusal::Password)?;
        if let Some(before) = proof.sid {
            shop.sessions.remove(before);
        }
        let ticket = format!("T{}", shop.chance.hex(24));
        let (sid, _) = shop.new_session(Some(account.number));
        if let Some(session) = shop.sessions.get_mut(&sid) {
            session.ticket = Some(ticket.clone());
        }
        Ok((sid, ticket))
    }

    /// Uses the ticket that the login gave.
    pub(super) fn enter(&self, proof: Proof<'_>, ticket: Option<&str>) -> Result<(), Refusal> {
        let mut shop = self.lock();
        let session = proof.sid.and_then(|sid| shop.sessions.get_mut(sid)).ok_or(Refusal::NotLoggedIn)?;
        let number = session.account.ok_or(Refusal::NotLoggedIn)?;
        if ticket.is_none() || session.ticket.as_deref() != ticket {
            return Err(Refusal::Ticket);
        }
        session.ticket = None;
        session.entered = true;
        let name = account(number).ok_or(Refusal::NotFound)?.username;
        shop.state.accounts_logged_in.insert(name);
        Ok(())
    }

    /// What any page needs to greet this person.
    pub(super) fn visit(&self, proof: Proof<'_>) -> Result<Visit, Refusal> {
        let mut shop = self.lock();
        let (account, secret, api_key) = {
            let (session, account) = shop.logged_in(proof)?;
            (account, session.secret, session.api_key.clone())
        };
        let mut token = || masked(&secret, shop.chance.bytes());
        let (meta_token, logout_token, form_token) = (token(), token(), token());
        let user_id = shop.user_id(account.number);
        Ok(Visit { user_id, account, api_key, meta_token, logout_token, form_token })
    }

    /// Ends the session.
    pub(super) fn log_out(&self, proof: Proof<'_>) -> Result<(), Refusal> {
        let mut shop = self.lock();
        let name = shop.logged_in(proof)?.1.username;
        shop.check_token(proof)?;
        if let Some(sid) = proof.sid {
            shop.sessions.remove(sid);
        }
        shop.state.accounts_logged_out.insert(name);
        Ok(())
    }

    /// Whether `user_id` is the person that asks; else it is no business of theirs.
    pub(super) fn preferences(&self, proof: Proof<'_>, user_id: u64) -> Result<Account, Refusal> {
        let shop = self.lock();
        let account = shop.api_user(proof)?;
        if shop.user_id(account.number) == user_id { Ok(account) } else { Err(Refusal::NotYours) }
    }

    /// A new empty cart.
    pub(super) fn open_cart(&self, proof: Proof<'_>) -> Result<Cart, Refusal> {
        let mut shop = self.lock();
        let owner = shop.api_user(proof)?.number;
        shop.check_token(proof)?;
        let cart = Cart { id: format!("c_{}", shop.chance.hex(20)), version: 1, items: Vec::new(), owner };
        shop.carts.insert(cart.id.clone(), cart.clone());
        Ok(cart)
    }

    /// Puts an article into a cart that is still at `version`; returns the cart at its next version.
    pub(super) fn fill_cart(
        &self,
        proof: Proof<'_>,
        id: &str,
        version: u64,
        item: (String, u32),
    ) -> Result<Cart, Refusal> {
        let mut shop = self.lock();
        let owner = shop.api_user(proof)?.number;
        shop.check_token(proof)?;
        let cart = shop.carts.get_mut(id).ok_or(Refusal::NotFound)?;
        cart.may_change(owner, version)?;
        if cart.items.len() >= 50 {
            return Err(Refusal::Malformed);
        }
        cart.items.push(item);
        cart.version += 1;
        Ok(cart.clone())
    }

    /// The cart with this id, when it belongs to whoever asks.
    pub(super) fn cart(&self, proof: Proof<'_>, id: &str) -> Result<Cart, Refusal> {
        let shop = self.lock();
        let owner = shop.logged_in(proof)?.1.number;
        let cart = shop.carts.get(id).ok_or(Refusal::NotFound)?;
        if cart.owner == owner { Ok(cart.clone()) } else { Err(Refusal::NotYours) }
    }

    /// Turns a cart into an order; returns its number.
    pub(super) fn check_out(&self, proof: Proof<'_>, id: &str, version: u64, note: &str) -> Result<u64, Refusal> {
        let mut shop = self.lock();
        let account = shop.logged_in(proof)?.1;
        shop.check_token(proof)?;
        let cart = shop.carts.get(id).ok_or(Refusal::NotFound)?;
        cart.may_change(account.number, version)?;
        if cart.items.is_empty() {
            return Err(Refusal::EmptyCart);
        }
        let items = shop.carts.remove(id).map(|cart| cart.items).unwrap_or_default();
        let number = shop.next_order;
        shop.next_order += 1 + shop.chance.below(7);
        let note: String = note.chars().take(500).collect();
        shop.state.orders += 1;
        shop.state.order_numbers.insert(number);
        shop.state.orders_with_own_note += u64::from(note == account.tag);
        *shop.state.orders_by_account.entry(account.username).or_default() += 1;
        shop.orders.insert(number, Order { number, items, note, attachments: Vec::new(), owner: account.number });
        Ok(number)
    }

    /// An order, when it belongs to whoever asks. A link with a reference must have the right one.
    pub(super) fn order(&self, proof: Proof<'_>, number: u64, reference: Option<&str>) -> Result<Order, Refusal> {
        let mut shop = self.lock();
        let account = shop.logged_in(proof)?.1;
        let order = shop.own_order(account.number, number)?.clone();
        if let Some(reference) = reference {
            if reference != shop.reference(account.number, number) {
                return Err(Refusal::Reference);
            }
            *shop.state.found_by_account.entry(account.username).or_default() += 1;
        }
        Ok(order)
    }

    /// An order for the JSON API.
    pub(super) fn api_order(&self, proof: Proof<'_>, number: u64) -> Result<Order, Refusal> {
        let shop = self.lock();
        let account = shop.api_user(proof)?;
        Ok(shop.own_order(account.number, number)?.clone())
    }

    /// Adds a file to an order.
    pub(super) fn attach(&self, proof: Proof<'_>, number: u64, file: (String, usize)) -> Result<(), Refusal> {
        let mut shop = self.lock();
        let account = shop.logged_in(proof)?.1;
        shop.check_token(proof)?;
        shop.own_order(account.number, number)?;
        let order = shop.orders.get_mut(&number).ok_or(Refusal::NotFound)?;
        if order.attachments.len() >= 20 {
            return Err(Refusal::Malformed);
        }
        order.attachments.push(file);
        *shop.state.uploads_by_account.entry(account.username).or_default() += 1;
        Ok(())
    }

    /// Orders of whoever asks whose note holds the word, each with the reference for its link.
    pub(super) fn search(&self, proof: Proof<'_>, word: &str) -> Result<Vec<(Order, String)>, Refusal> {
        let shop = self.lock();
        let owner = shop.logged_in(proof)?.1.number;
        let wanted = word.to_lowercase();
        let hits = shop.orders.values().filter(|o| o.owner == owner && o.note.to_lowercase().contains(&wanted));
        Ok(hits.map(|order| (order.clone(), shop.reference(owner, order.number))).collect())
    }

    /// The state is plain data: what a panicking holder left is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cart {
    fn may_change(&self, owner: u32, version: u64) -> Result<(), Refusal> {
        if self.owner != owner {
            return Err(Refusal::NotYours);
        }
        if self.version == version { Ok(()) } else { Err(Refusal::Version) }
    }
}

impl Inner {
    fn new_session(&mut self, account: Option<u32>) -> (String, [u8; 32]) {
        if self.sessions.len() >= MOST_SESSIONS {
            self.sessions.retain(|_, session| session.account.is_some());
        }
        if self.sessions.len() >= MOST_SESSIONS {
            self.sessions.clear();
        }
        let sid = self.chance.hex(40);
        let secret = self.chance.bytes();
        let api_key = format!("ak_{}", self.chance.hex(32));
        self.sessions.insert(sid.clone(), Session { secret, account, ticket: None, entered: false, api_key });
        (sid, secret)
    }

    fn logged_in(&self, proof: Proof<'_>) -> Result<(&Session, Account), Refusal> {
        let session = proof.sid.and_then(|sid| self.sessions.get(sid)).ok_or(Refusal::NotLoggedIn)?;
        let number = session.account.filter(|_| session.entered).ok_or(Refusal::NotLoggedIn)?;
        Ok((session, account(number).ok_or(Refusal::NotLoggedIn)?))
    }

    fn api_user(&self, proof: Proof<'_>) -> Result<Account, Refusal> {
        let (session, account) = self.logged_in(proof)?;
        if proof.api_key == Some(session.api_key.as_str()) { Ok(account) } else { Err(Refusal::ApiKey) }
    }

    fn check_token(&self, proof: Proof<'_>) -> Result<(), Refusal> {
        let session = proof.sid.and_then(|sid| self.sessions.get(sid)).ok_or(Refusal::Token)?;
        let token = proof.token.ok_or(Refusal::Token)?;
        if unmasks_to(token, &session.secret) { Ok(()) } else { Err(Refusal::Token) }
    }

    fn own_order(&self, owner: u32, number: u64) -> Result<&Order, Refusal> {
        let order = self.orders.get(&number).ok_or(Refusal::NotFound)?;
        if order.owner == owner { Ok(order) } else { Err(Refusal::NotYours) }
    }

    fn reference(&self, owner: u32, number: u64) -> String {
        signature(&self.link_key, &format!("{owner}/{number}"))
    }

    fn user_id(&self, account: u32) -> u64 {
        self.user_ids_from + u64::from(account) * 37
    }
}
