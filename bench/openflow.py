#!/usr/bin/env python3
"""How fast a switch is configured: Netloom beside Open vSwitch, alternating in one run, by the same real tools and by its own.

    python3 bench/openflow.py                      # all cases
    python3 bench/openflow.py bundle flows dump ports --pairs 5 --json FILE

    bundle   10,000 flows in one bundle (`ovs-ofctl --bundle add-flows`)
    flows    100,000 flows one after the other (`ovs-ofctl add-flows`), the daemon's memory with them
    dump     all of them again (`ovs-ofctl dump-flows`)
    ports    50 calls of `ovs-vsctl add-port` where 600 ports are

Three programs take turns: `ovs` (Open vSwitch, its own tools), `netloom` (Netloom's switch, Open vSwitch's tools) and `own`
(Netloom's switch, Netloom's tools of the same names). Times include those of the tools: `tool` is what Open vSwitch's `ovs-ofctl`
needs to read the file alone, which no switch can make shorter. Netloom's own `ovs-ofctl add-flows` sends many flows before it waits,
Open vSwitch's waits for each.

Needs Debian's `openvswitch-switch`, and root for `ports` (TAP interfaces; everything is in a network namespace of its own).
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
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
CASES = ["bundle", "flows", "dump", "ports"]
PROGRAMS = ["ovs", "netloom", "own"]


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], text=True, capture_output=True, timeout=600, **more)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def timed(*words, **more):
    began = time.monotonic()
    run(*words, **more)
    return time.monotonic() - began


def wait(ready, seconds=20):
    ends = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > ends:
            sys.exit("a program did not come up")
        time.sleep(0.02)


class Switch:
    """A daemon with an empty bridge `br0`, in a directory of its own."""

    def __init__(self, program):
        self.program = program
        self.at = pathlib.Path(tempfile.mkdtemp(prefix=f"netloom-openflow-{program}-"))
        self.environment = {**os.environ, "OVS_RUNDIR": str(self.at), "OVS_LOGDIR": str(self.at), "OVS_DBDIR": str(self.at)}
        self.processes = []
        self.database = f"unix:{self.at}/db.sock"
        if program == "ovs":
            run("ovsdb-tool", "create", self.at / "conf.db", SCHEMA)
            self.spawn("ovsdb-server", self.at / "conf.db", f"--remote=p{self.database}", f"--unixctl={self.at}/db.ctl")
            wait(lambda: (self.at / "db.sock").exists())
            self.vsctl("--no-wait", "init")
            self.spawn("ovs-vswitchd", self.database, f"--unixctl={self.at}/ovs.ctl", "--disable-system")
        else:
            self.spawn(NETLOOM, "--run", self.at, "switchd")
            wait(lambda: (self.at / "db.sock").exists())
        self.daemon = self.processes[-1]
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        wait(lambda: (self.at / "br0.mgmt").exists())

    def spawn(self, *words):
        log = open(self.at / "log", "a")
        self.processes.append(subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, env=self.environment))

    def tool(self, name):
        """A tool: that of Open vSwitch, or Netloom's of the same name."""
        return [NETLOOM, name] if self.program == "own" else [name]

    def vsctl(self, *words):
        return run(*self.tool("ovs-vsctl"), f"--db={self.database}", "--timeout=60", *words, env=self.environment)

    def ofctl(self, command, *words):
        """What a command says, and the seconds that it took; words before the switch begin with a dash."""
        options = [word for word in words if str(word).startswith("-")]
        rest = [word for word in words if word not in options]
        began = time.monotonic()
        said = run(*self.tool("ovs-ofctl"), *options, command, f"unix:{self.at}/br0.mgmt", *rest, env=self.environment)
        return said, time.monotonic() - began

    def memory(self):
        for line in pathlib.Path(f"/proc/{self.daemon.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.at, ignore_errors=True)


def flows(path, count):
    """Flows in four tables with ten priorities and eight masks of addresses."""
    with open(path, "w") as file:
        for number in range(count):
            address = number << 8
            text = f"10.{address >> 16 & 255}.{address >> 8 & 255}.0" if address < 1 << 24 else f"{11 + (address >> 24)}.{address >> 16 & 255}.{address >> 8 & 255}.0"
            file.write(f"table={number % 4},priority={1000 + number % 10},cookie={number},tcp,nw_src={text}/{24 + number % 8},tp_dst={number % 60000},actions=output:1\n")


def measure(program, cases, at):
    result = {}
    with Switch(program) as switch:
        if "bundle" in cases:
            result["bundle"] = switch.ofctl("add-flows", "--bundle", at / "10000")[1]
            switch.ofctl("del-flows")
        if "flows" in cases or "dump" in cases:
            before = switch.memory()
            result["flows"] = switch.ofctl("add-flows", at / "100000")[1]
            result["memory"] = switch.memory() - before
            if "dump" in cases:
                said, _ = switch.ofctl("dump-flows")
                found = said.count("nw_src=")
                if found != 100_000:
                    sys.exit(f"{program}: {found} flows came back of 100000")
                result["dump"] = switch.ofctl("dump-flows")[1]
    if "ports" in cases:
        with Switch(program) as switch:
            words = []
            for number in range(600):
                words += ["--", "add-port", "br0", f"nt{number}", "--", "set", "interface", f"nt{number}", "type=tap"]
            switch.vsctl(*words)
            began = time.monotonic()
            for number in range(600, 650):
                switch.vsctl("add-port", "br0", f"nt{number}", "--", "set", "interface", f"nt{number}", "type=tap")
            result["ports"] = time.monotonic() - began
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--programs", nargs="+", default=PROGRAMS, choices=PROGRAMS)
    parser.add_argument("--json", help="write the figures here")
    options = parser.parse_args()
    cases = options.cases or CASES
    if unknown := set(cases) - set(CASES):
        sys.exit(f"there is no case {', '.join(unknown)}: {', '.join(CASES)}")
    if os.environ.get("NETLOOM_BENCH_INSIDE") != "1":
        # What is made is made in a namespace, and goes with it.
        os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], {**os.environ, "NETLOOM_BENCH_INSIDE": "1"})
    results = {program: [] for program in options.programs}
    with tempfile.TemporaryDirectory(prefix="netloom-openflow-") as at:
        at = pathlib.Path(at)
        for count in (10_000, 100_000):
            flows(at / str(count), count)
        tool = timed("ovs-ofctl", "parse-flows", at / "100000")
        print(f"tool: {tool:.2f} s to read 100,000 flows")
        for _ in range(options.pairs):
            for program in options.programs:
                result = measure(program, cases, at)
                results[program].append(result)
                print(f"  {program:<8}" + ", ".join(f" {case} {value:.2f} {'MiB' if case == 'memory' else 's'}" for case, value in result.items()), flush=True)
    for case in results[options.programs[0]][0]:
        lines = {program: [result[case] for result in results[program]] for program in options.programs}
        print(f"{case}: " + ", ".join(f"{program} {min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}" for program, values in lines.items()))
        for program in options.programs[1:]:
            ratios = [a / b for a, b in zip(lines[options.programs[0]], lines[program]) if b]
            names = f"{options.programs[0]} / {program}"
            print(f"{case}: {names} = {statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
