//! The walk of a packet: out of a namespace, over links, into the next, until it is delivered or lost.
//!
//! ```text
//! send:    route -> source -> output hooks -> (route again) -> leave
//! arrive:  prerouting -> source is possible? -> route -> input hooks -> delivered
//!                                                  `--> forwards? -> hops -> forward hooks -> leave
//! leave:   postrouting -> length -> neighbour -> frames over links (`link`) -> arrive
//! ```

use super::change::{self, Edit};
use super::link::Block;
use super::packet::{Packet, Tuple};
use super::report::{Reason, Step};
use super::routing::{self, Found, Query};
use super::scene::{Scene, Wishes};
use netloom_compile::object::firewall::HookPoint;
use netloom_compile::object::{Key, LinkRef, NextHop, RuleAction, Space};
use netloom_kernel::picture::{RouteDoes, RoutePicture, SpacePicture};
use netloom_vswitch::Bridge;
use netloom_wire::InterfaceName;
use std::collections::HashMap;
use std::net::IpAddr;

/// Most routers on a way.
const ROUTERS: usize = 70;

/// A loss.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub(super) space: Space,
    pub(super) reason: Reason,
    pub(super) sentence: String,
    pub(super) origin: Option<String>,
    /// Who sent it hears of it.
    pub(super) told: Option<String>,
    pub(super) edits: Vec<Edit>,
}

impl Loss {
    pub(super) fn new(space: &Space, reason: Reason, sentence: String) -> Self {
        Self { space: space.clone(), reason, sentence, origin: None, told: None, edits: Vec::new() }
    }
}

/// Where a packet was delivered.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) space: Space,
    /// By which interface it came, if it is not the sender's own namespace.
    pub(super) input: Option<InterfaceName>,
    pub(super) packet: Packet,
}

/// A walk in one direction.
#[derive(Debug, Clone)]
pub(super) struct Leg {
    /// As it was sent.
    pub(super) sent: Packet,
    pub(super) steps: Vec<Step>,
    pub(super) end: Result<Arrival, Box<Loss>>,
}

/// A connection that a namespace tracks: how its first packet came and how it left.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) space: Space,
    pub(super) original: Tuple,
    pub(super) translated: Tuple,
}

/// Memory of tunnels that were walked: from where, to which end, how long.
pub(super) type Tunnels = HashMap<(Space, IpAddr, u32), Result<(Space, Vec<Step>), Box<Loss>>>;

/// Walks packets through a scene.
pub(super) struct Walker<'a> {
    pub(super) scene: &'a Scene,
    pub(super) wishes: Wishes<'a>,
    pub(super) connections: Vec<Connection>,
    pub(super) doubts: Vec<String>,
    pub(super) tunnels: Tunnels,
    pub(super) bridges: HashMap<String, Bridge>,
    /// What the daemon said of frames: by port and octets.
    pub(super) considered: HashMap<(String, Vec<u8>), Option<super::station::Considered>>,
    pub(super) depth: usize,
    /// Whether bridges still go by what they learned: not after a question that everybody heard.
    pub(super) trusts_learned: bool,
}

impl<'a> Walker<'a> {
    pub(super) fn new(scene: &'a Scene, wishes: Wishes<'a>) -> Self {
        Self {
            scene,
            wishes,
            connections: Vec::new(),
            doubts: Vec::new(),
            tunnels: HashMap::new(),
            bridges: HashMap::new(),
            considered: HashMap::new(),
            depth: 0,
            trusts_learned: false,
        }
    }

    /// A packet that a namespace sends itself.
    pub(super) fn send(&mut self, from: &Space, packet: Packet) -> Leg {
        self.send_bound(from, packet, None)
    }

