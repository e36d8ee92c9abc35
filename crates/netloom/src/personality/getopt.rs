//! Command lines of tools: long options that may be shortened, letters that may stand together, and other words.
//!
//! What is wrong is said in the words of getopt_long(3), since scripts compare them.

/// Whether an option takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// It takes none.
    No,
    /// Only behind `=`, or at once behind its letter.
    Maybe,
    /// It must have one.
    Yes,
}

/// An option that a tool knows: its name, its letter if it has one, and whether it takes a value.
pub type Known = (&'static str, Option<char>, Value);

/// An option that was given, and its value.
pub type Given = (&'static str, Option<String>);

/// Options of the log and of certificates, which every tool has.
pub const COMMON: &[Known] = &[
    ("help", Some('h'), Value::No),
    ("version", Some('V'), Value::No),
    ("option", Some('o'), Value::No),
    ("verbose", Some('v'), Value::Maybe),
    ("log-file", None, Value::Maybe),
    ("syslog-method", None, Value::Yes),
    ("syslog-target", None, Value::Yes),
    ("private-key", Some('p'), Value::Yes),
    ("certificate", Some('c'), Value::Yes),
    ("ca-cert", Some('C'), Value::Yes),
    ("bootstrap-ca-cert", None, Value::Yes),
    ("peer-ca-cert", None, Value::Yes),
    ("ssl-protocols", None, Value::Yes),
    ("ssl-ciphers", None, Value::Yes),
];

/// Reads a command line: the options, and the other words. With `first_word_ends` nothing behind the first other word is an
/// option.
///
/// # Errors
/// The first thing that is wrong.
pub fn read(
    known: &[&[Known]],
    words: &[String],
    first_word_ends: bool,
) -> Result<(Vec<Given>, Vec<String>), String> {
    let (mut given, mut others) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            others.extend(words.cloned());
            break;
        }
        if let Some(option) = word.strip_prefix("--") {
            given.push(long(known, option, || words.next().cloned())?);
        } else if word.len() > 1 && word.starts_with('-') {
            short(known, word, &mut words, &mut given)?;
        } else {
            others.push(word.clone());
            if first_word_ends {
                others.extend(words.cloned());
                break;
            }
        }
    }
    Ok((given, others))
}

fn long(known: &[&[Known]], option: &str, next: impl FnOnce() -> Option<String>) -> Result<Given, String> {
    let (written, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (option, None),
    };
    let (name, kind) = find(known, written)?;
    match (kind, value) {
        (Value::No, Some(_)) => Err(format!("option '--{name}' doesn't allow an argument")),
        (Value::Yes, None) => match next() {
            Some(value) => Ok((name, Some(value))),
            None => Err(format!("option '--{name}' requires an argument")),
        },
        (_, value) => Ok((name, value)),
    }
}

fn short<'w>(
    known: &[&[Known]],
    word: &str,
    words: &mut impl Iterator<Item = &'w String>,
    given: &mut Vec<Given>,
) -> Result<(), String> {
    let mut letters = word.get(1..).unwrap_or_default().chars();
    while let Some(letter) = letters.next() {
        let found = known.iter().copied().flatten().find(|(_, short, _)| *short == Some(letter));
        let Some((name, _, kind)) = found else { return Err(format!("invalid option -- '{letter}'")) };
        let rest = letters.as_str();
        match kind {
            Value::No => given.push((name, None)),
            Value::Maybe => {
                given.push((name, (!rest.is_empty()).then(|| rest.to_owned())));
                return Ok(());
            }
            Value::Yes => {
                let value = if rest.is_empty() { words.next().cloned() } else { Some(rest.to_owned()) };
                let value = value.ok_or_else(|| format!("option requires an argument -- '{letter}'"))?;
                given.push((name, Some(value)));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The option of this name, or the only one that begins so.
fn find(known: &[&[Known]], written: &str) -> Result<(&'static str, Value), String> {
    let all = || known.iter().copied().flatten().copied();
    if let Some((name, _, kind)) = all().find(|(name, ..)| *name == written) {
        return Ok((name, kind));
    }
    let begins: Vec<Known> = all().filter(|(name, ..)| name.starts_with(written)).collect();
    match begins.as_slice() {
        [(name, _, kind)] => Ok((name, *kind)),
        [] => Err(format!("unrecognized option '--{written}'")),
        many => {
            let all: String = many.iter().map(|(name, ..)| format!(" '--{name}'")).collect();
            Err(format!("option '--{written}' is ambiguous; possibilities:{all}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[Known] =
        &[("strict", None, Value::No), ("sort", None, Value::Maybe), ("more", Some('m'), Value::No)];

    fn of(text: &str, first_word_ends: bool) -> Result<(Vec<Given>, Vec<String>), String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        read(&[OWN, COMMON], &words, first_word_ends)
    }

    #[test]
    fn options_stand_anywhere_or_before_the_first_word() {
        let (given, others) = of("-mm show --so=priority -vdbg br0 -- --strict", false).unwrap();
        assert_eq!(
            given,
            [
                ("more", None),
                ("more", None),
                ("sort", Some("priority".to_owned())),
                ("verbose", Some("dbg".to_owned()))
            ]
        );
        assert_eq!(others, ["show", "br0", "--strict"]);
        assert_eq!(of("show --strict", true).unwrap().1, ["show", "--strict"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text| of(text, false).unwrap_err();
        assert_eq!(error("--nonsense"), "unrecognized option '--nonsense'");
        assert_eq!(
            error("--s"),
            "option '--s' is ambiguous; possibilities: '--strict' '--sort' '--syslog-method' '--syslog-target' '--ssl-protocols' '--ssl-ciphers'"
        );
        assert_eq!(error("--strict=1"), "option '--strict' doesn't allow an argument");
        assert_eq!(error("-x"), "invalid option -- 'x'");
        assert_eq!(error("-p"), "option requires an argument -- 'p'");
    }
}
