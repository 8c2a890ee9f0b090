//! Rows of a page: the elements around a text, as ranges of the page's source.

use std::ops::Range;

use html5gum::{DefaultEmitter, Token, Tokenizer};

/// Elements that hold many rows: what is around them is no row.
const ROW_LIMITS: &[&str] = &["html", "body", "main", "table", "tbody", "ul", "ol", "dl", "select"];
/// Elements without an end tag.
const VOID: &[&str] =
    &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
/// How many elements around a text are looked at.
const ROW_DEPTH: usize = 6;

/// An element that is not closed yet.
struct Open {
    name: String,
    start: usize,
    /// Places of the text inside it.
    places: Vec<Place>,
}

/// One place of the text: its number, and how many elements around it were closed so far.
#[derive(Clone, Copy)]
struct Place {
    number: usize,
    depth: usize,
}

/// Where the elements stand that hold `needle` in their text or an attribute, for each place of it the smallest first; lists
/// and tables, and what is around them, are left out.
pub fn rows(html: &str, needle: &str) -> Vec<Range<usize>> {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    emitter.naively_switch_states(true);
    let mut found: Vec<(usize, usize, Range<usize>)> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut seen = 0;
    let mut see = |open: &mut Vec<Open>| {
        if let Some(element) = open.last_mut() {
            element.places.push(Place { number: seen, depth: 0 });
            seen += 1;
        }
    };
    for token in Tokenizer::new_with_emitter(html, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => {
                let name = String::from_utf8_lossy(&tag.name).into_owned();
                let holds = tag.attributes.values().any(|value| String::from_utf8_lossy(value).contains(needle));
                if !VOID.contains(&name.as_str()) && !tag.self_closing {
                    open.push(Open { name, start: tag.span.start, places: Vec::new() });
                }
                if holds {
                    see(&mut open);
                }
            }
            Token::String(text) if String::from_utf8_lossy(&text).contains(needle) => see(&mut open),
            Token::EndTag(tag) => {
                let name = String::from_utf8_lossy(&tag.name).into_owned();
                let Some(at) = open.iter().rposition(|element| element.name == name) else { continue };
                close(&mut open, at, tag.span.end, &mut found);
            }
            _ => {}
        }
    }
    found.sort_by_key(|(number, depth, _)| (*number, *depth));
    found.into_iter().map(|(_, _, range)| range).filter(|range| html.get(range.clone()).is_some()).collect()
}

/// Closes the elements from `at` on, which all end at `end`.
fn close(open: &mut Vec<Open>, at: usize, end: usize, found: &mut Vec<(usize, usize, Range<usize>)>) {
    let mut places: Vec<Place> = Vec::new();
    for element in open.drain(at..).rev() {
        places.extend(element.places);
        if ROW_LIMITS.contains(&element.name.as_str()) {
            places.clear();
        }
        for place in &mut places {
            if place.depth < ROW_DEPTH {
                found.push((place.number, place.depth, element.start..end));
            }
            place.depth += 1;
        }
    }
    if let Some(around) = open.last_mut() {
        around.places.extend(places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_elements_around_a_text() {
        let html = "<body><p>Hi ann</p><table><tr><td>one</td><td><a href=/e/1>e</a></td></tr><tr><td>by ann</td><td><a href=/e/2>e</a></td></tr></table></body>";
        let found: Vec<&str> = rows(html, "ann").into_iter().map(|r| &html[r]).collect();
        assert_eq!(found, ["<p>Hi ann</p>", "<td>by ann</td>", "<tr><td>by ann</td><td><a href=/e/2>e</a></td></tr>"]);
        assert!(rows(html, "bob").is_empty());
        for cut in 0..html.len() {
            let _ = rows(&html[..cut], "a");
        }
    }
}
