#!/usr/bin/env python3
"""How fast whole networks come and go: Netloom beside what people use today, alternating in one run.

    python3 bench/topology.py star      # 200 endpoints on one switch: netloom, ip -batch
    python3 bench/topology.py linear    # 50 switches in a line with a host each: netloom, Mininet
    python3 bench/topology.py large     # 1,000 endpoints with 5,000 links: up, plan, one line changed, down

Needs root, iproute2, a release build (target/release/netloom) and, for `linear`, Debian's mininet and
bridge-utils (Mininet calls brctl).
Every figure is a wall-clock time; ratios are medians of the ratios of neighbouring runs.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NETLOOM = os.environ.get("NETLOOM_BIN", os.path.join(ROOT, "target/release/netloom"))


def timed(command, **more):
    """Seconds that a command takes; ends the program when it fails. Also gives its peak memory in KiB."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 2):
        sys.exit(f"{' '.join(command[:4])} ... failed with {code}:\n{out[-3000:]}")
    return took, usage.ru_maxrss


class Netloom:
    """Netloom with a state of its own, so that nothing else of this machine is looked at."""

    def __init__(self, directory):
        self.environment = dict(os.environ, NETLOOM_STATE_DIR=f"{directory}/state", NETLOOM_RUN_DIR=f"{directory}/run",
                                NETLOOM_NO_DAEMON="true", NO_COLOR="1")

    def __call__(self, *arguments):
        return timed([NETLOOM, *arguments], env=self.environment)


def star_file(path, count):
    with open(path, "w") as file:
        file.write("netloom: 1\nname: bench-star\nnetworks:\n  hub: { mode: bridge, subnet: 10.9.0.0/16 }\nendpoints:\n")
        for index in range(count):
            file.write(f"  h{index}: {{ interfaces: {{ eth0: {{ network: hub, address: 10.9.{index // 250}.{index % 250 + 1}/16 }} }} }}\n")


def ip_star_up(count):
    lines = ["netns add bi-hub"]
    for index in range(count):
        lines.append(f"netns add bi-{index}")
    lines.append("link add hub netns bi-hub type bridge")
    for index in range(count):
        lines.append(f"link add eth0 netns bi-{index} type veth peer name p{index} netns bi-hub")
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
    hub = ["link set lo up", "link set hub up"]
    for index in range(count):
        hub += [f"link set p{index} master hub", f"link set p{index} up"]
    subprocess.run(["ip", "-n", "bi-hub", "-batch", "-"], input="\n".join(hub), text=True, check=True)
    for index in range(count):
        lines = f"link set lo up\naddr add 10.9.{index // 250}.{index % 250 + 1}/16 dev eth0\nlink set eth0 up\n"
        subprocess.run(["ip", "-n", f"bi-{index}", "-batch", "-"], input=lines, text=True, check=True)


def ip_star_down(count):
    lines = [f"netns del bi-{index}" for index in range(count)] + ["netns del bi-hub"]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def clock(work):
    began = time.monotonic()
    work()
    return time.monotonic() - began


def settled():
    """Waits until the kernel has taken apart what was deleted, so that nobody pays for the other's leavings."""
    last = -1
    for _ in range(200):
        with open("/proc/slabinfo") as slabs:
            now = next((int(line.split()[1]) for line in slabs if line.startswith("net_namespace ")), 0)
        if now == last:
            return
        last = now
        time.sleep(0.1)


def report(name, ours, theirs, what):
    ratios = [b / a for a, b in zip(ours, theirs)]
    row = lambda values: f"{min(values):.3f} / {statistics.median(values):.3f} / {max(values):.3f}"
    print(f"{name:<14} netloom {row(ours)} s   {what} {row(theirs)} s   {what} takes {statistics.median(ratios):.2f} times as long")
    return {"name": name, "netloom": ours, what: theirs, "ratio": statistics.median(ratios)}


def star(directory, pairs):
    count = 200
    path = f"{directory}/star.yaml"
    star_file(path, count)
    netloom = Netloom(directory)
    up, down, ip_up, ip_down = [], [], [], []
    for _ in range(pairs):
        up.append(netloom("apply", path, "--no-tests", "--quiet")[0])
        down.append(netloom("destroy", "bench-star")[0])
        settled()
        ip_up.append(clock(lambda: ip_star_up(count)))
        ip_down.append(clock(lambda: ip_star_down(count)))
        settled()
    print(f"star of {count} endpoints, {pairs} pairs, min / median / max (netloom plans, journals and verifies; ip does not)")
    return [report("up", up, ip_up, "ip -batch"), report("down", down, ip_down, "ip -batch"),
            report("up and down", [a + b for a, b in zip(up, down)], [a + b for a, b in zip(ip_up, ip_down)], "ip -batch")]


