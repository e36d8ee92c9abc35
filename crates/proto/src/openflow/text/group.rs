//! Groups as text.

use super::super::matching::Entry;
use super::super::message::{
    ALL_BUCKETS, ALL_GROUPS, ANY_GROUP, Bucket, FIRST_BUCKET, GREATEST_BUCKET, GREATEST_GROUP, GroupCommand,
    GroupDescription, GroupKind, GroupMod, LAST_BUCKET, Selection, SelectionMethod,
};
use super::super::{FieldId, OfPort, Value, Version};
use super::action::{self, ActionReader, Outer};
use super::error::{Parsed, Problem, TextError};
use super::names::Names;
use super::number;
use super::piece::{Piece, Word};
use super::protocols::Protocols;
use super::value::{self, field_names};
use std::fmt::Write;

const COMMANDS: [(&str, GroupCommand); 6] = [
    ("add", GroupCommand::Add),
    ("delete", GroupCommand::Delete),
    ("modify", GroupCommand::Modify),
    ("add_or_mod", GroupCommand::AddOrModify),
    ("insert_bucket", GroupCommand::InsertBuckets),
    ("remove_bucket", GroupCommand::RemoveBuckets),
];

const KINDS: [(&str, GroupKind); 5] = [
    ("all", GroupKind::All),
    ("select", GroupKind::Select),
    ("indirect", GroupKind::Indirect),
    ("ff", GroupKind::FastFailover),
    ("fast_failover", GroupKind::FastFailover),
];

const WORDS: [&str; 7] = [
    "group_id",
    "type",
    "bucket",
    "command_bucket_id",
    "selection_method",
    "selection_method_param",
    "fields",
];

/// The most octets of a selection method's name.
const LONGEST_METHOD: usize = 15;

/// What a command says and what it must not say.
#[derive(Clone, Copy)]
struct Rules {
    kind: bool,
    buckets: bool,
    command_bucket: bool,
}

impl Rules {
    const fn of(command: GroupCommand) -> Self {
        match command {
            GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrModify => {
                Rules { kind: true, buckets: true, command_bucket: false }
            }
            GroupCommand::Delete => Rules { kind: false, buckets: false, command_bucket: false },
            GroupCommand::InsertBuckets => Rules { kind: false, buckets: true, command_bucket: true },
            GroupCommand::RemoveBuckets => Rules { kind: false, buckets: false, command_bucket: true },
        }
    }
}

/// What only Nicira's messages of version 1.0 and those of version 1.5 can carry.
const NEW: Protocols = Protocols::V10_OR_15;

fn wrong(piece: Piece<'_>, problem: Problem, wording: impl Into<String>) -> TextError {
    TextError::new(piece, problem, wording)
}

