//! Controllers, managers, certificates, mappings of auto-attach, zones of connections, and the way back from an emergency.

use super::super::client::{Done, Stop};
use super::context::Context;
use super::draft::Place;
use netloom_proto::ovsdb::{Atom, Datum, Uuid};

type Of<'c, 'a> = &'c mut Context<'a>;

/// What `atoi` makes of a text: the number at its front.
pub(super) fn lenient(text: &str) -> i64 {
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    sign * digits.get(..end).unwrap_or_default().parse::<i64>().unwrap_or(0)
}

/// Targets of the rows that a column refers to, in the order of the alphabet.
fn targets(context: &Context<'_>, place: Place, column: &str, table: &str) -> Vec<String> {
    let Some(table) = context.draft.table_of(table) else { return Vec::new() };
    let rows = context.draft.references(place, column).into_iter();
    let mut all: Vec<String> = rows.filter_map(|uuid| context.draft.text((table, uuid), "target")).collect();
    all.sort();
    all
}

/// Takes the rows that a column refers to away.
fn delete_rows(context: &mut Context<'_>, place: Place, column: &str, table: &str) {
    let Some(table) = context.draft.table_of(table) else { return };
    for uuid in context.draft.references(place, column) {
        context.draft.delete((table, uuid));
    }
}

/// Whether it is an address that one connects to or listens at.
fn is_address(target: &str) -> bool {
    let kinds = ["unix", "tcp", "ssl", "punix", "ptcp", "pssl"];
    target.split_once(':').is_some_and(|(kind, _)| kinds.contains(&kind))
}

/// Makes a row for each target and gives their names.
fn insert_targets(context: &mut Context<'_>, table: &str, targets: &[String]) -> Done<Datum> {
    let probe = context.call.option("--inactivity-probe").map(lenient);
    let mut rows = Vec::new();
    for target in targets {
        if !is_address(target) {
            context.warn(&format!("target type \"{target}\" is possibly erroneous"));
        }
        let row = context.insert(table)?;
        context.draft.set(row, "target", target.as_str());
        if let Some(probe) = probe {
            context.draft.set(row, "inactivity_probe", probe);
        }
        rows.push(Atom::Uuid(row.1));
    }
    Ok(Datum::set(rows))
}

/// The row of the bridge that is meant, or of the one whose VLAN it is.
fn bridge_row(context: &Context<'_>) -> Done<Place> {
    let model = context.model();
    let bridge = model.bridge(context.word(1))?;
    model.row_of(bridge).ok_or_else(|| Stop::from(format!("no bridge named {}", context.word(1))))
}

pub(super) fn get_controller(context: Of<'_, '_>) -> Done {
    let row = bridge_row(context)?;
    for target in targets(context, row, "controller", "Controller") {
        context.line(&target);
    }
    Ok(())
}

pub(super) fn delete_controller(context: Of<'_, '_>) -> Done {
    let row = context.model().real_bridge(context.word(1))?;
    if !context.draft.value(row, "controller").is_empty() {
        delete_rows(context, row, "controller", "Controller");
        context.draft.set(row, "controller", Datum::Empty);
    }
    Ok(())
}

pub(super) fn set_controller(context: Of<'_, '_>) -> Done {
    let row = context.model().real_bridge(context.word(1))?;
    delete_rows(context, row, "controller", "Controller");
    let targets = context.call.words.get(2..).unwrap_or_default().to_vec();
    let controllers = insert_targets(context, "Controller", &targets)?;
    context.draft.set(row, "controller", controllers);
    Ok(())
}

pub(super) fn get_fail_mode(context: Of<'_, '_>) -> Done {
    let row = bridge_row(context)?;
    if let Some(mode) = context.draft.text(row, "fail_mode").filter(|mode| !mode.is_empty()) {
        context.line(&mode);
    }
    Ok(())
}

pub(super) fn delete_fail_mode(context: Of<'_, '_>) -> Done {
    let row = context.model().real_bridge(context.word(1))?;
    context.draft.set(row, "fail_mode", Datum::Empty);
    Ok(())
}

pub(super) fn set_fail_mode(context: Of<'_, '_>) -> Done {
    let row = context.model().real_bridge(context.word(1))?;
    let mode = context.word(2).to_owned();
    if !matches!(mode.as_str(), "standalone" | "secure") {
        return Err("fail-mode must be \"standalone\" or \"secure\"".into());
    }
    context.draft.set(row, "fail_mode", mode.as_str());
    Ok(())
}

pub(super) fn get_manager(context: Of<'_, '_>) -> Done {
    let mut all = targets(context, context.switch, "manager_options", "Manager");
    all.dedup();
    all.iter().for_each(|target| context.line(target));
    Ok(())
}

pub(super) fn delete_manager(context: Of<'_, '_>) -> Done {
    let switch = context.switch;
    delete_rows(context, switch, "manager_options", "Manager");
    context.draft.set(switch, "manager_options", Datum::Empty);
    Ok(())
}