    /// The same by a socket that belongs to the VRF of an interface, as what answers there does.
    pub(super) fn send_bound(&mut self, from: &Space, packet: Packet, bound: Option<InterfaceName>) -> Leg {
        let mut sent = packet.clone();
        let mut way = Way {
            steps: Vec::new(),
            space: from.clone(),
            packet,
            entered: None,
            input: None,
            routers: 0,
            source: None,
            bound,
        };
        let end = self.output(&mut way);
        if let Err(loss) = &end {
            let step =
                Step::new(&loss.space, "lost", loss.sentence.clone()).from(loss.origin.clone()).ending();
            way.steps.push(step);
        }
        // Nothing on the way changes the source that was chosen but a translation, which has steps of its own.
        if sent.source.is_unspecified() {
            sent.source = way.source.unwrap_or(sent.source);
        }
        Leg { sent, steps: way.steps, end }
    }

    fn output(&mut self, way: &mut Way) -> Result<Arrival, Box<Loss>> {
        let scene = self.scene;
        let Some(space) = scene.space(&way.space) else {
            return Err(way.lost(Reason::Unknown, format!("there is no namespace of {}", way.space)));
        };
        let route = self.route(way, space, None)?;
        if way.packet.source.is_unspecified() {
            let Some(source) =
                routing::source(space, route.route, route.hop.as_ref(), way.packet.destination)
            else {
                let family = if way.packet.destination.is_ipv4() { "IPv4" } else { "IPv6" };
                return Err(
                    way.lost(Reason::NoSource, format!("{} has no {family} address to send from", way.space))
                );
            };
            way.packet.source = source;
            way.source = Some(source);
        }
        if route.local {
            way.entered = Some(way.packet.tuple());
            self.track(way);
            way.steps.push(route.step(&self.wishes, way));
            self.hook(way, HookPoint::Output, None, "lo".parse().ok())?;
            let lo: Option<InterfaceName> = "lo".parse().ok();
            self.hook(way, HookPoint::Input, lo, None)?;
            return Ok(self.delivered(way));
        }
        way.steps.push(route.step(&self.wishes, way));
        way.entered = Some(way.packet.tuple());
        self.track(way);
        let (destination, mark) = (way.packet.destination, way.packet.mark);
        self.hook(way, HookPoint::Output, None, route.device())?;
        let mut route = route;
        if destination != way.packet.destination || mark != way.packet.mark {
            route = self.route(way, space, None)?;
            way.steps.push(route.step(&self.wishes, way));
            if route.local {
                let lo: Option<InterfaceName> = "lo".parse().ok();
                self.hook(way, HookPoint::Input, lo, None)?;
                return Ok(self.delivered(way));
            }
        }
        self.leave(way, space, &route)
    }

    fn arrive(&mut self, way: &mut Way, at: LinkRef) -> Result<Arrival, Box<Loss>> {
        let scene = self.scene;
        way.space = at.space.clone();
        way.input = Some(at.name.clone());
        way.bound = None;
        way.packet.mark = 0;
        way.entered = Some(way.packet.tuple());
        self.track(way);
        let Some(space) = scene.space(&way.space) else {
            return Err(way.lost(Reason::Unknown, format!("there is no namespace of {}", way.space)));
        };
        self.hook(way, HookPoint::Prerouting, Some(at.name.clone()), None)?;
        self.possible(way, space, &at)?;
        let route = self.route(way, space, Some(&at.name))?;
        if route.local {
            way.steps.push(route.step(&self.wishes, way));
            self.hook(way, HookPoint::Input, Some(at.name), None)?;
            return Ok(self.delivered(way));
        }
        let v4 = way.packet.destination.is_ipv4();
        let interface = space.interfaces.get(&at.name);
        let forwards = interface.is_some_and(|i| if v4 { i.forwards_v4 } else { i.forwards_v6 });
        if !forwards {
            let family = if v4 { "IPv4" } else { "IPv6" };
            let path = if v4 { "net/ipv4/ip_forward" } else { "net/ipv6/conf/all/forwarding" };
            let key = Key::Sysctl { space: way.space.clone(), path: path.into() };
            let mut loss = way.lost(
                Reason::NotForwarding,
                format!(
                    "{} is not for {}, and it forwards no {family} packets",
                    way.packet.destination, way.space
                ),
            );
            loss.origin = self.wishes.origin(&key);
            loss.edits = vec![Edit::Forward { space: way.space.clone(), v4 }];
            return Err(loss);
        }
        way.routers += 1;
        if way.packet.hops <= 1 || way.routers > ROUTERS {
            let mut loss = way
                .lost(Reason::TooManyHops, format!("{} drops it: it has passed too many routers", way.space));
            loss.told = Some("time exceeded".to_owned());
            return Err(loss);
        }
        way.packet.hops -= 1;
        way.steps.push(route.step(&self.wishes, way));
        self.hook(way, HookPoint::Forward, Some(at.name), route.device())?;
        self.leave(way, space, &route)
    }

