"""Packets that Scapy builds, for comparison with netloom-wire.

With the arguments `SEED COUNT` it prints COUNT packets of every header: its name, the bytes in hexadecimal, and what
`decode.py` reads from them, separated by tabs.
"""
import json
import random as R
import sys

from decode import *  # noqa: F403
from decode import decode, dhcp6_module, vx
from scapy.contrib import bfd, erspan, geneve, gtp, igmp, igmpv3, lacp, lldp, mpls, nsh, slowprot


def word(bits):
    return R.getrandbits(bits)


def mac():
    return ":".join("%02x" % word(8) for _ in range(6))


def v4():
    return ".".join(str(word(8)) for _ in range(4))


def v6():
    return ":".join("%x" % R.randrange(1, 0x10000) for _ in range(8))


def noise(most):
    return bytes(word(8) for _ in range(R.randrange(most)))


def build_frame():
    p = Ether(src=mac(), dst=mac())
    for depth in range(R.choice([0, 0, 1, 1, 2, 3])):
        p = p / (Dot1AD if R.random() < 0.3 else Dot1Q)(vlan=word(12), prio=word(3), id=word(1))
    if R.random() < 0.1:
        return p / ARP(op=R.choice([1, 2]), hwsrc=mac(), psrc=v4(), hwdst=mac(), pdst=v4())
    if R.random() < 0.5:
        options = R.choice([[], [IPOption_NOP()], [IPOption_Router_Alert()], [IPOption_RR(routers=[v4()] * 3)]])
        p = p / IP(src=v4(), dst=v4(), ttl=word(8), tos=word(8), id=word(16), options=options)
    else:
        p = p / IPv6(src=v6(), dst=v6(), fl=word(20), tc=word(8), hlim=word(8))
        for header in (IPv6ExtHdrHopByHop(options=[RouterAlert()]), IPv6ExtHdrDestOpt(options=[PadN(optdata=noise(20))]),
                       IPv6ExtHdrRouting(addresses=[v6()] * R.randrange(4)), IPv6ExtHdrFragment(id=word(32), m=word(1))):
            if R.random() < 0.3:
                p = p / header
    p = p / R.choice([
        TCP(sport=word(16), dport=word(16), seq=word(32), ack=word(32), flags=word(9), window=word(16)),
        UDP(sport=word(16), dport=R.choice([4789, 40000])),
        SCTP(sport=word(16), dport=word(16), tag=word(32)),
    ])
    if UDP in p and p[UDP].dport == 4789:
        return p / vx.VXLAN(vni=word(24)) / Ether(src=mac(), dst=mac()) / IP(src=v4(), dst=v4()) / UDP(sport=5, dport=6)
    return p / Raw(noise(40) + b"x")


def build_tcp_options():
    known = [("MSS", word(16)), ("WScale", R.randrange(15)), ("SAckOK", b""), ("Timestamp", (word(32), word(32))),
             ("NOP", None), ("SAck", (word(32), word(32)))]
    return TCP(sport=word(16), dport=word(16), options=R.sample(known, R.randrange(5)))


def build_nd():
    p = R.choice([
        ICMPv6ND_RS(), ICMPv6ND_NS(tgt=v6()), ICMPv6ND_NA(tgt=v6(), R=word(1), S=word(1), O=word(1)),
        ICMPv6ND_RA(chlim=word(8), M=word(1), O=word(1), H=word(1), routerlifetime=word(16), reachabletime=word(32),
                    retranstimer=word(32)),
    ])
    for option in R.sample([
        ICMPv6NDOptSrcLLAddr(lladdr=mac()), ICMPv6NDOptDstLLAddr(lladdr=mac()), ICMPv6NDOptMTU(mtu=word(32)),
        ICMPv6NDOptPrefixInfo(prefix=v6(), prefixlen=R.randrange(129), L=word(1), A=word(1), validlifetime=word(32),
                              preferredlifetime=word(32)),
        ICMPv6NDOptRDNSS(dns=[v6()] * R.randrange(1, 4), lifetime=word(32)),
    ], R.randrange(5)):
        p = p / option
    # The checksum needs addresses, so it is built inside a packet.
    return Raw(bytes(IPv6(src=v6(), dst=v6()) / p)[40:])


