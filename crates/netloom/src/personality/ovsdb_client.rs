//! `ovsdb-client`: asks a database server, in JSON and in tables.
//!
//! Source: ovsdb-client(1), and what the program of Open vSwitch 3.1 prints.
//!
//! Absent: TLS, conversions, backups, `--detach`, and monitors with conditions.

use super::client::{self, Done, Place, Stop, complain, say, words};
use super::getopt::{self, COMMON, Known, Value};
use super::vsctl::link::Stream;
use super::vsctl::table::{Cell, Format, Style, Table, TablePrinter, pretty};
use netloom_proto::ovsdb::json::{Object, Splitter};
use netloom_proto::ovsdb::message::Message;
use netloom_proto::ovsdb::{Column, Datum, Json, STANDARD_COLUMNS, Schema, TableSchema};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

const OWN: &[Known] = &[
    ("timeout", Some('t'), Value::Yes),
    ("format", Some('f'), Value::Yes),
    ("data", Some('d'), Value::Yes),
    ("no-headings", None, Value::No),
    ("bare", None, Value::No),
    ("pretty", None, Value::No),
    ("max-column-width", None, Value::Yes),
    ("timestamp", None, Value::No),
    ("force", None, Value::No),
    ("leader-only", None, Value::No),
    ("no-leader-only", None, Value::No),
];

/// Octets that are read at once.
const PART: usize = 64 << 10;
/// The longest message.
const MESSAGE: usize = 256 << 20;
/// How long to wait before it is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// A connection on which requests are made, and what came that is no answer.
struct Peer {
    name: String,
    stream: Stream,
    splitter: Splitter,
    next: i64,
}

impl Peer {
    fn open(name: &str) -> Done<Self> {
        let failed = |error: io::Error| format!("failed to connect to \"{name}\" ({})", words(&error));
        let stream = Stream::open(name).map_err(failed)?;
        Ok(Self { name: name.to_owned(), stream, splitter: Splitter::new(MESSAGE), next: 0 })
    }

    fn send(&mut self, method: &str, params: Vec<Json>) -> io::Result<Json> {
        let id = Json::Integer(self.next);
        self.next += 1;
        let text = Message::Request { method: method.into(), params, id: id.clone() }.text();
        self.stream.write_all(text.as_bytes())?;
        Ok(id)
    }

    /// The next message that is not the server's question whether somebody is here.
    fn receive(&mut self) -> io::Result<Message> {
        loop {
            while let Some(json) = self.splitter.next_message().map_err(io::Error::other)? {
                let message = Message::from_json(json).map_err(io::Error::other)?;
                let Message::Request { method, params, id } = message else { return Ok(message) };
                if &*method == "echo" {
                    let reply = Message::Reply { result: Json::Array(params), id }.text();
                    self.stream.write_all(reply.as_bytes())?;
                }
            }
            let mut part = vec![0; PART];
            let count = self.stream.read(&mut part)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.splitter.feed(part.get(..count).unwrap_or_default());
        }
    }

    /// Asks, and waits for the answer.
    fn ask(&mut self, method: &str, params: Vec<Json>) -> Done<Json> {
        let failed = |error: io::Error| Stop::from(format!("transaction failed ({})", words(&error)));
        let id = self.send(method, params).map_err(failed)?;
        loop {
            match self.receive().map_err(failed)? {
                Message::Reply { result, id: of } if of == id => return Ok(result),
                Message::Error { error, id: of } if of == id => {
                    return Err(format!("transaction returned error: {}", error.text()).into());
                }
                _ => {}
            }
        }
    }

