//! `ovs-vsctl`: two database servers, one for each tool, that have the same at any time.

use super::place::{Place, Said, Whose, has};
use super::words;

const COMMANDS: &str = include_str!("vsctl.txt");

/// Text whose numbers of rows, whole or cut, are left out.
fn anonymous(text: &str) -> String {
    let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let run: String = rest.chars().take_while(|c| hexadecimal(*c) || *c == '-').collect();
        let is_uuid = run.len() == 36 && run.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && run.is_ascii();
        if is_uuid {
            out.push_str("<row>");
            rest = &rest[run.len()..];
        } else if run.is_empty() {
            let c = rest.chars().next().unwrap();
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.push_str(&run);
            rest = &rest[run.len()..];
        }
    }
    out
}

/// Lines in an order that does not depend on the numbers of rows.
fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = anonymous(text).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn dump(place: &Place) -> Vec<String> {
    let server = format!("unix:{}", place.path("db.sock"));
    sorted(&place.run(Whose::Real, "ovsdb-client", &["dump", &server], None).output)
}

#[test]
fn the_databases_become_the_same() {
    if !has(&["ovs-vsctl", "ovsdb-server", "ovsdb-client", "ovsdb-tool"]) {
        return;
    }
    let (theirs, ours) = (Place::with_database(), Place::with_database());
    let mut count = 0;
    for line in COMMANDS.lines().filter(|line| !line.starts_with('#')) {
        let mut given = words(line);
        if !line.contains("-t") {
            given.insert(0, "--timeout=5".to_owned());
        }
        given.insert(0, "--no-wait".to_owned());
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let real = theirs.run(Whose::Real, "ovs-vsctl", &given, None);
        let said = ours.run(Whose::Ours, "ovs-vsctl", &given, None);
        assert_eq!(said.status, real.status, "{line}\n{real:?}\n{said:?}");
        assert_eq!(sorted(&said.output), sorted(&real.output), "{line}");
        // The real tool forgets the end of its own message here.
        if !real.errors.ends_with("syntax error at \"\n") {
            assert_eq!(anonymous(&said.errors), anonymous(&real.errors), "{line}");
        }
        assert_eq!(dump(&ours), dump(&theirs), "{line}");
        count += 1;
    }
    println!("ovs-vsctl: {count} commands alike");
    assert!(count > 250, "only {count} commands");
}

/// The tool waits until the switch has done what it was told, and says what went wrong there.
#[test]
fn it_waits_for_the_switch() {
    if !has(&["ovs-vsctl", "ovsdb-server", "ovs-vswitchd", "ovsdb-tool"]) {
        return;
    }
    let place = Place::with_switch();
    let run = |whose, line: &str| {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        place.run(whose, "ovs-vsctl", &words, None)
    };
    for line in [
        "add-br br0 -- set bridge br0 datapath_type=dummy",
        "add-port br0 p1 -- set interface p1 type=dummy ofport_request=5",
        "add-port br0 nosuch -- set interface nosuch type=nosuch",
        "del-port nosuch",
    ] {
        let said = run(Whose::Ours, line);
        assert_eq!(said.status, Some(0), "{line}: {said:?}");
        assert_eq!(
            said.errors.contains("Error detected while setting up 'nosuch'"),
            line.contains("nosuch -- ")
        );
    }
    let number = |whose| run(whose, "get interface p1 ofport").output;
    assert_eq!((number(Whose::Ours), number(Whose::Real)), ("5\n".to_owned(), "5\n".to_owned()));
    let Said { output, .. } = run(Whose::Real, "show");
    assert_eq!(sorted(&run(Whose::Ours, "show").output), sorted(&output));
}
