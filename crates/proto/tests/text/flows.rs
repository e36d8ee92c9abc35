//! Whole flows: what `ovs-ofctl parse-flows` prints of a file, which is what becomes of the flows on the wire in the form
//! of OpenFlow that it chooses, as Open vSwitch's own tests list it and as the real tool does it.

use crate::{generate, oracle, sample, suite};
use netloom_proto::openflow::action::{Context, Limits, check, put_instructions, take_instructions};
use netloom_proto::openflow::codec::{Reader, Writer};
use netloom_proto::openflow::matching::Rules;
use netloom_proto::openflow::message::{FlowCommand, FlowMod};
use netloom_proto::openflow::text::{self, Names, Protocols};
use netloom_proto::openflow::{Match, Version};

/// A form of OpenFlow, by how a tool's options name it, with the version that carries it.
fn version(form: Protocols) -> Version {
    Version::ALL.into_iter().find(|version| Protocols::of_version(*version).contains(form)).unwrap()
}

/// The match as it comes out of the octets of a form.
fn carried_match(fields: &Match, form: Protocols) -> Result<Match, String> {
    let mut out = Writer::new();
    let rules = Rules::STRICT;
    let carried = if Protocols::PLAIN_ANY.contains(form) {
        fields.put_v10(&mut out);
        Match::take_v10(&mut Reader::new(&out.finish()))
    } else if Protocols::NXM_ANY.contains(form) {
        let length = fields.put_nxm(None, &mut out);
        Match::take_nxm(&mut Reader::new(&out.finish()), length, rules).map(|(fields, _)| fields)
    } else if form == Protocols::V11 {
        fields.put_v11(&mut out);
        Match::take_v11(&mut Reader::new(&out.finish()))
    } else {
        fields.put_oxm(version(form), &mut out);
        Match::take_oxm(&mut Reader::new(&out.finish()), rules)
    };
    carried.map_err(|error| error.to_string())
}

/// The flow as it comes out of a message of a form.
fn carried(flow: &FlowMod, form: Protocols) -> Result<FlowMod, String> {
    let mut out = Writer::new();
    let context = Context::of(version(form), &flow.matching);
    put_instructions(&flow.actions, &context, &mut out).map_err(|error| error.to_string())?;
    let octets = out.finish();
    let actions = take_instructions(&mut Reader::new(&octets), octets.len(), &Context::new(version(form)))
        .map_err(|error| error.to_string())?;
    let table = match flow.table.unwrap_or(255) {
        _ if !Protocols::TABLES.contains(form) => 0,
        255 if flow.command == FlowCommand::Add && Protocols::V11_UP.contains(form) => 0,
        table => table,
    };
    let fields = carried_match(&flow.matching, form)?;
    // Who reads the message checks it again.
    match check(&actions, &fields, Limits { table, ..Limits::NONE }) {
        Ok(consistent) if consistent || version(form) == Version::V10 => {}
        Ok(_) => return Err("OFPBAC_MATCH_INCONSISTENT".to_string()),
        Err(error) => return Err(error.to_string()),
    }
    Ok(FlowMod { matching: fields, actions, table: Some(table), ..flow.clone() })
}

/// What the tool prints of a file.
fn print_file(file: &str, allowed: Protocols) -> Result<Vec<String>, String> {
    let (flows, usable) = text::parse_flows(file, Some(FlowCommand::Add), &Names::new())
        .map_err(|error| format!("{}: {}", error.line, error.ovs()))?;
    let chosen = Protocols::EACH
        .into_iter()
        .find(|form| (usable & allowed).contains(*form))
        .ok_or("no usable protocol")?;
    let title = match version(chosen) {
        Version::V10 if Protocols::NXM_ANY.contains(chosen) => "NXT_FLOW_MOD".to_string(),
        Version::V10 => "OFPT_FLOW_MOD".to_string(),
        version => format!("OFPT_FLOW_MOD (OF{})", version.number()),
    };
    let mut lines = vec![format!("usable protocols: {usable}"), format!("chosen protocol: {chosen}")];
    lines.extend(flows.iter().map(|flow| {
        let carried =
            carried(flow, chosen).map(|flow| text::print_flow_mod(&flow, version(chosen), &Names::new()));
        format!("{title}: {}", carried.unwrap_or_else(|error| error))
    }));
    Ok(lines)
}

/// The forms that the options of a command allow.
fn allowed(words: &[String]) -> Protocols {
    let after = |options: &[&str]| {
        let at = words.iter().position(|word| options.contains(&word.as_str()))?;
        words.get(at + 1)
    };
    if after(&["-F"]).is_some_and(|form| form == "nxm") {
        return Protocols::NXM_ANY;
    }
    let version = after(&["-O", "--protocols"]).and_then(|name| Version::from_name(name));
    version.map_or(Protocols::ANY, Protocols::of_version)
}

/// An argument whose quotes are doubled has its text as it is; another has its brackets doubled.
fn literal(argument: &str) -> String {
    let inner = argument.strip_prefix('[').and_then(|inner| inner.trim_end().strip_suffix(']'));
    inner.map_or_else(|| suite::unquoted(argument), str::to_string)
}

fn without_transaction(line: &str) -> String {
    match (line.find(" (xid="), line.find("):")) {
        (Some(start), Some(end)) if start < end => format!("{}{}", &line[..start], &line[end + 1..]),
        _ => line.to_string(),
    }
}