/// Reads a group. Without a command the text may begin with one, and adds otherwise.
pub(super) fn parse(
    whole: Piece<'_>,
    command: Option<GroupCommand>,
    names: &Names,
) -> Parsed<(GroupMod, Protocols)> {
    let (command, rest) = command.map_or_else(|| leading_command(whole), |command| (command, whole));
    let rules = Rules::of(command);
    let mut group = GroupMod {
        command,
        kind: GroupKind::All,
        group: ALL_GROUPS,
        buckets: Vec::new(),
        command_bucket: ALL_BUCKETS,
        selection: None,
    };
    let mut protocols = if rules.command_bucket { NEW } else { Protocols::ANY };
    if command == GroupCommand::Delete && rest.is_empty() {
        return Ok((group, protocols));
    }
    let (head, buckets) = match rest.text().find("bucket=") {
        Some(at) => (rest.range(0, at), Some(rest.from(at))),
        None => (rest, None),
    };
    if let (Some(buckets), false) = (buckets, rules.buckets) {
        return Err(wrong(buckets, Problem::NotAllowed, "bucket is not needed"));
    }
    let head_words = Head::read(head, rules, names, &mut protocols)?;
    head_words.check(whole, rules)?;
    group.group = head_words.group.unwrap_or(ANY_GROUP);
    group.kind = head_words.kind.unwrap_or(GroupKind::All);
    group.command_bucket = head_words.command_bucket.unwrap_or(ALL_BUCKETS);
    if let Some((method, _)) = head_words.method {
        group.selection =
            Some(Selection { method, parameter: head_words.parameter, fields: head_words.fields });
    }
    let mut rest = buckets;
    while let Some(piece) = rest {
        let Some((_, inside)) = piece.split_once("=") else {
            return Err(wrong(piece, Problem::Missing, "must specify bucket content"));
        };
        let end = inside.text().find("bucket=");
        rest = end.map(|end| inside.from(end));
        let inside = inside.range(0, end.unwrap_or(inside.text().len()));
        let bucket = parse_bucket(inside, group.kind, names, &mut protocols)?;
        if group.command != GroupCommand::InsertBuckets
            && group.kind != GroupKind::Select
            && bucket.weight != 0
        {
            return Err(wrong(inside, Problem::NotAllowed, "Only select groups can have bucket weights."));
        }
        group.buckets.push(bucket);
    }
    if group.kind == GroupKind::Indirect && group.buckets.len() > 1 {
        return Err(wrong(whole, Problem::NotAllowed, "Indirect groups can have at most one bucket."));
    }
    number_buckets(&mut group.buckets);
    Ok((group, protocols))
}

/// Gives buckets that were given no number the lowest that is free, as Open vSwitch does when it sends them.
fn number_buckets(buckets: &mut [Bucket]) {
    let mut used: std::collections::BTreeSet<u32> = buckets.iter().map(|bucket| bucket.number).collect();
    let mut next = 0;
    for bucket in buckets.iter_mut().filter(|bucket| bucket.number == ALL_BUCKETS) {
        while !used.insert(next) {
            next += 1;
        }
        bucket.number = next;
    }
}

fn leading_command(whole: Piece<'_>) -> (GroupCommand, Piece<'_>) {
    let rest = whole.from(whole.span_of(" \t\r\n"));
    let length = rest.span_until(", \t\r\n");
    let word = rest.range(0, length).text();
    match COMMANDS.into_iter().find(|(name, _)| name.starts_with(word)) {
        Some((_, command)) => (command, rest.from(length)),
        None => (GroupCommand::Add, rest),
    }
}

/// What stands before the buckets.
#[derive(Default)]
struct Head<'t> {
    group: Option<u32>,
    kind: Option<GroupKind>,
    command_bucket: Option<u32>,
    method: Option<(SelectionMethod, Piece<'t>)>,
    parameter: u64,
    fields: Vec<Entry>,
}

