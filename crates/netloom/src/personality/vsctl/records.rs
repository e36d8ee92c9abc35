//! Rows of any table: get, list, find, set, add, remove, clear, create, destroy, wait-until.

use super::super::client::{Done, Stop};
use super::context::{Context, Symbols};
use super::draft::{Draft, Place};
use super::lookup;
use super::table::{Cell, Table};
use netloom_control::unixctl::vlog::Level;
use netloom_proto::ovsdb::text::{any_number_of, parse_atom, parse_datum, value_type};
use netloom_proto::ovsdb::{AtomicType, BaseType, Column, ColumnType, Datum, STANDARD_COLUMNS, Uuid};
use std::cmp::Ordering;

type Of<'c, 'a> = &'c mut Context<'a>;

/// What stands between a column and a value in a condition.
const OPERATORS: [&str; 14] =
    ["=", "!=", "<", ">", "<=", ">=", "{=}", "{!=}", "{<}", "{>}", "{<=}", "{>=}", "{in}", "{not-in}"];

fn column_of(draft: &Draft, table: usize, at: usize) -> Result<Column, String> {
    let column = draft.table(table).and_then(|table| table.columns.get(at)).cloned();
    column.ok_or_else(|| "unknown column".to_owned())
}

fn name_of(draft: &Draft, table: usize) -> String {
    draft.table(table).map(|table| table.name.to_string()).unwrap_or_default()
}

/// Refuses to change a column that may only be written when its row is made.
fn check_mutable(draft: &Draft, place: Place, column: &Column, new: bool) -> Result<(), String> {
    if column.mutable || new {
        return Ok(());
    }
    Err(format!("cannot modify read-only column {} in table {}", column.name, name_of(draft, place.0)))
}

fn datum(text: &str, ty: &ColumnType, symbols: &mut Symbols) -> Result<Datum, String> {
    parse_datum(text, ty, &mut |name: &str, base: &BaseType| symbols.refer(name, base))
}

/// Carries out `COLUMN[:KEY]=VALUE`. Nothing that is written alone disturbs what others write (`partial`).
pub(super) fn set_column(
    draft: &mut Draft,
    symbols: &mut Symbols,
    place: Place,
    text: &str,
    partial: bool,
) -> Result<(), String> {
    set(draft, symbols, place, text, partial, false)
}

fn set(
    draft: &mut Draft,
    symbols: &mut Symbols,
    place: Place,
    text: &str,
    partial: bool,
    new: bool,
) -> Result<(), String> {
    let term = lookup::term(draft, place.0, text, &["="])?;
    let column = column_of(draft, place.0, term.column)?;
    check_mutable(draft, place, &column, new)?;
    let Some(key) = &term.key else {
        let value = datum(&term.value, &column.ty, symbols)?;
        draft.write(place, term.column, value, false);
        return Ok(());
    };
    let Some(base) = &column.ty.value else {
        return Err(format!("cannot specify key to set for non-map column {}", column.name));
    };
    let mut names = |name: &str, base: &BaseType| symbols.refer(name, base);
    let key = parse_atom(key, &column.ty.key, &mut names)?;
    let value = parse_atom(&term.value, base, &mut names)?;
    let pair = Datum::map(vec![(key, value)]);
    if partial {
        draft.add(place, term.column, &pair);
    } else {
        let old = draft.row(place).map_or(Datum::Empty, |row| row.field(term.column).clone());
        draft.write(place, term.column, pair.union(&old), true);
    }
    Ok(())
}

/// Whether a row fulfils `COLUMN[:KEY]=VALUE`.
fn fulfils(draft: &Draft, symbols: &mut Symbols, place: Place, text: &str) -> Result<bool, String> {
    let term = lookup::term(draft, place.0, text, &OPERATORS)?;
    let column = column_of(draft, place.0, term.column)?;
    let have = draft.row(place).map_or(Datum::Empty, |row| row.field(term.column).clone());
    let Some(key) = &term.key else {
        let want = datum(&term.value, &column.ty, symbols)?;
        return Ok(compare(&have, &want, term.operator));
    };
    let Some(values) = value_type(&column.ty) else {
        return Err(format!("cannot specify key to check for non-map column {}", column.name));
    };
    let key = parse_atom(key, &column.ty.key, &mut |name: &str, base: &BaseType| symbols.refer(name, base))?;
    let values = ColumnType { max: u32::MAX, ..values };
    let want = datum(&term.value, &values, symbols)?;
    match have.value(&key) {
        Some(value) => Ok(compare(&Datum::One(value.clone()), &want, term.operator)),
        None if term.operator.starts_with('{') => Ok(compare(&Datum::Empty, &want, term.operator)),
        None => Ok(false),
    }
}

