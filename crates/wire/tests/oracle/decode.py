"""Headers as Scapy sees them, for comparison with netloom-wire.

Reads lines `header hex` and answers each with one line of JSON: the header's fields by name, every value as text.
Where Scapy is known to be wrong (named below), the field is left out and the Rust side leaves it out too.
"""
import json
import logging
import sys

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.all import *  # noqa: E402,F403
from scapy.contrib import bfd, erspan, geneve, gtp, igmp, igmpv3, lacp, lldp, mpls, nsh, slowprot  # noqa: E402
from scapy.layers import vxlan as vx  # noqa: E402
from scapy.layers import dhcp6 as dhcp6_module  # noqa: E402
from scapy.layers.dhcp6 import dhcp6_cls_by_type  # noqa: E402
from scapy.layers.inet6 import icmp6typescls  # noqa: E402
from scapy.layers.ipsec import AH  # noqa: E402
from scapy.layers.sctp import SCTP  # noqa: E402

lldp.conf.contribs["LLDP"].strict_mode_disable()


def oui(value):
    return "%06x" % value


def ethernet(b):
    p = Ether(b[:14])
    return dict(destination=p.dst, source=p.src, ether_type=int.from_bytes(b[12:14], "big"))


def vlan(b):
    p = Dot1Q(b[:4])
    return dict(priority=p.prio, drop_eligible=p.id, vid=p.vlan, ether_type=p.type)


def arp(b):
    p = ARP(b)
    return dict(operation=p.op, sender_mac=p.hwsrc, sender_ip=p.psrc, target_mac=p.hwdst, target_ip=p.pdst)


def ipv4(b):
    p = IP(b[: (b[0] & 15) * 4])
    good = IP(b[:20])
    q = good.copy()
    del q.chksum
    whole = b[: p.ihl * 4]
    return dict(
        traffic_class=p.tos, header_len=p.ihl * 4, total_len=p.len, identification=p.id, dont_fragment=int(p.flags.DF),
        more_fragments=int(p.flags.MF), fragment_offset=p.frag * 8, ttl=p.ttl, protocol=p.proto, source=p.src,
        destination=p.dst, checksum=p.chksum,
        intact=int(checksum(whole[:10] + b"\0\0" + whole[12:]) == p.chksum),
    )


def ipv6(b):
    p = IPv6(b[:40])
    return dict(traffic_class=p.tc, flow_label=p.fl, payload_len=p.plen, next_header=p.nh, hop_limit=p.hlim,
                source=p.src, destination=p.dst)


def ipv6_options(b):
    p = IPv6ExtHdrHopByHop(b)
    return dict(next_header=p.nh, header_len=(p.len + 1) * 8)


def ipv6_routing(b):
    p = IPv6ExtHdrRouting(b[:8])
    return dict(next_header=p.nh, header_len=(p.len + 1) * 8, routing_type=p.type, segments_left=p.segleft)


def ipv6_fragment(b):
    p = IPv6ExtHdrFragment(b[:8])
    return dict(next_header=p.nh, fragment_offset=p.offset * 8, more_fragments=p.m, identification=p.id)


def authentication(b):
    p = AH(b)
    return dict(next_header=p.nh, header_len=(p.payloadlen + 2) * 4, security_parameters=p.spi, sequence=p.seq)


def icmpv4(b):
    p = ICMP(b)
    f = dict(kind=p.type, code=p.code, checksum=p.chksum, intact=int(checksum(b[:2] + b"\0\0" + b[4:]) == p.chksum))
    if p.type in (0, 8, 13, 14):
        f.update(identifier=p.id, sequence=p.seq)
    if p.type == 5:
        f.update(gateway=p.gw)
    if p.type == 12:
        f.update(pointer=p.ptr)
    if p.type == 3 and p.code == 4:
        f.update(next_hop_mtu=p.nexthopmtu)
    return f


def icmpv6(b):
    known = {1: ICMPv6DestUnreach, 2: ICMPv6PacketTooBig, 3: ICMPv6TimeExceeded, 4: ICMPv6ParamProblem,
             128: ICMPv6EchoRequest, 129: ICMPv6EchoReply}
    p = known.get(b[0], ICMPv6Unknown)(b)
    f = dict(kind=p.type, code=p.code)
    if b[0] in (128, 129):
        f.update(identifier=p.id, sequence=p.seq)
    if b[0] == 2:
        f.update(mtu=p.mtu)
    if b[0] == 4:
        f.update(pointer=p.ptr)
    return f