    fn databases(&mut self) -> Done<Vec<String>> {
        let all = self.ask("list_dbs", Vec::new())?;
        let names = all.as_array().unwrap_or_default().iter().filter_map(Json::as_str);
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    fn schema(&mut self, database: &str) -> Done<Schema> {
        let json = self.ask("get_schema", vec![Json::string(database)])?;
        Schema::from_json(&json).map_err(|error| error.to_json().text().into())
    }
}

/// The tool at work.
struct Tool {
    place: Place,
    style: Style,
    timestamp: bool,
    words: Vec<String>,
}

/// Runs the tool.
///
/// # Errors
/// What it ends with.
pub fn run(place: &Place, words: Vec<String>) -> Done {
    let (given, words) = getopt::read(&[OWN, COMMON], &words, false)?;
    let mut tool = Tool { place: place.clone(), style: Style::new(Format::Table), timestamp: false, words };
    for (name, value) in given {
        match name {
            "version" => {
                say(&format!("{}\n", netloom_control::unixctl::standard::version(place.program)));
                return Ok(());
            }
            "help" => return help(place.program),
            "timestamp" => tool.timestamp = true,
            "timeout" => {
                let text = value.unwrap_or_default();
                let seconds = text.parse().ok().filter(|seconds| *seconds != 0);
                let seconds = seconds.ok_or_else(|| format!("value {text} on -t or --timeout is invalid"))?;
                client::limit(seconds, &client::begin_log(place.program, &[])?);
            }
            _ => {
                tool.style.take(name, value.as_deref())?;
            }
        }
    }
    if tool.words.is_empty() {
        return Err("missing command name; use --help for help".into());
    }
    let name = tool.words.remove(0);
    match name.as_str() {
        "list-dbs" => tool.list_databases(),
        "get-schema" => tool.schema(|schema| schema.to_json()),
        "get-schema-version" => tool.schema_text(|schema| schema.version.to_string()),
        "get-schema-cksum" => tool.schema_text(|schema| schema.cksum.to_string()),
        "list-tables" => tool.list_tables(),
        "list-columns" => tool.list_columns(),
        "transact" => tool.transact(false),
        "query" => tool.transact(true),
        "dump" => tool.dump(),
        "monitor" => tool.monitor(),
        "wait" => tool.wait(),
        "lock" | "steal" | "unlock" => tool.lock(&name),
        "help" => help(place.program),
        _ => Err(format!("unknown command '{name}'; use --help for help").into()),
    }
}

fn invalid(command: &str) -> Stop {
    format!("invalid syntax for '{command}' (use --help for help)").into()
}

/// Whether it is the address of a server.
fn is_remote(word: &str) -> bool {
    word.split_once(':').is_some_and(|(kind, _)| matches!(kind, "unix" | "tcp" | "ssl"))
}

impl Tool {
    fn default_remote(&self) -> String {
        format!("unix:{}/db.sock", self.place.run.display())
    }

    /// Connects to the server that is named first, or to the usual one.
    fn connect(&mut self) -> Done<Peer> {
        let named = self.words.first().is_some_and(|word| is_remote(word));
        let remote = if named { self.words.remove(0) } else { self.default_remote() };
        Peer::open(&remote)
    }

    /// Connects, and finds the database: the one that is named, or the only one.
    fn connect_to_database(&mut self, least: usize) -> Done<(Peer, String)> {
        let mut peer = self.connect()?;
        let all = peer.databases()?;
        if self.words.len() > least && self.words.first().is_some_and(|word| all.contains(word)) {
            let database = self.words.remove(0);
            return Ok((peer, database));
        }
        let own: Vec<&String> = all.iter().filter(|name| !name.starts_with('_')).collect();
        let found = match own.as_slice() {
            [one] => Some((*one).clone()),
            many => many.iter().find(|name| **name == "Open_vSwitch").map(|name| (*name).clone()),
        };
        match found {
            Some(database) => Ok((peer, database)),
            None => Err("could not find a default database, please specify a database name".into()),
        }
    }

    fn json(&self, json: &Json) {
        let mut out = String::new();
        if self.style.pretty {
            pretty(json, 0, &mut out)
        } else {
            json.write(&mut out)
        }
        say(&format!("{out}\n"));
    }

    fn table(&self, printer: &mut TablePrinter, table: &Table) {
        say(&printer.print(table));
    }

