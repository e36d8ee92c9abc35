#!/usr/bin/env python3
"""How fast frames go from one vhost-user port to another: Netloom beside OVS-DPDK and testpmd, alternating in one run.

    python3 bench/dataplane.py                     # the usual cases
    python3 bench/dataplane.py --cases 1 100000    # by name: 1, 1000, 100000, new, macs, 1514
    python3 bench/dataplane.py --programs ovs netloom --cases ct1 ct1000 vxlan geneve    # OpenFlow: connections, tunnels
    python3 bench/dataplane.py --pairs 5 --seconds 3 --programs netloom ovs testpmd

Processor 0 has the generator (bench/generator, DPDK with two virtio-user ports), processor 1 the switch's one worker.
The cases of OpenFlow are configured by the real ovs-vsctl and ovs-ofctl, with the same commands for both.
Needs root, two processors, 2 MiB hugepages, Debian's `openvswitch-switch-dpdk`, `dpdk`, `dpdk-dev` and a C compiler, and
a release build of Netloom. Everything is made in a directory of its own and taken away again. Rates are millions of
frames received a second; ratios are medians of the ratios of neighbouring runs. Where the generator is the slowest of the three, a rate says
what it can do; so what the workers say of themselves is printed too: the time that they spend on a frame while they have any.
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
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETLOOM = os.environ.get("NETLOOM", str(ROOT / "target/release/netloom"))
OVS = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
PAGES = 1024
# name: flows, octets, kind
CASES = {
    "1": (1, 64, "flows"),
    "1000": (1000, 64, "flows"),
    "100000": (100_000, 64, "flows"),
    "new": (1, 64, "new"),
    "macs": (1, 64, "macs"),
    "1514": (1, 1514, "flows"),
    "ct1": (1, 64, "answered"),
    "ct1000": (1000, 64, "answered"),
    "vxlan": (1, 64, "tunnel", "vxlan"),
    "geneve": (1, 64, "tunnel", "geneve"),
}
# Only a switch with tables can do these.
TABLES = {"ct1", "ct1000", "vxlan", "geneve"}
# Connections that are known pass both ways; new ones are remembered.
CONNECTIONS = """\
table=0,ip,ct_state=-trk,actions=ct(table=1)
table=0,priority=0,actions=NORMAL
table=1,in_port=vh0,ip,ct_state=+trk+new,actions=ct(commit),output:vh1
table=1,in_port=vh0,ip,ct_state=+trk+est,actions=output:vh1
table=1,in_port=vh1,ip,ct_state=+trk+est,actions=output:vh0
"""


class Bench:
    def __init__(self, seconds, urgent):
        self.seconds = seconds
        self.urgent = ["chrt", "-r", "10"] if urgent else []
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="netloom-dataplane-"))
        self.pages = self.directory / "huge"
        self.sockets = [self.directory / "vh0.sock", self.directory / "vh1.sock"]
        self.processes = []
        self.before = pathlib.Path("/proc/sys/vm/nr_hugepages").read_text()

    def __enter__(self):
        if int(self.before) < PAGES:
            pathlib.Path("/proc/sys/vm/nr_hugepages").write_text(str(PAGES))
        self.pages.mkdir()
        subprocess.run(["mount", "-t", "hugetlbfs", "none", self.pages], check=True)
        self.generator = self.directory / "generator"
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libdpdk"], check=True, capture_output=True, text=True)
        source = ROOT / "bench/generator/generator.c"
        subprocess.run(["cc", "-O3", "-march=native", "-o", self.generator, source, *flags.stdout.split()], check=True)
        clock = subprocess.run(["dmesg"], capture_output=True, text=True).stdout
        found = re.search(r"tsc: Detected ([0-9.]+) MHz", clock) or re.search(r"cpu MHz\s*: ([0-9.]+)", pathlib.Path("/proc/cpuinfo").read_text())
        self.ghz = float(found[1]) / 1000
        return self

    def __exit__(self, *_):
        self.stop()
        subprocess.run(["umount", self.pages])
        pathlib.Path("/proc/sys/vm/nr_hugepages").write_text(self.before)
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, *command, **more):
        done = subprocess.run([str(word) for word in command], text=True, capture_output=True, timeout=60, **more)
        if done.returncode:
            sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
        return done

    def spawn(self, name, *command, processor=None, **more):
        log = open(self.directory / f"{name}.log", "w")
        bound = ["taskset", "-c", str(processor)] if processor is not None else []
        process = subprocess.Popen([*bound, *map(str, command)], stdout=log, stderr=log, stdin=subprocess.PIPE, **more)
        self.processes.append(process)
        return process

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []

    def memory(self, process):
        for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        return 0

    def eal(self, name, *more):
        return ["--no-telemetry", "--no-pci", "--single-file-segments", f"--huge-dir={self.pages}", f"--file-prefix={name}", *more]

    def testpmd(self):
        vdevs = [f"--vdev=net_vhost{port},iface={socket},client=1,queues=1" for port, socket in enumerate(self.sockets)]
        self.spawn("testpmd", *self.urgent, "dpdk-testpmd", *self.eal("pmd", "-l0,1", "--main-lcore=0", "-m", "256", *vdevs), "--",
                   "--forward-mode=io", "--nb-cores=1", "--auto-start", "--total-num-mbufs=16384", "--rxd=1024", "--txd=1024", "--stats-period=1000000")

    def tools(self, program):
        """The real tools, on this program."""
        at = self.directory / program
        environment = {**os.environ, "OVS_RUNDIR": str(at)}
        control = at / "ovs.ctl" if program == "ovs" else "ovs-vswitchd"
        return lambda tool, *words: self.run(tool, *(["-t", control] if tool == "ovs-appctl" else []), *words, env=environment)

    def connections(self, program):
        tool = self.tools(program)
        rules = self.directory / "connections"
        rules.write_text(CONNECTIONS)
        tool("ovs-ofctl", "-OOpenFlow13", "--names", "replace-flows", "br0", rules)

    def tunnel(self, program, kind):
        """vh0 is a port of br0, whose other port is a tunnel; what that sends leaves br-phy by vh1."""
        tool = self.tools(program)
        real = ["datapath_type=netdev"] if program == "ovs" else []
        tool("ovs-vsctl", "--timeout=30", "add-br", "br-phy", *(["--", "set", "bridge", "br-phy", *real] if real else []))
        there = tool("ovs-vsctl", "--timeout=30", "get", "interface", "vh1", "type", "options").stdout.split("\n")
        tool("ovs-vsctl", "--timeout=30", "del-port", "br0", "vh1", "--", "add-port", "br-phy", "vh1", "--", "set", "interface", "vh1",
             f"type={there[0]}", f"options={there[1]}")
        self.run("ip", "address", "replace", "10.99.0.1/24", "dev", "br-phy")
        self.run("ip", "link", "set", "br-phy", "up")
        self.run("ip", "neighbour", "replace", "10.99.0.2", "lladdr", "02:00:00:00:00:02", "dev", "br-phy")
        if program == "ovs":
            tool("ovs-appctl", "tnl/neigh/set", "br-phy", "10.99.0.2", "02:00:00:00:00:02")
        tool("ovs-vsctl", "--timeout=30", "add-port", "br0", "tun", "--", "set", "interface", "tun", f"type={kind}", "options:remote_ip=10.99.0.2", "options:key=7")
        rules = self.directory / "tunnel"
        rules.write_text("in_port=vh0,actions=output:tun\n")
        tool("ovs-ofctl", "-OOpenFlow13", "--names", "replace-flows", "br0", rules)

    def ovs(self):
        at = self.directory / "ovs"
        at.mkdir(exist_ok=True)
        (at / "conf.db").unlink(missing_ok=True)
        socket = f"unix:{at}/db.sock"
        environment = {**os.environ, "OVS_RUNDIR": str(at), "OVS_LOGDIR": str(at), "OVS_DBDIR": str(at)}
        self.run("ovsdb-tool", "create", at / "conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
        self.spawn("ovsdb", "ovsdb-server", at / "conf.db", f"--remote=p{socket}", f"--unixctl={at}/ovsdb.ctl", env=environment)
        wait(lambda: (at / "db.sock").exists())
        vsctl = lambda *words: self.run("ovs-vsctl", f"--db={socket}", "--timeout=30", *words, env=environment)
        vsctl("--no-wait", "init")
        vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true", "other_config:pmd-cpu-mask=0x2", "other_config:dpdk-lcore-mask=0x1",
              "other_config:dpdk-socket-mem=256", f"other_config:dpdk-extra=--huge-dir={self.pages} --file-prefix=ovs --no-pci --no-telemetry")
        self.spawn("ovs", *self.urgent, OVS, socket, f"--unixctl={at}/ovs.ctl", env=environment)
        vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        for port, path in enumerate(self.sockets):
            vsctl("add-port", "br0", f"vh{port}", "--", "set", "interface", f"vh{port}", "type=dpdkvhostuserclient", f"options:vhost-server-path={path}")

    def netloom(self):
        at = self.directory / "netloom"
        shutil.rmtree(at, ignore_errors=True)
        self.spawn("netloom", *self.urgent, NETLOOM, "--run", at, "switchd", "--cores", "1", "--busy")
        wait(lambda: (at / "switch.sock").exists())
        self.run(NETLOOM, "--run", at, "switch", "add", "br0")
        for port, path in enumerate(self.sockets):
            self.run(NETLOOM, "--run", at, "port", "add", "br0", f"vh{port}", "type=vhost-user", "mode=client", f"path={path}")

    def forward(self):
        """The example that only moves frames between two ports: the ceiling of Netloom's own driver."""
        program = pathlib.Path(NETLOOM).parent / "examples/vhost_forward"
        self.spawn("forward", *self.urgent, program, *self.sockets, processor=1)

    def counted(self, program):
        """What the worker says of itself since it was started: (packets, nanoseconds that were spent on them)."""
        at = {"ovs": self.directory / "ovs/ovs.ctl"}.get(program)
        if program == "netloom":
            at = next((self.directory / "netloom").glob("ovs-vswitchd.*.ctl"))
        if at is None:
            return None
        text = self.run("ovs-appctl", "-t", at, "dpif-netdev/pmd-stats-show").stdout
        worker = text[text.index("core_id 1"):]
        number = lambda name: int(re.search(rf"(?<=\b{name}: )\d+", worker)[0])
        cycles = number("processing cycles")
        # Netloom counts nanoseconds; Open vSwitch counts the processor's time stamp counter.
        return number("packets received"), cycles if program == "netloom" else cycles / self.ghz

    def measure(self, program, flows, size, kind, tunnel=None):
        getattr(self, program)()
        try:
            if kind == "answered":
                self.connections(program)
            elif tunnel:
                self.tunnel(program, tunnel)
            for socket in self.sockets:
                socket.unlink(missing_ok=True)
            vdevs = [f"--vdev=net_virtio_user{port},path={socket},server=1,queues=1,queue_size=1024,mac=02:00:00:00:00:0{port + 1}"
                     for port, socket in enumerate(self.sockets)]
            command = [*self.urgent, self.generator, *self.eal("gen", "-l0", "-m", "256", *vdevs), "--", flows, size, self.seconds, kind]
            done = subprocess.run([str(word) for word in command], text=True, capture_output=True, timeout=60 + self.seconds)
            if done.returncode:
                logs = "".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in self.directory.glob("*.log"))
                sys.exit(f"{program}: the generator failed:\n{done.stderr[-2000:]}\n{logs}")
            result = json.loads(done.stdout.strip().splitlines()[-1])
            packets, nanoseconds = self.counted(program) or (0, 0)
            result["ns"] = nanoseconds / packets if packets else None
            result["MiB"] = self.memory(self.processes[-1])
            return result
        finally:
            self.stop()


