# A router in a network namespace of its own, with connection tracking: packets go in on one side, and come out on the other
# with what the kernel thinks of them in their DSCP. Reads lines "a HEX" or "b HEX" (the side, the IPv4 packet), writes
# lines with a number, or "lost". What reaches the ends is seen by the sockets there and goes no further.
import socket, subprocess, sys

def run(text):
    subprocess.run(text, shell=True, check=True)

RULES = """
table ip t {
  chain f {
    type filter hook forward priority 0
    ct state invalid ip dscp set 6 accept
    ct state new ct direction original ip dscp set 1 accept
    ct state new ct direction reply ip dscp set 7 accept
    ct state established ct direction original ip dscp set 2 accept
    ct state established ct direction reply ip dscp set 3 accept
    ct state related ct direction original ip dscp set 4 accept
    ct state related ct direction reply ip dscp set 5 accept
  }
}
table netdev ends {
  chain a { type filter hook ingress device a0 priority 0; policy drop; }
  chain b { type filter hook ingress device b0 priority 0; policy drop; }
}
"""
for side, net in (("a", "10.0.0"), ("b", "10.0.1")):
    run(f"ip link add {side}0 type veth peer name {side}1")
    run(f"ip link set {side}0 address 52:54:00:00:00:0{side} arp off up")
    run(f"ip link set {side}1 address 52:54:00:00:01:0{side} up")
    run(f"ip addr add {net}.254/24 dev {side}1")
    run(f"sysctl -qw net.ipv4.conf.{side}1.rp_filter=0 net.ipv6.conf.{side}0.disable_ipv6=1 net.ipv6.conf.{side}1.disable_ipv6=1")
    for last in (1, 2, 9, 10):
        run(f"ip neigh add {net}.{last} lladdr 52:54:00:00:00:0{side} dev {side}1 nud permanent")
    run(f"ethtool -K {side}0 tx off rx off >/dev/null 2>&1 || true")
run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0")
subprocess.run(["nft", "-f", "-"], input=RULES.encode(), check=True)
sockets = {}
for side in "ab":
    sockets[side] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sockets[side].bind((f"{side}0", 3))
    sockets[side].settimeout(1)
print("ready", flush=True)
for line in sys.stdin:
    side, text = line.split()
    packet = bytes.fromhex(text)
    other = "b" if side == "a" else "a"
    ethernet = bytes.fromhex(f"52540000010{side}52540000000{side}0800")
    sockets[side].send(ethernet + packet)
    try:
        while True:
            seen, address = sockets[other].recvfrom(4096)
            # What this side sent itself is seen, too.
            if address[2] == 0 and seen[12:14] == b"\x08\x00":
                break
        print(seen[15] >> 2, flush=True)
    except TimeoutError:
        print("lost", flush=True)