    fn list_databases(&mut self) -> Done {
        let all = self.connect()?.databases()?;
        say(&all.iter().map(|name| format!("{name}\n")).collect::<String>());
        Ok(())
    }

    fn schema(&mut self, part: impl Fn(&Schema) -> Json) -> Done {
        let (mut peer, database) = self.connect_to_database(0)?;
        self.json(&part(&peer.schema(&database)?));
        Ok(())
    }

    fn schema_text(&mut self, part: impl Fn(&Schema) -> String) -> Done {
        let (mut peer, database) = self.connect_to_database(0)?;
        say(&format!("{}\n", part(&peer.schema(&database)?)));
        Ok(())
    }

    fn list_tables(&mut self) -> Done {
        let (mut peer, database) = self.connect_to_database(0)?;
        let schema = peer.schema(&database)?;
        let rows = schema.tables.iter().map(|table| vec![Cell::Text(table.name.to_string())]).collect();
        let table = Table { headings: vec!["Table".to_owned()], rows, ..Table::default() };
        self.table(&mut TablePrinter::new(self.style), &table);
        Ok(())
    }

    fn list_columns(&mut self) -> Done {
        let (mut peer, database) = self.connect_to_database(0)?;
        let schema = peer.schema(&database)?;
        let only = self.words.first();
        let mut table = Table::default();
        table.headings.extend(only.is_none().then(|| "Table".to_owned()));
        table.headings.extend(["Column".to_owned(), "Type".to_owned()]);
        for of in schema.tables.iter().filter(|of| only.is_none_or(|only| **only == *of.name)) {
            for column in &of.columns {
                let mut row = Vec::new();
                row.extend(only.is_none().then(|| Cell::Text(of.name.to_string())));
                row.extend([Cell::Text(column.name.to_string()), Cell::Json(column.ty.to_json())]);
                table.rows.push(row);
            }
        }
        self.table(&mut TablePrinter::new(self.style), &table);
        Ok(())
    }

    /// Carries a transaction out; a query takes back what it did.
    fn transact(&mut self, query: bool) -> Done {
        let command = if query { "query" } else { "transact" };
        let (remote, text) = match self.words.as_slice() {
            [text] => (self.default_remote(), text),
            [remote, text] => (remote.clone(), text),
            _ => return Err(invalid(command)),
        };
        let json = Json::parse(text).map_err(|error| error.to_string())?;
        let Json::Array(mut params) = json else {
            return Err(format!("not a valid OVSDB {}", if query { "query" } else { "transaction" }).into());
        };
        let operations = params.len().saturating_sub(1);
        if query {
            params.push(Json::object([("op", Json::string("abort"))]));
        }
        let mut result = Peer::open(&remote)?.ask("transact", params)?;
        if let Json::Array(results) = &mut result {
            let aborted = |last: &Json| last.get("error").and_then(Json::as_str) == Some("aborted");
            if query && results.len() == operations + 1 && results.last().is_some_and(aborted) {
                results.pop();
            }
        }
        self.json(&result);
        Ok(())
    }

    fn dump(&mut self) -> Done {
        let (mut peer, database) = self.connect_to_database(0)?;
        let schema = peer.schema(&database)?;
        let chosen = match self.words.split_first() {
            None => schema.tables.iter().map(|table| (table, sorted_columns(table))).collect(),
            Some((name, columns)) => {
                let place = schema.table(name).and_then(|place| schema.tables.get(place));
                let table = place.ok_or_else(|| format!("No table \"{name}\" found."))?;
                let missing = |column: &String| format!("Table \"{name}\" has no column {column}.");
                let mut all = Vec::new();
                for column in columns {
                    let at = table.column(column).and_then(|at| table.columns.get(at));
                    all.push(at.ok_or_else(|| missing(column))?);
                }
                all.sort_by(|a, b| a.name.cmp(&b.name));
                vec![(table, if columns.is_empty() { sorted_columns(table) } else { all })]
            }
        };
        let mut params = vec![Json::string(&database)];
        for (table, columns) in &chosen {
            let names = columns.iter().map(|column| Json::string(&column.name)).collect();
            params.push(Json::object([
                ("op", Json::string("select")),
                ("table", Json::string(&table.name)),
                ("where", Json::Array(Vec::new())),
                ("columns", Json::Array(names)),
            ]));
        }
        let result = peer.ask("transact", params)?;
        let results = result.as_array().unwrap_or_default();
        let mut printer = TablePrinter::new(self.style);
        for ((table, columns), result) in chosen.iter().zip(results) {
            let rows = result.get("rows").and_then(Json::as_array);
            let rows = rows.ok_or_else(|| {
                let (name, text) = (&table.name, result.text());
                format!("{name} table reply is not an object with a \"rows\" member array: {text}")
            })?;
            let table = dump_table(table, columns, rows)?;
            self.table(&mut printer, &table);
        }
        Ok(())
    }

