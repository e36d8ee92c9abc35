//! The command line: long options that may be shortened, with values behind `=` or as the next word; options and other words
//! in any order.

use super::paths;
use crate::doors::Dummies;
use std::path::PathBuf;

/// Whether an option takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    No,
    /// Only behind `=`.
    Maybe,
    Yes,
}

/// Options of both programs.
const COMMON: &[(&str, Value)] = &[
    ("help", Value::No),
    ("version", Value::No),
    ("detach", Value::No),
    ("monitor", Value::No),
    ("no-chdir", Value::No),
    ("no-self-confinement", Value::No),
    ("pidfile", Value::Maybe),
    ("overwrite-pidfile", Value::No),
    ("user", Value::Yes),
    ("verbose", Value::Maybe),
    ("log-file", Value::Maybe),
    ("syslog-method", Value::Yes),
    ("syslog-target", Value::Yes),
    ("unixctl", Value::Yes),
    ("private-key", Value::Yes),
    ("certificate", Value::Yes),
    ("ca-cert", Value::Yes),
    ("bootstrap-ca-cert", Value::Yes),
    ("peer-ca-cert", Value::Yes),
    ("ssl-protocols", Value::Yes),
    ("ssl-ciphers", Value::Yes),
    ("record", Value::Maybe),
    ("replay", Value::Maybe),
    ("option", Value::No),
];
const VSWITCHD: &[(&str, Value)] = &[
    ("mlockall", Value::No),
    ("enable-dummy", Value::Maybe),
    ("disable-system", Value::No),
    ("disable-system-route", Value::No),
    ("dpdk", Value::Yes),
    ("dummy-numa", Value::Yes),
];
const OVSDB_SERVER: &[(&str, Value)] = &[
    ("remote", Value::Yes),
    ("run", Value::Yes),
    ("no-db", Value::No),
    ("no-dbs", Value::No),
    ("sync-from", Value::Yes),
    ("sync-exclude-tables", Value::Yes),
    ("active", Value::No),
    ("disable-file-column-diff", Value::No),
];

/// How a program was called.
#[derive(Debug, Clone, Default)]
pub struct Called {
    /// As which program.
    pub program: &'static str,
    /// Everything behind the program's name, to be said again to another process.
    pub all: Vec<String>,
    pub help: bool,
    pub version: bool,
    pub detach: bool,
    pub monitor: bool,
    pub no_chdir: bool,
    pub pid_file: Option<PathBuf>,
    pub overwrite_pid_file: bool,
    pub user: Option<String>,
    /// What is to be said of the log, in order; none for everything.
    pub verbose: Vec<Option<String>>,
    pub log_file: Option<PathBuf>,
    pub syslog_method: Option<String>,
    pub syslog_target: Option<String>,
    pub unixctl: Option<String>,
    pub dummies: Dummies,
    pub lock_memory: bool,
    pub remotes: Vec<String>,
    pub run: Option<String>,
    pub no_databases: bool,
    /// Options that are for the database alone, with their values.
    pub others: Vec<(String, String)>,
    /// What is no option.
    pub words: Vec<String>,
}