#[test]
fn files_of_flows_are_printed_as_open_vswitch_prints_them() {
    let (mut agree, mut files, mut different) = (0, 0, Vec::new());
    for name in ["ovs-ofctl.at", "learn.at", "multipath.at", "bundle.at"] {
        let Some(file) = suite::file(name) else { return };
        for case in suite::cases(&file) {
            let data = suite::macros(case.body, "AT_DATA");
            let checks = suite::macros(case.body, "AT_CHECK");
            for (index, check) in checks.iter().enumerate() {
                let command = literal(&check[0]);
                let words = suite::shell_words(&command, 20);
                let parses = words.iter().any(|word| word == "parse-flows") && words[0] == "ovs-ofctl";
                let (Some(flows), true) = (data.first(), parses && !command.contains("-mmm")) else {
                    continue;
                };
                let fails = check.get(1).is_some_and(|status| status == "1");
                let expected = match check.get(2) {
                    Some(stdout) if stdout != "stdout" => literal(stdout),
                    _ => checks
                        .get(index + 1)
                        .and_then(|next| next.get(2))
                        .map_or(String::new(), |text| literal(text)),
                };
                let ours = print_file(&literal(&flows[1]), allowed(&words));
                if fails {
                    assert!(ours.is_err(), "{}: {ours:?}", case.name);
                    continue;
                }
                files += 1;
                let expected: Vec<String> = expected.lines().map(without_transaction).collect();
                // The test takes this for the same, as some libraries do.
                let ours = ours.unwrap_or_else(|error| vec![error]);
                let ours: Vec<String> = ours.iter().map(|line| line.replace("fec0:0:", "fec0::")).collect();
                for (ours, expected) in ours.iter().zip(&expected) {
                    if ours == expected {
                        agree += 1;
                    } else {
                        different.push(format!("{name}: {}\n  OVS  {expected}\n  here {ours}", case.name));
                    }
                }
                if ours.len() != expected.len() {
                    different.push(format!(
                        "{name}: {}: {} lines, not {}",
                        case.name,
                        ours.len(),
                        expected.len()
                    ));
                }
            }
        }
    }
    println!("files of flows: {files}, {agree} lines alike, {} different", different.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(agree > 150, "only {agree} were found");
}

/// Flows with actions of all kinds, given to the real tool and to us, in the form of OpenFlow that `options` ask for.
fn compare_flows(options: &[&str], form: Protocols) {
    let lists = sample(&generate::lists(), 3000);
    let matches = sample(&generate::matches(), 3000);
    let mut lines = Vec::new();
    for (actions, fields) in lists.iter().zip(&matches) {
        let fields = text::print_match(fields, text::DEFAULT_PRIORITY, &Names::new());
        let line = format!("{fields} actions={}", text::print_actions(actions, &Names::new()));
        // Open vSwitch forgets the masks of these in version 1.0.
        let forgotten = form == Protocols::NXM
            && line.split("set_field:").skip(1).any(|set| {
                let (value, field) = set.split_once("->").unwrap_or((set, ""));
                value.contains('/')
                    && ["eth_", "ip_", "tcp_", "udp_", "sctp_"].iter().any(|word| field.starts_with(word))
            });
        if forgotten
            || line.split([',', ' ', '(']).any(oracle::confuses_open_vswitch)
            || fields.contains("packet_type=")
            || fields.contains("vlan_tci=")
        {
            continue;
        }
        // What cannot be told in this form is refused on both sides; that is tested flow by flow elsewhere.
        let Ok((flow, protocols)) = text::parse_flow(&line, Some(FlowCommand::Add), &Names::new()) else {
            continue;
        };
        if protocols.contains(form) {
            lines.push((line, flow));
        }
    }
    let file: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    let Some(printed) = oracle::parse_flows(options, &file) else { return };
    let printed = printed.unwrap();
    let mut different = Vec::new();
    for ((line, flow), theirs) in lines.iter().zip(&printed) {
        let ours = carried(flow, form).map(|flow| text::print_flow_mod(&flow, version(form), &Names::new()));
        let theirs = theirs.trim_start_matches("***decode error: ").trim_end_matches("***");
        if ours.as_deref().unwrap_or_else(|error| error) != theirs {
            different
                .push(format!("     {line}\nOVS  {theirs}\nhere {}", ours.unwrap_or_else(|error| error)));
        }
    }
    println!("flows with {options:?}: {} of {} printed alike", lines.len() - different.len(), lines.len());
    assert!(
        different.is_empty(),
        "{} differ, such as\n{}",
        different.len(),
        different[..different.len().min(8)].join("\n")
    );
    assert!(lines.len() > 100, "only {} could be told", lines.len());
}

#[test]
fn flows_become_what_the_real_tool_makes_of_them_in_openflow_15() {
    compare_flows(&["-O", "OpenFlow15"], Protocols::V15);
}

#[test]
fn flows_become_what_the_real_tool_makes_of_them_in_openflow_13() {
    compare_flows(&["-O", "OpenFlow13"], Protocols::V13);
}

#[test]
fn flows_become_what_the_real_tool_makes_of_them_in_nxm() {
    compare_flows(&["-F", "nxm"], Protocols::NXM);
}
