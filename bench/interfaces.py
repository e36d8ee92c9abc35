#!/usr/bin/env python3
"""From one veth pair to another, small frames: Netloom's AF_XDP and packet-socket ports, the Linux bridge and DPDK's testpmd.

    python3 bench/interfaces.py [--pairs 5] [--seconds 3] [--octets 60] [--flows 1] [--ways afxdp bridge ...]

Processor 0 has the generator (the example `blast`, by AF_XDP, in a namespace), processor 1 the forwarding: Netloom's
worker, testpmd's core, or the bridge's softirq (by RPS at the interface where frames come in). What arrives is counted by
the last interface. The kernel's part of receiving runs in the generator's system call for all of them.
Needs root, two processors, iproute2 and a release build of Netloom and the example; testpmd's ways need Debian's `dpdk`.
Ratios are medians of the ratios of neighbouring runs.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETLOOM = os.environ.get("NETLOOM", str(ROOT / "target/release/netloom"))
BLAST = os.environ.get("BLAST", str(pathlib.Path(NETLOOM).parent / "examples/blast"))
SPACES = ("nlxa", "nlxb")
ENDS = ("nlx0", "nlx1")


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, text=True, capture_output=True, timeout=60)


def wait(what, ready, seconds=20):
    ends = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > ends:
            sys.exit(f"{what} did not come up")
        time.sleep(0.05)


def received(space):
    text = run("ip", "netns", "exec", space, "cat", "/proc/net/dev").stdout
    line = next(line for line in text.splitlines() if line.strip().startswith("eth0:"))
    return int(line.split(":")[1].split()[1])


class Switch:
    """Netloom with two ports of a type."""

    def __init__(self, name, *options):
        self.name, self.options = name, options

    def up(self):
        self.directory = tempfile.mkdtemp(prefix="netloom-interfaces-")
        command = [NETLOOM, "--run", self.directory, "switchd", "--cores", "1"]
        self.daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait("switchd", lambda: os.path.exists(f"{self.directory}/switch.sock"))
        ask = lambda *words: run(NETLOOM, "--run", self.directory, *words)
        ask("switch", "add", "br0")
        for end in ENDS:
            ask("port", "add", "br0", end, f"dev={end}", *self.options)
        # The other side is known, as after its first answer.
        ask("fdb", "add", "br0", "02:00:00:00:00:02", ENDS[1])

    def down(self):
        self.daemon.terminate()
        self.daemon.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Bridge:
    name = "bridge"

    def up(self):
        run("ip", "link", "add", "nlxbr", "type", "bridge")
        run("ip", "link", "set", "nlxbr", "up")
        for end in ENDS:
            run("ip", "link", "set", end, "master", "nlxbr")
        run("bridge", "fdb", "add", "02:00:00:00:00:02", "dev", ENDS[1], "master", "static")
        pathlib.Path(f"/sys/class/net/{ENDS[0]}/queues/rx-0/rps_cpus").write_text("2")

    def down(self):
        run("ip", "link", "del", "nlxbr")


class Testpmd:
    """testpmd `io` between two devices of a driver."""

    def __init__(self, name, driver):
        self.name, self.driver = name, driver

    def up(self):
        vdevs = [f"--vdev={self.driver}{number},iface={end}" for number, end in enumerate(ENDS)]
        command = ["dpdk-testpmd", "-l0,1", "--main-lcore=0", "--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--no-shconf",
                   f"--file-prefix=nlx{os.getpid()}", *vdevs, "--", "--forward-mode=io", "--nb-cores=1", "--auto-start",
                   "--total-num-mbufs=16384", "--stats-period=1000000"]
        self.log = tempfile.NamedTemporaryFile("w+", prefix="netloom-testpmd-")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log)

        def started():
            if self.process.poll() is not None:
                raise RuntimeError(pathlib.Path(self.log.name).read_text()[-400:])
            return "Press enter to exit" in pathlib.Path(self.log.name).read_text() or "packet forwarding" in pathlib.Path(self.log.name).read_text()

        wait("testpmd", started)
        time.sleep(0.5)

    def down(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


WAYS = [
    Switch("afxdp", "type=afxdp"),
    Switch("afxdp-generic", "type=afxdp", "mode=generic"),
    Switch("afpacket", "type=afpacket"),
    Switch("afpacket-ring", "type=afpacket", "ring=true"),
    Bridge(),
    Testpmd("testpmd-afxdp", "net_af_xdp"),
    Testpmd("testpmd-afpacket", "net_af_packet"),
]


def measure(way, options):
    for space, end in zip(SPACES, ENDS):
        run("ip", "netns", "add", space)
        run("ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", space)
        for command in (["ip", "link", "set", end], ["ip", "-n", space, "link", "set", "eth0"]):
            run(*command, "addrgenmode", "none", "up")
    try:
        way.up()
        try:
            blast = lambda seconds: json.loads(run("ip", "netns", "exec", SPACES[0], "taskset", "-c", "0", BLAST, "eth0", seconds,
                                                   options.octets, options.flows).stdout)
            blast(0.3)
            before, began = received(SPACES[1]), time.monotonic()
            offered = blast(options.seconds)
            time.sleep(0.1)
            count = received(SPACES[1]) - before
            return {"mpps": count / offered["seconds"] / 1e6, "offered": offered["sent"] / offered["seconds"] / 1e6}
        finally:
            way.down()
    finally:
        for space, end in zip(SPACES, ENDS):
            subprocess.run(["ip", "link", "del", end], capture_output=True)
            run("ip", "netns", "del", space)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--octets", type=int, default=60, help="of a frame, without its checksum")
    parser.add_argument("--flows", type=int, default=1)
    parser.add_argument("--ways", nargs="+", default=[way.name for way in WAYS], choices=[way.name for way in WAYS])
    parser.add_argument("--json", help="write the figures here")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root")
    ways = [way for way in WAYS if way.name in options.ways]
    if not shutil.which("dpdk-testpmd"):
        print("no dpdk-testpmd here: without it")
        ways = [way for way in ways if not isinstance(way, Testpmd)]
    results = {way.name: [] for way in ways}
    broken = set()
    for _ in range(options.pairs):
        for way in ways:
            if way.name in broken:
                continue
            try:
                result = measure(way, options)
            except RuntimeError as error:
                print(f"  {way.name}: left out: {error}")
                broken.add(way.name)
                continue
            results[way.name].append(result["mpps"])
            print(f"  {way.name:<17} {result['mpps']:.3f} Mpps of {result['offered']:.3f} offered", flush=True)
    for name, rates in results.items():
        if rates:
            print(f"{name}: {min(rates):.3f} / {statistics.median(rates):.3f} / {max(rates):.3f} Mpps")
    for name, rates in results.items():
        if name != "afxdp" and rates and results.get("afxdp"):
            ratios = [ours / theirs for ours, theirs in zip(results["afxdp"], rates) if theirs]
            if ratios:
                print(f"afxdp / {name} = {statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