    fn delivered(&mut self, way: &Way) -> Arrival {
        self.remember(way);
        Arrival { space: way.space.clone(), input: way.input.clone(), packet: way.packet.clone() }
    }

    /// Whether a source can have come by this interface (`fib_validate_source`, net/ipv4/fib_frontend.c).
    fn possible(&self, way: &Way, space: &SpacePicture, at: &LinkRef) -> Result<(), Box<Loss>> {
        let source = way.packet.source;
        if !source.is_ipv4() {
            return Ok(());
        }
        let reverse = space.interfaces.get(&at.name).map_or(0, |interface| interface.reverse_path);
        if source.is_loopback() || source.is_multicast() || routing::is_own(space, source) {
            return Err(way.lost(
                Reason::Martian,
                format!("{source} is an address of {} itself: it can't have come by {at}", way.space),
            ));
        }
        if reverse == 0 {
            return Ok(());
        }
        let query = Query {
            destination: source,
            source: Some(way.packet.destination),
            mark: 0,
            input: None,
            bound: Some(&at.name),
        };
        let lookup = routing::look_up(space, &query);
        let hops = match &lookup.found {
            Found::Route(RoutePicture { action: RouteDoes::Forward(hops), .. }) => {
                routing::living(space, hops)
            }
            _ => Vec::new(),
        };
        let by_here = hops.iter().any(|hop| hop.device.as_ref() == Some(&at.name));
        if by_here || reverse == 2 && !hops.is_empty() {
            return Ok(());
        }
        let by = hops.first().and_then(|hop| hop.device.as_ref());
        let by =
            by.map_or_else(|| "has no way back".to_owned(), |device| format!("would go back by {device}"));
        let mut loss = way.lost(
            Reason::Martian,
            format!(
                "{} drops it: rp_filter of {at} is {reverse}, and what {source} is answered {by}",
                way.space
            ),
        );
        loss.origin = self
            .wishes
            .origin(&Key::Sysctl { space: at.space.clone(), path: "net/ipv4/conf/all/rp_filter".into() });
        loss.edits = vec![Edit::AnySource { at: at.clone() }];
        loss.edits.extend(self.missing_routes(&way.space, source));
        Err(loss)
    }

