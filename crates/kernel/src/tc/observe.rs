//! Reading the kernel's queueing into our types.

use super::ingress::{self, Action};
use super::piece::{Layer, Piece, together};
use super::qdisc::{self, TCA_KIND, TCA_OPTIONS};
use super::units::Ticks;
use super::wire::{HEADER, INGRESS, INGRESS_FILTERS, OUR_ROOT, Place, ROOT, header, index};
use super::{FilterRow, TcError, flower, u32};
use crate::netlink::{Attribute, Messages, Replies, Reply, Socket};
use netloom_compile::object::shaper::{
    ClassId, Filter, FilterKind, Htb, Ingress, Match, Prio, Qdisc, Shaper,
};
use netloom_wire::InterfaceName;
use std::collections::BTreeMap;

const TCA_CHAIN: u16 = 11;
const DUMP: u16 = libc::NLM_F_DUMP as u16;

/// Queueing as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The tree.
    pub shaper: Shaper,
    /// Whether it carries Netloom's mark.
    pub ours: bool,
}

/// A discipline as the kernel told it.
#[derive(Clone, Copy)]
struct Row<'a> {
    handle: u32,
    parent: u32,
    kind: &'a str,
    options: Option<Attribute<'a>>,
}

impl<'a> Row<'a> {
    fn of(reply: &Reply<'a>) -> Option<Self> {
        let attributes = reply.attributes(HEADER);
        Some(Self {
            handle: reply.fixed_u32(8),
            parent: reply.fixed_u32(12),
            kind: attributes.get(TCA_KIND)?.text()?,
            options: attributes.get(TCA_OPTIONS),
        })
    }
}

/// Reads the queueing of the interface `only`, or of all in the socket's namespace. Interfaces that have
/// nothing but the kernel's default are not listed.
///
/// # Errors
/// When a dump fails.
pub fn observe(socket: &mut Socket, only: Option<u32>) -> Result<BTreeMap<u32, Found>, TcError> {
    let mut messages = Messages::new();
    messages.add(libc::RTM_GETQDISC, DUMP).header(&header(0, 0, 0, 0));
    let replies = socket.request(&mut messages)?;
    let mut interfaces: BTreeMap<u32, Vec<Row<'_>>> = BTreeMap::new();
    for reply in replies.iter().filter(|reply| reply.kind == libc::RTM_NEWQDISC) {
        let ifindex = reply.fixed_u32(4);
        if let Some(row) = Row::of(&reply)
            && only.is_none_or(|only| only == ifindex)
        {
            interfaces.entry(ifindex).or_default().push(row);
        }
    }
    let mut found = BTreeMap::new();
    for (ifindex, rows) in interfaces {
        if let Some(one) = observe_one(socket, ifindex, &rows)? {
            found.insert(ifindex, one);
        }
    }
    Ok(found)
}

fn observe_one(socket: &mut Socket, ifindex: u32, rows: &[Row<'_>]) -> Result<Option<Found>, TcError> {
    let mut shaper = Shaper::default();
    let mut ours = false;
    // A discipline with the handle 0 was made by the kernel.
    if let Some(root) = rows.iter().find(|row| row.parent == ROOT && row.handle != 0) {
        ours = root.handle == OUR_ROOT;
        let mut tree = read_tree(root, rows, 0, &mut shaper.unrecognized);
        match &mut tree {
            Qdisc::Htb(htb) => {
                read_classes(socket, ifindex, root, rows, htb, &mut shaper.unrecognized)?;
                htb.filters = read_filters(socket, ifindex, root.handle, &mut shaper.unrecognized)?;
            }
            Qdisc::Prio(prio) => {
                read_bands(root, rows, prio, &mut shaper.unrecognized);
                prio.filters = read_filters(socket, ifindex, root.handle, &mut shaper.unrecognized)?;
            }
            _ => {}
        }
        shaper.root = Some(tree);
    }
    // Another program's ingress filters may stand beside ours.
    if rows.iter().any(|row| row.parent == INGRESS)
        && let Some(ingress) = read_ingress(socket, ifindex, &mut shaper.unrecognized)?
    {
        // A tree that is not ours is not to be mixed with what is.
        if !ours {
            shaper.root = None;
        }
        shaper.ingress = ingress;
        ours = true;
    }
    let nothing = shaper.root.is_none() && shaper.ingress.is_none() && shaper.unrecognized.is_empty();
    Ok((!nothing).then_some(Found { shaper, ours }))
}

/// A discipline with the single one below it, for the kinds that have one class.
fn read_tree(row: &Row<'_>, rows: &[Row<'_>], level: usize, unrecognized: &mut Vec<String>) -> Qdisc {
    let Some(mut qdisc) = qdisc::decode(row.kind, row.options, Ticks::of_kernel()) else {
        unrecognized.push(format!("options of discipline {}", row.kind));
        return Qdisc::Other { name: row.kind.to_owned() };
    };
    let mut below = || {
        // A loop of parents cannot come from the kernel, but a bound costs nothing.
        let child = rows
            .iter()
            .find(|child| child.parent >> 16 == row.handle >> 16 && child.handle != 0 && level < 8)?;
        Some(Box::new(read_tree(child, rows, level + 1, unrecognized)))
    };
    match &mut qdisc {
        Qdisc::Tbf(tbf) => tbf.child = below(),
        Qdisc::Netem(netem) => netem.child = below(),
        Qdisc::Htb(_) | Qdisc::Prio(_) if level > 0 => {
            // Classes below the root are not looked into.
            unrecognized.push(format!("discipline {} below another", row.kind));
        }
        _ => {}
    }
    qdisc
}