    fn monitor(&mut self) -> Done {
        let (mut peer, database) = self.connect_to_database(1)?;
        let Some((name, terms)) = self.words.split_first() else { return Err(invalid("monitor")) };
        let schema = peer.schema(&database)?;
        let server = peer.name.clone();
        let followed: Vec<&TableSchema> = if name == "ALL" {
            schema.tables.iter().collect()
        } else {
            let table = schema.table(name).and_then(|place| schema.tables.get(place));
            let missing = || format!("{server}: {database} does not have a table named \"{name}\"");
            vec![table.ok_or_else(missing)?]
        };
        let mut requests = Object::default();
        let mut tables = Vec::new();
        for table in followed {
            let (request, columns) = monitor_request(&server, &database, table, terms)?;
            requests.insert(&table.name, request);
            tables.push((table, columns));
        }
        let failed = |error: io::Error| Stop::from(format!("{server}: receive failed ({})", words(&error)));
        let params = vec![Json::string(&database), Json::Null, Json::Object(requests)];
        let id = peer.send("monitor", params).map_err(failed)?;
        let mut printer = TablePrinter::new(self.style);
        loop {
            match peer.receive().map_err(failed)? {
                Message::Reply { result, id: of } if of == id => {
                    self.updates(&mut printer, &result, &tables, true)
                }
                Message::Error { error, id: of } if of == id => return Err(error.text().into()),
                Message::Notification { method, params } if &*method == "update" => {
                    if let [Json::Null, update] = params.as_slice() {
                        self.updates(&mut printer, update, &tables, false);
                    }
                }
                Message::Notification { method, .. } if &*method == "monitor_canceled" => {
                    return Err(format!("{server}: {database} database was removed").into());
                }
                _ => {}
            }
        }
    }

    fn updates(
        &self,
        printer: &mut TablePrinter,
        update: &Json,
        tables: &[(&TableSchema, Vec<&Column>)],
        initial: bool,
    ) {
        for (table, columns) in tables {
            let Some(rows) = update.get(&table.name).and_then(Json::as_object) else { continue };
            let mut out = Table {
                caption: (tables.len() > 1).then(|| table.name.to_string()),
                timestamp: self.timestamp.then(super::ofctl::timestamp),
                headings: vec!["row".to_owned(), "action".to_owned()],
                ..Table::default()
            };
            out.headings.extend(columns.iter().map(|column| column.name.to_string()));
            for (uuid, change) in rows.iter() {
                let told = match (initial, change.get("old"), change.get("new")) {
                    (true, _, Some(new)) => vec![("initial", &**uuid, new)],
                    (_, None, Some(new)) => vec![("insert", &**uuid, new)],
                    (_, Some(old), None) => vec![("delete", &**uuid, old)],
                    (_, Some(old), Some(new)) => vec![("old", &**uuid, old), ("new", "", new)],
                    _ => Vec::new(),
                };
                for (action, uuid, row) in told {
                    let mut cells = vec![Cell::Text(uuid.to_owned()), Cell::Text(action.to_owned())];
                    cells.extend(columns.iter().map(|column| match row.get(&column.name) {
                        Some(json) => cell(json, column),
                        None => Cell::Text(String::new()),
                    }));
                    out.rows.push(cells);
                }
            }
            self.table(printer, &out);
        }
    }

