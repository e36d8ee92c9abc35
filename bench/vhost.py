#!/usr/bin/env python3
"""How fast frames pass between two vhost-user ports: Netloom's port beside DPDK's vhost library, alternating.

    python3 bench/vhost.py                    # 64 octets, split rings
    python3 bench/vhost.py --packed --size 1514
    python3 bench/vhost.py --mode loop        # frames circle; the generator touches none of them

One processor runs the generator and sink (testpmd over virtio-user, `flowgen`, or `io` for the loop), the other the
program that is measured: testpmd's `io` mode over eth_vhost, or the example vhost_forward. Needs root, Debian's dpdk,
two processors, and

    cargo build --release -p netloom-port --example vhost_forward
    echo 1536 > /proc/sys/vm/nr_hugepages; mkdir -p /dev/hugepages; mount -t hugetlbfs nodev /dev/hugepages

All of it runs at a real-time priority, so other programs of the machine do not disturb it much (nor run much).
Rates are what the sink receives; "cycles" is what the measured program spends on a frame while it has any, which tells
how much it could do when the generator is the limit.
"""
import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FORWARD = os.environ.get("VHOST_FORWARD", os.path.join(ROOT, "target/release/examples/vhost_forward"))
REAL_TIME = ["chrt", "-r", "10"]
# What the current measurement has started.
STARTED = []


class Silent(Exception):
    """A program did not do in time what it should."""


class Testpmd:
    """testpmd on one processor, told what to do over its standard input."""

    def __init__(self, name, core, devices, options, args):
        command = REAL_TIME + ["stdbuf", "-oL", "dpdk-testpmd", "--lcores", f"0@{core},1@{core}"]
        command += ["--file-prefix", f"netloom-{name}", "--no-pci", "--no-telemetry", "-m", "768"]
        command += ["--huge-dir", args.huge, "--single-file-segments"]
        for device in devices:
            command += ["--vdev", device]
        ring = min(args.queue, 1024)
        command += ["--", "-i", "--nb-cores=1", "--disable-link-check", "--total-num-mbufs=16384", "--burst=32"]
        command += [f"--rxd={ring}", f"--txd={ring}", *options]
        self.text = ""
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        STARTED.append(self.process)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.until("Interactive-mode", 30)
        time.sleep(1)

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def until(self, word, seconds):
        """What it printed up to a word."""
        end = time.monotonic() + seconds
        while word not in self.text:
            got = self.process.stdout.read()
            if got:
                self.text += got.decode(errors="replace")
            elif self.process.poll() is not None or time.monotonic() > end:
                raise Silent(f"testpmd did not say {word!r}:\n{self.text[-3000:]}")
            else:
                time.sleep(0.005)
        before, self.text = self.text.split(word, 1)
        return before

    def received(self):
        """When, and how many frames its ports have received."""
        self.text = ""
        now = time.monotonic()
        self.tell("show port stats all")
        said = self.until("Tx-bps", 20) + self.until("Tx-bps", 20)
        return now, sum(int(count) for count in re.findall(r"RX-packets: (\d+)", said))

    def quit(self):
        try:
            self.tell("stop\nquit")
            self.process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


def generator(sockets, args):
    extra = f",queues=1,queue_size={args.queue},packed_vq={int(args.packed)},mrg_rxbuf={int(not args.plain)}"
    devices = [f"net_virtio_user{index},path={path},server=1{extra}" for index, path in enumerate(sockets)]
    mode = "flowgen" if args.mode == "flowgen" else "io"
    return Testpmd("gen", 0, devices, [f"--forward-mode={mode}", f"--txpkts={args.size}"], args)


def measure(which, args):
    """Millions of frames a second, and cycles for each."""
    with tempfile.TemporaryDirectory() as folder:
        sockets = [f"{folder}/vh{index}.sock" for index in range(2)]
        if which == "netloom":
            command = REAL_TIME + ["taskset", "-c", "1", FORWARD, *sockets]
            measured = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            STARTED.append(measured)
            source = generator(sockets, args)
        else:
            # The generator waits for its clients before it says anything.
            made = []
            thread = threading.Thread(target=lambda: made.append(generator(sockets, args)))
            thread.start()
            time.sleep(0.5)
            devices = [f"eth_vhost{index},iface={path},client=1" for index, path in enumerate(sockets)]
            measured = Testpmd("io", 1, devices, ["--forward-mode=io"], args)
            measured.tell("set record-core-cycles on\nstart")
            thread.join()
            if not made:
                raise Silent("the generator did not come up")
            source = made[0]
        source.tell("start" if args.mode == "flowgen" else "start tx_first 16")
        source.until("nb forwarding cores", 20)
        time.sleep(0.7)
        began, before = source.received()
        time.sleep(args.seconds)
        ended, after = source.received()
        source.quit()
        if which == "netloom":
            measured.send_signal(signal.SIGINT)
            cycles = re.search(r"\((\d+) cycles\)", measured.communicate(timeout=10)[0])
        else:
            measured.text = ""
            measured.tell("stop")
            measured.until("cycles/packet=", 10)
            cycles = re.search(r"([\d.]+)", measured.until("(", 5))
            measured.quit()
        return (after - before) / (ended - began) / 1e6, float(cycles[1])


def repeated(which, args):
    """The same; a run that comes to nothing is made again, at most twice."""
    for attempt in range(3):
        try:
            return measure(which, args)
        except Silent as silence:
            print(f"{which}: {silence}", file=sys.stderr)
        finally:
            for process in STARTED:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            STARTED.clear()
    sys.exit(f"{which} can't be measured")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--mode", choices=["flowgen", "loop"], default="flowgen")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--queue", type=int, default=1024)
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--plain", action="store_true", help="without mergeable buffers")
    parser.add_argument("--huge", default="/dev/hugepages", help="where hugetlbfs is mounted")
    parser.add_argument("--json")
    args = parser.parse_args()
    rows = []
    for _ in range(args.pairs):
        row = {which: repeated(which, args) for which in ("testpmd", "netloom")}
        rows.append(row)
        print("  ".join(f"{which} {rate:.2f} Mpps {cycles:.0f} cycles" for which, (rate, cycles) in row.items()), flush=True)
    for which in ("testpmd", "netloom"):
        rates, cycles = zip(*(row[which] for row in rows))
        print(f"{which}: Mpps {min(rates):.2f} / {statistics.median(rates):.2f} / {max(rates):.2f}, "
              f"cycles {min(cycles):.0f} / {statistics.median(cycles):.0f} / {max(cycles):.0f}")
    rates = [row["netloom"][0] / row["testpmd"][0] for row in rows]
    cycles = [row["testpmd"][1] / row["netloom"][1] for row in rows]
    print(f"ratio of rates {min(rates):.2f} / {statistics.median(rates):.2f} / {max(rates):.2f}, "
          f"of cycles {min(cycles):.2f} / {statistics.median(cycles):.2f} / {max(cycles):.2f}")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file)


if __name__ == "__main__":
    main()