impl<'t> Head<'t> {
    fn read(mut rest: Piece<'t>, rules: Rules, names: &Names, protocols: &mut Protocols) -> Parsed<Self> {
        let mut head = Head::default();
        while let Some(word) = rest.next_word() {
            let Word { key, value } = word;
            let needless = |allowed: bool, what: &str| match allowed {
                true => Ok(()),
                false => Err(wrong(key, Problem::NotAllowed, format!("{what} not needed"))),
            };
            match key.text() {
                "command_bucket_id" => {
                    needless(rules.command_bucket, "command bucket id is")?;
                    head.command_bucket = Some(command_bucket(value)?);
                    if head.command_bucket == Some(ALL_BUCKETS) && rules.buckets {
                        let wording = "command_bucket_id=all is not permitted";
                        return Err(
                            wrong(value, Problem::NotAllowed, wording).expecting("a number, first or last")
                        );
                    }
                }
                "group_id" if value.text() == "all" => head.group = Some(ALL_GROUPS),
                "group_id" => {
                    let group = number::u32(value)?;
                    if group > GREATEST_GROUP && group != ALL_GROUPS {
                        return Err(wrong(value, Problem::OutOfRange, format!("invalid group id {group}")));
                    }
                    head.group = Some(group);
                }
                "type" => {
                    needless(rules.kind, "type is")?;
                    let kind = KINDS.iter().find(|(name, _)| *name == value.text()).ok_or_else(|| {
                        let wording = format!("invalid group type {}", value.text());
                        wrong(value, Problem::UnknownWord, wording).meaning(KINDS.map(|(name, _)| name))
                    })?;
                    head.kind = Some(kind.1);
                }
                "selection_method" => {
                    needless(rules.kind, "selection method is")?;
                    head.method = Some((method(value)?, value));
                    *protocols &= NEW;
                }
                "selection_method_param" => {
                    needless(rules.kind, "selection method param is")?;
                    head.parameter = number::u64(value)?;
                    *protocols &= NEW;
                }
                "fields" => {
                    needless(rules.kind, "fields are")?;
                    head.fields = selection_fields(value, names, protocols)?;
                    *protocols &= NEW;
                }
                text => {
                    let wording = format!("unknown keyword {text}");
                    return Err(wrong(key, Problem::UnknownWord, wording).meaning(WORDS));
                }
            }
        }
        Ok(head)
    }

    /// What must be there, and what must not be together.
    fn check(&self, whole: Piece<'_>, rules: Rules) -> Parsed<()> {
        let hashes = matches!(self.method, Some((SelectionMethod::Hash, _)));
        let (problem, wording) = if self.group.is_none() {
            (Problem::Missing, "must specify a group_id")
        } else if rules.kind && self.kind.is_none() {
            (Problem::Missing, "must specify a type")
        } else if !hashes && !self.fields.is_empty() {
            (Problem::NotAllowed, "fields may only be specified with \"selection_method=hash\"")
        } else if self.method.is_none() && self.parameter != 0 {
            (Problem::NotAllowed, "selection_method_param is only allowed with \"selection_method\"")
        } else if rules.command_bucket && rules.buckets && self.command_bucket.is_none() {
            (Problem::Missing, "must specify a command bucket id")
        } else {
            return Ok(());
        };
        Err(wrong(whole, problem, wording))
    }
}

fn command_bucket(value: Piece<'_>) -> Parsed<u32> {
    match value.text() {
        "all" => Ok(ALL_BUCKETS),
        "first" => Ok(FIRST_BUCKET),
        "last" => Ok(LAST_BUCKET),
        _ => {
            let number = number::u32(value)?;
            if number > GREATEST_BUCKET && !matches!(number, FIRST_BUCKET | LAST_BUCKET | ALL_BUCKETS) {
                let wording = format!("invalid command bucket id {number}");
                return Err(
                    wrong(value, Problem::OutOfRange, wording).expecting("a number, first, last or all")
                );
            }
            Ok(number)
        }
    }
}

fn method(value: Piece<'_>) -> Parsed<SelectionMethod> {
    if value.text().len() > LONGEST_METHOD {
        let wording = format!("selection method is longer than {LONGEST_METHOD} bytes long");
        return Err(wrong(value, Problem::TooLong, wording));
    }
    SelectionMethod::from_name(value.text()).ok_or_else(|| {
        let wording = format!("unknown selection method {}", value.text());
        wrong(value, Problem::UnknownWord, wording).expecting("hash or dp_hash").meaning(["hash", "dp_hash"])
    })
}

