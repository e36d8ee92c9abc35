#!/usr/bin/env python3
"""What an upgrade of Netloom's switch costs those who talk through it, and how long a killed one is missed.

    python3 bench/upgrade.py                                  # 5 upgrades, 5 kills
    python3 bench/upgrade.py --upgrades 20 --flows 10000 --json FILE

Two namespaces of a topology that is `via: switch`, made without root. One pings the other at 100 Hz and sends it a TCP
stream while the switch hands over to its successor, or is killed. Goals: no packet lost in an upgrade; packets again
within a second after a kill. Needs iputils' ping.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETLOOM = os.environ.get("NETLOOM", str(ROOT / "target/release/netloom"))
FILE = """
netloom: 1
name: upgrade
networks:
  lan: { via: switch, mode: host-only, subnet: 10.1.0.0/16 }
endpoints:
  a: { interfaces: { eth0: { network: lan, address: 10.1.0.11/16 } } }
  b: { interfaces: { eth0: { network: lan, address: 10.1.0.12/16 } } }
"""
SINK = """
import socket
listener = socket.create_server(("10.1.0.12", 7000))
print("ready", flush=True)
stream, _ = listener.accept()
total = 0
while piece := stream.recv(1 << 20):
    total += len(piece)
print(total, flush=True)
"""
SOURCE = """
import socket, sys, time
stream = socket.create_connection(("10.1.0.12", 7000))
piece, total, until = bytes(1 << 16), 0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    stream.sendall(piece)
    total += len(piece)
print(total, flush=True)
"""
# A flow for each destination.
FLOWS = """
import socket, sys
count, mac = int(sys.argv[1]), open("/sys/class/net/eth0/address").read()
own = bytes.fromhex(mac.strip().replace(":", ""))
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind(("eth0", 0))
for number in range(count):
    sender.send(bytes([2, 0, 0]) + number.to_bytes(3, "big") + own + b"\\x88\\xb5" + bytes(46))
"""


class Realm:
    """A place of its own for the program."""

    def __init__(self, at):
        self.at = at
        self.env = dict(os.environ, NETLOOM_RUN_DIR=str(at / "run"), NETLOOM_STATE_DIR=str(at / "state"),
                        NETLOOM_ROOTLESS="true", NO_COLOR="1")

    def run(self, *words):
        done = subprocess.run([NETLOOM, *map(str, words)], env=self.env, text=True, capture_output=True, timeout=120)
        if done.returncode:
            sys.exit(f"netloom {' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout

    def inside(self, node, *words):
        return subprocess.Popen([NETLOOM, "exec", f"upgrade.{node}", "--", *words], env=self.env, text=True,
                                stdout=subprocess.PIPE)

    def switch(self):
        """The switch's daemons: one, and two for a moment in an upgrade."""
        needle = f"--run\0{self.at / 'run/switch'}\0switchd\0".encode()
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and needle in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                pass
        return found

    def next_switch(self, before):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            now = self.switch()
            if len(now) == 1 and now[0] not in before:
                return now
            time.sleep(0.002)
        sys.exit("no other switch runs")


class Pings:
    """A ping at 100 Hz: the numbers and times of the answers."""

    def __init__(self, realm):
        self.answers = []
        self.longest = 0.0
        self.process = realm.inside("a", "ping", "-D", "-i", "0.01", "10.1.0.12")
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            found = re.match(r"\[([0-9.]+)\].*icmp_seq=(\d+).*time=([0-9.]+) ms", line)
            if found:
                self.answers.append((int(found[2]), float(found[1]), float(found[3])))

    def some(self, more=20):
        count, until = len(self.answers) + more, time.monotonic() + 30
        while len(self.answers) < count:
            if time.monotonic() > until:
                sys.exit("the ping is not answered")
            time.sleep(0.005)

    def since(self, at):
        """Lost, longest time without an answer, longest round trip."""
        pairs = [(one, other) for one, other in zip(self.answers, self.answers[1:]) if other[1] > at]
        lost = sum(max(0, other[0] - one[0] - 1) for one, other in pairs)
        gap = max(other[1] - max(one[1], at) for one, other in pairs)
        return lost, gap, max(other[2] for _, other in pairs) / 1000


def spread(values):
    return {"least": min(values), "median": statistics.median(values), "most": max(values)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrades", type=int, default=5)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--flows", type=int, default=0, help="flows that are handed over beside those of the ping")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    at = pathlib.Path(tempfile.mkdtemp(prefix="netloom-upgrade-"))
    realm = Realm(at)
    result = {"upgrades": options.upgrades, "kills": options.kills, "flows": options.flows}
    try:
        (at / "file.yaml").write_text(FILE)
        realm.run("apply", "--no-tests", "--quiet", at / "file.yaml")
        sink = realm.inside("b", sys.executable, "-c", SINK)
        sink.stdout.readline()
        pings = Pings(realm)
        pings.some()
        seconds = 1.0 * options.upgrades + 1
        source = realm.inside("a", sys.executable, "-c", SOURCE, str(seconds))
        began, took, counted = time.time(), [], 0
        for _ in range(options.upgrades):
            if options.flows:
                realm.inside("a", sys.executable, "-c", FLOWS, str(options.flows)).wait()
                result["flows there"] = len(json.loads(realm.run("flows", "-o", "json")))
            before, start = realm.switch(), time.monotonic()
            realm.run("switch", "upgrade")
            took.append(time.monotonic() - start)
            realm.next_switch(before)
            pings.some()
        went, came = (int(process.communicate()[0].split()[-1]) for process in (source, sink))
        lost, gap, trip = pings.since(began)
        counted = sum(1 for answer in pings.answers if answer[1] > began)
        result["upgrade"] = {"pings": counted, "lost": lost, "longest gap s": gap, "longest round trip s": trip,
                             "command s": spread(took), "tcp sent": went, "tcp received": came}
        print(f"{options.upgrades} upgrades: {lost} of {counted} pings lost, longest round trip {trip * 1000:.1f} ms, "
              f"TCP {went} octets sent, {came} received, the command took {min(took):.3f} / "
              f"{statistics.median(took):.3f} / {max(took):.3f} s")
        gaps, losses = [], []
        for _ in range(options.kills):
            # At a time of its own, not right after the last one.
            pings.some(150)
            before, start = realm.switch(), time.time()
            os.kill(before[0], signal.SIGKILL)
            realm.next_switch(before)
            pings.some()
            lost, gap, _ = pings.since(start)
            gaps.append(gap)
            losses.append(lost)
        if gaps:
            result["kill"] = {"gap s": spread(gaps), "lost": spread(losses)}
            print(f"{options.kills} kills: no answer for {min(gaps):.3f} / {statistics.median(gaps):.3f} / "
                  f"{max(gaps):.3f} s, pings lost {losses}")
        pings.process.kill()
    finally:
        realm.run("destroy", "--all")
        shutil.rmtree(at, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
