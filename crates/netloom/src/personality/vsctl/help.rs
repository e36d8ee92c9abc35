//! What the tool says about itself.

use super::super::client::{Done, say};
use super::{COMMANDS, Command};

/// Prints all commands, as programs that complete words ask for them.
pub(super) fn list() -> Done {
    let mut text = String::new();
    for Command { name, usage, options, .. } in COMMANDS {
        let options: Vec<String> = options.iter().map(|option| format!("[{option}]")).collect();
        text.push_str(&format!("{},{name},{usage}\n", options.join(",")));
    }
    say(&text);
    Ok(())
}

/// Prints how the tool is used.
pub(super) fn print(program: &str) -> Done {
    let mut text = format!(
        "{program}: ovs-vswitchd management utility\n\
         usage: {program} [OPTIONS] COMMAND [ARG...] [-- COMMAND [ARG...]]...\n\nCommands:\n"
    );
    for Command { name, usage, options, .. } in COMMANDS {
        let options: String = options.iter().map(|option| format!("[{option}] ")).collect();
        text.push_str(&format!("  {options}{name} {usage}\n"));
    }
    text.push_str(
        "\nOptions:\n  \
         --db=DATABASE               connect to DATABASE (unix:FILE or tcp:HOST:PORT)\n  \
         --no-wait                   do not wait for the switch to reconfigure\n  \
         --retry                     keep trying to connect to server forever\n  \
         -t, --timeout=SECS          wait at most SECS seconds for ovs-vswitchd\n  \
         --dry-run                   do not commit changes to database\n  \
         --oneline                   print exactly one line of output per command\n  \
         -f, --format=FORMAT         tables as table, html, csv, json or list\n  \
         -d, --data=FORMAT           data as string, bare or json\n  \
         --no-headings, --pretty, --bare, --max-column-width=N\n  \
         -h, --help                  display this help message\n  \
         -V, --version               display version information\n",
    );
    say(&text);
    Ok(())
}
