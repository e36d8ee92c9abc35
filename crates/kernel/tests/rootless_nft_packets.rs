//! What the packet filter does to real packets.
//!
//! Each test has a client (10.0.1.2, fd00:1::2), a router (10.0.1.1, 10.0.2.1) and a server (10.0.2.2,
//! fd00:2::2). The router is the test's own namespace and the only one that filters.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use netloom_compile::object::firewall::*;
use netloom_kernel::netlink::{Protocol as Netlink, Socket};
use netloom_kernel::nft;
use netloom_testkit::rig::{Rig, isolated};
use netloom_testkit::skip;
use rustix::mount::mount_bind;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Long enough for a busy machine where an answer must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough on an idle wire where none must come.
const SILENCE: Duration = Duration::from_millis(300);

#[allow(
    deprecated,
    reason = "the replacement is unsafe only for unsharing file descriptors, which we do not"
)]
fn namespace(rig: &Rig, name: &str) {
    let path = rig.netns_dir.join(name);
    std::fs::write(&path, "").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).unwrap();
            mount_bind("/proc/thread-self/ns/net", &path).unwrap();
            no_duplicate_detection();
        });
    });
}

/// Duplicate address detection would keep IPv6 waiting for two seconds.
fn no_duplicate_detection() {
    for place in ["all", "default"] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{place}/accept_dad"), "0").unwrap();
    }
}

/// Builds the three namespaces; false when `ip` is missing.
fn build(rig: &Rig) -> bool {
    no_duplicate_detection();
    for name in ["client", "server"] {
        namespace(rig, name);
    }
    let ip = |line: &str| -> Option<()> {
        let output = rig.run("ip", &line.split(' ').collect::<Vec<_>>())?;
        assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
        Some(())
    };
    let built = (|| {
        for (name, net) in [("client", 1), ("server", 2)] {
            let there = rig.netns_dir.join(name);
            ip(&format!("link add {name} type veth peer name eth0 netns {}", there.display()))?;
            ip(&format!("address add 10.0.{net}.1/24 dev {name}"))?;
            ip(&format!("address add fd00:{net}::1/64 dev {name} nodad"))?;
            ip(&format!("link set {name} up"))?;
            rig.within(name, || {
                ip(&format!("address add 10.0.{net}.2/24 dev eth0"))?;
                ip(&format!("address add fd00:{net}::2/64 dev eth0 nodad"))?;
                ip("link set lo up")?;
                ip("link set eth0 up")?;
                ip(&format!("route add default via 10.0.{net}.1"))?;
                ip(&format!("-6 route add default via fd00:{net}::1"))
            })?;
        }
        ip("link set lo up")
    })();
    if built.is_none() {
        return false;
    }
    // What is below /proc/sys/net is of the thread's own namespace.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    true
}

/// Runs `body` with a netfilter socket of the router.
fn routed(body: impl Fn(&Rig, &mut Socket) + Send) {
    isolated(move |rig| {
        if build(rig) {
            body(rig, &mut Socket::open(Netlink::Netfilter).unwrap());
        } else {
            skip!("ip is not installed");
        }
    });
}

/// A listener in a namespace. Once made, it stays there, whatever thread uses it.
fn listen(rig: &Rig, namespace: &str, address: &str) -> TcpListener {
    let address: SocketAddr = address.parse().unwrap();
    rig.within(namespace, || TcpListener::bind(address).unwrap())
}

fn connect(rig: &Rig, namespace: &str, to: &str, wait: Duration) -> std::io::Result<TcpStream> {
    let to: SocketAddr = to.parse().unwrap();
    rig.within(namespace, || TcpStream::connect_timeout(&to, wait))
}

/// Connects and gives the two ends; the server's address says what became of the client's.
fn reach(rig: &Rig, to: &str, listener: &TcpListener) -> (TcpStream, TcpStream, SocketAddr) {
    let client = connect(rig, "client", to, PATIENCE).unwrap();
    let (server, peer) = listener.accept().unwrap();
    (client, server, peer)
}