    /// Waits until a database is there, is connected, or is gone.
    fn wait(&mut self) -> Done {
        let (remote, database, state) = match self.words.as_slice() {
            [database, state] => (self.default_remote(), database, state),
            [remote, database, state] => (remote.clone(), database, state),
            _ => return Err(invalid("wait")),
        };
        let named = vec![Json::string("name"), Json::string("=="), Json::string(database)];
        let (column, until, rows) = match state.as_str() {
            "connected" => ("connected", "==", vec![Json::object([("connected", Json::Bool(true))])]),
            "added" => ("name", "!=", Vec::new()),
            "removed" => ("name", "==", Vec::new()),
            _ => return Err(format!("{state}: unknown state").into()),
        };
        let operation = Json::object([
            ("op", Json::string("wait")),
            ("table", Json::string("Database")),
            ("where", Json::Array(vec![Json::Array(named)])),
            ("columns", Json::Array(vec![Json::string(column)])),
            ("until", Json::string(until)),
            ("rows", Json::Array(rows)),
        ]);
        loop {
            let asked = Peer::open(&remote).and_then(|mut peer| {
                peer.ask("set_db_change_aware", vec![Json::Bool(true)])?;
                peer.ask("transact", vec![Json::string("_Server"), operation.clone()])
            });
            match asked {
                Ok(result) => {
                    let fault =
                        result.as_array().unwrap_or_default().iter().find(|one| one.get("error").is_some());
                    return match fault {
                        Some(fault) => Err(format!("transaction failed ({})", fault.text()).into()),
                        None => Ok(()),
                    };
                }
                // The server is not there, or not any more.
                Err(_) => std::thread::sleep(AGAIN),
            }
        }
    }

