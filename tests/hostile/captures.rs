//! Files that are no capture, or no longer one, given to every command that reads captures.

use std::fs;

use super::{names, run, shipped, workplace};

/// Every command that reads a capture, with `FILE` in its place; what it makes begins with `new`.
const COMMANDS: [&str; 9] = [
    "inspect FILE",
    "inspect FILE --json",
    "verify FILE",
    "verify FILE --json",
    "repair FILE -o new.dub",
    "correlate FILE -o new.toml",
    "replay FILE --target http://127.0.0.1:9 --speed max -o new.run",
    "compare FILE good.dub --html new.html",
    "compare good.dub FILE",
];

/// A capture that says it is of format 7.3.
fn newer(mut bytes: Vec<u8>) -> Vec<u8> {
    (bytes[8], bytes[10]) = (7, 3);
    let body_end = 20 + usize::from(bytes[12]);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..16]), &bytes[20..body_end]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn what_is_no_capture_is_refused_by_every_command_in_one_sentence() {
    let dir = workplace();
    let good = fs::read(shipped()).unwrap();
    let foreign = "not an overdub capture";
    let newer = newer(good);
    let files = [
        ("none.dub", None, &["none.dub", "No such file"][..]),
        ("folder", None, &["folder", "Is a directory"]),
        ("empty.dub", Some(&b""[..]), &["empty.dub", foreign, "overdub record"]),
        ("png.dub", Some(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\x06"), &[foreign, "overdub record"]),
        ("har.dub", Some(br#"{"log":{"version":"1.2","entries":[]}}"#), &[foreign]),
        ("text.dub", Some(b"hello"), &[foreign]),
        ("nul.dub", Some(&[0; 5000]), &[foreign]),
        ("newer.dub", Some(&newer), &["written by overdub 0.1.0 in format 7.3", "cannot read", "or later"]),
        ("results.dub", Some(b"overdub-run 1\n"), &["results.dub"]),
    ];
    fs::create_dir(dir.path().join("folder")).unwrap();
    for (name, bytes, _) in &files {
        if let Some(bytes) = bytes {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
    }
    let before = names(dir.path());
    for (name, _, words) in &files {
        for command in COMMANDS {
            let told = run(dir.path(), &command.replace("FILE", name));
            told.expect(2, words);
            assert_eq!((told.err.lines().count(), told.out.as_str()), (1, ""), "{told:#?}");
            assert!(told.err.starts_with("overdub: "), "{told:#?}");
        }
    }
    assert_eq!(names(dir.path()), before, "nothing was made of nothing");
}

#[test]
fn a_capture_cut_inside_its_header_says_so() {
    let dir = workplace();
    let good = fs::read(shipped()).unwrap();
    for length in [1, 8, 19, 30] {
        fs::write(dir.path().join("cut.dub"), &good[..length]).unwrap();
        for command in COMMANDS {
            let told = run(dir.path(), &command.replace("FILE", "cut.dub"));
            if command.starts_with("verify") {
                told.expect(1, &[]).prints(&["header"]);
            } else {
                told.expect(2, &["cut.dub", "header", "is damaged"]);
                assert_eq!(told.err.contains("`overdub repair cut.dub"), !command.starts_with("repair"), "{told:#?}");
                assert_eq!(told.err.lines().count(), 1, "{told:#?}");
            }
        }
    }
    assert_eq!(names(dir.path()), ["cut.dub", "good.dub"]);
}

#[test]
fn of_a_torn_capture_every_command_uses_the_rest_and_says_so() {
    let dir = workplace();
    let good = fs::read(shipped()).unwrap();
    for length in [good.len() / 3, good.len() / 2, good.len() - 3] {
        let torn = &good[..length];
        fs::write(dir.path().join("torn.dub"), torn).unwrap();
        let told = |command: &str| run(dir.path(), &command.replace("FILE", "torn.dub"));
        told("inspect FILE").expect(0, &["torn", "overdub repair torn.dub"]).prints(&["cut at the end"]);
        told("inspect FILE --json").expect(0, &["torn"]).prints(&["\"id\":1,"]);
        told("verify FILE").expect(1, &[]).prints(&["torn: the last", "overdub repair"]);
        told("correlate FILE -o new.toml").expect(0, &["torn.dub", "are cut", "overdub verify"]);
        told("replay FILE --target http://127.0.0.1:9 --speed max").expect(4, &["not whole", "overdub verify"]);
        let compared = told("compare FILE good.dub");
        assert!(matches!(compared.code, Some(0 | 3)), "{compared:#?}");
        assert!(compared.err.contains("is damaged; what is left of it is compared"), "{compared:#?}");
        assert_eq!(fs::read(dir.path().join("torn.dub")).unwrap(), torn, "a reader changes nothing");
        told("repair FILE -o new.dub").expect(0, &[]).prints(&["lost: the last"]);
        run(dir.path(), "verify new.dub").expect(0, &[]).prints(&["sound"]);
        fs::remove_file(dir.path().join("new.dub")).unwrap();
    }
}

#[test]
fn runs_that_are_none_are_refused() {
    let dir = workplace();
    let cases: [(&[u8], &str); 5] = [
        (b"overdub-run 2\n", "a run in format 2, which this version cannot read; use a later overdub"),
        (b"overdub-run 1\n", "the run is damaged"),
        (b"overdub-run 1\nrubbish", "the run is damaged"),
        (b"overdub-run", "not an overdub run"),
        (b"%PDF-1.7", "not an overdub run"),
    ];
    for (bytes, words) in cases {
        fs::write(dir.path().join("odd.run"), bytes).unwrap();
        for line in ["compare good.dub odd.run", "compare odd.run good.dub --json"] {
            let told = run(dir.path(), line);
            told.expect(2, &["cannot read odd.run", words]);
            assert_eq!((told.err.lines().count(), told.out.as_str()), (1, ""), "{told:#?}");
        }
    }
}

#[test]
fn numbers_and_filters_that_fit_nothing_are_refused() {
    let dir = workplace();
    for (line, words) in [
        ("inspect good.dub --exchange 99999", "good.dub has no exchange 99999; the last is 22"),
        ("inspect good.dub --exchange x", "invalid"),
        ("inspect good.dub --filter colour=red", "unknown filter term `colour=red`"),
        ("inspect good.dub --filter status=abc", "status=404"),
        ("compare good.dub good.dub --margin nan", "a number from 0"),
        ("demo --users 0x", "50x"),
        ("demo --users 100000x", "at most"),
        ("demo --speed 1e-300", "a factor such as 10"),
        ("shell man nonsense", "there is no command `nonsense`"),
        ("nonsense", "unrecognized subcommand"),
        ("record", "--output"),
    ] {
        run(dir.path(), line).expect(2, &[words]);
    }
    assert_eq!(names(dir.path()), ["good.dub"]);
}