/// The fields that are hashed; what stands as a value is the mask.
fn selection_fields(mut rest: Piece<'_>, names: &Names, protocols: &mut Protocols) -> Parsed<Vec<Entry>> {
    let mut fields: Vec<Entry> = Vec::new();
    while let Some(word) = rest.next_word() {
        let Some(field) = FieldId::from_name(word.key.text()) else {
            let wording = format!("{}: unknown field {}", rest.text(), word.key.text());
            return Err(wrong(word.key, Problem::UnknownWord, wording).meaning(field_names()));
        };
        if fields.iter().any(|entry| entry.field == field) {
            return Err(wrong(
                word.key,
                Problem::NotAllowed,
                format!("{}: duplicate field", word.key.text()),
            ));
        }
        let row = field.get();
        let octets = usize::from(row.octets);
        let mask = if word.value.is_empty() {
            Value::ones(octets)
        } else {
            let mask = value::parse_exact(field, word.value, names)?;
            if !row.is_variable() && mask.is_zero() {
                let wording = format!("{}: values are wildcards here and must not be all-zeros", rest.text());
                return Err(wrong(word.value, Problem::OutOfRange, wording));
            }
            if !row.is_legal_mask(&mask) {
                let wording = format!("{}: invalid mask for field {}", word.value.text(), row.name);
                return Err(wrong(word.value, Problem::NotAllowed, wording));
            }
            mask
        };
        *protocols &= Protocols::of_match(field, &mask);
        fields.push(Entry { field, value: mask.clone(), mask });
    }
    fields.sort_by_key(|entry| entry.field);
    Ok(fields)
}

fn parse_bucket(
    whole: Piece<'_>,
    kind: GroupKind,
    names: &Names,
    protocols: &mut Protocols,
) -> Parsed<Bucket> {
    let mut bucket = Bucket {
        number: ALL_BUCKETS,
        weight: u16::from(kind == GroupKind::Select),
        watch_port: OfPort::NONE,
        watch_group: ANY_GROUP,
        actions: Vec::new(),
    };
    let mut words = None;
    let mut rest = whole;
    while let Some(word) = rest.next_word() {
        let Word { key, value } = word;
        match key.text().to_ascii_lowercase().as_str() {
            "weight" => bucket.weight = number::u16(value, "weight")?,
            "watch_port" => {
                bucket.watch_port = names.port_or(value, |text| format!("{text}: invalid watch_port"))?;
                if bucket.watch_port.is_reserved()
                    && !matches!(bucket.watch_port, OfPort::NONE | OfPort::CONTROLLER)
                {
                    return Err(wrong(
                        value,
                        Problem::OutOfRange,
                        format!("{}: invalid watch_port", value.text()),
                    ));
                }
            }
            "watch_group" => {
                bucket.watch_group = number::u32(value)?;
                if bucket.watch_group > GREATEST_GROUP {
                    let wording = format!("invalid watch_group id {}", bucket.watch_group);
                    return Err(wrong(value, Problem::OutOfRange, wording));
                }
            }
            "bucket_id" => {
                bucket.number = number::u32(value)?;
                if bucket.number > GREATEST_BUCKET {
                    let wording = format!("invalid bucket_id id {}", bucket.number);
                    return Err(wrong(value, Problem::OutOfRange, wording));
                }
                *protocols &= NEW;
            }
            // Commas end the value: the actions behind the first are words of the bucket.
            "action" | "actions" => {
                let words = words.get_or_insert_with(Vec::new);
                let mut inside = value;
                words.extend(std::iter::from_fn(|| inside.next_word()));
            }
            _ => words.get_or_insert_with(Vec::new).push(word),
        }
    }
    let Some(words) = words else {
        return Err(wrong(whole, Problem::Missing, "bucket must specify actions").expecting("actions="));
    };
    if kind == GroupKind::FastFailover && !bucket.is_watched() {
        let wording = "fast failover bucket requires watch_port or watch_group";
        return Err(wrong(whole, Problem::Missing, wording));
    }
    let mut reader = ActionReader::new(names);
    bucket.actions = reader.list_of(words.into_iter(), whole, false, Outer::None)?;
    *protocols &= reader.protocols;
    Ok(bucket)
}

/// Whether a version tells the numbers of buckets.
fn tells_numbers(version: Version) -> bool {
    matches!(version, Version::V10 | Version::V15)
}