    fn route<'s>(
        &mut self,
        way: &Way,
        space: &'s SpacePicture,
        input: Option<&InterfaceName>,
    ) -> Result<Routed<'s>, Box<Loss>> {
        let packet = &way.packet;
        let source = (!packet.source.is_unspecified()).then_some(packet.source);
        let query = Query {
            destination: packet.destination,
            source,
            mark: packet.mark,
            input,
            bound: way.bound.as_ref(),
        };
        let lookup = routing::look_up(space, &query);
        self.doubts.extend(lookup.doubts.iter().map(|doubt| format!("{}: {doubt}", way.space)));
        let refused = |what: &str, told: Option<&str>, route: Option<&RoutePicture>| {
            let mut loss = way.lost(Reason::RouteRefuses, format!("{} has no way for it: {what}", way.space));
            loss.told = told.map(str::to_owned);
            if let Some(route) = route {
                loss.origin = self.wishes.origin(&change::route_key(&way.space, route));
                loss.edits = vec![Edit::NoRoute { space: way.space.clone(), route: route.clone() }];
            }
            loss
        };
        let route = match lookup.found {
            Found::Route(route) => route,
            Found::Refused(action) => {
                let told = match action {
                    RuleAction::Unreachable => Some("unreachable"),
                    RuleAction::Prohibit => Some("prohibited"),
                    _ => None,
                };
                return Err(refused("a routing rule refuses it", told, None));
            }
            Found::Nothing => return Err(self.no_route(way)),
        };
        let name = routing::name(route);
        match &route.action {
            RouteDoes::Forward(hops) => {
                let living = routing::living(space, hops);
                // Which one the kernel takes for a flow can't be told from outside.
                let Some(hop) = living.first().copied().cloned() else { return Err(self.no_route(way)) };
                let others = living.len() - 1;
                Ok(Routed { route, hop: Some(hop), local: false, others, compared: lookup.compared })
            }
            RouteDoes::Local(_) => {
                Ok(Routed { route, hop: None, local: true, others: 0, compared: lookup.compared })
            }
            RouteDoes::Blackhole => Err(refused(&format!("the route {name} drops it"), None, Some(route))),
            RouteDoes::Unreachable => {
                Err(refused(&format!("the route {name} refuses it"), Some("host unreachable"), Some(route)))
            }
            RouteDoes::Prohibit => {
                Err(refused(&format!("the route {name} forbids it"), Some("prohibited"), Some(route)))
            }
            RouteDoes::Broadcast | RouteDoes::Multicast | RouteDoes::Throw => Err(way.lost(
                Reason::Unknown,
                format!("{} is an address for several: they are not followed", packet.destination),
            )),
        }
    }

    fn no_route(&self, way: &Way) -> Box<Loss> {
        let to = way.packet.destination;
        let mut loss = way.lost(Reason::NoRoute, format!("{} has no route to {to}", way.space));
        loss.told = Some("network unreachable".to_owned());
        loss.edits = self.missing_routes(&way.space, to);
        // The interface that the file's route needs, or that is in the destination's network, may be down.
        if let Some(first) = loss.edits.first().filter(|edit| edit.restores(&self.wishes)) {
            loss.origin = first.words(&self.wishes).2;
            match first {
                Edit::LinkUp { at } => {
                    loss.sentence.push_str(&format!(": {}, which leads there, is down", at.name))
                }
                Edit::Route { .. } => loss.sentence.push_str(": the one of the file is gone"),
                Edit::Address { at, address } => {
                    loss.sentence.push_str(&format!(": {} has lost its address {address}", at.name))
                }
                _ => {}
            }
        }
        loss
    }

    /// Routes that would lead on: those of the file that are missing, and those by neighbours that know the way.
    fn missing_routes(&self, at: &Space, to: IpAddr) -> Vec<Edit> {
        super::wanted::missing_routes(self.scene, &self.wishes, at, to)
    }

    fn leave(
        &mut self,
        way: &mut Way,
        space: &SpacePicture,
        route: &Routed<'_>,
    ) -> Result<Arrival, Box<Loss>> {
        let Some(device) = route.device() else {
            return Err(way.lost(
                Reason::NoRoute,
                format!("the route {} names no interface", routing::name(route.route)),
            ));
        };
        self.hook(way, HookPoint::Postrouting, way.input.clone(), Some(device.clone()))?;
        self.untranslate(way);
        self.remember(way);
        let at = LinkRef { space: way.space.clone(), name: device.clone() };
        let Some(interface) = space.interfaces.get(&device) else {
            return Err(way.lost(Reason::LinkDown, format!("there is no interface {at}")));
        };
        let mtu = route.route.mtu.or(interface.link.mtu).unwrap_or(u32::MAX);
        if way.packet.length > mtu {
            if !way.packet.may_fragment || way.packet.destination.is_ipv6() && way.input.is_some() {
                let mut loss = way.lost(
                    Reason::TooLong,
                    format!("it has {} octets, {at} takes {mtu}, and it may not be cut", way.packet.length),
                );
                loss.told = Some(format!("too long: {mtu} octets at most"));
                loss.origin = self.wishes.link(&at.space, &at.name);
                loss.edits = vec![Edit::Mtu { at, mtu: way.packet.length }];
                return Err(loss);
            }
            let text =
                format!("it has {} octets and {at} takes {mtu}: it is cut into fragments", way.packet.length);
            way.steps.push(Step::new(&way.space, "length", text).from(self.wishes.link(&at.space, &at.name)));
            way.packet.length = mtu;
        }
        let next = route.hop.as_ref().and_then(|hop| hop.gateway).unwrap_or(way.packet.destination);
        let arrived = self.hop(way, &at, interface, next)?;
        self.arrive(way, arrived)
    }
}