fn compare(have: &Datum, want: &Datum, operator: &str) -> bool {
    let order = have.cmp(want);
    match operator {
        "=" | "{=}" => order == Ordering::Equal,
        "!=" | "{!=}" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        ">" => order == Ordering::Greater,
        "<=" => order != Ordering::Greater,
        ">=" => order != Ordering::Less,
        "{<}" => want.len() > have.len() && want.includes(have),
        "{>}" => have.len() > want.len() && have.includes(want),
        "{<=}" | "{in}" => want.includes(have),
        "{>=}" => have.includes(want),
        _ => have.excludes(want),
    }
}

/// The table of a command, and the row; nothing if there is none and need not be.
fn target(context: &Context<'_>, must: bool) -> Done<Option<Place>> {
    let table = lookup::table(context.draft, context.word(1))?;
    Ok(lookup::row(context.draft, table, context.word(2), must)?)
}

fn must_exist(context: &Context<'_>) -> bool {
    !context.call.has("--if-exists")
}

pub(super) fn get(context: Of<'_, '_>) -> Done {
    let id = context.call.option("--id").map(str::to_owned);
    let must = must_exist(context);
    if id.is_some() && !must {
        return Err("--if-exists and --id may not be specified together".into());
    }
    let Some(place) = target(context, must)? else { return Ok(()) };
    if let Some(id) = id {
        let (symbol, new) = context.symbols.create(&id)?;
        if !new {
            let text = format!("row id \"{id}\" specified on \"get\" command was used before it was defined");
            return Err(text.into());
        }
        (symbol.uuid, symbol.strong) = (place.1, true);
    }
    for text in context.call.words.iter().skip(3) {
        if text.eq_ignore_ascii_case("_uuid") || text.eq_ignore_ascii_case("-uuid") {
            context.line(&place.1.to_string());
            continue;
        }
        let term = lookup::term(context.draft, place.0, text, &[])?;
        let column = column_of(context.draft, place.0, term.column)?;
        let have = context.draft.row(place).map_or(Datum::Empty, |row| row.field(term.column).clone());
        let mut out = String::new();
        match &term.key {
            None => have.describe(column.ty.is_composite(), column.ty.is_map(), &mut out),
            Some(_) if !column.ty.is_map() => {
                return Err(format!("cannot specify key to get for non-map column {}", column.name).into());
            }
            Some(key) => {
                let symbols = &mut *context.symbols;
                let mut names = |name: &str, base: &BaseType| symbols.refer(name, base);
                let atom = parse_atom(key, &column.ty.key, &mut names)?;
                match have.value(&atom) {
                    Some(value) => value.describe(&mut out),
                    None if must => {
                        let (table, record) = (name_of(context.draft, place.0), context.word(2));
                        let column = &column.name;
                        return Err(format!(
                            "no key \"{key}\" in {table} record \"{record}\" column {column}"
                        )
                        .into());
                    }
                    None => {}
                }
            }
        }
        context.line(&out);
    }
    Ok(())
}

/// The columns that are listed; nothing stands for the row's name.
fn listed(context: &Context<'_>, table: usize) -> Done<Vec<Option<usize>>> {
    let Some(names) = context.call.option("--columns") else {
        let count = context.draft.table(table).map_or(0, |table| table.columns.len());
        return Ok(std::iter::once(None).chain((STANDARD_COLUMNS..count).map(Some)).collect());
    };
    let mut columns = Vec::new();
    for name in names.split([',', ' ']).filter(|name| !name.is_empty()) {
        columns.push(if name.eq_ignore_ascii_case("_uuid") {
            None
        } else {
            Some(lookup::column(context.draft, table, name)?)
        });
    }
    if columns.is_empty() { Err("must specify at least one column name".into()) } else { Ok(columns) }
}