pub(super) fn set_manager(context: Of<'_, '_>) -> Done {
    let switch = context.switch;
    delete_rows(context, switch, "manager_options", "Manager");
    let targets = context.call.words.get(1..).unwrap_or_default().to_vec();
    let managers = insert_targets(context, "Manager", &targets)?;
    context.draft.set(switch, "manager_options", managers);
    Ok(())
}

/// The row with the certificates.
fn certificates(context: &Context<'_>) -> Option<Place> {
    let table = context.draft.table_of("SSL")?;
    let uuid = *context.draft.references(context.switch, "ssl").first()?;
    context.draft.row((table, uuid)).map(|_| (table, uuid))
}

pub(super) fn get_ssl(context: Of<'_, '_>) -> Done {
    let Some(row) = certificates(context) else { return Ok(()) };
    for (what, column) in
        [("Private key", "private_key"), ("Certificate", "certificate"), ("CA Certificate", "ca_cert")]
    {
        let text = context.draft.text(row, column).unwrap_or_default();
        context.line(&format!("{what}: {text}"));
    }
    let bootstrap = context.draft.value(row, "bootstrap_ca_cert").one().and_then(Atom::as_bool);
    context.line(&format!("Bootstrap: {}", bootstrap == Some(true)));
    Ok(())
}

pub(super) fn delete_ssl(context: Of<'_, '_>) -> Done {
    if let Some(row) = certificates(context) {
        let switch = context.switch;
        context.draft.delete(row);
        context.draft.set(switch, "ssl", Datum::Empty);
    }
    Ok(())
}

pub(super) fn set_ssl(context: Of<'_, '_>) -> Done {
    if let Some(row) = certificates(context) {
        context.draft.delete(row);
    }
    let row = context.insert("SSL")?;
    for (at, column) in [(1, "private_key"), (2, "certificate"), (3, "ca_cert")] {
        let text = context.word(at).to_owned();
        context.draft.set(row, column, text.as_str());
    }
    let bootstrap = context.call.has("--bootstrap");
    context.draft.set(row, "bootstrap_ca_cert", bootstrap);
    let switch = context.switch;
    context.draft.set(switch, "ssl", row.1);
    Ok(())
}

/// The two numbers of a mapping.
fn mapping(context: &Context<'_>) -> Done<(i64, i64)> {
    let number = |at: usize| -> Done<i64> {
        let text = context.word(at);
        let begins =
            text.trim_start().trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit());
        if begins { Ok(lenient(text)) } else { Err(format!("Invalid argument {text}").into()) }
    };
    Ok((number(2)?, number(3)?))
}

fn auto_attach(context: &Context<'_>, bridge: Place) -> Option<Place> {
    let table = context.draft.table_of("AutoAttach")?;
    Some((table, *context.draft.references(bridge, "auto_attach").first()?))
}

pub(super) fn add_mapping(context: Of<'_, '_>) -> Done {
    let (service, vlan) = mapping(context)?;
    let bridge = bridge_row(context)?;
    let row = match auto_attach(context, bridge) {
        Some(row) => row,
        None => {
            let row = context.insert("AutoAttach")?;
            context.draft.set(bridge, "auto_attach", row.1);
            row
        }
    };
    let pair = Datum::map(vec![(service.into(), vlan.into())]);
    // A service that has a network keeps it.
    let all = context.draft.value(row, "mappings").union(&pair);
    context.draft.set(row, "mappings", all);
    Ok(())
}

pub(super) fn delete_mapping(context: Of<'_, '_>) -> Done {
    let pair = mapping(context)?;
    let bridge = bridge_row(context)?;
    let Some(row) = auto_attach(context, bridge) else { return Ok(()) };
    let all = context.draft.value(row, "mappings");
    let pair = Datum::map(vec![(pair.0.into(), pair.1.into())]);
    if all.includes(&pair) {
        context.draft.set(row, "mappings", all.subtract(&pair));
    }
    Ok(())
}

pub(super) fn get_mappings(context: Of<'_, '_>) -> Done {
    let bridge = bridge_row(context)?;
    let Some(row) = auto_attach(context, bridge) else { return Ok(()) };
    for (service, vlan) in context.draft.value(row, "mappings").pairs() {
        let number = |atom: &Atom| atom.as_integer().unwrap_or(0);
        context.line(&format!("{} {}", number(service), number(vlan)));
    }
    Ok(())
}

/// The row of a data path by its type.
fn datapath(context: &Context<'_>) -> Option<Place> {
    let table = context.draft.table_of("Datapath")?;
    let all = context.draft.value(context.switch, "datapaths");
    let uuid = all.value(&context.word(1).into())?.as_uuid()?;
    Some((table, uuid))
}

fn zone_number(context: &Context<'_>) -> i64 {
    context.word(2).strip_prefix("zone=").map_or(0, lenient)
}

fn zone(context: &Context<'_>, datapath: Place, number: i64) -> Option<Place> {
    let table = context.draft.table_of("CT_Zone")?;
    let uuid = context.draft.value(datapath, "ct_zones").value(&number.into())?.as_uuid()?;
    Some((table, uuid))
}