    /// Asks for a lock and says what becomes of it, until somebody ends it.
    fn lock(&mut self, method: &str) -> Done {
        let mut peer = self.connect()?;
        let [name] = self.words.as_slice() else { return Err(invalid(method)) };
        let server = peer.name.clone();
        let failed = |error: io::Error| Stop::from(format!("{server}: receive failed ({})", words(&error)));
        let id = peer.send(method, vec![Json::string(name)]).map_err(failed)?;
        loop {
            match peer.receive().map_err(failed)? {
                Message::Reply { result, id: of } if of == id => self.json(&result),
                Message::Notification { method, params } => {
                    say(&format!("{method}\n"));
                    self.json(&Json::Array(params));
                }
                Message::Error { error, .. } => complain(&format!("{}\n", error.text())),
                _ => {}
            }
        }
    }
}

/// All columns but the version, by their names.
fn sorted_columns(table: &TableSchema) -> Vec<&Column> {
    let mut all: Vec<&Column> = table.columns.iter().filter(|column| &*column.name != "_version").collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn read(json: &Json, column: &Column) -> Option<Datum> {
    let ty = netloom_proto::ovsdb::ColumnType { min: 0, max: u32::MAX, ..column.ty.clone() };
    Datum::from_json(json, &ty, None).ok()
}

fn cell(json: &Json, column: &Column) -> Cell {
    read(json, column).map_or_else(|| Cell::Json(json.clone()), |datum| Cell::Datum(datum, column.ty.clone()))
}

fn dump_table(table: &TableSchema, columns: &[&Column], rows: &[Json]) -> Result<Table, String> {
    let mut out = Table { caption: Some(format!("{} table", table.name)), ..Table::default() };
    out.headings.extend(columns.iter().map(|column| column.name.to_string()));
    let mut all = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let mut values = Vec::new();
        for column in columns {
            let value = row.get(&column.name).and_then(|json| read(json, column));
            let name = &table.name;
            values.push(
                value.ok_or_else(|| {
                    format!("row {at} in table {name} response lacks {} column", column.name)
                })?,
            );
        }
        all.push(values);
    }
    // UUIDs differ from run to run: they count only where nothing else does.
    let is_uuid = |column: &&Column| column.ty.key.kind == netloom_proto::ovsdb::AtomicType::Uuid;
    let order: Vec<usize> = {
        let (last, first): (Vec<usize>, Vec<usize>) =
            (0..columns.len()).partition(|at| columns.get(*at).is_some_and(is_uuid));
        first.into_iter().chain(last).collect()
    };
    all.sort_by(|a, b| order.iter().map(|at| a.get(*at)).cmp(order.iter().map(|at| b.get(*at))));
    for values in all {
        let cells =
            values.into_iter().zip(columns).map(|(value, column)| Cell::Datum(value, column.ty.clone()));
        out.rows.push(cells.collect());
    }
    Ok(out)
}

/// What is asked of a table, and its columns in the order in which they are told.
fn monitor_request<'t>(
    server: &str,
    database: &str,
    table: &'t TableSchema,
    terms: &[String],
) -> Done<(Json, Vec<&'t Column>)> {
    let (mut all, mut requests) = (Vec::new(), Vec::new());
    let terms = if terms.is_empty() { vec![String::new()] } else { terms.to_vec() };
    for term in terms {
        let mut columns: Vec<&Column> = Vec::new();
        let mut select: Vec<(Arc<str>, Json)> =
            ["initial", "insert", "delete", "modify"].map(|what| (what.into(), Json::Bool(true))).to_vec();
        for word in term.split(',').filter(|word| !word.is_empty()) {
            let without = word.strip_prefix('!');
            if let Some(place) = select.iter_mut().find(|(what, _)| without == Some(&**what)) {
                place.1 = Json::Bool(false);
                continue;
            }
            let column = table.column(word).and_then(|at| table.columns.get(at));
            let name = &table.name;
            columns.push(column.ok_or_else(|| {
                format!("{server}: table \"{name}\" in {database} does not have a column named \"{word}\"")
            })?);
        }
        if columns.is_empty() {
            columns.extend(table.columns.get(STANDARD_COLUMNS..).unwrap_or_default());
            columns.extend(table.columns.get(netloom_proto::ovsdb::VERSION));
        }
        let names = columns.iter().map(|column| Json::string(&column.name)).collect();
        let mut request = Object::default();
        request.insert("columns", Json::Array(names));
        if select.iter().any(|(_, on)| *on == Json::Bool(false)) {
            request.insert("select", Json::Object(Object::new(select)));
        }
        requests.push(Json::Object(request));
        all.extend(columns);
    }
    Ok((Json::Array(requests), all))
}

fn help(program: &str) -> Done {
    say(&format!(
        "{program}: Open vSwitch database JSON-RPC client\n\
         usage: {program} [OPTIONS] COMMAND [ARG...]\n\n\
         Commands:\n  \
         list-dbs [SERVER]\n  \
         get-schema [SERVER] [DATABASE]\n  \
         get-schema-version [SERVER] [DATABASE]\n  \
         get-schema-cksum [SERVER] [DATABASE]\n  \
         list-tables [SERVER] [DATABASE]\n  \
         list-columns [SERVER] [DATABASE] [TABLE]\n  \
         transact [SERVER] TRANSACTION\n  \
         query [SERVER] TRANSACTION\n  \
         dump [SERVER] [DATABASE] [TABLE [COLUMN]...]\n  \
         monitor [SERVER] [DATABASE] TABLE [COLUMN,...]...\n  \
         wait [SERVER] DATABASE STATE   (added, connected, removed)\n  \
         lock|steal|unlock [SERVER] LOCK\n\n\
         Options:\n  \
         -f, --format=FORMAT    table, html, csv, json or list\n  \
         -d, --data=FORMAT      string, bare or json\n  \
         --no-headings, --pretty, --bare, --max-column-width=N\n  \
         --timestamp            show when changes came (monitor)\n  \
         -t, --timeout=SECS     wait at most SECS seconds\n  \
         -h, --help             display this help message\n  \
         -V, --version          display version information\n"
    ));
    Ok(())
}
