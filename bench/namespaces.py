#!/usr/bin/env python3
"""From one namespace to another: Netloom's switch (TAP interfaces) beside the Linux bridge (veth), alternating in one run.

    python3 bench/namespaces.py [--pairs 5] [--seconds 3]

One TCP stream by iperf3 (Gbit/s), then a ping-pong of 64-octet UDP datagrams (microseconds, median and 99th percentile).
Needs root, iproute2, iperf3 and a release build of Netloom. Ratios are medians of the ratios of neighbouring runs.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETLOOM = os.environ.get("NETLOOM", str(ROOT / "target/release/netloom"))
PINGS = 20_000

ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 7))
while True:
    data, peer = s.recvfrom(2048)
    s.sendto(data, peer)
"""
PINGPONG = """
import json, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("10.99.0.2", 7)); s.settimeout(2)
data, times, lost = bytes(64), [], 0
for _ in range(int(sys.argv[1])):
    began = time.perf_counter_ns()
    s.send(data)
    try:
        s.recv(2048)
        times.append(time.perf_counter_ns() - began)
    except TimeoutError:
        lost += 1
times = sorted(times[len(times) // 10:])
print(json.dumps({"p50": times[len(times) // 2] / 1e3, "p99": times[len(times) * 99 // 100] / 1e3, "lost": lost}))
"""


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, text=True, capture_output=True, timeout=60)


class Bridge:
    name = "Linux bridge"

    def up(self, a, b):
        run("ip", "link", "add", "nlbench", "type", "bridge")
        run("ip", "link", "set", "nlbench", "up")
        for space in (a, b):
            run("ip", "link", "add", f"br{space}", "type", "veth", "peer", "name", "eth0", "netns", space)
            run("ip", "link", "set", f"br{space}", "master", "nlbench", "up")

    def down(self):
        run("ip", "link", "del", "nlbench")


class Switch:
    name = "netloom"

    def up(self, a, b):
        self.directory = tempfile.mkdtemp(prefix="netloom-namespaces-")
        self.daemon = subprocess.Popen([NETLOOM, "--run", self.directory, "switchd"], stderr=subprocess.DEVNULL)
        ends = time.monotonic() + 10
        while not os.path.exists(f"{self.directory}/switch.sock"):
            if time.monotonic() > ends:
                sys.exit("switchd did not come up")
            time.sleep(0.02)
        ask = lambda *words: run(NETLOOM, "--run", self.directory, *words)
        ask("switch", "add", "br0")
        for space in (a, b):
            ask("port", "add", "br0", f"tap{space}", "type=tap")
            run("ip", "link", "set", f"tap{space}", "netns", space, "name", "eth0")

    def down(self):
        self.daemon.terminate()
        self.daemon.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def measure(way, seconds):
    spaces = ("nlba", "nlbb")
    started = []
    for space in spaces:
        run("ip", "netns", "add", space)
    way.up(*spaces)
    try:
        for number, space in enumerate(spaces, 1):
            run("ip", "-n", space, "addr", "add", f"10.99.0.{number}/24", "dev", "eth0")
            run("ip", "-n", space, "link", "set", "eth0", "up")
        inside = lambda space, *words: ["ip", "netns", "exec", space, *map(str, words)]
        started.append(subprocess.Popen(inside(spaces[1], "iperf3", "-s"), stdout=subprocess.DEVNULL))
        started.append(subprocess.Popen(inside(spaces[1], "python3", "-c", ECHO)))
        run(*inside(spaces[0], "ping", "-c", "3", "-i", "0.2", "-W", "2", "10.99.0.2"))
        time.sleep(0.3)
        tcp = json.loads(run(*inside(spaces[0], "iperf3", "-J", "-c", "10.99.0.2", "-t", seconds)).stdout)
        pong = json.loads(run(*inside(spaces[0], "python3", "-c", PINGPONG, PINGS)).stdout)
        return {"tcp": tcp["end"]["sum_received"]["bits_per_second"] / 1e9, **pong}
    finally:
        for process in started:
            process.kill()
            process.wait()
        way.down()
        for space in spaces:
            run("ip", "netns", "del", space)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root")
    results = {"netloom": [], "Linux bridge": []}
    for _ in range(options.pairs):
        for way in (Bridge(), Switch()):
            result = measure(way, options.seconds)
            results[way.name].append(result)
            print(f"  {way.name:<12} TCP {result['tcp']:.2f} Gbit/s, ping-pong {result['p50']:.1f} / {result['p99']:.1f} us, {result['lost']} lost", flush=True)
    for what in ("tcp", "p50", "p99"):
        ratios = [ours[what] / theirs[what] for ours, theirs in zip(results["netloom"], results["Linux bridge"])]
        print(f"{what}: netloom / Linux bridge = {statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})")


if __name__ == "__main__":
    main()