fn no_datapath(context: &Context<'_>) -> Stop {
    format!("datapath {} does not exist", context.word(1)).into()
}

pub(super) fn add_zone(context: Of<'_, '_>) -> Done {
    let datapath = datapath(context).ok_or_else(|| no_datapath(context))?;
    let number = zone_number(context);
    let there = zone(context, datapath, number);
    if there.is_some() && !context.call.has("--may-exist") {
        return Err(format!("zone id {number} already exists").into());
    }
    let policy = context.insert("CT_Timeout_Policy")?;
    let pairs = context.call.words.iter().skip(3).filter_map(|word| word.split_once('='));
    let timeouts = pairs.map(|(name, seconds)| (Atom::from(name), Atom::from(lenient(seconds)))).collect();
    context.draft.set(policy, "timeouts", Datum::map(timeouts));
    if let Some(zone) = there {
        context.draft.set(zone, "timeout_policy", policy.1);
        return Ok(());
    }
    let zone = context.insert("CT_Zone")?;
    context.draft.set(zone, "timeout_policy", policy.1);
    let pair: Vec<(Atom, Atom)> = vec![(number.into(), Atom::Uuid(zone.1))];
    context.draft.add_member(datapath, "ct_zones", Datum::map(pair));
    Ok(())
}

pub(super) fn delete_zone(context: Of<'_, '_>) -> Done {
    let datapath = datapath(context).ok_or_else(|| no_datapath(context))?;
    let number = zone_number(context);
    if zone(context, datapath, number).is_some() {
        context.draft.remove_member(datapath, "ct_zones", number);
    } else if !context.call.has("--if-exists") {
        return Err(format!("zone id {number} does not exist").into());
    }
    Ok(())
}

pub(super) fn list_zones(context: Of<'_, '_>) -> Done {
    let name = context.word(1).to_owned();
    let datapath = datapath(context).ok_or_else(|| format!("datapath: {name} record not found"))?;
    let policies = context.draft.table_of("CT_Timeout_Policy");
    for (number, _) in context.draft.value(datapath, "ct_zones").pairs() {
        let number = number.as_integer().unwrap_or(0);
        let zone = zone(context, datapath, number);
        let policy = zone.and_then(|zone| context.draft.references(zone, "timeout_policy").first().copied());
        let told = match policies.zip(policy) {
            Some(policy) => {
                let timeouts = context.draft.value(policy, "timeouts");
                let pairs = timeouts.pairs().iter().map(|(name, seconds)| {
                    format!("{}={}", name.as_str().unwrap_or_default(), seconds.as_integer().unwrap_or(0))
                });
                pairs.collect::<Vec<_>>().join(" ")
            }
            None => "system default".to_owned(),
        };
        context.line(&format!("Zone:{number}, Timeout Policies: {told}"));
    }
    Ok(())
}

pub(super) fn list_capabilities(context: Of<'_, '_>) -> Done {
    let name = context.word(1).to_owned();
    let datapath = datapath(context).ok_or_else(|| format!("datapath \"{name}\" record not found"))?;
    let all = context.draft.value(datapath, "capabilities");
    let pairs =
        all.pairs().iter().filter_map(|(key, value)| Some(format!("{}={}", key.as_str()?, value.as_str()?)));
    let line = pairs.collect::<Vec<_>>().join(" ");
    context.line(&line);
    Ok(())
}

/// Tables all of whose rows go in an emergency.
const FORGOTTEN: [&str; 8] =
    ["Mirror", "Controller", "Manager", "NetFlow", "SSL", "sFlow", "IPFIX", "Flow_Sample_Collector_Set"];
/// Columns of bridges that are empty after an emergency.
const EMPTIED: [&str; 7] = ["controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix", "flood_vlans"];

pub(super) fn emergency_reset(context: Of<'_, '_>) -> Done {
    let switch = context.switch;
    for column in ["manager_options", "ssl"] {
        context.draft.set(switch, column, Datum::Empty);
    }
    for row in rows(context, "Bridge") {
        for column in EMPTIED {
            context.draft.set(row, column, Datum::Empty);
        }
        let config = context.draft.value(row, "other_config");
        let address = config.text_of("hwaddr").map(|address| Datum::text_map([("hwaddr", address)]));
        context.draft.set(row, "other_config", address.unwrap_or_default());
    }
    for row in rows(context, "Port") {
        context.draft.set(row, "other_config", Datum::Empty);
    }
    for row in rows(context, "Interface") {
        context.draft.set(row, "ingress_policing_rate", 0_i64);
        context.draft.set(row, "ingress_policing_burst", 0_i64);
    }
    for table in FORGOTTEN {
        for row in rows(context, table) {
            context.draft.delete(row);
        }
    }
    Ok(())
}

fn rows(context: &Context<'_>, table: &str) -> Vec<Place> {
    let Some(table) = context.draft.table_of(table) else { return Vec::new() };
    let all: Vec<Uuid> = context.draft.rows(table);
    all.into_iter().map(|uuid| (table, uuid)).collect()
}
