//! `show`: the database as a tree.

use super::super::client::Done;
use super::context::Context;
use super::draft::Place;

/// The tables of the tree: what a row is called by, and what is told of it.
const TABLES: [(&str, Option<&str>, &[&str]); 6] = [
    ("Open_vSwitch", None, &["manager_options", "bridges", "ovs_version"]),
    ("Bridge", Some("name"), &["controller", "fail_mode", "datapath_type", "ports"]),
    ("Port", Some("name"), &["tag", "trunks", "interfaces"]),
    ("Interface", Some("name"), &["type", "options", "error", "bfd_status"]),
    ("Controller", Some("target"), &["is_connected"]),
    ("Manager", Some("target"), &["is_connected"]),
];

/// The tables and columns that are told.
pub(super) fn wanted() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    TABLES.iter().map(|(table, name, columns)| (*table, name.iter().chain(*columns).copied().collect()))
}

pub(super) fn show(context: &mut Context<'_>) -> Done {
    let table = context.switch.0;
    for uuid in context.draft.rows(table) {
        let text = row(context, (table, uuid), 0, &mut Vec::new());
        context.output.push_str(&text);
    }
    Ok(())
}

/// A row and what it refers to. A table that is told already is not told again within itself.
fn row(context: &Context<'_>, place: Place, level: usize, within: &mut Vec<&'static str>) -> String {
    let indent = |level: usize| " ".repeat(4 * level);
    let name = context.draft.table(place.0).map(|table| table.name.clone()).unwrap_or_default();
    let known = TABLES.iter().find(|(table, ..)| **table == *name);
    let mut out = indent(level);
    match known {
        Some((table, Some(column), _)) => {
            out.push_str(&format!("{table} "));
            context.draft.value(place, column).describe(false, false, &mut out);
        }
        _ => out.push_str(&place.1.to_string()),
    }
    out.push('\n');
    let Some((table, _, columns)) = known.filter(|(table, ..)| !within.contains(table)) else { return out };
    within.push(table);
    for column in *columns {
        let of = context.draft.table(place.0);
        let Some(column) = of.and_then(|of| of.columns.get(of.column(column)?)) else { continue };
        let refers = column.ty.key.reference().map(|to| to.index);
        let told = refers.and_then(|to| context.draft.table(to));
        if told.is_some_and(|to| TABLES.iter().any(|(table, ..)| **table == *to.name)) {
            for uuid in context.draft.references(place, &column.name) {
                let to = (refers.unwrap_or_default(), uuid);
                if context.draft.row(to).is_some() {
                    out.push_str(&row(context, to, level + 1, within));
                }
            }
            continue;
        }
        let value = context.draft.value(place, &column.name);
        if !value.is_default(&column.ty) {
            out.push_str(&format!("{}{}: ", indent(level + 1), column.name));
            value.describe(column.ty.is_composite(), column.ty.is_map(), &mut out);
            out.push('\n');
        }
    }
    within.pop();
    out
}
