//! Rules and data files with mistakes.

use std::fs;

use super::{run, workplace};

const REPLAY: &str = "replay good.dub --target http://127.0.0.1:9 --speed max";

#[test]
fn a_mistake_in_the_rules_is_named_with_file_line_and_column() {
    let dir = workplace();
    let variable = |from: &str| format!("format = 1\n[[variable]]\nname = \"a\"\nfrom = [{from}]\ninto = []\n");
    let cases: [(String, &str, &str); 15] = [
        (String::new(), "1:1", "missing field `format`"),
        ("format = ".into(), "1:10", ""),
        ("format = 1\n[[variable]\n".into(), "2:12", ""),
        ("format = \"one\"".into(), "1:10", "invalid type"),
        ("format = 9".into(), "1:10", "this version reads 1"),
        ("format = 1\nformat = 1".into(), "2:1", "duplicate key"),
        ("format = 1\n\ntypo = 2".into(), "3:1", "unknown field `typo`"),
        ("format = 1\n[[variable]]\nnaem = \"a\"".into(), "3:1", "unknown field `naem`"),
        (variable("{endpoint = \"GET https://h/\", take = 'regex(\"(\")'}"), "4:46", "no regular expression"),
        (variable("{endpoint = \"GET https://h/\", take = 'fetch(\"x\")'}"), "4:46", "fetch"),
        (variable("{endpoint = \"nonsense\", take = 'meta(\"x\")'}"), "4:21", "`nonsense` is no endpoint"),
        ("format = 1\n[[generator]]\nkind = \"dice\"\ninto = []".into(), "3:8", "unknown variant `dice`"),
        ("format = 1\n[[ignored]]\nendpoint = \"GET https://h/\"\nslot = \"\"".into(), "3:12", "slot"),
        (variable("") + "\n[[variable]]\nname = \"a\"\nfrom = []\ninto = []", "8:8", "there twice"),
        ("format = 1\n# \u{e4}\u{e4} \0".into(), "2:6", ""),
    ];
    for (text, place, words) in cases {
        fs::write(dir.path().join("bad.toml"), &text).unwrap();
        let told = run(dir.path(), &format!("{REPLAY} --rules bad.toml"));
        told.expect(2, &[&format!("overdub: bad.toml:{place}: "), words]);
        assert_eq!((told.err.lines().count(), told.out.as_str()), (1, ""), "{text}: {told:#?}");
    }
}

#[test]
fn what_is_no_text_is_no_rules_file() {
    let dir = workplace();
    fs::write(dir.path().join("bad.toml"), b"format = 1\nname = \"\xff\"").unwrap();
    run(dir.path(), &format!("{REPLAY} --rules bad.toml")).expect(2, &["bad.toml:2:9: this is not UTF-8 text"]);
    run(dir.path(), &format!("{REPLAY} --rules good.dub")).expect(2, &["good.dub:1:1: this is not UTF-8 text"]);
    run(dir.path(), &format!("{REPLAY} --rules none.toml")).expect(2, &["cannot read the rules none.toml"]);
    run(dir.path(), &format!("{REPLAY} --rules .")).expect(2, &["cannot read the rules .", "directory"]);
}

#[test]
fn a_data_file_with_mistakes_is_refused_with_its_line() {
    let dir = workplace();
    fs::create_dir(dir.path().join("folder")).unwrap();
    for (name, bytes, words) in [
        ("none.csv", None, &["none.csv", "No such file"][..]),
        ("folder", None, &["folder", "directory"]),
        ("empty.csv", Some(&b""[..]), &["empty.csv", "is empty", "first line"]),
        ("header.csv", Some(b"user,pass\n"), &["header.csv", "no rows"]),
        ("ragged.csv", Some(b"user,pass\na,b\nc\n"), &["ragged.csv: line 3"]),
        ("latin.csv", Some(b"user\nB\xf6b\n"), &["latin.csv: line 2", "not UTF-8"]),
        ("twice.csv", Some(b"user,pass,user\na,b,c\n"), &["twice.csv", "`user` is there twice"]),
        ("utf16.csv", Some(b"\xff\xfeu\0s\0e\0r\0\n\0"), &["utf16.csv: line 1", "not UTF-8"]),
    ] {
        if let Some(bytes) = bytes {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        run(dir.path(), &format!("{REPLAY} --data {name}")).expect(2, words);
        let told = run(dir.path(), &format!("correlate good.dub --data {name} -o new.toml"));
        told.expect(2, words);
        assert!(!dir.path().join("new.toml").exists(), "{told:#?}");
    }
}

#[test]
fn data_that_does_not_suffice_is_refused_before_anything_is_sent() {
    let dir = workplace();
    let rules = "format = 1\n[[parameter]]\ncolumn = \"user\"\nrecorded = [\"ann\"]\ninto = []\n";
    fs::write(dir.path().join("rules.toml"), rules).unwrap();
    fs::write(dir.path().join("three.csv"), "user\na\nb\nc\n").unwrap();
    fs::write(dir.path().join("other.csv"), "name\na\nb\nc\nd\ne\n").unwrap();
    for (flags, words) in [
        ("--users 5x --data three.csv", &["3 rows", "5 virtual users", "add rows or lower --users"][..]),
        ("--users 5x --data other.csv", &["column `user`"]),
        ("--users 5x", &["columns user", "--data"]),
    ] {
        let told = run(dir.path(), &format!("{REPLAY} --rules rules.toml {flags}"));
        told.expect(2, words);
        assert!(!told.err.contains("playing"), "{told:#?}");
    }
}