def nd(b):
    p = icmp6typescls[b[0]](b)
    f = dict(kind=p.type)
    if b[0] == 134:
        f.update(current_hop_limit=p.chlim, managed=p.M, other=p.O, router_lifetime=p.routerlifetime,
                 reachable_time=p.reachabletime, retransmit_timer=p.retranstimer, home_agent=p.H)
    if b[0] >= 135:
        f.update(target=p.tgt)
    if b[0] == 136:
        f.update(router=p.R, solicited=p.S, overrides=p.O)
    if b[0] == 137:
        f.update(destination=p.dst)
    options = []
    o = p.payload
    while o:
        if isinstance(o, Raw):
            # A kind that Scapy does not know: it leaves the rest unread.
            rest = bytes(o)
            options.append("%d:%d" % (rest[0], rest[1] * 8))
            break
        text = "%d:%d" % (o.type, o.len * 8)
        if o.type in (1, 2):
            text += ":" + o.lladdr
        if o.type == 3:
            text += ":%s/%d:%d%d:%d:%d" % (o.prefix, o.prefixlen, o.L, o.A, o.validlifetime, o.preferredlifetime)
        if o.type == 5:
            text += ":%d" % o.mtu
        if o.type == 25:
            text += ":%d:%s" % (o.lifetime, ",".join(o.dns))
        options.append(text)
        o = o.payload
    f.update(options=" ".join(options))
    return f


def tcp(b):
    p = TCP(b[:20])
    return dict(source_port=p.sport, destination_port=p.dport, sequence=p.seq, acknowledgement=p.ack,
                header_len=p.dataofs * 4, flags=p.reserved << 9 | int(p.flags), window=p.window, checksum=p.chksum,
                urgent_pointer=p.urgptr)


def tcp_options(b):
    text = []
    for kind, value in TCP(b).options:
        if kind == "EOL":
            break
        value = "" if value in (None, b"") else value
        if isinstance(value, tuple):
            value = ",".join(str(part) for part in value)
        text.append("%s=%s" % (kind, value))
    return dict(options=" ".join(text))


def udp(b):
    p = UDP(b[:8])
    return dict(source_port=p.sport, destination_port=p.dport, length=p.len, checksum=p.chksum)


def sctp(b):
    p = SCTP(b[:12])
    q = SCTP(sport=p.sport, dport=p.dport, tag=p.tag) / Raw(b[12:])
    return dict(source_port=p.sport, destination_port=p.dport, verification_tag=p.tag, checksum=p.chksum,
                computed=SCTP(bytes(q)[:12]).chksum)


def llc(b):
    p = LLC(b[:3])
    return dict(destination_sap=p.dsap, source_sap=p.ssap, control=p.ctrl)


def snap(b):
    p = SNAP(b[3:8])
    return dict(organisation=oui(p.OUI), protocol=p.code)


def igmp_(b):
    p = igmp.IGMP(b)
    f = dict(kind=p.type, checksum=p.chksum, intact=int(checksum(b[:2] + b"\0\0" + b[4:]) == p.chksum))
    if b[0] == 0x22:
        r = p.payload
        f.update(records=" ".join("%d:%s:%s" % (g.rtype, g.maddr, ",".join(g.srcaddrs)) for g in r.records))
    elif b[0] == 0x11 and len(b) >= 12:
        q = p.payload
        f.update(response_code=p.mrcode, group=q.gaddr, suppress=q.s, robustness=q.qrv, interval_code=q.qqic,
                 sources=",".join(q.srcaddrs or []))
    else:
        f.update(group=p.gaddr)
        if b[0] == 0x11:
            f.update(response_code=p.mrcode)
    return f


def mld(b):
    if b[0] == 143:
        # Scapy counts auxiliary data in bytes, not in words: packets with such data are not sent here.
        p = ICMPv6MLReport2(b)
        records, rest = [], b[8:]
        # Scapy may take the records behind the first for its payload.
        for _ in range(p.records_number):
            records.append(ICMPv6MLDMultAddrRec(rest))
            rest = rest[20 + 16 * records[-1].sources_number :]
        return dict(kind=p.type, records=" ".join("%d:%s:%s" % (r.rtype, r.dst, ",".join(r.sources)) for r in records))
    if b[0] == 130 and len(b) >= 28:
        p = ICMPv6MLQuery2(b)
        return dict(kind=p.type, response_code=p.mrd, group=p.mladdr, suppress=p.S, robustness=p.QRV,
                    interval_code=p.QQIC, sources=",".join(p.sources))
    p = {130: ICMPv6MLQuery, 131: ICMPv6MLReport, 132: ICMPv6MLDone}[b[0]](b)
    return dict(kind=p.type, group=p.mladdr, response_code=p.mrd)


def mpls_(b):
    p = mpls.MPLS(b[:4])
    return dict(label=p.label, traffic_class=p.cos, bottom=p.s, ttl=p.ttl)