fn leaf_of(class: u32, rows: &[Row<'_>], unrecognized: &mut Vec<String>) -> Option<Qdisc> {
    let row = rows.iter().find(|row| row.parent == class && row.handle != 0)?;
    Some(read_tree(row, rows, 1, unrecognized))
}

fn read_classes(
    socket: &mut Socket,
    ifindex: u32,
    root: &Row<'_>,
    rows: &[Row<'_>],
    htb: &mut Htb,
    unrecognized: &mut Vec<String>,
) -> Result<(), TcError> {
    let mut messages = Messages::new();
    messages.add(libc::RTM_GETTCLASS, DUMP).header(&header(ifindex, 0, 0, 0));
    let replies = socket.request(&mut messages)?;
    for reply in replies.iter().filter(|reply| reply.kind == libc::RTM_NEWTCLASS) {
        let (handle, parent) = (reply.fixed_u32(8), reply.fixed_u32(12));
        // The dump has the classes of all disciplines of the interface.
        if handle >> 16 != root.handle >> 16 {
            continue;
        }
        let class = reply
            .attributes(HEADER)
            .get(TCA_OPTIONS)
            .and_then(|options| qdisc::decode_class(options, Ticks::of_kernel()));
        let (Ok(id), Some(mut class)) = (ClassId::try_from(handle as u16), class) else {
            unrecognized.push(format!("class {:x}:{:x}", handle >> 16, handle as u16));
            continue;
        };
        class.parent = if parent == ROOT { None } else { ClassId::try_from(parent as u16).ok() };
        class.leaf = leaf_of(handle, rows, unrecognized).map(Box::new);
        htb.classes.insert(id, class);
    }
    Ok(())
}

fn read_bands(root: &Row<'_>, rows: &[Row<'_>], prio: &mut Prio, unrecognized: &mut Vec<String>) {
    for band in 0..prio.bands.min(16) {
        if let Some(leaf) = leaf_of(root.handle | (u32::from(band) + 1), rows, unrecognized) {
            prio.leaves.insert(band, leaf);
        }
    }
}

/// Dumps the filters at one place.
pub(super) fn dump_filters(socket: &mut Socket, place: Place) -> Result<Replies, TcError> {
    let mut messages = Messages::new();
    messages.add(libc::RTM_GETTFILTER, DUMP).header(&header(place.ifindex, 0, place.parent, 0));
    Ok(socket.request(&mut messages)?)
}

/// Filters as (priority, Ethernet protocol, kind, handle, options), without the heads of their lists.
pub(super) fn filter_rows(
    replies: &Replies,
) -> impl Iterator<Item = (u16, u16, &str, u32, Attribute<'_>, u32)> {
    replies.iter().filter(|reply| reply.kind == libc::RTM_NEWTFILTER).filter_map(|reply| {
        let info = reply.fixed_u32(16);
        let attributes = reply.attributes(HEADER);
        let chain = attributes.get(TCA_CHAIN).and_then(Attribute::u32).unwrap_or(0);
        let options = attributes.get(TCA_OPTIONS)?;
        let kind = attributes.get(TCA_KIND)?.text()?;
        Some(((info >> 16) as u16, u16::from_be(info as u16), kind, reply.fixed_u32(8), options, chain))
    })
}

/// The filters of one match, still in the kernel's words.
#[derive(Default)]
struct Group<'a> {
    u32: Vec<FilterRow<'a>>,
    flower: Vec<FilterRow<'a>>,
    strange: Option<String>,
}

fn read_filters(
    socket: &mut Socket,
    ifindex: u32,
    parent: u32,
    unrecognized: &mut Vec<String>,
) -> Result<Vec<Filter>, TcError> {
    let replies = dump_filters(socket, Place { ifindex, parent })?;
    let mut groups: BTreeMap<usize, Group<'_>> = BTreeMap::new();
    for (priority, protocol, kind, handle, options, chain) in filter_rows(&replies) {
        let group = groups.entry(index(priority)).or_default();
        match (Layer::of(protocol), kind) {
            (Some(layer), "u32") if chain == 0 => group.u32.push(FilterRow { layer, handle, options }),
            (Some(layer), "flower") if chain == 0 => group.flower.push(FilterRow { layer, handle, options }),
            _ => group.strange = Some(format!("filter {kind} of priority {priority}")),
        }
    }
    let mut filters = Vec::new();
    for (index, group) in groups {
        match read_match(&group, parent) {
            Some(filter) => filters.push(filter),
            None => {
                unrecognized.push(group.strange.unwrap_or_else(|| {
                    format!("filters of priority {} and {}", 2 * index + 1, 2 * index + 2)
                }))
            }
        }
    }
    Ok(filters)
}

