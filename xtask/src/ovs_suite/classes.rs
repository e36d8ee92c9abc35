//! Why a group failed, out of its log: the first thing that is known to be missing, or else how its first failed step ended.

/// The class of a failed group.
pub(super) fn of(log: &str) -> String {
    let quoted = |before: &str, after: &str| {
        let (_, rest) = log.split_once(before)?;
        rest.split_once(after).map(|(inside, _)| inside.to_owned())
    };
    if log.trim().is_empty() {
        return "nothing was heard of it".to_owned();
    }
    if let Some(start) = log.find("is not a valid command (use")
        && let Some(name) =
            log.get(..start).and_then(|text| text.trim_end().trim_end_matches('"').rsplit('"').next())
    {
        return format!("there is no command `{name}`");
    }
    let known = [
        ("databases are not served yet", "no database server"),
        ("another switch daemon listens", "two daemons in one directory"),
        ("thread 'main' panicked", "a panic"),
        ("panicked at", "a panic"),
        ("database connection failed", "the database could not be reached"),
        ("Address already in use", "an address was taken"),
        ("unix:db.sock: database connection", "the database could not be reached"),
    ];
    if let Some((_, class)) = known.iter().find(|(text, _)| log.contains(text)) {
        return (*class).to_owned();
    }
    if log.contains(".mgmt: failed to connect")
        || log.contains(".mgmt is not a socket")
        || log.contains("is not a bridge or a socket")
    {
        return "no OpenFlow at the bridge".to_owned();
    }
    if let Some(option) = quoted("unrecognized option '", "'") {
        return format!("there is no option {option}");
    }
    if log.contains("wait failed after") || log.contains("ovs_wait") && log.contains("timed out") {
        return "something waited for did not come".to_owned();
    }
    // What the log of a daemon says of the first warning that was not expected.
    if let Some(line) =
        log.lines().find(|line| line.starts_with('+') && (line.contains("|WARN|") || line.contains("|ERR|")))
    {
        let fields: Vec<&str> = line.split('|').collect();
        return format!("a warning of {}", fields.get(2).unwrap_or(&"?"));
    }
    match first_step(log) {
        Some(command) => format!("another answer of {command}"),
        None => "other".to_owned(),
    }
}

/// The program that was called last before the first difference or status that was not expected.
fn first_step(log: &str) -> Option<String> {
    let mut last = None;
    for line in log.lines() {
        // Places are paths, relative or not, and lines: `./x.at:3: command`.
        let step = line.split_once(": ").filter(|(place, _)| {
            place.contains(".at:")
                && !place.contains(' ')
                && (place.starts_with("./") || place.starts_with('/'))
        });
        if let Some((place, command)) = step {
            if command.starts_with("exit code was") {
                return last;
            }
            if place.contains(".at:") {
                let mut words = command.split_whitespace();
                let program = words.next().unwrap_or_default();
                let what = match program {
                    "ovs-appctl" | "ovs-vsctl" | "ovs-ofctl" => words.find(|word| {
                        !word.starts_with('-') && word.chars().next().is_some_and(char::is_alphabetic)
                    }),
                    _ => None,
                };
                last = Some(what.map_or_else(|| program.to_owned(), |what| format!("{program} {what}")));
            }
        } else if line.starts_with("+++ ") && last.is_some() {
            return last;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn classes_of_logs() {
        assert_eq!(of(""), "nothing was heard of it");
        assert_eq!(
            of("stderr:\n\"ofproto/trace\" is not a valid command (use \"list-commands\" to see)\n"),
            "there is no command `ofproto/trace`"
        );
        let log = "#  -*- compilation -*-\n./x.at:3: ovs-vsctl add-br br0\n./x.at:5: ovs-appctl -t y fdb/show br0 | sort\n\
                   --- -\t1\n+++ /tmp/x\n@@ -1 +1 @@\n";
        assert_eq!(of(log), "another answer of ovs-appctl y");
        let log = "./x.at:3: ovs-ofctl add-flow br0 x\n./x.at:3: exit code was 1, expected 0\n";
        assert_eq!(of(log), "another answer of ovs-ofctl add-flow");
        assert_eq!(of("+2026-01-01T00:00:00Z|00001|bridge|WARN|no"), "a warning of bridge");
    }
}
