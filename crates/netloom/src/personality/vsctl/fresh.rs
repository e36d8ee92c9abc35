//! Command lines that only add ports: they need to know the bridges and whether the names are free, and not the hundreds of
//! ports that may be there already.
//!
//! What: [`names`] says whether a command line is one of these, [`wanted`] asks for the rows that have these names, and
//! [`are_free`] says whether there are any. If a name is taken, or a command fails, the tool looks at everything instead and
//! finds out why: so nothing that is said depends on this.

use super::context::Call;
use super::{Command, lookup};
use netloom_proto::ovsdb::client::{Replica, Wanted};
use netloom_proto::ovsdb::{Atom, Json};

/// More new ports than that look at everything.
const MOST: usize = 32;

/// The names of the new ports, if the commands do nothing but add ports to bridges and set what is in them.
pub fn names(calls: &[(Call, &'static Command)]) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for (call, command) in calls {
        match command.name {
            "add-port" if call.options.is_empty() => names.push(call.word(2).to_owned()),
            "set" if call.options.is_empty() => {
                let table =
                    lookup::table_name(["Port", "Interface", "Bridge"].into_iter(), call.word(1)).ok()?;
                // What is called otherwise may be shortened; these names are written out.
                let known = matches!(call.word(1), "port" | "Port" | "interface" | "Interface");
                if table == "Bridge" || !known || !names.iter().any(|name| name == call.word(2)) {
                    return None;
                }
            }
            "comment" => {}
            _ => return None,
        }
    }
    (!names.is_empty() && names.len() <= MOST).then_some(names)
}

/// What is to be followed for them.
pub fn wanted(names: &[String]) -> Vec<Wanted> {
    let clause =
        |name: &String| Json::Array(vec![Json::string("name"), Json::string("=="), Json::string(name)]);
    let named = Json::Array(names.iter().map(clause).collect());
    let of = |table: &str, columns: &[&str], condition: Option<&Json>| Wanted {
        table: table.to_owned(),
        columns: Some(columns.iter().map(|column| (*column).to_owned()).collect()),
        condition: condition.cloned(),
    };
    vec![
        of("Open_vSwitch", &["bridges", "cur_cfg", "next_cfg"], None),
        of("Bridge", &["name"], None),
        of("Port", &["name", "interfaces"], Some(&named)),
        of("Interface", &["name", "ofport", "error"], Some(&named)),
    ]
}

/// Whether no port and no interface has one of these names.
pub fn are_free(replica: &Replica, names: &[String]) -> bool {
    let taken = |table: &str| {
        let schema = replica.schema();
        let Some(place) = schema.table(table) else { return true };
        let Some(column) = schema.tables.get(place).and_then(|table| table.column("name")) else {
            return true;
        };
        let name = |at: &Atom| names.iter().any(|name| at.as_str() == Some(name));
        replica.rows(place).any(|row| row.field(column).one().is_some_and(name))
    };
    !taken("Port") && !taken("Interface")
}