fn bucket_number(number: u32) -> String {
    match number {
        FIRST_BUCKET => "first".to_string(),
        LAST_BUCKET => "last".to_string(),
        ALL_BUCKETS => "all".to_string(),
        number => number.to_string(),
    }
}

fn kind_name(kind: GroupKind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("unknown", |(name, _)| name)
}

fn print_parts(
    group: u32,
    kind: Option<GroupKind>,
    selection: Option<&Selection>,
    buckets: &[Bucket],
    selects: bool,
    version: Version,
    names: &Names,
) -> String {
    let mut out = format!("group_id={group}");
    if let Some(kind) = kind {
        let _ = write!(out, ",type={}", kind_name(kind));
    }
    if let Some(selection) = selection {
        let _ = write!(out, ",selection_method={}", selection.method.name());
        if selection.parameter != 0 {
            let _ = write!(out, ",selection_method_param={}", selection.parameter);
        }
        let mut fields: Vec<&Entry> = selection.fields.iter().collect();
        fields.sort_by_key(|entry| entry.field);
        let fields: Vec<String> = fields
            .into_iter()
            .map(|entry| {
                let name = entry.field.name();
                if value::covers(entry.field.get(), &entry.mask) {
                    name.to_string()
                } else {
                    format!("{name}={}", value::print(entry.field, &entry.mask, None, &super::names::NUMBERS))
                }
            })
            .collect();
        match fields.as_slice() {
            [] => {}
            [field] => {
                let _ = write!(out, ",fields={field}");
            }
            fields => {
                let _ = write!(out, ",fields({})", fields.join(","));
            }
        }
    }
    for bucket in buckets {
        out.push_str(",bucket=");
        if tells_numbers(version) {
            let _ = write!(out, "bucket_id:{},", bucket_number(bucket.number));
        }
        if bucket.weight != u16::from(selects) {
            let _ = write!(out, "weight:{},", bucket.weight);
        }
        if bucket.watch_port != OfPort::NONE {
            let _ = write!(out, "watch_port:{},", names.print_port(bucket.watch_port));
        }
        if bucket.watch_group != ANY_GROUP {
            let _ = write!(out, "watch_group:{},", bucket.watch_group);
        }
        let _ = write!(out, "actions={}", action::print::list(&bucket.actions, names));
    }
    out
}

/// Prints how a group is set, as `dump-groups` shows it in a version: versions 1.0 and 1.5 tell the numbers of buckets.
pub fn print_group(group: &GroupDescription, version: Version, names: &Names) -> String {
    let selects = group.kind == GroupKind::Select;
    print_parts(
        group.group,
        Some(group.kind),
        group.selection.as_ref(),
        &group.buckets,
        selects,
        version,
        names,
    )
}

/// Prints a change of a group as OVS's tools show the message: `ADD group_id=1,type=all,bucket=...`.
pub fn print_group_mod(group: &GroupMod, version: Version, names: &Names) -> String {
    let word = match group.command {
        GroupCommand::Add => "ADD",
        GroupCommand::Modify => "MOD",
        GroupCommand::AddOrModify => "ADD_OR_MOD",
        GroupCommand::Delete => "DEL",
        GroupCommand::InsertBuckets => "INSERT_BUCKET",
        GroupCommand::RemoveBuckets => "REMOVE_BUCKET",
    };
    let of_buckets = matches!(group.command, GroupCommand::InsertBuckets | GroupCommand::RemoveBuckets);
    let bucket = if of_buckets && tells_numbers(version) {
        format!("command_bucket_id:{},", bucket_number(group.command_bucket))
    } else {
        String::new()
    };
    let kind = Some(group.kind).filter(|_| !of_buckets);
    let selects = group.kind == GroupKind::Select;
    let parts =
        print_parts(group.group, kind, group.selection.as_ref(), &group.buckets, selects, version, names);
    format!("{word} {bucket}{parts}")
}