def vxlan(b):
    p = vx.VXLAN(b[:8])
    f = dict(vni=p.vni)
    if p.flags.G:
        f.update(group=p.gpid, dont_learn=int(bool(p.gpflags.D)), applied=int(bool(p.gpflags.A)))
    return f


def vxlan_gpe(b):
    p = vx.VXLAN(b[:8])
    f = dict(maintenance=int(bool(p.flags.OAM)))
    if p.flags.Instance:
        f.update(vni=p.vni)
    if p.flags.NextProtocol:
        f.update(next_protocol=p.fields["NextProtocol"])
    return f


def geneve_(b):
    p = geneve.GENEVE(b)
    # Scapy takes what follows the first option for its payload.
    options, rest = [], b[8 : 8 + p.optionlen * 4]
    while rest:
        options.append(geneve.GeneveOptions(rest))
        rest = bytes(options[-1].payload)
    return dict(control=p.oam, critical=p.critical, protocol=p.proto, vni=p.vni, header_len=8 + p.optionlen * 4,
                options=" ".join("%d:%d:%s" % (o.classid, o.type, o.data.hex()) for o in options))


def gre(b):
    p = GRE(b)
    f = dict(protocol=p.proto)
    if p.chksum_present:
        f.update(checksum=p.chksum, intact=int(checksum(b[:4] + b"\0\0" + b[6:]) == p.chksum))
    if p.key_present:
        f.update(key=p.key)
    if p.seqnum_present:
        f.update(sequence=p.sequence_number)
    return f


def erspan_(b):
    if b[0] >> 4 == 1:
        p = erspan.ERSPAN_II(b)
        return dict(vlan=p.vlan, class_of_service=p.cos, truncated=p.t, session=p.session_id, encapsulation=p.en,
                    index=p.index)
    p = erspan.ERSPAN_III(b)
    return dict(vlan=p.vlan, class_of_service=p.cos, truncated=p.t, session=p.session_id, error=p.bso,
                timestamp=p.timestamp, security_group=p.sgt_other, is_ethernet=p.p, frame_kind=p.ft, hardware=p.hw,
                egress=p.d, granularity=p.gra, platform=p.o)


def nsh_(b):
    # Scapy counts the words of metadata of type 2 as if each piece had one: its pieces are not compared.
    p = nsh.NSH(b[:24] if b[2] & 15 == 1 else b[:8])
    f = dict(maintenance=p.oam, ttl=p.ttl, header_len=p.length * 4, metadata_type=p.mdtype, next_protocol=p.nextproto,
             service_path=p.spi, service_index=p.si)
    if p.mdtype == 1:
        f.update(context=p.context_header.hex())
    return f


def gtp_u(b):
    p = gtp.GTP_U_Header(b)
    f = dict(message=p.gtp_type, length=p.length, tunnel=p.teid)
    if p.S:
        f.update(sequence=p.seq)
    if p.PN:
        f.update(pdu_number=p.npdu)
    if p.E:
        f.update(first_extension=p.next_ex)
    return f


def stp(b):
    p = STP(b)
    f = dict(version=p.version, kind=p.bpdutype)
    if p.bpdutype != 0x80:
        f.update(flags=p.bpduflags, root="%d.%s" % (p.rootid, p.rootmac), cost=p.pathcost,
                 bridge="%d.%s" % (p.bridgeid, p.bridgemac), port=p.portid, age=int(p.age * 256),
                 max_age=int(p.maxage * 256), hello=int(p.hellotime * 256), delay=int(p.fwddelay * 256))
    return f


def lacp_(b):
    p = slowprot.SlowProtocol(b)[lacp.LACP]
    end = "%s_system_priority %s_system %s_key %s_port_priority %s_port_number %s_state"
    text = {side: " ".join(str(getattr(p, name % side)) for name in end.split()) for side in ("actor", "partner")}
    return dict(version=p.version, max_delay=p.collector_max_delay, **text)


def marker(b):
    p = slowprot.SlowProtocol(b)[lacp.MarkerProtocol]
    return dict(version=p.version, kind=p.marker_type, port=p.requester_port, system=p.requester_system,
                transaction=p.requester_transaction_id)


def lldp_(b):
    p = lldp.LLDPDU(b)
    f, others = {}, []
    while p and not isinstance(p, (Raw, Padding)):
        kind = p._type
        if kind == 1:
            f.update(chassis="%d:%d" % (p.subtype, p._length))
        elif kind == 2:
            f.update(port="%d:%d" % (p.subtype, p._length))
        elif kind == 3:
            f.update(time_to_live=p.ttl)
        elif kind != 0:
            others.append("%d:%d" % (kind, p._length))
        p = p.payload
    f.update(others=" ".join(others))
    return f


