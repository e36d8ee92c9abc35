#!/usr/bin/env python3
"""What peers that lie or flood do to a switch: do packets flow on, does it answer others, how much memory does it take?

    python3 bench/hostile.py                          # netloom
    python3 bench/hostile.py --programs netloom ovs   # Open vSwitch 3.1 too
    python3 bench/hostile.py --attacks of-garbage db-deep --seconds 5

Two namespaces talk through the switch, 200 datagrams a second there and back, while each of these goes on:

    none          nobody does anything
    of-garbage    50 connections to br0.mgmt send random octets, and connect again when they are cut off
    of-halves     500 connections say that 65,535 octets come, and send a part of them
    of-deaf       50 connections ask for all of 10,000 flows as often as they can, and never read
    of-flows      a million different flow-mods, as fast as they are taken
    db-garbage    50 connections to db.sock send random octets
    db-deep       50 connections send `[` without end
    db-long       50 connections send a string without end
    db-deaf       50 connections follow all tables and never read, while a column is changed as often as possible
    ctl-garbage   50 connections to the control socket send random octets

Beside the datagrams: how long `ovs-ofctl show` and `ovs-vsctl get` take meanwhile, and what the daemon (for Open vSwitch both) has
in memory before, at most, and a second after. Needs root (namespaces, TAP), iproute2 and Debian's `openvswitch-switch`.
"""

import argparse
import json
import os
import pathlib
import random
import socket
import struct
import subprocess
import sys
import threading
import time

from openflow import Switch, run

PEER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 7))
while True:
    data, peer = s.recvfrom(64)
    s.sendto(data, peer)
"""
PROBE = """
import json, socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("10.98.0.2", 7))
sent, times, ends, last = 0, {}, time.monotonic() + float(sys.argv[1]), time.monotonic()
def take(until):
    while True:
        s.settimeout(max(until - time.monotonic(), 0.0001))
        try:
            number, began = struct.unpack("<Qd", s.recv(64))
        except (TimeoutError, BlockingIOError, ConnectionError):
            if time.monotonic() >= until:
                return
            continue
        times[number] = time.monotonic() - began
while time.monotonic() < ends:
    s.send(struct.pack("<Qd", sent, time.monotonic()))
    sent += 1
    last += 0.005
    take(last)
