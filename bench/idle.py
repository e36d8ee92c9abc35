#!/usr/bin/env python3
"""What Netloom's switch costs while nothing happens, and how much memory its flows take.

    python3 bench/idle.py                          # 100 TAP ports, 20 s of rest, then 100,000 flows
    python3 bench/idle.py --ports 100 --up 50 --seconds 60 --flows 100000 --json FILE

Runs in a network namespace of its own (`unshare`), as root or not. Goals: under 1 % of a processor, under 64 MiB. The
processor's share is what the daemon's threads used of it; memory is what is resident (VmRSS) and the most that was (VmHWM).
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETLOOM = os.environ.get("NETLOOM", str(ROOT / "target/release/netloom"))


def run(*words):
    done = subprocess.run([str(word) for word in words], text=True, capture_output=True, timeout=120)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def memory(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return [int(line.split()[1]) / 1024 for name in ("VmRSS:", "VmHWM:") for line in status if line.startswith(name)]


def processor(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rest(process, seconds):
    began, used = time.monotonic(), processor(process)
    time.sleep(seconds)
    return (processor(process) - used) / (time.monotonic() - began) * 100


def measure(options, at, ports, seconds, flows):
    """One daemon with so many ports: at rest for some seconds, or with flows."""
    result = {"ports": ports}
    log = open(at / "log", "w")
    process = subprocess.Popen([NETLOOM, "--run", at / f"run{ports}", "switchd"], stdout=log, stderr=log)
    try:
        for _ in range(200):
            if (at / f"run{ports}/switch.sock").exists():
                break
            time.sleep(0.05)
        ask = lambda *words: run(NETLOOM, "--run", at / f"run{ports}", *words)
        ask("switch", "add", "br0", f"stations={2 * options.flows + 1000}")
        for number in range(ports):
            ask("port", "add", "br0", f"nt{number}", "type=tap")
            if number < options.up:
                run("ip", "link", "set", f"nt{number}", "up")
        result["empty_mib"] = memory(process)[0]
        if seconds:
            # The host's own announcements on fresh interfaces are over after some seconds.
            time.sleep(5)
            result["idle_percent"] = [rest(process, seconds) for _ in range(options.runs)]
        if flows:
            # The sink's station is known, so that frames go to it and not to everybody.
            ask("fdb", "add", "br0", "02:00:00:00:00:02", "nt1")
            run(NETLOOM, "bench", "dataplane", "--mode", "flowgen", "--ports", "afpacket:dev=nt0", "afpacket:dev=nt1", "--traffic", "stations",
                "--flows", flows, "--rate", options.rate, "--seconds", 6, "-o", "json")
            time.sleep(1)
            look = json.loads(ask("-o", "json", "top", "--once", "500ms"))
            result["flows"] = sum(worker["flows"] for worker in look["workers"])
            result["flows_mib"], result["most_mib"] = memory(process)
        return result
    finally:
        process.terminate()
        process.wait(10)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ports", type=int, default=100)
    parser.add_argument("--up", type=int, default=50, help="ports whose interfaces are up")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--flows", type=int, default=100_000, help="0: without")
    parser.add_argument("--rate", default="150kpps", help="how fast the flows are made")
    parser.add_argument("--json", help="write the figures here")
    options = parser.parse_args()
    if "NETLOOM_IDLE_INSIDE" not in os.environ:
        unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
        os.execvpe("unshare", [*unshare, sys.executable, __file__, *sys.argv[1:]], {**os.environ, "NETLOOM_IDLE_INSIDE": "1"})
    at = pathlib.Path(tempfile.mkdtemp(prefix="netloom-idle-"))
    results = {}
    try:
        run("ip", "link", "set", "lo", "up")
        results["idle"] = idle = measure(options, at, options.ports, options.seconds, 0)
        if options.flows:
            results["flows"] = measure(options, at, 2, 0, options.flows)
    finally:
        shutil.rmtree(at, ignore_errors=True)
    percent = sorted(idle["idle_percent"])
    print(f"{options.ports} TAP ports, {options.up} up: {percent[len(percent) // 2]:.2f} % of a processor ({percent[0]:.2f} - {percent[-1]:.2f}), "
          f"{idle['empty_mib']:.1f} MiB")
    if options.flows:
        flows = results["flows"]
        print(f"2 TAP ports, {flows['flows']} flows: {flows['flows_mib']:.1f} MiB, at most {flows['most_mib']:.1f} MiB; without flows {flows['empty_mib']:.1f} MiB")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