/// Where a packet is on its way.
pub(super) struct Way {
    pub(super) steps: Vec<Step>,
    pub(super) space: Space,
    pub(super) packet: Packet,
    /// As it came into the namespace.
    pub(super) entered: Option<Tuple>,
    pub(super) input: Option<InterfaceName>,
    routers: usize,
    /// The source that was chosen.
    source: Option<IpAddr>,
    /// An interface of the VRF that the sender belongs to.
    bound: Option<InterfaceName>,
}

impl Way {
    pub(super) fn lost(&self, reason: Reason, sentence: String) -> Box<Loss> {
        Box::new(Loss::new(&self.space, reason, sentence))
    }

    pub(super) fn blocked(&self, block: Block) -> Box<Loss> {
        let Block { space, reason, sentence, origin, edits } = block;
        Box::new(Loss { space, reason, sentence, origin, told: None, edits })
    }
}

/// A route that was found, and the hop that was chosen.
struct Routed<'s> {
    route: &'s RoutePicture,
    hop: Option<NextHop>,
    local: bool,
    /// Other hops that share the load.
    others: usize,
    compared: Vec<String>,
}

impl Routed<'_> {
    fn device(&self) -> Option<InterfaceName> {
        self.hop.as_ref().and_then(|hop| hop.device.clone())
    }

    fn step(&self, wishes: &Wishes<'_>, way: &Way) -> Step {
        let space = &way.space;
        let origin = wishes
            .origin(&change::route_key(space, self.route))
            .or_else(|| connected(wishes, space, self.route));
        let text = if self.local {
            format!("{} is its own address", way.packet.destination)
        } else {
            let by = match self.hop.as_ref() {
                Some(NextHop { gateway: Some(gateway), device: Some(device), .. }) => {
                    format!("by {device} to the router {gateway}")
                }
                Some(NextHop { device: Some(device), .. }) => {
                    format!("by {device} straight to {}", way.packet.destination)
                }
                _ => String::new(),
            };
            let share =
                if self.others > 0 { format!(", one of {} hops", self.others + 1) } else { String::new() };
            let verb = if way.input.is_some() { "forwards it" } else { "sends it" };
            let own = if way.input.is_some() { String::new() } else { format!("as {} ", way.packet.source) };
            let net = match self.route.destination.prefix_len() {
                0 => "default".to_owned(),
                _ => self.route.destination.to_string(),
            };
            format!("{verb} {own}{by} (route {net}{share})")
        };
        Step::new(space, "routing", text)
            .object(format!("route {}", change::route_key(space, self.route)))
            .from(origin)
            .comparing(self.compared.clone())
    }
}

/// The address that a route of the kernel's own came with.
fn connected(wishes: &Wishes<'_>, space: &Space, route: &RoutePicture) -> Option<String> {
    let device = match &route.action {
        RouteDoes::Forward(hops) => hops.first()?.device.clone(),
        RouteDoes::Local(device) => device.clone(),
        _ => None,
    };
    let desired = wishes.0?;
    desired.objects.iter().find_map(|(key, object)| match key {
        Key::Address { space: at, link, address }
            if at == space
                && device.as_ref().is_none_or(|device| device == link || device.as_str() == "lo")
                && (address.trunc() == route.destination || address.addr() == route.destination.addr()) =>
        {
            Some(object.origin.to_string())
        }
        _ => None,
    })
}
