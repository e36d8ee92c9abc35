//! A header's fields by name, second part: LLC, multicast, tunnels and the protocols between bridges.

use crate::fields::{Fields, by_name, hex, joined, text};
use netloom_wire::header::multicast_record::{Address, Records, Sources};
use netloom_wire::header::*;
use std::fmt::Display;

/// As [`crate::fields::fields`].
pub(crate) fn fields(header: &str, bytes: &[u8]) -> Option<Fields> {
    macro_rules! parsed {
        ($header:ident) => {
            $header::Repr::parse(&$header::View::new_checked(bytes).ok()?).ok()?
        };
    }
    Some(match header {
        "llc" => {
            let r = parsed!(llc);
            let control = match r.control {
                llc::Control::Unnumbered(control) => control,
                llc::Control::Numbered([first, _]) => first,
            };
            by_name!(destination_sap = r.destination_sap, source_sap = r.source_sap, control = control)
        }
        "snap" => {
            let r = parsed!(snap);
            by_name!(organisation = hex(&r.organisation), protocol = r.protocol.0)
        }
        "igmp" => igmp_fields(bytes)?,
        "mld" => mld_fields(&parsed!(mld)),
        "mpls" => {
            let r = parsed!(mpls);
            by_name!(label = r.label, traffic_class = r.traffic_class, bottom = r.bottom, ttl = r.ttl)
        }
        "vxlan" => {
            let r = parsed!(vxlan);
            let mut f = by_name!(vni = r.vni.get());
            if let Some(policy) = r.group_policy {
                f.extend(by_name!(
                    group = policy.group,
                    dont_learn = policy.dont_learn,
                    applied = policy.applied
                ));
            }
            f
        }
        "vxlan_gpe" => {
            let r = parsed!(vxlan_gpe);
            let mut f = by_name!(maintenance = r.maintenance);
            if let Some(vni) = r.vni {
                f.extend(by_name!(vni = vni.get()));
            }
            if let Some(next) = r.next_protocol {
                f.extend(by_name!(next_protocol = next.0));
            }
            f
        }
        "geneve" => {
            let r = parsed!(geneve);
            let options = geneve::Options::new(r.options)
                .map(Result::unwrap)
                .map(|item| format!("{}:{}:{}", item.class, item.kind, hex(item.data)));
            by_name!(
                control = r.control,
                critical = r.critical,
                protocol = r.protocol.0,
                vni = r.vni.get(),
                header_len = r.buffer_len(),
                options = joined(options, " ")
            )
        }
        "gre" => {
            let v = gre::View::new_checked(bytes).ok()?;
            let mut f = by_name!(protocol = v.protocol().0);
            if let Some(checksum) = v.checksum() {
                f.extend(by_name!(checksum = checksum, intact = v.verify_checksum()));
            }
            if let Some(key) = v.key() {
                f.extend(by_name!(key = key));
            }
            if let Some(sequence) = v.sequence() {
                f.extend(by_name!(sequence = sequence));
            }
            f
        }
        "erspan" => erspan_fields(&parsed!(erspan)),
        "nsh" => {
            let r = parsed!(nsh);
            let mut f = by_name!(
                maintenance = r.maintenance,
                ttl = r.ttl,
                header_len = r.buffer_len(),
                next_protocol = r.next_protocol.0,
                service_path = r.service_path,
                service_index = r.service_index,
            );
            f.extend(match r.metadata {
                nsh::Metadata::Context(context) => by_name!(metadata_type = 1u8, context = hex(&context)),
                nsh::Metadata::Items(_) => by_name!(metadata_type = 2u8),
            });
            f
        }
        "gtp_u" => {
            let v = gtp_u::View::new_checked(bytes).ok()?;
            let r = gtp_u::Repr::parse(&v).ok()?;
            let mut f = by_name!(message = r.message.0, length = v.length(), tunnel = r.tunnel);
            if let Some(sequence) = r.sequence {
                f.extend(by_name!(sequence = sequence));
            }
            if let Some(number) = r.pdu_number {
                f.extend(by_name!(pdu_number = number));
            }
            if let Some(mut extensions) = r.extensions {
                let first = extensions.next().map_or(0, |extension| extension.kind.0);
                f.extend(by_name!(first_extension = first));
            }
            f
        }
        "stp" => stp_fields(bytes)?,
        "lacp" => {
            let r = parsed!(lacp);
            let end = |side: lacp::Partner| {
                let lacp::Partner { system_priority, system, key, port_priority, port, state } = side;
                format!("{system_priority} {system} {key} {port_priority} {port} {}", state.0)
            };
            by_name!(
                version = r.version,
                max_delay = r.max_delay,
                actor = end(r.actor),
                partner = end(r.partner)
            )
        }
        "marker" => {
            let r = parsed!(marker);
            by_name!(
                version = r.version,
                kind = 1 + u8::from(r.is_response),
                port = r.port,
                system = r.system,
                transaction = r.transaction
            )
        }
        "lldp" => {
            let r = parsed!(lldp);
            let id = |id: lldp::Id<'_>| format!("{}:{}", id.subtype, id.value.len() + 1);
            let others = lldp::Items::new(r.others)
                .map(Result::unwrap)
                .map(|item| format!("{}:{}", item.kind.0, item.data.len()));
            by_name!(
                chassis = id(r.chassis),
                port = id(r.port),
                time_to_live = r.time_to_live,
                others = joined(others, " ")
            )
        }
        "bfd" => {
            let r = parsed!(bfd);
            let intervals =
                [r.desired_min_tx_interval, r.required_min_rx_interval, r.required_min_echo_rx_interval];
            by_name!(
                diagnostic = r.diagnostic.0,
                state = r.state as u8,
                poll = r.poll,
                is_final = r.is_final,
                independent = r.control_plane_independent,
                authenticated = r.authentication.is_some(),
                demand = r.demand,
                detection_multiplier = r.detection_multiplier,
                length = bytes[3],
                my_discriminator = r.my_discriminator,
                your_discriminator = r.your_discriminator,
                intervals = joined(intervals, " "),
            )
        }
        other => panic!("{other} is no header"),
    })
}

