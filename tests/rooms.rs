//! Holds the table of rooms in DESIGN: which room may use which.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Room, and the rooms it may use. The same table stands in `src/ARCHITECTURE.md`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &["model"]),
    ("capture", &["model"]),
    ("observe", &["model", "wire", "capture"]),
    ("record", &["model", "wire", "capture", "observe"]),
    ("import", &["model", "wire", "capture", "observe"]),
    ("export", &["model", "wire", "capture"]),
    ("rules", &["model", "wire"]),
    ("correlate", &["model", "wire", "rules"]),
    ("plan", &["model", "rules"]),
    ("measure", &["model"]),
    ("replay", &["model", "wire", "rules", "plan", "measure"]),
    ("compare", &["model", "measure"]),
    ("report", &["measure", "compare", "model"]),
    ("demo", &["wire"]),
];

/// Crates that a room must never name, because of what it must not know.
const MUST_NOT_NAME: &[(&str, &[&str])] = &[
    ("model", &["serde", "tokio", "hyper"]),
    ("wire", &["tokio", "std::net::Tcp", "std::fs", "Instant::now", "SystemTime"]),
    ("capture", &["tokio", "httparse", "hyper"]),
    ("observe", &["tokio", "std::net::Tcp", "std::fs", "Instant::now", "SystemTime"]),
    ("rules", &["std::fs", "Instant::now", "SystemTime", "tokio"]),
    ("correlate", &["crate::capture", "tokio", "std::fs"]),
    ("plan", &["tokio", "std::net::Tcp", "Instant::now", "SystemTime", "std::fs"]),
    ("measure", &["tokio", "std::net::Tcp"]),
    ("replay", &["clap", "stdout", "crate::capture"]),
    ("compare", &["tokio", "std::fs"]),
    ("report", &["stdout", "std::fs"]),
];

fn sources(room: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room), &mut found);
    assert!(!found.is_empty(), "room {room} has no sources");
    found
}

/// The rooms named as `crate::room` in a source, comments left out.
fn rooms_named(source: &str) -> BTreeSet<String> {
    let code: String = source.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut named = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + 7..];
        if let Some(list) = rest.strip_prefix('{') {
            let end = list.find("};").unwrap_or(list.len());
            let mut depth = 0;
            let mut word = String::new();
            for c in list[..end].chars().chain([',']) {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        named.insert(word.trim().split("::").next().unwrap_or("").to_owned());
                        word.clear();
                    }
                    c if depth == 0 => word.push(c),
                    _ => {}
                }
            }
        } else {
            named.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    named
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let rooms: BTreeSet<&str> = MAY_USE.iter().map(|(room, _)| *room).chain(["cli"]).collect();
    for (room, allowed) in MAY_USE {
        for (file, source) in sources(room) {
            for used in rooms_named(&source) {
                let fine = used == *room || allowed.contains(&used.as_str()) || !rooms.contains(used.as_str());
                assert!(fine, "{file}: room `{room}` uses `{used}`, which ARCHITECTURE.md does not allow");
            }
        }
    }
}

#[test]
fn rooms_do_not_know_what_they_must_not() {
    for (room, banned) in MUST_NOT_NAME {
        for (file, source) in sources(room) {
            let production = source.split("#[cfg(test)]").next().unwrap_or("");
            for (number, line) in production.lines().enumerate() {
                for word in *banned {
                    let comment = line.trim_start().starts_with("//");
                    assert!(comment || !line.contains(word), "{file}:{}: room `{room}` names `{word}`", number + 1);
                }
            }
        }
    }
}

#[test]
fn one_file_alone_touches_bincode() {
    let users: Vec<String> = ["model", "wire", "capture", "record", "rules", "plan", "measure", "replay", "cli"]
        .iter()
        .flat_map(|room| sources(room))
        .filter(|(_, source)| source.lines().any(|l| !l.trim_start().starts_with("//") && l.contains("bincode")))
        .map(|(file, _)| file)
        .collect();
    assert!(users.iter().all(|f| f.ends_with("capture/stored.rs")), "{users:?}");
}

#[test]
fn the_reader_of_uses_sees_groups_and_paths() {
    let named = rooms_named("use crate::{model::{A, B}, wire};\nuse crate::rules::X;\n// use crate::replay::Y;\n");
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["model", "rules", "wire"]);
}