def wait(ready, seconds=20):
    ends = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > ends:
            sys.exit("a program did not come up")
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=[case for case in CASES if case not in TABLES], choices=list(CASES))
    parser.add_argument("--programs", nargs="+", default=["testpmd", "ovs", "netloom"], choices=["testpmd", "ovs", "netloom", "forward"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--urgent", action="store_true", help="real-time scheduling, on a machine that others use too")
    parser.add_argument("--json", help="write the figures here")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root")
    if TABLES.intersection(options.cases) and not {"ovs", "netloom"}.issuperset(options.programs):
        sys.exit("connections and tunnels: with --programs ovs netloom")
    if "NETLOOM_BENCH_INSIDE" not in os.environ:
        # The interfaces of the bridges are nobody else's business.
        os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv], {**os.environ, "NETLOOM_BENCH_INSIDE": "1"})
    results = {}
    with Bench(options.seconds, options.urgent) as bench:
        for case in options.cases:
            rates = {program: [] for program in options.programs}
            spent = {program: [] for program in options.programs}
            for _ in range(options.pairs):
                for program in options.programs:
                    result = bench.measure(program, *CASES[case])
                    rates[program].append(result["mpps"])
                    spent[program].append(result["ns"])
                    cost = f", {result['ns']:.0f} ns a frame" if result["ns"] else ""
                    print(f"  {case:>8} {program:<8} {result['mpps']:.3f} Mpps of {result['offered']:.3f} offered, {result['MiB']:.0f} MiB{cost}", flush=True)
            results[case] = {"mpps": rates, "ns": spent}
            line = ", ".join(f"{program} {min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}" for program, values in rates.items())
            print(f"{case}: {line}")
            for other in options.programs:
                if "netloom" in rates and other != "netloom":
                    ratios = [a / b for a, b in zip(rates["netloom"], rates[other]) if b]
                    if ratios:
                        print(f"{case}: netloom / {other} = {statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})", flush=True)
                    costs = [b / a for a, b in zip(spent["netloom"], spent[other]) if a and b]
                    if costs:
                        print(f"{case}: {other} spends {statistics.median(costs):.2f} times as long on a frame ({min(costs):.2f} - {max(costs):.2f})", flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