fn echo((mut client, mut server): (&TcpStream, &TcpStream)) {
    for stream in [client, server] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let mut octets = [0; 4];
    client.write_all(b"ping").unwrap();
    server.read_exact(&mut octets).unwrap();
    server.write_all(&octets).unwrap();
    client.read_exact(&mut octets).unwrap();
    assert_eq!(&octets, b"ping");
}

fn rule(action: Action) -> FirewallRule {
    FirewallRule::new(action)
}

fn tcp(port: u16) -> FirewallRule {
    rule(Action::Accept).when(Match::protocol(Protocol::TCP)).when(Match::port(port))
}

fn forward(rules: Vec<FirewallRule>) -> Chain {
    let chain = Chain::base("forward", HookPoint::Forward, ChainKind::Filter, 0, Policy::Drop);
    Chain { rules, ..chain }
}

fn nat(point: HookPoint, rules: Vec<FirewallRule>) -> Chain {
    let (name, priority) =
        if point == HookPoint::Postrouting { ("source", 100) } else { ("destination", -100) };
    Chain { rules, ..Chain::base(name, point, ChainKind::Nat, priority, Policy::Accept) }
}

fn table(chains: Vec<Chain>) -> Firewall {
    Firewall { chains, ..Firewall::default() }
}

fn established() -> FirewallRule {
    rule(Action::Accept).when(Match::state([CtState::Established, CtState::Related])).named("answers")
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn answers_pass_and_strangers_do_not() {
    routed(|rig, socket| {
        let listener = listen(rig, "server", "10.0.2.2:8080");
        let back = listen(rig, "client", "10.0.1.2:8080");
        let web = tcp(8080)
            .when(Match::input("client".parse().unwrap()))
            .when(Match::destination("10.0.2.0/24".parse::<ipnet::IpNet>().unwrap()))
            .named("web")
            .counted();
        nft::apply(socket, "netloom", &table(vec![forward(vec![established(), web])])).unwrap();
        let (client, server, peer) = reach(rig, "10.0.2.2:8080", &listener);
        assert_eq!(peer.ip(), ip("10.0.1.2"));
        echo((&client, &server));
        let other_way = connect(rig, "server", "10.0.1.2:8080", SILENCE).unwrap_err();
        assert_eq!(other_way.kind(), ErrorKind::TimedOut);
        let other_port = connect(rig, "client", "10.0.2.2:8081", SILENCE).unwrap_err();
        assert_eq!(other_port.kind(), ErrorKind::TimedOut);
        let counters = nft::counters(socket, "netloom").unwrap();
        assert_eq!((counters.len(), counters[0].name.as_deref()), (1, Some("web")));
        assert_eq!(counters[0].packets, 1, "only the first packet of a connection comes to this rule");
        drop(back);
    });
}

#[test]
fn rejections_are_told() {
    routed(|rig, socket| {
        let reset = FirewallRule { action: Action::Reject(RejectWith::TcpReset), ..tcp(81) };
        let prohibited = FirewallRule { action: Action::Reject(RejectWith::AdminProhibited), ..tcp(82) };
        nft::apply(socket, "netloom", &table(vec![forward(vec![reset, prohibited])])).unwrap();
        for address in ["10.0.2.2", "[fd00:2::2]"] {
            let refused = connect(rig, "client", &format!("{address}:81"), PATIENCE).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{address}: {refused}");
            let prohibited = connect(rig, "client", &format!("{address}:82"), PATIENCE).unwrap_err();
            let kinds = [ErrorKind::HostUnreachable, ErrorKind::PermissionDenied];
            assert!(kinds.contains(&prohibited.kind()), "{address}: {prohibited}");
        }
    });
}

#[test]
fn masquerade_and_source_translation_change_the_source() {
    routed(|rig, socket| {
        let masquerade = Action::Masquerade { ports: None, random: false };
        let snat = Action::Snat {
            to: NatTarget { ports: Some(PortRange::new(3000, 3010)), ..NatTarget::address(ip("10.0.2.77")) },
            random: false,
            persistent: false,
        };
        let out = Match::output("server".parse().unwrap());
        let rules = vec![
            rule(snat).when(out.clone()).when(Match::protocol(Protocol::TCP)).when(Match::port(90)),
            rule(masquerade).when(out).counted(),
        ];
        nft::apply(socket, "netloom", &table(vec![nat(HookPoint::Postrouting, rules)])).unwrap();
        let listener = listen(rig, "server", "10.0.2.2:80");
        let (client, server, peer) = reach(rig, "10.0.2.2:80", &listener);
        assert_eq!(peer.ip(), ip("10.0.2.1"));
        echo((&client, &server));
        let six = listen(rig, "server", "[fd00:2::2]:80");
        let (.., peer) = reach(rig, "[fd00:2::2]:80", &six);
        assert_eq!(peer.ip(), ip("fd00:2::1"));
        // The router answers for the other address, else nobody would find it.
        let added = rig.run("ip", &["address", "add", "10.0.2.77/24", "dev", "server"]).unwrap();
        assert!(added.status.success());
        let listener = listen(rig, "server", "10.0.2.2:90");
        let (client, server, peer) = reach(rig, "10.0.2.2:90", &listener);
        assert_eq!(peer.ip(), ip("10.0.2.77"));
        assert!((3000..=3010).contains(&peer.port()), "{peer}");
        echo((&client, &server));
    });
}

#[test]
fn a_mapped_port_leads_inside() {
    routed(|rig, socket| {
        let map = |to: &str, port: u16| FirewallRule {
            action: Action::Dnat { to: NatTarget::socket(to.parse().unwrap()) },
            ..tcp(port).when(Match::input("client".parse().unwrap()))
        };
        let translated = rule(Action::Accept)
            .when(Match::CtStatus { status: CtStatus::Dnat, negated: false })
            .named("mapped")
            .counted();
        let chains = vec![
            nat(HookPoint::Prerouting, vec![map("10.0.2.2:8080", 80), map("[fd00:2::2]:8080", 80)]),
            forward(vec![established(), translated]),
        ];
        nft::apply(socket, "netloom", &table(chains)).unwrap();
        for (from, inside, direct) in [
            ("10.0.1.1:80", "10.0.2.2:8080", "10.0.2.2:8080"),
            ("[fd00:1::1]:80", "[fd00:2::2]:8080", "[fd00:2::2]:8080"),
        ] {
            let listener = listen(rig, "server", inside);
            let (client, server, peer) = reach(rig, from, &listener);
            assert_eq!(client.peer_addr().unwrap(), from.parse().unwrap());
            assert_eq!(peer.ip(), client.local_addr().unwrap().ip());
            echo((&client, &server));
            let error = connect(rig, "client", direct, SILENCE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "only the mapped way is open");
        }
        // A repeated SYN counts as well.
        assert!(nft::counters(socket, "netloom").unwrap()[0].packets >= 2);
    });
}

#[test]
fn connections_are_spread_over_targets() {
    routed(|rig, socket| {
        let ports = [8001_u16, 8002, 8003];
        let listeners: Vec<_> =
            ports.iter().map(|port| listen(rig, "server", &format!("10.0.2.2:{port}"))).collect();
        let mut run = |by| {
            let to = ports.iter().map(|port| (ip("10.0.2.2"), Some(*port))).collect();
            let spread = FirewallRule { action: Action::Spread { by, to }, ..tcp(80) };
            nft::apply(socket, "netloom", &table(vec![nat(HookPoint::Prerouting, vec![spread])])).unwrap();
            let mut hits = [0; 3];
            for _ in 0..9 {
                let client = connect(rig, "client", "10.0.1.1:80", PATIENCE).unwrap();
                for (hit, listener) in hits.iter_mut().zip(&listeners) {
                    listener.set_nonblocking(true).unwrap();
                    // The client is connected only when the listener's queue has it.
                    if let Ok((server, _)) = listener.accept() {
                        server.set_nonblocking(false).unwrap();
                        echo((&client, &server));
                        *hit += 1;
                    }
                }
            }
            hits
        };
        assert_eq!(run(Balance::RoundRobin), [3, 3, 3]);
        assert_eq!(run(Balance::Random).iter().sum::<u32>(), 9);
        let mut sticky = run(Balance::Source);
        sticky.sort_unstable();
        assert_eq!(sticky, [0, 0, 9], "one client, one target");
    });
}

#[test]
fn a_prefix_is_translated_one_to_one() {
    routed(|rig, socket| {
        let outside: ipnet::IpNet = "192.168.77.0/24".parse().unwrap();
        let inside: ipnet::IpNet = "10.0.1.0/24".parse().unwrap();
        let chains = vec![
            nat(HookPoint::Postrouting, vec![rule(Action::SnatPrefix(outside)).when(Match::source(inside))]),
            nat(
                HookPoint::Prerouting,
                vec![rule(Action::DnatPrefix(inside)).when(Match::destination(outside))],
            ),
        ];
        nft::apply(socket, "netloom", &table(chains)).unwrap();
        let listener = listen(rig, "server", "10.0.2.2:80");
        let (client, server, peer) = reach(rig, "10.0.2.2:80", &listener);
        assert_eq!(peer.ip(), ip("192.168.77.2"), "the host bits stay");
        echo((&client, &server));
        let listener = listen(rig, "client", "10.0.1.2:81");
        let server = connect(rig, "server", "192.168.77.2:81", PATIENCE).unwrap();
        let (client, _) = listener.accept().unwrap();
        echo((&server, &client));
    });
}

#[test]
fn redirection_leads_to_the_router_itself() {
    routed(|rig, socket| {
        let redirect = FirewallRule { action: Action::Redirect { ports: Some(3128.into()) }, ..tcp(80) };
        nft::apply(socket, "netloom", &table(vec![nat(HookPoint::Prerouting, vec![redirect])])).unwrap();
        let listener = TcpListener::bind("10.0.1.1:3128").unwrap();
        let (client, server, _) = reach(rig, "10.0.2.2:80", &listener);
        assert_eq!(client.peer_addr().unwrap(), "10.0.2.2:80".parse().unwrap());
        echo((&client, &server));
    });
}

#[test]
fn sets_and_ranges_choose() {
    routed(|rig, socket| {
        let friends = ["10.0.1.0/31", "10.0.1.2/32"].iter().map(|net| net.parse().unwrap()).collect();
        let doors: Ports = ["80", "8000-8010"].iter().map(|range| range.parse().unwrap()).collect();
        let chosen = rule(Action::Accept)
            .when(Match::source(Addresses::Set("friends".into())))
            .when(Match::protocol(Protocol::TCP))
            .when(Match::DestinationPort { ports: PortSelector::Set("doors".into()), negated: false });
        let mut firewall = table(vec![forward(vec![established(), chosen])]);
        firewall.sets = vec![
            Set { name: "friends".into(), elements: SetElements::V4(friends) },
            Set { name: "doors".into(), elements: SetElements::Ports(doors) },
        ];
        nft::apply(socket, "netloom", &firewall).unwrap();
        for port in [80, 8000, 8005, 8010] {
            let to = format!("10.0.2.2:{port}");
            let listener = listen(rig, "server", &to);
            reach(rig, &to, &listener);
        }
        for port in [79, 81, 7999, 8011] {
            let error = connect(rig, "client", &format!("10.0.2.2:{port}"), SILENCE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{port}");
        }
        // Without the client among the friends nothing passes.
        firewall.sets[0].elements = SetElements::V4(["10.0.1.3/32".parse().unwrap()].into_iter().collect());
        nft::apply(socket, "netloom", &firewall).unwrap();
        let error = connect(rig, "client", "10.0.2.2:80", SILENCE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_simplex_link_carries_one_way() {
    routed(|rig, socket| {
        let point = HookPoint::Ingress { device: "server".parse().unwrap() };
        let diode = Chain::base("diode", point, ChainKind::Filter, 0, Policy::Accept)
            .rule(rule(Action::Drop).counted().named("reverse"));
        let udp = |namespace: &str, address: &str| {
            let address = address.to_owned();
            rig.within(namespace, move || {
                let socket = UdpSocket::bind(address).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket
            })
        };
        let (client, server) = (udp("client", "10.0.1.2:5000"), udp("server", "10.0.2.2:5000"));
        let mut octets = [0; 16];
        // The first exchange teaches both sides their neighbours.
        client.send_to(b"hello", "10.0.2.2:5000").unwrap();
        server.recv_from(&mut octets).unwrap();
        server.send_to(b"hello", "10.0.1.2:5000").unwrap();
        client.recv_from(&mut octets).unwrap();
        nft::apply(socket, "netloom", &table(vec![diode])).unwrap();
        client.send_to(b"there", "10.0.2.2:5000").unwrap();
        server.recv_from(&mut octets).unwrap();
        server.send_to(b"back", "10.0.1.2:5000").unwrap();
        client.set_read_timeout(Some(SILENCE)).unwrap();
        assert!(client.recv_from(&mut octets).is_err());
        let counters = nft::counters(socket, "netloom").unwrap();
        assert_eq!(counters[0].name.as_deref(), Some("reverse"));
        assert!(counters[0].packets >= 1);
    });
}

#[test]
fn replacing_a_table_loses_no_packet() {
    routed(|rig, socket| {
        let masquerade = || {
            let action = Action::Masquerade { ports: None, random: false };
            nat(HookPoint::Postrouting, vec![rule(action).when(Match::output("server".parse().unwrap()))])
        };
        let open = || rule(Action::Accept).when(Match::protocol(Protocol::UDP)).when(Match::port(5000));
        // Only what belongs to a connection or comes to one port passes: any gap would lose a packet.
        let one = table(vec![masquerade(), forward(vec![established(), open(), tcp(81)])]);
        let two = table(vec![forward(vec![open(), established()]), masquerade()]);
        nft::apply(socket, "netloom", &one).unwrap();
        let udp = |namespace: &str, address: &'static str| {
            let socket = rig.within(namespace, || UdpSocket::bind(address).unwrap());
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        let (client, server) = (udp("client", "10.0.1.2:0"), udp("server", "10.0.2.2:5000"));
        client.connect("10.0.2.2:5000").unwrap();
        let stop = AtomicBool::new(false);
        let exchanges = std::thread::scope(|scope| {
            let answers = scope.spawn(|| {
                let mut octets = [0; 8];
                loop {
                    let (length, peer) = server.recv_from(&mut octets).unwrap();
                    assert_eq!(peer.ip(), ip("10.0.2.1"), "the translation stays");
                    server.send_to(&octets[..length], peer).unwrap();
                    if &octets[..length] == b"end" {
                        break;
                    }
                }
            });
            let asks = scope.spawn(|| {
                let (mut count, mut octets) = (0_u32, [0; 8]);
                loop {
                    let last = stop.load(Ordering::Relaxed);
                    client.send(if last { b"end" } else { b"ask" }).unwrap();
                    // UDP repeats nothing: a lost packet ends the patience.
                    client.recv(&mut octets).expect("a packet was lost");
                    count += 1;
                    if last {
                        return count;
                    }
                }
            });
            for round in 0..200 {
                nft::apply(socket, "netloom", if round % 2 == 0 { &two } else { &one }).unwrap();
            }
            stop.store(true, Ordering::Relaxed);
            answers.join().unwrap();
            asks.join().unwrap()
        });
        println!("{exchanges} exchanges during 200 replacements");
        assert!(exchanges > 20);
    });
}