fn begin_table(context: &Context<'_>, table: usize, columns: &[Option<usize>]) -> Table {
    let name = |at: &Option<usize>| match at {
        None => "_uuid".to_owned(),
        Some(at) => {
            column_of(context.draft, table, *at).map(|column| column.name.to_string()).unwrap_or_default()
        }
    };
    Table { headings: columns.iter().map(name).collect(), ..Table::default() }
}

fn list_row(context: &Context<'_>, place: Place, columns: &[Option<usize>]) -> Vec<Cell> {
    let cell = |at: &Option<usize>| match at {
        None => Cell::Datum(place.1.into(), ColumnType::scalar(AtomicType::Uuid)),
        Some(at) => {
            let ty = column_of(context.draft, place.0, *at).map(|column| column.ty);
            let value = context.draft.row(place).map_or(Datum::Empty, |row| row.field(*at).clone());
            Cell::Datum(value, ty.unwrap_or_else(|_| ColumnType::scalar(AtomicType::String)))
        }
    };
    columns.iter().map(cell).collect()
}

pub(super) fn list(context: Of<'_, '_>) -> Done {
    let must = must_exist(context);
    let table = lookup::table(context.draft, context.word(1))?;
    let columns = listed(context, table)?;
    let mut out = begin_table(context, table, &columns);
    if context.count() > 2 {
        for word in context.call.words.iter().skip(2) {
            if let Some(place) = lookup::row(context.draft, table, word, must)? {
                out.rows.push(list_row(context, place, &columns));
            }
        }
    } else {
        for uuid in context.draft.rows(table) {
            out.rows.push(list_row(context, (table, uuid), &columns));
        }
    }
    context.table = Some(out);
    Ok(())
}

pub(super) fn find(context: Of<'_, '_>) -> Done {
    let table = lookup::table(context.draft, context.word(1))?;
    let columns = listed(context, table)?;
    let mut out = begin_table(context, table, &columns);
    for uuid in context.draft.rows(table) {
        let place = (table, uuid);
        let mut all = true;
        for text in context.call.words.iter().skip(2) {
            if !fulfils(context.draft, context.symbols, place, text)? {
                all = false;
                break;
            }
        }
        if all {
            out.rows.push(list_row(context, place, &columns));
        }
    }
    context.table = Some(out);
    Ok(())
}

pub(super) fn set_columns(context: Of<'_, '_>) -> Done {
    let Some(place) = target(context, must_exist(context))? else { return Ok(()) };
    for text in context.call.words.iter().skip(3) {
        set_column(context.draft, context.symbols, place, text, context.last)?;
    }
    Ok(())
}

/// Table, row and column of `add` and `remove`.
fn cell(context: &Context<'_>) -> Done<Option<(Place, usize, Column)>> {
    let table = lookup::table(context.draft, context.word(1))?;
    let at = lookup::column(context.draft, table, context.word(3))?;
    let Some(place) = lookup::row(context.draft, table, context.word(2), must_exist(context))? else {
        return Ok(None);
    };
    let column = column_of(context.draft, table, at)?;
    check_mutable(context.draft, place, &column, false)?;
    Ok(Some((place, at, column)))
}

const fn members(ty: &ColumnType) -> &'static str {
    if ty.is_map() { "pairs" } else { "values" }
}

pub(super) fn add(context: Of<'_, '_>) -> Done {
    let Some((place, at, column)) = cell(context)? else { return Ok(()) };
    let ty = any_number_of(&column.ty);
    let mut added = Datum::Empty;
    let old = context.draft.row(place).map_or(Datum::Empty, |row| row.field(at).clone());
    for text in context.call.words.iter().skip(4) {
        let more = datum(text, &ty, context.symbols)?;
        added = added.union(&more);
    }
    if context.last {
        // What is there already stays: of a map only new keys come.
        context.draft.add(place, at, &added);
        return Ok(());
    }
    let new = old.union(&added);
    if new.len() > column.ty.max as usize {
        let (count, what, name, most) = (new.len(), members(&column.ty), &column.name, column.ty.max);
        let table = name_of(context.draft, place.0);
        return Err(format!(
            "\"add\" operation would put {count} {what} in column {name} of table {table} but the maximum number is {most}"
        )
        .into());
    }
    context.draft.write(place, at, new, true);
    Ok(())
}

