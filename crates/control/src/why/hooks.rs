//! Packet filters on the way, and what connection tracking makes of a packet in each namespace.

use super::change::Edit;
use super::filter::{self, At, Decided, Translation};
use super::packet::Tracked;
use super::report::{Reason, Step};
use super::walk::{Connection, Loss, Walker, Way};
use netloom_compile::object::firewall::{HookPoint, Protocol};
use netloom_compile::object::{Firewall, Key, Space, Spec};
use netloom_wire::InterfaceName;
use std::net::IpAddr;

impl Walker<'_> {
    /// What connection tracking says of a packet that has just come into a namespace, and translates back.
    pub(super) fn track(&self, way: &mut Way) {
        let tuple = way.packet.tuple();
        let known =
            self.connections.iter().find(|c| c.space == way.space && c.translated.reversed() == tuple);
        (way.packet.mapped, way.packet.masked) = (false, false);
        match known {
            Some(known) => {
                way.packet.tracked = Tracked::Established;
                way.packet.mapped = known.original.destination != known.translated.destination;
                way.packet.masked = known.original.source != known.translated.source;
                // The destination of an answer is translated back at once, its source when it leaves.
                (way.packet.destination, way.packet.destination_port) = known.original.source;
            }
            None if filter::is_stray(&way.packet) => way.packet.tracked = Tracked::Invalid,
            None => way.packet.tracked = Tracked::New,
        }
    }

    /// Translates the source of an answer back.
    pub(super) fn untranslate(&self, way: &mut Way) {
        let Some(entered) = &way.entered else { return };
        let known =
            self.connections.iter().find(|c| c.space == way.space && c.translated.reversed() == *entered);
        if let Some(known) = known {
            (way.packet.source, way.packet.source_port) = known.original.destination;
        }
    }

    pub(super) fn remember(&mut self, way: &Way) {
        if let (Some(original), Tracked::New) = (&way.entered, way.packet.tracked) {
            let translated = way.packet.tuple();
            self.connections.push(Connection {
                space: way.space.clone(),
                original: original.clone(),
                translated,
            });
        }
    }

    /// Chains of a hook.
    pub(super) fn hook(
        &mut self,
        way: &mut Way,
        point: HookPoint,
        input: Option<InterfaceName>,
        output: Option<InterfaceName>,
    ) -> Result<(), Box<Loss>> {
        let scene = self.scene;
        let Some(space) = scene.space(&way.space) else { return Ok(()) };
        if space.filters.is_empty() {
            return Ok(());
        }
        let at = At { space, point: &point, input: input.as_ref(), output: output.as_ref() };
        let outcome = filter::judge(&at, &mut way.packet);
        self.doubts.extend(outcome.doubts.iter().map(|doubt| format!("{}: {doubt}", way.space)));
        let (verb, adverb) = match point {
            HookPoint::Prerouting => ("takes", "as it arrives"),
            HookPoint::Input => ("takes", "for itself"),
            HookPoint::Forward => ("passes", "on"),
            HookPoint::Output => ("lets", "out"),
            _ => ("lets", "leave"),
        };
        let firewall = Key::Firewall { space: way.space.clone() };
        let compared = vec![format!("{} rules were looked at for {}", outcome.looked, way.packet)];
        if let Some((decided, told)) = outcome.stopped {
            let mut loss = way.lost(
                if told.is_some() { Reason::Rejected } else { Reason::Filtered },
                format!(
                    "{}'s packet filter {} it {}: {}",
                    way.space,
                    if told.is_some() { "refuses" } else { "drops" },
                    place_words(&point),
                    rule_words(&decided)
                ),
            );
            loss.origin = decided.origin.clone().or_else(|| self.wishes.origin(&firewall));
            loss.told = told.map(|how| filter::told(how).to_owned());
            loss.edits = self.filter_edits(way, &decided);
            return Err(loss);
        }
        let passed = outcome.passed.iter().rfind(|decided| decided.name.is_some()).or(outcome.passed.last());
        if let Some(decided) = passed {
            let text = format!("its packet filter {verb} it {adverb}: {}", rule_words(decided));
            let quiet = decided.name.as_deref().is_some_and(|name| name == "to itself");
            let step = Step::new(&way.space, "filter", text)
                .object(format!("firewall {}", way.space))
                .from(decided.origin.clone().or_else(|| self.wishes.origin(&firewall)))
                .comparing(compared.clone())
                .quiet(quiet);
            way.steps.push(step);
        } else if outcome.looked > 0 {
            let text = format!("its packet filter {verb} it {adverb}: no rule is against it");
            way.steps.push(
                Step::new(&way.space, "filter", text)
                    .object(format!("firewall {}", way.space))
                    .comparing(compared)
                    .quiet(true),
            );
        }
        if let Some((decided, translation, others)) = outcome.translated {
            let what = match &translation {
                Translation::Source(address, port) => {
                    way.packet.source = *address;
                    way.packet.masked = true;
                    way.packet.source_port = port.or(way.packet.source_port);
                    format!("translates its source to {}", end(*address, *port))
                }
                Translation::Destination(address, port) => {
                    way.packet.destination = *address;
                    way.packet.mapped = true;
                    way.packet.destination_port = port.or(way.packet.destination_port);
                    format!("translates its destination to {}", end(*address, *port))
                }
            };
            let rest =
                if others.is_empty() { String::new() } else { format!(" (one of {})", others.len() + 1) };
            let step =
                Step::new(&way.space, "translation", format!("{what}{rest}: {}", rule_words(&decided)))
                    .object(format!("firewall {}", way.space))
                    .from(decided.origin.clone().or_else(|| self.wishes.origin(&firewall)));
            way.steps.push(step);
        }
        Ok(())
    }

    fn filter_edits(&self, way: &Way, decided: &Decided) -> Vec<Edit> {
        let mut packet = way.packet.clone();
        if packet.tracked == Tracked::Established || packet.answers {
            // A rule for answers is no rule that anybody would write.
            packet.answers = way.packet.answers;
        }
        let rule = filter::allowing(&packet);
        let mut edits = Vec::new();
        let wanted = self.wishes.object(&Key::Firewall { space: way.space.clone() });
        let matches_file = match (wanted.map(|object| &object.spec), self.scene.space(&way.space)) {
            (Some(Spec::Firewall(wanted)), Some(space)) => space
                .filters
                .get(decided.place.filter)
                .is_none_or(|filter| !filter.ours || same_rules(&filter.firewall, wanted)),
            _ => true,
        };
        if !matches_file {
            edits.push(Edit::Firewall { space: way.space.clone() });
        }
        let policy = decided.ours && decided.chain.contains(" policy-");
        if policy && !packet.answers {
            let named = |address: IpAddr| {
                let owner = self.scene.owners(address).find_map(|(space, _)| match space {
                    Space::Node(name) => Some(name.to_string()),
                    Space::Host => None,
                });
                owner.unwrap_or_else(|| address.to_string())
            };
            let service = match (packet.protocol, packet.destination_port) {
                (Protocol::ICMP | Protocol::ICMPV6, _) => "icmp".to_owned(),
                (protocol, Some(port)) => format!("{protocol}/{port}"),
                (protocol, None) => protocol.to_string(),
            };
            edits.push(Edit::Policy {
                rule: rule.clone(),
                sender: named(packet.source),
                receiver: named(packet.destination),
                service,
                origin: decided.origin.clone(),
            });
        }
        edits.push(Edit::Accept { space: way.space.clone(), place: decided.place, rule });
        edits
    }
}