take(time.monotonic() + 2)
all = sorted(times.values())
print(json.dumps({"sent": sent, "lost": sent - len(all), "p50": all[len(all) // 2] * 1e3, "p99": all[len(all) * 99 // 100] * 1e3, "most": all[-1] * 1e3}))
"""


class Network:
    """The switch, with a namespace at each of two ports."""

    def __init__(self, program):
        self.switch = Switch(program)
        self.spaces, self.processes = [], []
        for number, name in enumerate(["t1", "t2"], 1):
            holder = subprocess.Popen(["unshare", "--net", "sleep", "1000000"])
            self.processes.append(holder)
            self.spaces.append(holder.pid)
            self.switch.vsctl("add-port", "br0", name, "--", "set", "interface", name, "type=tap")
            self.until(lambda: subprocess.run(["ip", "link", "show", name], capture_output=True).returncode == 0)
            self.until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
            run("ip", "link", "set", name, "netns", holder.pid)
            self.inside(holder.pid, "ip", "address", "add", f"10.98.0.{number}/24", "dev", name)
            self.inside(holder.pid, "ip", "link", "set", name, "up")
        self.processes.append(subprocess.Popen(["nsenter", "-t", str(self.spaces[1]), "-n", sys.executable, "-c", PEER]))
        self.until(lambda: subprocess.run(["nsenter", "-t", str(self.spaces[0]), "-n", "ping", "-c1", "-W1", "10.98.0.2"], capture_output=True).returncode == 0)

    def until(self, true):
        ends = time.monotonic() + 20
        while not true():
            if time.monotonic() > ends:
                sys.exit("the network did not come up")
            time.sleep(0.05)

    def inside(self, space, *words):
        return run("nsenter", "-t", space, "-n", *words)

    def socket(self, name):
        if name == "ctl":
            name = next(path.name for path in self.switch.at.glob("*.ctl") if path.name.startswith(("ovs-vswitchd", "ovs.")))
        return str(self.switch.at / name)

    def daemons(self):
        return [process.pid for process in self.switch.processes]

    def memory(self, what):
        kibibytes = 0
        for pid in self.daemons():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(what):
                    kibibytes += int(line.split()[1])
        return kibibytes / 1024

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.switch.stop()


class Attack:
    """Threads that do something to a socket until they are told to end."""

    def __init__(self, network, name):
        self.network, self.ended, self.counts, self.threads = network, threading.Event(), {"connections": 0, "octets": 0}, []
        name = name.replace("-", "_")
        count = getattr(self, f"{name}_count", 50)
        for number in range(count):
            self.threads.append(threading.Thread(target=self.repeat, args=(getattr(self, name), number), daemon=True))
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(10)

    def repeat(self, body, number):
        while not self.ended.is_set():
            try:
                body(number)
            except OSError:
                time.sleep(0.001)

    def connect(self, name):
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(1)
        stream.connect(self.network.socket(name))
        self.counts["connections"] += 1
        return stream

    def send(self, stream, octets):
        while octets and not self.ended.is_set():
            try:
                sent = stream.send(octets)
            except TimeoutError:
                continue
            self.counts["octets"] += sent
            octets = octets[sent:]

    def flood(self, name, octets):
        with self.connect(name) as stream:
            while not self.ended.is_set():
                self.send(stream, octets())

    none_count = 0

    def none(self, _):
        pass

    def of_garbage(self, _):
        self.flood("br0.mgmt", lambda: random.randbytes(4096))

    def db_garbage(self, _):
        self.flood("db.sock", lambda: random.randbytes(4096))

    def ctl_garbage(self, _):
        self.flood("ctl", lambda: random.randbytes(4096))

    def db_deep(self, _):
        self.flood("db.sock", lambda: b"[" * 65536)

    def db_long(self, _):
        with self.connect("db.sock") as stream:
            self.send(stream, b'{"id":0,"method":"echo","params":["')
            while not self.ended.is_set():
                self.send(stream, b"x" * 65536)

    of_halves_count = 500

    def of_halves(self, _):
        with self.connect("br0.mgmt") as stream:
            self.send(stream, struct.pack("!BBHI", 4, 0, 8, 1))
            self.send(stream, struct.pack("!BBHI", 4, 2, 65535, 2) + bytes(30000))
            while not self.ended.is_set() and stream_open(stream):
                time.sleep(0.2)

    def hello(self, stream):
        self.send(stream, struct.pack("!BBHI", 4, 0, 8, 1))

    def of_deaf(self, _):
        with self.connect("br0.mgmt") as stream:
            self.hello(stream)
            # Flow statistics of all tables.
            ask = struct.pack("!BBHIHHI", 4, 18, 56, 3, 1, 0, 0) + struct.pack("!B3xIIIQQ", 255, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 0) + struct.pack("!HH4x", 1, 4)
            while not self.ended.is_set():
                self.send(stream, ask * 100)

    of_flows_count = 1

    def of_flows(self, _):
        with self.connect("br0.mgmt") as stream:
            self.hello(stream)
            for first in range(0, 1_000_000, 1000):
                if self.ended.is_set():
                    return
                self.send(stream, b"".join(flow(number) for number in range(first, first + 1000)))
                self.counts["flows"] = first + 1000
            self.ended.wait()

    def db_deaf(self, number):
        with self.connect("db.sock") as stream:
            tables = ["Bridge", "Port", "Interface", "Open_vSwitch"]
            follow = {"id": 1, "method": "monitor", "params": ["Open_vSwitch", None, {table: {} for table in tables}]}
            self.send(stream, json.dumps(follow).encode())
            count = 0
            while not self.ended.is_set():
                if number:
                    time.sleep(0.1)
                    continue
                count += 1
                change = {"op": "update", "table": "Bridge", "where": [], "row": {"external_ids": ["map", [["x", str(count) * 500]]]}}
                self.send(stream, json.dumps({"id": count, "method": "transact", "params": ["Open_vSwitch", change]}).encode())


def stream_open(stream):
    try:
        return stream.recv(65536) != b""
    except TimeoutError:
        return True


def flow(number):
    """A flow-mod of OpenFlow 1.3: in table 1 an address is dropped."""
    match = struct.pack("!HBBH", 0x8000, 5 << 1, 2, 0x0800) + struct.pack("!HBBI", 0x8000, 12 << 1, 4, number)
    body = struct.pack("!HH", 1, 4 + len(match)) + match
    body += bytes(-len(body) % 8)
    fixed = struct.pack("!QQBBHHHIIIHH", 0, 0, 1, 0, 0, 0, 100, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0)
    return struct.pack("!BBHI", 4, 14, 8 + len(fixed) + len(body), number) + fixed + body


def waited(words, environment):
    began = time.monotonic()
    done = subprocess.run([str(word) for word in words], capture_output=True, env=environment, timeout=60)
    return (time.monotonic() - began) * 1e3 if done.returncode == 0 else float("inf")


def measure(network, name, seconds):
    switch = network.switch
    if name == "of-deaf":
        flows = switch.at / "flows"
        flows.write_text("".join(f"table=2,ip,nw_dst=10.{n >> 16}.{n >> 8 & 255}.{n & 255},actions=drop\n" for n in range(10_000)))
        run("ovs-ofctl", "add-flows", "br0", flows, env=switch.environment)
    for pid in network.daemons():
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = network.memory("VmRSS")
    attack = Attack(network, name)
    probe = subprocess.Popen(["nsenter", "-t", str(network.spaces[0]), "-n", sys.executable, "-c", PROBE, str(seconds)], stdout=subprocess.PIPE, text=True)
    answers = {"ofctl": [], "vsctl": []}
    try:
        while probe.poll() is None:
            answers["ofctl"].append(waited(["ovs-ofctl", "--timeout=20", "show", "br0"], switch.environment))
            answers["vsctl"].append(waited(["ovs-vsctl", "--timeout=20", f"--db={switch.database}", "get", "bridge", "br0", "name"], switch.environment))
            time.sleep(0.1)
        probed = json.loads(probe.stdout.read())
    finally:
        attack.stop()
    most = network.memory("VmHWM")
    run("ovs-ofctl", "del-flows", "br0", "table=1", env=switch.environment)
    run("ovs-ofctl", "del-flows", "br0", "table=2", env=switch.environment)
    time.sleep(1)
    return {**probed, "ofctl": max(answers["ofctl"]), "vsctl": max(answers["vsctl"]), "before": before, "peak": most,
            "after": network.memory("VmRSS"), **attack.counts}


def main():
    attacks = [line.split()[0] for line in __doc__.splitlines() if line.startswith("    ") and "python3" not in line]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", nargs="+", default=["netloom"], choices=["netloom", "ovs"])
    parser.add_argument("--attacks", nargs="+", default=attacks, choices=attacks)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--json", help="write the figures here")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root")
    if "NETLOOM_BENCH_INSIDE" not in os.environ:
        os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], {**os.environ, "NETLOOM_BENCH_INSIDE": "1"})
    results = {}
    for program in options.programs:
        network = Network(program)
        try:
            for name in options.attacks:
                got = results.setdefault(program, {})[name] = measure(network, name, options.seconds)
                print(f"{program:<8} {name:<12} {got['lost']:>4} of {got['sent']} lost, {got['p50']:.2f} / {got['p99']:.2f} / {got['most']:.1f} ms; "
                      f"ofctl {got['ofctl']:.0f}, vsctl {got['vsctl']:.0f} ms; {got['before']:.0f}, at most {got['peak']:.0f}, then {got['after']:.0f} MiB; "
                      f"{got['connections']} connections, {got['octets'] / 2**20:.0f} MiB sent" + (f", {got['flows']} flows" if "flows" in got else ""), flush=True)
        finally:
            network.stop()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