MININET = """
import sys, time
from mininet.net import Mininet
from mininet.topo import LinearTopo
from mininet.nodelib import LinuxBridge
began = time.monotonic()
net = Mininet(topo=LinearTopo(k=int(sys.argv[1])), switch=LinuxBridge, controller=None)
net.start()
up = time.monotonic() - began
began = time.monotonic()
net.stop()
print(up, time.monotonic() - began)
"""


def linear(directory, pairs):
    count = 50
    path = f"{directory}/linear.yaml"
    with open(path, "w") as file:
        file.write(f"netloom: 1\nname: bench-linear\ngenerate:\n  - {{ kind: linear, nodes: {count}, hosts: 1 }}\n")
    netloom = Netloom(directory)
    up, down, mn_up, mn_down = [], [], [], []
    for _ in range(pairs):
        up.append(netloom("apply", path, "--no-tests", "--quiet")[0])
        down.append(netloom("destroy", "bench-linear")[0])
        settled()
        python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else "python3"
        done = subprocess.run([python, "-c", MININET, str(count)], text=True, capture_output=True)
        if done.returncode:
            sys.exit(f"Mininet failed:\n{done.stderr[-2000:]}")
        first, second = map(float, done.stdout.split()[-2:])
        mn_up.append(first)
        mn_down.append(second)
        settled()
    print(f"linear {count}, {pairs} pairs, min / median / max (Mininet with Linux bridges)")
    return [report("up", up, mn_up, "Mininet"), report("down", down, mn_down, "Mininet"),
            report("up and down", [a + b for a, b in zip(up, down)], [a + b for a, b in zip(mn_up, mn_down)], "Mininet")]


def large_file(path, nodes, links, changed=False):
    chance = random.Random(7)
    degree = [0] * nodes
    lines = []
    # A ring first, so that everything hangs together, then random links.
    pairs = [(index, (index + 1) % nodes) for index in range(nodes)]
    while len(pairs) < links:
        a, b = chance.randrange(nodes), chance.randrange(nodes)
        if a != b:
            pairs.append((a, b))
    for index, (a, b) in enumerate(pairs):
        mtu = 1400 if changed and index == 4321 else 1500
        net = f"10.{index // 16384}.{index // 64 % 256}.{index % 64 * 4}"
        base, last = net.rsplit(".", 1)
        lines.append(f"  - {{ link: 'n{a}:e{degree[a]} -- n{b}:e{degree[b]}', mtu: {mtu}, addresses: [{base}.{int(last) + 1}/30, {base}.{int(last) + 2}/30] }}\n")
        degree[a] += 1
        degree[b] += 1
    with open(path, "w") as file:
        file.write("netloom: 1\nname: bench-large\nrouters:\n")
        file.writelines(f"  n{index}: {{}}\n" for index in range(nodes))
        file.write("links:\n")
        file.writelines(lines)


def large(directory, pairs):
    first, second = f"{directory}/large.yaml", f"{directory}/large-changed.yaml"
    large_file(first, 1000, 5000)
    large_file(second, 1000, 5000, changed=True)
    netloom = Netloom(directory)
    rows = {}
    for _ in range(pairs):
        for name, arguments in [("up", ("apply", first, "--no-tests", "--quiet")), ("plan, no change", ("plan", first)),
                                ("one line changed", ("apply", second, "--no-tests", "--quiet")), ("down", ("destroy", "bench-large"))]:
            seconds, memory = netloom(*arguments)
            rows.setdefault(name, []).append((seconds, memory))
        settled()
    print(f"1,000 endpoints with 5,000 links, {pairs} runs, min / median / max, peak memory")
    results = []
    for name, values in rows.items():
        seconds = [value[0] for value in values]
        memory = max(value[1] for value in values) / 1024
        print(f"{name:<18} {min(seconds):.3f} / {statistics.median(seconds):.3f} / {max(seconds):.3f} s   {memory:.0f} MiB")
        results.append({"name": name, "seconds": seconds, "peak MiB": memory})
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=["star", "linear", "large"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", help="write the figures here")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("the other programs of this comparison need root")
    if not os.path.exists(NETLOOM):
        sys.exit(f"{NETLOOM} is missing: cargo build --release")
    directory = tempfile.mkdtemp(prefix="netloom-bench-")
    try:
        results = {"star": star, "linear": linear, "large": large}[options.case](directory, options.pairs)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
