//! The built-in sample site and its scripted visitors. Uses `wire` at most; knows nothing of the rest of the program.
//!
//! [`Site`] is a small shop whose every protection (rotated session cookie, masked form tokens, one-time tickets,
//! optimistic locks, signed links) defeats a naive replay. [`visit`] sends a scripted person through it, and
//! [`Site::state`] says afterwards what truly happened.

mod accounts;
mod browser;
mod connection;
mod forms;
mod pages;
mod picture;
mod routes;
mod shop;
mod site;
mod state;
mod tokens;
mod visitor;

pub use accounts::{ACCOUNTS, Account, account, accounts};
pub use browser::{Answer, Ask, Browser, BrowserConfig, BrowserError};
pub use forms::{form_field, tag_attribute};
pub use site::{Site, SiteConfig, SiteError};
pub use state::SiteState;
pub use visitor::{Journey, VisitError, Visitor, visit};