fn read_match(group: &Group<'_>, parent: u32) -> Option<Filter> {
    let (pieces, kind) = match (&group.u32[..], &group.flower[..], &group.strange) {
        (rows, [], None) => (u32::decode(rows)?, FilterKind::U32),
        ([], rows, None) => (flower::decode(rows)?, FilterKind::Flower),
        _ => return None,
    };
    let class = pieces.first()?.1;
    if class >> 16 != parent >> 16 || pieces.iter().any(|(_, other)| *other != class) {
        return None;
    }
    let pieces: Vec<Piece> = pieces.into_iter().map(|(piece, _)| piece).collect();
    let when: Match = together(&pieces, kind)?;
    Some(Filter { when, class: ClassId::try_from(class as u16).ok()? })
}

/// What stands at the ingress with our mark; the inner `None` when it is there and not understood.
fn read_ingress(
    socket: &mut Socket,
    ifindex: u32,
    unrecognized: &mut Vec<String>,
) -> Result<Option<Option<Ingress>>, TcError> {
    let replies = dump_filters(socket, Place { ifindex, parent: INGRESS_FILTERS })?;
    let mut found = None;
    for (priority, _, kind, handle, options, _) in filter_rows(&replies) {
        if priority != ingress::PRIORITY || (kind == "u32" && handle & 0xf_ffff == 0) {
            continue;
        }
        let action = if kind == "u32" { ingress::decode(options, Ticks::of_kernel()) } else { None };
        let read = match action {
            Some(Action::Police { rate, burst }) => Some(Ingress::Police { rate, burst }),
            Some(Action::Redirect { ifindex }) => {
                name_of(socket, ifindex)?.map(|device| Ingress::Redirect { device })
            }
            None => None,
        };
        if read.is_none() || matches!(found, Some(Some(_))) {
            unrecognized.push(format!("ingress filter {kind} of priority {priority}"));
        }
        if found.is_none() || read.is_some() {
            found = Some(read);
        }
    }
    Ok(found)
}

/// Length of `struct ifinfomsg`.
const LINK_HEADER: usize = 16;

/// The name of an interface; `None` when there is none (any more).
fn name_of(socket: &mut Socket, ifindex: u32) -> Result<Option<InterfaceName>, TcError> {
    let mut octets = [0; LINK_HEADER];
    octets[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    let mut messages = Messages::new();
    messages.add(libc::RTM_GETLINK, 0).header(&octets);
    let replies = match socket.request(&mut messages) {
        Err(error) if error.errno() == Some(rustix::io::Errno::NODEV) => return Ok(None),
        other => other?,
    };
    let name = replies.iter().find_map(|reply| reply.attributes(LINK_HEADER).get(libc::IFLA_IFNAME)?.text());
    Ok(name.and_then(|name| name.parse().ok()))
}

/// The number of an interface.
pub(super) fn index_of(socket: &mut Socket, name: &InterfaceName) -> Result<u32, TcError> {
    let mut messages = Messages::new();
    messages.add(libc::RTM_GETLINK, 0).header(&[0; LINK_HEADER]).text(libc::IFLA_IFNAME, name.as_str());
    let missing = || TcError::NoDevice(name.to_string());
    let replies = match socket.request(&mut messages) {
        Err(error) if error.errno() == Some(rustix::io::Errno::NODEV) => return Err(missing()),
        other => other?,
    };
    replies.iter().map(|reply| reply.fixed_u32(4)).next().ok_or_else(missing)
}

/// Handle and kind of the discipline at `parent`; `None` where only the kernel's default is.
pub(super) fn discipline_at(
    socket: &mut Socket,
    ifindex: u32,
    parent: u32,
) -> Result<Option<(u32, String)>, TcError> {
    let mut messages = Messages::new();
    // Kernels before 6.9 answer a single question only to who asks for an echo.
    messages.add(libc::RTM_GETQDISC, libc::NLM_F_ECHO as u16).header(&header(ifindex, 0, parent, 0));
    let replies = match socket.request(&mut messages) {
        Err(error) if error.errno() == Some(rustix::io::Errno::NOENT) => return Ok(None),
        other => other?,
    };
    let row = replies.iter().find_map(|reply| {
        let row = Row::of(&reply)?;
        Some((row.handle, row.kind.to_owned()))
    });
    Ok(row.filter(|(handle, _)| *handle != 0))
}