def build_lldp():
    p = lldp.LLDPDUChassisID(subtype=4, id=mac()) / lldp.LLDPDUPortID(subtype=5, id=b"eth" + noise(9))
    p = p / lldp.LLDPDUTimeToLive(ttl=word(16))
    for part in R.sample([
        lldp.LLDPDUPortDescription(description=b"a" + noise(30)), lldp.LLDPDUSystemName(system_name=b"b" + noise(30)),
        lldp.LLDPDUSystemDescription(description=b"c" + noise(30)),
        lldp.LLDPDUSystemCapabilities(mac_bridge_available=1),
        lldp.LLDPDUManagementAddress(management_address=b"\n\0\0\1", interface_number=word(8)),
    ], R.randrange(5)):
        p = p / part
    return p / lldp.LLDPDUEndOfLLDPDU()


def build_geneve():
    options = []
    for _ in range(R.randrange(4)):
        size = R.randrange(8)
        data = bytes(word(8) for _ in range(size * 4))
        options.append(geneve.GeneveOptions(classid=word(16), type=word(8), length=size, data=data))
    # Scapy masks the length that it computes with the wrong bits: it is given.
    length = sum(1 + option.length for option in options)
    return geneve.GENEVE(optionlen=length, oam=word(1), critical=word(1), proto=word(16), vni=word(24), options=options)


def build_igmp():
    group = lambda: "239." + v4().split(".", 1)[1]  # noqa: E731
    return R.choice([
        igmp.IGMP(type=R.choice([0x11, 0x12, 0x16, 0x17]), mrcode=word(8), gaddr=group()),
        igmpv3.IGMPv3(type=0x11, mrcode=word(8)) / igmpv3.IGMPv3mq(
            gaddr=group(), s=word(1), qrv=word(3), qqic=word(8), srcaddrs=[v4() for _ in range(R.randrange(4))]),
        igmpv3.IGMPv3(type=0x22, mrcode=0) / igmpv3.IGMPv3mr(records=[
            igmpv3.IGMPv3gr(rtype=R.randrange(1, 7), maddr=group(), srcaddrs=[v4() for _ in range(R.randrange(4))])
            for _ in range(R.randrange(4))]),
    ])


def build_mld():
    p = R.choice([
        ICMPv6MLQuery(mladdr=v6(), mrd=word(16)), ICMPv6MLReport(mladdr=v6()), ICMPv6MLDone(mladdr=v6()),
        ICMPv6MLQuery2(mladdr=v6(), mrd=word(16), S=word(1), QRV=word(3), QQIC=word(8),
                       sources=[v6() for _ in range(R.randrange(4))]),
        ICMPv6MLReport2(records=[
            ICMPv6MLDMultAddrRec(rtype=R.randrange(1, 7), dst=v6(), sources=[v6() for _ in range(R.randrange(4))])
            for _ in range(R.randrange(4))]),
    ])
    return Raw(bytes(IPv6(src=v6(), dst=v6()) / p)[40:])


def build_dhcp():
    kind = R.choice(["discover", "offer", "request", "ack", "nak", "release", "inform", "decline"])
    return BOOTP(op=R.choice([1, 2]), xid=word(32), yiaddr=v4(), giaddr=v4(), chaddr=bytes(word(8) for _ in range(6))) / DHCP(
        options=[("hostname", b"h" + noise(9)), ("message-type", kind), ("lease_time", word(32)), "end"])


def build_dhcpv6():
    return R.choice([dhcp6_module.DHCP6_Solicit, dhcp6_module.DHCP6_Advertise, dhcp6_module.DHCP6_Request,
                     dhcp6_module.DHCP6_Reply, dhcp6_module.DHCP6_Renew])(trid=word(24)) / dhcp6_module.DHCP6OptElapsedTime()


def build_gtp_u():
    p = gtp.GTP_U_Header(gtp_type=255, teid=word(32), S=word(1), PN=word(1), seq=word(16), npdu=word(8))
    if R.random() < 0.5:
        p.E, p.next_ex = 1, 0x85
        return p / gtp.GTPPDUSessionContainer(type=word(1), QFI=word(6)) / IP(src=v4(), dst=v4()) / UDP()
    return p / IP(src=v4(), dst=v4()) / UDP()