impl Called {
    /// Reads what follows the program's name.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(program: &'static str, all: Vec<String>) -> Result<Self, String> {
        let mut called = Self { program, all: all.clone(), ..Self::default() };
        let own = if program == "ovsdb-server" { OVSDB_SERVER } else { VSWITCHD };
        let mut words = all.into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                called.words.extend(words);
                break;
            }
            if let Some(option) = word.strip_prefix("--") {
                let (name, given) = match option.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (option, None),
                };
                let (name, kind) = find(own, name).map_err(|why| format!("{why} '--{name}'"))?;
                let value = match (kind, given) {
                    (Value::No, Some(_)) => {
                        return Err(format!("option '--{name}' doesn't allow an argument"));
                    }
                    (Value::Yes, None) => {
                        let next = words.next();
                        Some(next.ok_or_else(|| format!("option '--{name}' requires an argument"))?)
                    }
                    (_, given) => given,
                };
                called.take(name, value)?;
            } else if word.len() > 1 && word.starts_with('-') {
                called.short(&word, &mut words)?;
            } else {
                called.words.push(word);
            }
        }
        Ok(called)
    }

    fn short(&mut self, word: &str, words: &mut impl Iterator<Item = String>) -> Result<(), String> {
        let mut letters = word.get(1..).unwrap_or_default().chars();
        while let Some(letter) = letters.next() {
            let rest = letters.as_str().to_owned();
            let value = |words: &mut dyn Iterator<Item = String>| match rest.is_empty() {
                false => Ok(rest.clone()),
                true => words.next().ok_or_else(|| format!("option requires an argument -- '{letter}'")),
            };
            match letter {
                'h' => self.help = true,
                'V' => self.version = true,
                'v' => {
                    self.verbose.push((!rest.is_empty()).then_some(rest));
                    return Ok(());
                }
                'p' => return self.take("private-key", Some(value(words)?)),
                'c' => return self.take("certificate", Some(value(words)?)),
                'C' => return self.take("ca-cert", Some(value(words)?)),
                _ => return Err(format!("invalid option -- '{letter}'")),
            }
        }
        Ok(())
    }

    fn take(&mut self, name: &str, value: Option<String>) -> Result<(), String> {
        let text = value.clone().unwrap_or_default();
        match name {
            "help" => self.help = true,
            "version" => self.version = true,
            "detach" => self.detach = true,
            "monitor" => self.monitor = true,
            "no-chdir" => self.no_chdir = true,
            "overwrite-pidfile" => self.overwrite_pid_file = true,
            "pidfile" => {
                let file = value.unwrap_or_else(|| format!("{}.pid", self.program));
                self.pid_file = Some(absolute(paths::within(&paths::run(), &file)));
            }
            "log-file" => {
                let named = value.map(|file| paths::absolute(&file));
                let own = || absolute(paths::logs().join(format!("{}.log", self.program)));
                self.log_file = Some(named.unwrap_or_else(own));
            }
            "verbose" => self.verbose.push(value),
            "user" => self.user = Some(text),
            "syslog-method" => self.syslog_method = Some(text),
            "syslog-target" => self.syslog_target = Some(text),
            "unixctl" => self.unixctl = Some(text),
            "mlockall" => self.lock_memory = true,
            "enable-dummy" => {
                self.dummies = match value.as_deref() {
                    None => Dummies::Own,
                    Some("system") => Dummies::System,
                    Some("override") => Dummies::All,
                    Some(other) => return Err(format!("--enable-dummy={other}: system or override")),
                }
            }
            "remote" => self.remotes.push(text),
            "run" => self.run = Some(text),
            "no-db" | "no-dbs" => self.no_databases = true,
            // The switch has no data path of the system anyway.
            "disable-system" | "disable-system-route" | "no-self-confinement" | "option" => {}
            other => self.others.push((other.to_owned(), text)),
        }
        Ok(())
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// The option that is meant: the one of this name, or the only one that begins so.
fn find(own: &[(&'static str, Value)], name: &str) -> Result<(&'static str, Value), String> {
    let all = || COMMON.iter().chain(own).copied();
    if let Some(found) = all().find(|(known, _)| *known == name) {
        return Ok(found);
    }
    let mut begins = all().filter(|(known, _)| known.starts_with(name));
    match (begins.next(), begins.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err("ambiguous option".to_owned()),
        _ => Err("unrecognized option".to_owned()),
    }
}

/// What `--help` prints.
pub fn help(program: &str) -> String {
    let (run, logs) = (paths::run(), paths::logs());
    let (run, logs) = (run.display(), logs.display());
    let first = match program {
        "ovsdb-server" => format!(
            "ovsdb-server: Open vSwitch database server\n\
             usage: ovsdb-server [OPTIONS] [DATABASE...]\n\
             where each DATABASE is a database file in ovsdb format.\n\
             The default DATABASE, if none is given, is\n{}/conf.db.\n\n\
             JSON-RPC options (may be specified any number of times):\n  \
             --remote=REMOTE         connect or listen to REMOTE\n",
            paths::databases().display()
        ),
        _ => format!(
            "ovs-vswitchd: Open vSwitch daemon\n\
             usage: ovs-vswitchd [OPTIONS] [DATABASE]\n\
             where DATABASE is a socket on which ovsdb-server is listening\n      \
             (default: \"unix:{run}/db.sock\").\n"
        ),
    };
    format!(
        "{first}\n\
         Daemon options:\n  \
         --detach                run in background as daemon\n  \
         --monitor               creates a process to monitor this daemon\n  \
         --user=username[:group] changes the effective daemon user:group\n  \
         --no-chdir              do not chdir to '/'\n  \
         --pidfile[=FILE]        create pidfile (default: {run}/{program}.pid)\n  \
         --overwrite-pidfile     with --pidfile, start even if already running\n\n\
         Logging options:\n  \
         -vSPEC, --verbose=SPEC   set logging levels\n  \
         -v, --verbose            set maximum verbosity level\n  \
         --log-file[=FILE]        enable logging to specified FILE\n                           \
         (default: {logs}/{program}.log)\n  \
         --syslog-method=(libc|unix:file|udp:ip:port)\n                           \
         specify how to send messages to syslog daemon\n  \
         --syslog-target=HOST:PORT  also send syslog msgs to HOST:PORT via UDP\n\n\
         Other options:\n  \
         --unixctl=SOCKET        override default control socket name\n  \
         -h, --help              display this help message\n  \
         -V, --version           display version information\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(program: &'static str, text: &str) -> Result<Called, String> {
        Called::read(program, text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn command_lines_of_start_scripts() {
        let called = read(
            "ovs-vswitchd",
            "unix:/x/db.sock -vconsole:emer -vsyslog:err -vfile:info --mlockall --no-chdir --log-file=/l/v.log \
             --pidfile=/r/v.pid --detach --monitor -v --enable-dummy=system --disable-system",
        )
        .unwrap();
        assert_eq!(called.words, ["unix:/x/db.sock"]);
        let verbose: Vec<Option<&str>> = called.verbose.iter().map(Option::as_deref).collect();
        assert_eq!(verbose, [Some("console:emer"), Some("syslog:err"), Some("file:info"), None]);
        assert!(called.detach && called.monitor && called.no_chdir && called.lock_memory);
        assert_eq!(called.dummies, Dummies::System);
        assert_eq!(called.pid_file.as_deref(), Some(std::path::Path::new("/r/v.pid")));
        let called = read(
            "ovsdb-server",
            "/c/conf.db --remote=punix:/r/db.sock --remote db:Open_vSwitch,Open_vSwitch,manager_options \
             --private-key=db:Open_vSwitch,SSL,private_key -p k --bootstrap-ca=x --run true --unix /r/c -- -x",
        )
        .unwrap();
        assert_eq!(called.remotes.len(), 2);
        assert_eq!((called.run.as_deref(), called.unixctl.as_deref()), (Some("true"), Some("/r/c")));
        assert_eq!(called.words, ["/c/conf.db", "-x"]);
        assert_eq!(called.others.len(), 3);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| read("ovs-vswitchd", text).unwrap_err();
        assert_eq!(error("--nonsense"), "unrecognized option '--nonsense'");
        assert_eq!(error("--remote=x"), "unrecognized option '--remote'");
        assert_eq!(error("--no"), "ambiguous option '--no'");
        assert_eq!(error("--detach=1"), "option '--detach' doesn't allow an argument");
        assert_eq!(error("--unixctl"), "option '--unixctl' requires an argument");
        assert_eq!(error("-x"), "invalid option -- 'x'");
    }
}
