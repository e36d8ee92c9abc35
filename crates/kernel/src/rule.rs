//! Policy-routing rules (`RTM_NEWRULE`, linux/fib_rules.h).

use crate::marks::PROTOCOL;
use crate::netlink::{Messages, Reply};
use crate::picture::RulePicture;
use ipnet::IpNet;
use netloom_compile::object::{Family, Rule, RuleAction};

/// Length of `struct fib_rule_hdr`.
const HEADER: usize = 12;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_PROTOCOL: u16 = 21;

const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_BLACKHOLE: u8 = 6;
const FR_ACT_UNREACHABLE: u8 = 7;
const FR_ACT_PROHIBIT: u8 = 8;
const RTPROT_KERNEL: u8 = 2;

const fn family_number(family: Family) -> u8 {
    (match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    }) as u8
}

fn write(messages: &mut Messages, kind: u16, flags: u16, priority: u32, family: Family, rule: &Rule) {
    let (action, table) = match rule.action {
        RuleAction::Lookup(table) => (FR_ACT_TO_TBL, Some(table)),
        RuleAction::Blackhole => (FR_ACT_BLACKHOLE, None),
        RuleAction::Unreachable => (FR_ACT_UNREACHABLE, None),
        RuleAction::Prohibit => (FR_ACT_PROHIBIT, None),
    };
    let length = |net: &Option<IpNet>| net.map_or(0, |net| net.prefix_len());
    let short = table.and_then(|table| u8::try_from(table).ok()).unwrap_or(0);
    let mut m = messages.add(kind, flags);
    m.header(&[
        family_number(family),
        length(&rule.to),
        length(&rule.from),
        0,
        short,
        0,
        0,
        action,
        0,
        0,
        0,
        0,
    ])
    .u32(FRA_PRIORITY, priority)
    .u8(FRA_PROTOCOL, PROTOCOL);
    for (kind, net) in [(FRA_SRC, &rule.from), (FRA_DST, &rule.to)] {
        if let Some(net) = net
            && net.prefix_len() > 0
        {
            m.ip(kind, net.network());
        }
    }
    for (kind, name) in [(FRA_IIFNAME, &rule.input), (FRA_OIFNAME, &rule.output)] {
        if let Some(name) = name {
            m.text(kind, name.as_str());
        }
    }
    if let Some((mark, mask)) = rule.mark {
        m.u32(FRA_FWMARK, mark).u32(FRA_FWMASK, mask);
    }
    if let Some(table) = table {
        m.u32(FRA_TABLE, table);
    }
}

pub(crate) fn create(messages: &mut Messages, priority: u32, family: Family, rule: &Rule) {
    let flags = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
    write(messages, libc::RTM_NEWRULE, flags, priority, family, rule);
}

/// Deletes the rule of ours that is exactly so.
pub(crate) fn delete(messages: &mut Messages, priority: u32, family: Family, rule: &Rule) {
    write(messages, libc::RTM_DELRULE, 0, priority, family, rule);
}

/// Asks for all rules of a namespace, of both families.
pub(crate) fn dump(messages: &mut Messages) {
    messages.add(libc::RTM_GETRULE, libc::NLM_F_DUMP as u16).header(&[0; HEADER]);
}

/// An observed rule.
pub(crate) struct Found {
    pub(crate) priority: u32,
    pub(crate) family: Family,
    pub(crate) rule: Rule,
    pub(crate) protocol: u8,
}

