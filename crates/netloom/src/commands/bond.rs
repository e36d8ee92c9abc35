//! `bond`: several ports of a switch as one.

use super::changes;
use super::switch::{names, options, request, words};
use crate::cli::BondCommand;
use crate::failure::Failure;
use crate::output::{Printer, put};
use netloom_control::switch::{BondStatus, EventKind, MemberStatus, Reply, Request};
use std::path::Path;

/// Bonds.
///
/// # Errors
/// What the daemon says, or that there is none.
pub fn bond(run: Option<&Path>, printer: &Printer, command: &BondCommand) -> Result<u8, Failure> {
    match command {
        BondCommand::Add { switch, name, options: given } => {
            let mut options = options(given);
            options.insert("type".to_owned(), "bond".to_owned());
            request(run, &Request::PortAdd { switch: switch.clone(), name: name.clone(), options })?;
        }
        BondCommand::Set { name, options: given } => {
            find(run, name)?;
            request(run, &Request::PortSet { name: name.clone(), options: options(given) })?;
        }
        BondCommand::Del { name } => {
            find(run, name)?;
            request(run, &Request::PortDelete { name: name.clone() })?;
        }
        BondCommand::List { switch } => {
            let bonds = all(run, switch.clone())?;
            if printer.is_machine() {
                printer.machine(&bonds)?;
                return Ok(0);
            }
            let row = |bond: &BondStatus| {
                let members = bond.members.iter().map(|member| format!("{} {}", member.name, member.work));
                let up = if bond.up { "up" } else { "down" };
                [
                    bond.name.clone(),
                    bond.switch.clone(),
                    bond.mode.clone(),
                    up.to_owned(),
                    members.collect::<Vec<_>>().join(", "),
                    words(&bond.options),
                ]
            };
            let heads = ["bond", "switch", "mode", "state", "members", "options"];
            put(&printer.rows(heads, bonds.iter().map(row)))?;
        }
        BondCommand::Show { name } => {
            let bond = find(run, name)?;
            if printer.is_machine() {
                printer.machine(&bond)?;
            } else {
                show(printer, &bond)?;
            }
        }
        BondCommand::Watch(watch) => return changes::watch(run, printer, &[EventKind::Bond], watch),
    }
    Ok(0)
}

fn all(run: Option<&Path>, switch: Option<String>) -> Result<Vec<BondStatus>, Failure> {
    match request(run, &Request::BondList { switch })? {
        Reply::Bonds(bonds) => Ok(bonds),
        _ => Err(Failure::new("the switch gave another answer than the list of its bonds")),
    }
}

fn find(run: Option<&Path>, name: &str) -> Result<BondStatus, Failure> {
    let bonds = all(run, None)?;
    let known = names(bonds.iter().map(|bond| &bond.name));
    let found = bonds.into_iter().find(|bond| bond.name == name);
    found.ok_or_else(|| Failure::new(format!("there is no bond `{name}`")).help(format!("bonds: {known}")))
}

fn show(printer: &Printer, bond: &BondStatus) -> Result<(), Failure> {
    let up = if bond.up { "up" } else { "down" };
    put(&format!("{} of {}: {}, {up}\n{}\n\n", bond.name, bond.switch, bond.mode, words(&bond.options)))?;
    let row = |member: &MemberStatus| {
        let lacp = member.lacp.clone();
        let [machines, actor, ours, partner, theirs] = lacp.map_or_else(Default::default, |lacp| {
            [
                format!("{}, {}", lacp.receive, lacp.mux),
                lacp.actor,
                lacp.actor_state,
                lacp.partner,
                lacp.partner_state,
            ]
        });
        [
            member.name.clone(),
            member.state.clone(),
            member.work.clone(),
            machines,
            actor,
            ours,
            partner,
            theirs,
        ]
    };
    let heads = ["member", "link", "work", "lacp", "we", "our state", "partner", "its state"];
    Ok(put(&printer.rows(heads, bond.members.iter().map(row)))?)
}