/// A rule in words.
pub(super) fn rule_words(decided: &Decided) -> String {
    match (&decided.name, decided.place.rule) {
        (Some(name), Some(_)) => format!("`{name}`"),
        (None, Some(_)) => format!("`{}`", decided.text),
        (_, None) => format!("the policy of chain {}", decided.chain),
    }
}

fn end(address: IpAddr, port: Option<u16>) -> String {
    port.map_or_else(|| address.to_string(), |port| std::net::SocketAddr::new(address, port).to_string())
}

const fn place_words(point: &HookPoint) -> &'static str {
    match point {
        HookPoint::Prerouting => "as it arrives",
        HookPoint::Input => "on its way in",
        HookPoint::Forward => "on its way through",
        HookPoint::Output => "on its way out",
        HookPoint::Postrouting => "as it leaves",
        HookPoint::Ingress { .. } => "at the device it came by",
        HookPoint::Egress { .. } => "at the device it leaves by",
    }
}

/// Whether a table has the rules that the file wants.
fn same_rules(found: &Firewall, wanted: &Firewall) -> bool {
    let mut same = true;
    let mut partly = wanted.clone();
    // The device chains are in a table of their own.
    partly.chains.retain(|chain| !chain.on_device());
    found.compare(&partly, &mut |_, _, _| same = false);
    same
}