pub(super) fn remove(context: Of<'_, '_>) -> Done {
    let Some((place, at, column)) = cell(context)? else { return Ok(()) };
    let ty = any_number_of(&column.ty);
    let keys = ColumnType { value: None, ..ty.clone() };
    let mut rest = context.draft.row(place).map_or(Datum::Empty, |row| row.field(at).clone());
    for text in context.call.words.iter().skip(4) {
        let removed = match datum(text, &ty, context.symbols) {
            Ok(removed) => removed,
            // Of a map keys alone may be named.
            Err(_) if column.ty.is_map() => datum(text, &keys, context.symbols)?,
            Err(error) => return Err(error.into()),
        };
        rest = rest.subtract(&removed);
    }
    if rest.len() < column.ty.min as usize {
        let (count, what, name, least) = (rest.len(), members(&column.ty), &column.name, column.ty.min);
        let table = name_of(context.draft, place.0);
        return Err(format!(
            "\"remove\" operation would put {count} {what} in column {name} of table {table} but the minimum number is \
             {least}"
        )
        .into());
    }
    context.draft.write(place, at, rest, true);
    Ok(())
}

pub(super) fn clear(context: Of<'_, '_>) -> Done {
    let Some(place) = target(context, must_exist(context))? else { return Ok(()) };
    for word in context.call.words.iter().skip(3) {
        let at = lookup::column(context.draft, place.0, word)?;
        let column = column_of(context.draft, place.0, at)?;
        check_mutable(context.draft, place, &column, false)?;
        if column.ty.min > 0 {
            let (name, table) = (&column.name, name_of(context.draft, place.0));
            return Err(format!(
                "\"clear\" operation cannot be applied to column {name} of table {table}, which is not allowed to be \
                 empty"
            )
            .into());
        }
        context.draft.write(place, at, Datum::Empty, false);
    }
    Ok(())
}

pub(super) fn create(context: Of<'_, '_>) -> Done {
    let table = lookup::table(context.draft, context.word(1))?;
    let is_root = context.draft.table(table).is_some_and(|table| table.is_root);
    let uuid = match context.call.option("--id") {
        None => {
            if let Some(known) = context.draft.table(table).filter(|_| !is_root) {
                let text = format!(
                    "applying \"create\" command to table {} without --id option will have no effect",
                    known.name
                );
                context.log.write("db_ctl_base", Level::Warning, &text);
            }
            None
        }
        Some(id) => match id.parse::<Uuid>() {
            Ok(uuid) => Some(uuid),
            Err(_) => {
                let (symbol, _) = context.symbols.create(id)?;
                symbol.strong |= is_root;
                Some(symbol.uuid)
            }
        },
    };
    let unknown = || Stop::from(format!("unknown table \"{}\"", context.call.word(1)));
    let place = context.draft.insert(table, uuid).ok_or_else(unknown)?;
    for text in context.call.words.iter().skip(2) {
        set(context.draft, context.symbols, place, text, false, true)?;
    }
    // The real name is known when the transaction is done.
    context.output.push_str(&place.1.to_string());
    Ok(())
}

pub(super) fn destroy(context: Of<'_, '_>) -> Done {
    let (all, must) = (context.call.has("--all"), must_exist(context));
    let table = lookup::table(context.draft, context.word(1))?;
    if all && context.count() > 2 {
        return Err("--all and records argument should not be specified together".into());
    }
    if all && !must {
        return Err("--all and --if-exists should not be specified together".into());
    }
    if all {
        for uuid in context.draft.rows(table) {
            context.draft.delete((table, uuid));
        }
    } else if context.count() == 2 {
        context.warn("either --all or records argument should be specified");
    }
    for word in context.call.words.iter().skip(2) {
        if let Some(place) = lookup::row(context.draft, table, word, must)? {
            context.draft.delete(place);
        }
    }
    Ok(())
}

pub(super) fn wait_until(context: Of<'_, '_>) -> Done {
    let Some(place) = target(context, false)? else {
        context.try_again = true;
        return Ok(());
    };
    for text in context.call.words.iter().skip(3) {
        if !fulfils(context.draft, context.symbols, place, text)? {
            context.try_again = true;
            return Ok(());
        }
    }
    Ok(())
}

pub(super) fn comment(_: Of<'_, '_>) -> Done {
    Ok(())
}
