//! The HTML of the sample shop. Everything that anybody typed is escaped.

use super::shop::{Cart, Order, Visit};
use crate::wire::text::html_escape;

/// The articles on sale: name in the API, title, price in cents.
pub(super) const ARTICLES: &[(&str, &str, u32)] = &[
    ("LAMP-BRASS", "Brass desk lamp", 8_900),
    ("MUG-BLUE", "Blue stoneware mug", 1_450),
    ("CHAIR-OAK", "Oak chair", 18_900),
    ("CLOCK-WALL", "Wall clock", 4_200),
    ("RUG-WOOL", "Wool rug", 12_500),
    ("VASE-TALL", "Tall vase", 3_300),
    ("SHELF-PINE", "Pine shelf", 6_700),
    ("TRAY-CORK", "Cork tray", 1_900),
];

/// The style sheet.
pub(super) const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:46rem;color:#222}\n\
    header{display:flex;gap:1rem;align-items:center;border-bottom:1px solid #ddd;padding-bottom:.5rem}\n\
    table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #eee}\n\
    .message{color:#a40000}form.inline{display:inline}input,button{font:inherit}\n";

/// The script. The scripted visitors do what it would do in a browser.
pub(super) const SCRIPT: &str = "'use strict';\n\
    const token=()=>document.querySelector('meta[name=\"csrf-token\"]').content;\n\
    const api=(method,path,body)=>fetch(path,{method,headers:{'Content-Type':'application/json',\
    'X-CSRF-Token':token(),'X-Api-Key':window.APP.apiKey},body:body&&JSON.stringify(body)}).then(r=>r.json());\n\
    if(window.APP)api('GET',`/api/users/${window.APP.user.id}/preferences`);\n\
    let cart=null;\n\
    for(const b of document.querySelectorAll('[data-article]'))b.onclick=async()=>{\n\
    cart=cart||(await api('POST','/api/carts',{currency:'EUR'})).cart;\n\
    cart=(await api('PUT',`/api/carts/${cart.id}/items`,{cart:cart.id,version:cart.version,\
    article:b.dataset.article,quantity:1})).cart;\n\
    document.querySelector('#checkout').href='/checkout?cart='+cart.id;};\n";

/// The front page.
pub(super) fn home() -> String {
    page("Overdub sample shop", "", "", "<h1>Things for rooms</h1><p><a href=\"/login\">Log in</a> to order.</p>")
}

/// The login page, with a message when something was wrong.
pub(super) fn login(token: &str, username: &str, message: Option<&str>) -> String {
    let message = message.map(|m| format!("<p class=\"message\">{}</p>", html_escape(m))).unwrap_or_default();
    let body = format!(
        "<h1>Log in</h1>{message}<form method=\"post\" action=\"/login\">\
         <input type=\"hidden\" name=\"csrf_token\" value=\"{token}\">\
         <label>Name <input type=\"text\" name=\"username\" value=\"{}\" autocomplete=\"username\"></label>\
         <label>Password <input type=\"password\" name=\"password\" autocomplete=\"current-password\"></label>\
         <button>Log in</button></form>",
        html_escape(username)
    );
    page("Log in", "", "", &body)
}

/// The articles.
pub(super) fn shop(visit: &Visit) -> String {
    let rows: String = ARTICLES
        .iter()
        .map(|(article, title, cents)| {
            let (article, title, price) = (html_escape(article), html_escape(title), price(*cents));
            format!("<tr><td>{title}</td><td>{price}</td><td><button data-article=\"{article}\">Add</button></td></tr>")
        })
        .collect();
    let body = format!(
        "<h1>Articles</h1><table>{rows}</table>\
         <form method=\"get\" action=\"/search\"><input type=\"text\" name=\"q\" value=\"\"><button>Search my orders\
         </button></form><p><a id=\"checkout\" href=\"/checkout\">Check out</a></p>"
    );
    private_page("Articles", visit, &body)
}

/// The form that places the order.
pub(super) fn checkout(visit: &Visit, cart: &Cart) -> String {
    let body = format!(
        "<h1>Check out</h1>{}<form method=\"post\" action=\"/checkout\">\
         <input type=\"hidden\" name=\"csrf_token\" value=\"{}\">\
         <input type=\"hidden\" name=\"cart_id\" value=\"{}\">\
         <input type=\"hidden\" name=\"cart_version\" value=\"{}\">\
         <label>Note <input type=\"text\" name=\"note\" value=\"\"></label><button>Order</button></form>",
        items(&cart.items),
        visit.form_token,
        html_escape(&cart.id),
        cart.version
    );
    private_page("Check out", visit, &body)
}

/// One order, with a form to attach a file.
pub(super) fn order(visit: &Visit, order: &Order) -> String {
    let files: String = order
        .attachments
        .iter()
        .map(|(name, bytes)| format!("<li>{} ({bytes} bytes)</li>", html_escape(name)))
        .collect();
    let body = format!(
        "<h1>Order {number}</h1>{items}<p>Note: {note}</p><ul>{files}</ul>\
         <form method=\"post\" action=\"/orders/{number}/attachment\" enctype=\"multipart/form-data\">\
         <input type=\"hidden\" name=\"csrf_token\" value=\"{token}\">\
         <input type=\"hidden\" name=\"order_id\" value=\"{number}\">\
         <label>Sketch <input type=\"file\" name=\"file\"></label><button>Attach</button></form>",
        number = order.number,
        items = items(&order.items),
        note = html_escape(&order.note),
        token = visit.form_token,
    );
    private_page("Order", visit, &body)
}

/// What a search found.
pub(super) fn search(visit: &Visit, word: &str, hits: &[(Order, String)]) -> String {
    let found: String = hits
        .iter()
        .map(|(order, reference)| {
            let (number, note) = (order.number, html_escape(&order.note));
            format!("<li><a href=\"/orders/{number}?ref={reference}\">Order {number}</a>: {note}</li>")
        })
        .collect();
    let body = format!("<h1>Orders with “{}”</h1><ul>{found}</ul>", html_escape(word));
    private_page("Search", visit, &body)
}

/// A page that says why not.
pub(super) fn refusal(status: u16, reason: &str) -> String {
    page("Not possible", "", "", &format!("<h1>{status}</h1><p class=\"message\">{}</p>", html_escape(reason)))
}

fn private_page(title: &str, visit: &Visit, body: &str) -> String {
    let head = format!(
        "<meta name=\"csrf-token\" content=\"{}\"><script>window.APP = {{\"apiKey\":\"{}\",\"user\":{{\"id\":{},\
         \"name\":\"{}\"}}}};</script>",
        visit.meta_token, visit.api_key, visit.user_id, visit.account.username
    );
    let top = format!(
        "<span>{}</span><form class=\"inline\" method=\"post\" action=\"/logout\">\
         <input type=\"hidden\" name=\"csrf_token\" value=\"{}\"><button>Log out</button></form>",
        html_escape(&visit.account.username),
        visit.logout_token
    );
    page(title, &head, &top, body)
}

fn page(title: &str, head: &str, top: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{}</title>{head}\n\
         <link rel=\"stylesheet\" href=\"/static/shop.css\"><script src=\"/static/shop.js\" defer></script></head>\n\
         <body><header><img src=\"/static/logo.png\" alt=\"\" width=\"32\" height=\"32\"><b>Sample shop</b>{top}</header>\n\
         {body}\n</body>\n</html>\n",
        html_escape(title)
    )
}

fn items(items: &[(String, u32)]) -> String {
    let rows: String =
        items.iter().map(|(article, n)| format!("<tr><td>{}</td><td>{n}</td></tr>", html_escape(article))).collect();
    format!("<table>{rows}</table>")
}

fn price(cents: u32) -> String {
    format!("{}.{:02} €", cents / 100, cents % 100)
}