def bfd_(b):
    p = bfd.BFD(b)
    bits = int(p.flags)
    return dict(diagnostic=p.diag, state=p.sta, poll=bits >> 5 & 1, is_final=bits >> 4 & 1, independent=bits >> 3 & 1,
                authenticated=bits >> 2 & 1, demand=bits >> 1 & 1, detection_multiplier=p.detect_mult, length=p.len,
                my_discriminator=p.my_discriminator, your_discriminator=p.your_discriminator,
                intervals="%d %d %d" % (p.min_tx_interval, p.min_rx_interval, p.echo_rx_interval))


def dhcp(b):
    p = BOOTP(b)
    kinds = [option[1] for option in p[DHCP].options if option[0] == "message-type"] if DHCP in p else []
    return dict(operation=p.op, transaction=p.xid, your_ip=p.yiaddr, relay_ip=p.giaddr, client_mac=str2mac(p.chaddr[:6]),
                message=kinds[0] if kinds else "none")


def dhcpv6(b):
    p = vars(dhcp6_module)[dhcp6_cls_by_type[b[0]]](b)
    f = dict(message=p.msgtype)
    if b[0] not in (12, 13):
        f.update(transaction=p.trid)
    return f


def frame(b):
    """A whole frame: its layers up to the transport header and what the tunnels around it are."""
    p = Ether(b)
    f, tags, at, whole = {}, [], 14, True
    layer = p.payload
    while isinstance(layer, Dot1Q):
        tags.append("%d/%d" % (layer.vlan, layer.prio))
        at += 4
        layer = layer.payload
    f.update(tags=" ".join(tags), network=at)
    if isinstance(layer, IP):
        f.update(source=layer.src, destination=layer.dst, protocol=layer.proto, end=at + layer.len)
        if layer.frag == 0:
            f.update(transport=at + layer.ihl * 4)
        whole = layer.frag == 0 and not layer.flags.MF
        layer = layer.payload
    elif isinstance(layer, IPv6):
        f.update(source=layer.src, destination=layer.dst, end=at + 40 + layer.plen)
        at, proto, later = at + 40, layer.nh, False
        layer = layer.payload
        while isinstance(layer, (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, IPv6ExtHdrFragment)):
            later = isinstance(layer, IPv6ExtHdrFragment) and layer.offset > 0
            at += 8 if isinstance(layer, IPv6ExtHdrFragment) else (layer.len + 1) * 8
            # With segments left the checksum covers another destination; a first fragment has not all it covers.
            whole = whole and not getattr(layer, "segleft", 0) and not getattr(layer, "m", 0)
            proto = layer.nh
            layer = layer.payload
        f.update(protocol=proto)
        if not later:
            f.update(transport=at)
    elif isinstance(layer, ARP):
        f.update(arp=layer.op)
    # Scapy's class for SCTP is derived from what follows; only the ports matter.
    if "transport" in f and isinstance(layer, (TCP, UDP, SCTP)):
        f.update(ports="%d %d" % (layer.sport, layer.dport))
        if whole and not isinstance(layer, SCTP):
            found = layer.chksum
            del layer.chksum
            f.update(intact=int(Ether(bytes(p)).getlayer(type(layer)).chksum == found))
    if "transport" in f and isinstance(layer, UDP) and vx.VXLAN in p:
        f.update(vni=p[vx.VXLAN].vni)
    return f


DECODERS = dict(
    ethernet=ethernet, vlan=vlan, arp=arp, ipv4=ipv4, ipv6=ipv6, ipv6_options=ipv6_options, ipv6_routing=ipv6_routing,
    ipv6_fragment=ipv6_fragment, authentication=authentication, icmpv4=icmpv4, icmpv6=icmpv6, nd=nd, tcp=tcp,
    tcp_options=tcp_options, udp=udp, sctp=sctp, llc=llc, snap=snap, igmp=igmp_, mld=mld, mpls=mpls_, vxlan=vxlan,
    vxlan_gpe=vxlan_gpe, geneve=geneve_, gre=gre, erspan=erspan_, nsh=nsh_, gtp_u=gtp_u, stp=stp, lacp=lacp_,
    marker=marker, lldp=lldp_, bfd=bfd_, dhcp=dhcp, dhcpv6=dhcpv6, frame=frame,
)


def decode(header, data):
    return {name: str(value) for name, value in DECODERS[header](data).items()}


def main():
    for line in sys.stdin:
        header, data = line.split()
        try:
            answer = decode(header, bytes.fromhex(data))
        except Exception as error:
            answer = dict(error=repr(error))
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