/// Reads an answer whoever made the rule, with what of it could not be read.
pub(crate) fn read_any(reply: &Reply<'_>) -> Option<RulePicture> {
    /// Goto, nop.
    const OTHER_ACTIONS: [(u8, &str); 2] = [(2, "goto"), (3, "nop")];
    const FIB_RULE_INVERT: u32 = 2;
    const FRA_L3MDEV: u16 = 19;
    /// Attributes that ask something of the packet, beside those of [`Rule`].
    const ASKING: [(u16, &str); 7] = [
        (12, "tunnel id"),
        (13, "suppress_ifgroup"),
        (14, "suppress_prefixlength"),
        (20, "uidrange"),
        (22, "ipproto"),
        (23, "sport"),
        (24, "dport"),
    ];
    let all_ones = u32::MAX;
    let found = read_parts(reply)?;
    let attributes = reply.attributes(HEADER);
    let [_, _, _, tos, ..] = reply.fixed::<8>(0);
    let [action] = reply.fixed::<1>(7);
    let mut odd: Vec<&str> = Vec::new();
    if reply.fixed_u32(8) & FIB_RULE_INVERT != 0 {
        odd.push("not");
    }
    if tos != 0 {
        odd.push("tos");
    }
    let asks = |(kind, _): &&(u16, &str)| match attributes.get(*kind) {
        // Suppression that is switched off is all ones.
        Some(value) if matches!(*kind, 13 | 14) => value.u32() != Some(all_ones),
        Some(_) => true,
        None => false,
    };
    odd.extend(ASKING.iter().filter(asks).map(|(_, name)| *name));
    odd.extend(OTHER_ACTIONS.iter().filter(|(number, _)| *number == action).map(|(_, name)| *name));
    let vrf = attributes.get(FRA_L3MDEV).and_then(|on| on.u8()).is_some_and(|on| on != 0);
    let odd = (!odd.is_empty()).then(|| odd.join(", "));
    Some(RulePicture { priority: found.priority, family: found.family, rule: found.rule, vrf, odd })
}

/// Reads an answer; `None` for the kernel's own rules (the three defaults, and that of VRFs).
pub(crate) fn read(reply: &Reply<'_>) -> Option<Found> {
    let [action] = reply.fixed::<1>(7);
    let known = matches!(action, FR_ACT_TO_TBL | FR_ACT_BLACKHOLE | FR_ACT_UNREACHABLE | FR_ACT_PROHIBIT);
    read_parts(reply).filter(|found| known && found.protocol != RTPROT_KERNEL)
}

/// Reads what every rule has. An action that is none of ours reads as one that looks nothing up.
fn read_parts(reply: &Reply<'_>) -> Option<Found> {
    if reply.kind != libc::RTM_NEWRULE {
        return None;
    }
    let [family, to_length, from_length, _, table, _, _, action] = reply.fixed::<8>(0);
    let family = match i32::from(family) {
        libc::AF_INET => Family::V4,
        libc::AF_INET6 => Family::V6,
        _ => return None,
    };
    let mut rule =
        Rule { from: None, to: None, input: None, output: None, mark: None, action: RuleAction::Blackhole };
    let (mut priority, mut table, mut protocol, mut mark, mut mask) =
        (0, u32::from(table), 0, None, u32::MAX);
    for attribute in reply.attributes(HEADER) {
        match attribute.kind {
            FRA_SRC => rule.from = IpNet::new(attribute.ip()?, from_length).ok(),
            FRA_DST => rule.to = IpNet::new(attribute.ip()?, to_length).ok(),
            FRA_IIFNAME => rule.input = attribute.text()?.parse().ok(),
            FRA_OIFNAME => rule.output = attribute.text()?.parse().ok(),
            FRA_PRIORITY => priority = attribute.u32()?,
            FRA_TABLE => table = attribute.u32()?,
            FRA_PROTOCOL => protocol = attribute.u8()?,
            FRA_FWMARK => mark = attribute.u32(),
            FRA_FWMASK => mask = attribute.u32()?,
            _ => {}
        }
    }
    rule.mark = mark.map(|mark| (mark, mask));
    rule.action = match action {
        FR_ACT_TO_TBL => RuleAction::Lookup(table),
        FR_ACT_BLACKHOLE => RuleAction::Blackhole,
        FR_ACT_UNREACHABLE => RuleAction::Unreachable,
        FR_ACT_PROHIBIT => RuleAction::Prohibit,
        // Whoever looks into table 0 finds nothing.
        _ => RuleAction::Lookup(0),
    };
    Some(Found { priority, family, rule, protocol })
}
