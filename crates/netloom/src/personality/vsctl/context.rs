//! What a command works with: the draft, what it was given, and what it says.

use super::super::client::{Done, Stop};
use super::draft::{Draft, Place};
use super::model::Model;
use super::table::Table;
use netloom_control::unixctl::vlog::{Level, Log};
use netloom_proto::ovsdb::{BaseType, Uuid, UuidSource};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A row that is called `@name` in a command line.
#[derive(Debug, Clone, Copy)]
pub struct Symbol {
    pub uuid: Uuid,
    /// A command makes it.
    pub created: bool,
    /// Something refers to it and keeps it.
    pub strong: bool,
    /// Something refers to it without keeping it.
    pub weak: bool,
}

/// All of them.
#[derive(Debug)]
pub struct Symbols {
    by_name: BTreeMap<String, Symbol>,
    uuids: UuidSource,
}

impl Symbols {
    pub const fn new(uuids: UuidSource) -> Self {
        Self { by_name: BTreeMap::new(), uuids }
    }

    fn entry(&mut self, name: &str) -> &mut Symbol {
        let uuids = &mut self.uuids;
        self.by_name.entry(name.to_owned()).or_insert_with(|| Symbol {
            uuid: uuids.next_uuid(),
            created: false,
            strong: false,
            weak: false,
        })
    }

    /// The row that a column of this type refers to by a name.
    pub fn refer(&mut self, name: &str, base: &BaseType) -> Uuid {
        let (strong, weak) = (base.strong().is_some(), base.weak().is_some());
        let symbol = self.entry(name);
        symbol.strong |= strong;
        symbol.weak |= weak;
        symbol.uuid
    }

    /// Begins a symbol that a command makes. The answer is it, and whether nothing referred to it before.
    pub fn create(&mut self, name: &str) -> Result<(&mut Symbol, bool), String> {
        if !name.starts_with('@') {
            return Err(format!("row id \"{name}\" does not begin with \"@\""));
        }
        let new = !self.by_name.contains_key(name);
        let symbol = self.entry(name);
        if symbol.created {
            return Err(format!("row id \"{name}\" may only be specified on one --id option"));
        }
        symbol.created = true;
        Ok((symbol, new))
    }

    /// Refuses symbols that nobody made, and warns of those that will be gone at once.
    pub fn check(&self, log: &Log) -> Done {
        for (name, symbol) in &self.by_name {
            if !symbol.created {
                return Err(format!(
                    "row id \"{name}\" is referenced but never created (e.g. with \"-- --id={name} create ...\")"
                )
                .into());
            }
            if symbol.strong {
                continue;
            }
            let what = if symbol.weak { "only a weak" } else { "no" };
            let text = format!(
                "row id \"{name}\" was created but {what} reference to it was inserted, so it will not actually \
                 appear in the database"
            );
            log.write("vsctl", Level::Warning, &text);
        }
        Ok(())
    }
}

/// A command and its words, as it was given.
#[derive(Debug, Clone)]
pub struct Call {
    /// The name and the arguments.
    pub words: Vec<String>,
    /// By their names with dashes.
    pub options: BTreeMap<String, Option<String>>,
}

impl Call {
    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    pub fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }

    pub fn option(&self, option: &str) -> Option<&str> {
        self.options.get(option)?.as_deref()
    }

    /// The command as it was written.
    pub fn text(&self) -> String {
        let options = self.options.iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        });
        options.chain(self.words.iter().cloned()).collect::<Vec<_>>().join(" ")
    }
}

/// What a command works with.
pub struct Context<'a> {
    pub draft: &'a mut Draft,
    /// The one row of the table `Open_vSwitch`.
    pub switch: Place,
    pub call: &'a Call,
    pub symbols: &'a mut Symbols,
    /// No command follows.
    pub last: bool,
    /// What it says.
    pub output: String,
    /// What it says, as a table.
    pub table: Option<Table>,
    /// It waits for something that is not so yet.
    pub try_again: bool,
    /// Interfaces that it makes.
    pub interfaces: &'a mut Vec<Uuid>,
    pub log: &'a Arc<Log>,
}

impl Context<'_> {
    pub fn word(&self, at: usize) -> &str {
        self.call.word(at)
    }

    pub fn count(&self) -> usize {
        self.call.words.len()
    }

    /// Bridges, ports and interfaces as they would be now.
    pub fn model(&self) -> Model {
        Model::of(self.draft, self.switch)
    }

    pub fn line(&mut self, text: &str) {
        self.output.push_str(text);
        self.output.push('\n');
    }

    /// Inserts a row into a table that the schema must have.
    pub fn insert(&mut self, table: &str) -> Done<Place> {
        let missing = || Stop::from(format!("the database has no table {table}"));
        let at = self.draft.table_of(table).ok_or_else(missing)?;
        self.draft.insert(at, None).ok_or_else(missing)
    }

    pub fn warn(&self, text: &str) {
        self.log.write("vsctl", Level::Warning, text);
    }
}
