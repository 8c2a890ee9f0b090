//! What the sample shop tells of itself: what happened, and why it refused something.

use std::collections::{BTreeMap, BTreeSet};

/// What truly happened at the site since it was started or reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SiteState {
    /// Accounts that passed the login and the redirects behind it.
    pub accounts_logged_in: BTreeSet<String>,
    /// Accounts that logged out properly.
    pub accounts_logged_out: BTreeSet<String>,
    /// Orders of each account that has any.
    pub orders_by_account: BTreeMap<String, u64>,
    /// Attachments of each account that has any.
    pub uploads_by_account: BTreeMap<String, u64>,
    /// Followed search results of each account that has any.
    pub found_by_account: BTreeMap<String, u64>,
    /// All orders.
    pub orders: u64,
    /// Their numbers.
    pub order_numbers: BTreeSet<u64>,
    /// Orders whose note is the word of the account that placed them.
    pub orders_with_own_note: u64,
    /// Requests refused, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// Why the shop does not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No session, or nobody logged in with it.
    NotLoggedIn,
    /// Form token missing or not of this session.
    Token,
    /// Missing or wrong key of the JSON API.
    ApiKey,
    /// User name and password do not belong together.
    Password,
    /// Ticket missing, used or not of this session.
    Ticket,
    /// Somebody else's.
    NotYours,
    /// No such thing.
    NotFound,
    /// The cart has changed since.
    Version,
    /// Nothing in the cart.
    EmptyCart,
    /// The signature in the link is wrong.
    Reference,
    /// Not what the endpoint takes.
    Malformed,
}

impl Refusal {
    /// Key in [`SiteState::refused`].
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NotLoggedIn => "not logged in",
            Self::Token => "wrong form token",
            Self::ApiKey => "wrong api key",
            Self::Password => "wrong password",
            Self::Ticket => "wrong ticket",
            Self::NotYours => "not yours",
            Self::NotFound => "not found",
            Self::Version => "wrong cart version",
            Self::EmptyCart => "empty cart",
            Self::Reference => "wrong reference",
            Self::Malformed => "malformed",
        }
    }
}