fn igmp_fields(bytes: &[u8]) -> Option<Fields> {
    use igmp::Repr;
    let v = igmp::View::new_checked(bytes).ok()?;
    let mut f = by_name!(kind = v.kind().0, checksum = v.checksum(), intact = v.verify_checksum());
    match Repr::parse(&v).ok()? {
        Repr::Query1 { group } => f.extend(by_name!(group = group, response_code = 0u8)),
        Repr::Query2 { response_time, group } => {
            f.extend(by_name!(group = group, response_code = response_time));
        }
        Repr::Query3 { response_code, group, suppress, robustness, interval_code, sources } => {
            f.extend(by_name!(
                response_code = response_code,
                group = group,
                suppress = suppress,
                robustness = robustness,
                interval_code = interval_code,
                sources = list(&sources)
            ));
        }
        Repr::Report1 { group } | Repr::Report2 { group } | Repr::Leave { group } => {
            f.extend(by_name!(group = group));
        }
        Repr::Report3 { records } => f.extend(by_name!(records = records_text(&records))),
    }
    Some(f)
}

fn mld_fields(r: &mld::Repr<'_>) -> Fields {
    use mld::Repr;
    let mut f = by_name!(kind = r.kind().0);
    match r {
        Repr::Query1 { response_time, group } => {
            f.extend(by_name!(response_code = *response_time, group = *group));
        }
        Repr::Query2 { response_code, group, suppress, robustness, interval_code, sources } => {
            f.extend(by_name!(
                response_code = *response_code,
                group = *group,
                suppress = *suppress,
                robustness = *robustness,
                interval_code = *interval_code,
                sources = list(sources)
            ));
        }
        Repr::Report1 { group } | Repr::Done { group } => {
            f.extend(by_name!(response_code = 0u8, group = *group));
        }
        Repr::Report2 { records } => f.extend(by_name!(records = records_text(records))),
    }
    f
}

fn list<A: Address + Display>(sources: &Sources<'_, A>) -> String {
    joined(sources.iter(), ",")
}

fn records_text<A: Address + Display>(records: &Records<'_, A>) -> String {
    joined(
        records.iter().map(|record| format!("{}:{}:{}", record.kind.0, record.group, list(&record.sources))),
        " ",
    )
}

fn erspan_fields(r: &erspan::Repr) -> Fields {
    use erspan::Repr;
    let (Repr::II { common, .. } | Repr::III { common, .. }) = r;
    let mut f = by_name!(
        vlan = common.vlan,
        class_of_service = common.class_of_service,
        truncated = common.truncated,
        session = common.session
    );
    f.extend(match *r {
        Repr::II { encapsulation, index, .. } => by_name!(encapsulation = encapsulation, index = index),
        Repr::III {
            error,
            timestamp,
            security_group,
            is_ethernet,
            frame_kind,
            hardware,
            egress,
            granularity,
            platform,
            ..
        } => by_name!(
            error = error,
            timestamp = timestamp,
            security_group = security_group,
            is_ethernet = is_ethernet,
            frame_kind = frame_kind,
            hardware = hardware,
            egress = egress,
            granularity = granularity,
            platform = platform.is_some()
        ),
    });
    f
}

fn stp_fields(bytes: &[u8]) -> Option<Fields> {
    use stp::Repr;
    let v = stp::View::new_checked(bytes).ok()?;
    let mut f = by_name!(version = v.version(), kind = v.kind());
    if let Repr::Configuration { vector, .. } | Repr::Rapid { vector, .. } = Repr::parse(&v).ok()? {
        let bridge = |id: stp::BridgeId| format!("{}.{}", id.priority, id.address);
        f.extend(by_name!(
            flags = v.flags(),
            root = bridge(vector.root),
            cost = vector.root_path_cost,
            bridge = bridge(vector.bridge),
            port = vector.port,
            age = vector.message_age,
            max_age = vector.max_age,
            hello = vector.hello_time,
            delay = vector.forward_delay
        ));
    }
    Some(f)
}