BUILDERS = dict(
    frame=build_frame, tcp_options=build_tcp_options, nd=build_nd, lldp=build_lldp, geneve=build_geneve, igmp=build_igmp,
    mld=build_mld, dhcp=build_dhcp, dhcpv6=build_dhcpv6, gtp_u=build_gtp_u,
    vlan=lambda: Dot1Q(vlan=word(12), prio=word(3), id=word(1), type=word(16)),
    arp=lambda: ARP(op=word(16), hwsrc=mac(), psrc=v4(), hwdst=mac(), pdst=v4()),
    ipv4=lambda: IP(src=v4(), dst=v4(), tos=word(8), id=word(16), flags=word(2), frag=word(13), ttl=word(8),
                    proto=R.choice([1, 6, 17, 47]), options=R.choice([[], [IPOption_Router_Alert()]])) / Raw(noise(50)),
    ipv6=lambda: IPv6(src=v6(), dst=v6(), tc=word(8), fl=word(20), nh=R.choice([6, 17, 59]), hlim=word(8)) / Raw(noise(50)),
    ipv6_fragment=lambda: IPv6ExtHdrFragment(nh=word(8), offset=word(13), m=word(1), id=word(32)),
    icmpv4=lambda: R.choice([ICMP(type=8, id=word(16), seq=word(16)), ICMP(type=5, code=word(2), gw=v4()),
                             ICMP(type=3, code=4, nexthopmtu=word(16)), ICMP(type=11, code=word(1)),
                             ICMP(type=12, ptr=word(8))]) / Raw(noise(50)),
    sctp=lambda: SCTP(sport=word(16), dport=word(16), tag=word(32)) / Raw(noise(50)),
    snap=lambda: LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=word(24), code=word(16)),
    mpls=lambda: mpls.MPLS(label=word(20), cos=word(3), s=word(1), ttl=word(8)),
    vxlan=lambda: R.choice([vx.VXLAN(vni=word(24)), vx.VXLAN(flags="Instance+G", vni=word(24), gpid=word(16),
                                                             gpflags=R.choice(["A", "D", "A+D"]))]),
    gre=lambda: GRE(chksum_present=word(1), key_present=word(1), seqnum_present=word(1), key=word(32),
                    sequence_number=word(32), proto=0x6558) / Raw(noise(50)),
    erspan=lambda: R.choice([
        erspan.ERSPAN_II(ver=1, vlan=word(12), cos=word(3), en=word(2), t=word(1), session_id=word(10), index=word(20)),
        erspan.ERSPAN_III(vlan=word(12), cos=word(3), bso=word(2), t=word(1), session_id=word(10), timestamp=word(32),
                          sgt_other=word(16), p=word(1), ft=word(5), hw=word(6), d=word(1), gra=word(2), o=0)]),
    nsh=lambda: nsh.NSH(oam=word(1), ttl=word(6), nextproto=3, spi=word(24), si=word(8), context_header=noise(16).ljust(16)),
    stp=lambda: STP(bpduflags=word(8), rootid=word(16), rootmac=mac(), pathcost=word(32), bridgeid=word(16),
                    bridgemac=mac(), portid=word(16)),
    lacp=lambda: slowprot.SlowProtocol(subtype=1) / lacp.LACP(
        actor_system_priority=word(16), actor_system=mac(), actor_key=word(16), actor_port_number=word(16),
        actor_state=word(8), partner_system=mac(), partner_state=word(8), collector_max_delay=word(16)),
    marker=lambda: slowprot.SlowProtocol(subtype=2) / lacp.MarkerProtocol(
        marker_type=R.choice([1, 2]), requester_port=word(16), requester_system=mac(), requester_transaction_id=word(32),
        reserved=b""),
    bfd=lambda: bfd.BFD(diag=word(5), sta=word(2), flags=word(1) << 5 | word(1) << 3, detect_mult=R.randrange(1, 256),
                        my_discriminator=R.randrange(1, 1 << 32), your_discriminator=R.randrange(1, 1 << 32)),
)


def main():
    R.seed(int(sys.argv[1]))
    for header, builder in BUILDERS.items():
        for _ in range(int(sys.argv[2])):
            data = bytes(builder())
            print(header, data.hex(), json.dumps(decode(header, data)), sep="\t")


main()
