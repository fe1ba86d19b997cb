"""What a link costs: calls between two buses through omnibus-link, as ratios to calls on one bus.

python -m omnibus.bench.link [--seconds S] [--runs N] [--bus NAME ...] [--kind KIND ...]     as root

Each case is run on a bus without a link and through a link by turns; the medians of the runs are compared.
A link is one process between two buses ("pair"), or one for each bus with Zenoh between them on loopback
("zenoh"), with TLS in "zenoh-tls". CPU time is that of all processes of the link; memory is their PSS.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .daemons import BROKER, CHECKOUT, COMMANDS, OURS, Daemon, installed
from .settings import WIDE

BUSBENCH = CHECKOUT / "bench/build/busbench"
LINK = CHECKOUT / ".venv/bin/omnibus-link"
CASES = {
    "one after another": ("rtt", "--size=64"),
    "64 under way": ("pipeline", "--size=64"),
    "64 KiB there and back": ("rtt", "--size=65536"),
    "1 MiB one way": ("bandwidth", "--size=1000000"),
}
START_DEADLINE = 20.0  # seconds
USERS = {"a": "daemon", "b": "bin"}
NAMES = {
    "a": 'export = { "org.busbench.Echo" = { to = ["b"] } }',
    "b": 'import = { "org.busbench.Echo" = { from = "a" } }',
}
KINDS = ("pair", "zenoh", "zenoh-tls")
PORT = 27447


def files(kind: str, addresses: dict[str, str], directory: Path) -> list[str]:
    """Return the file of each process of a link, by which a exports to b."""
    tables = {}
    for name, address in addresses.items():
        other = "b" if name == "a" else "a"
        user = f'"{USERS[other]}"' if kind == "pair" else f'{{ {other} = "{USERS[other]}" }}'
        tables[name] = f'[bus.{name}]\naddress = "{address}"\nuser = {user}\n{NAMES[name]}\n'
    if kind == "pair":
        return ["".join(tables.values())]
    protocol = "tcp" if kind == "zenoh" else "tls"
    ends = {"a": "listen", "b": "connect"}
    return [
        f'{table}[zenoh]\n{ends[name]} = ["{protocol}/127.0.0.1:{PORT}"]\n'
        + (certificate(name, directory) if kind == "zenoh-tls" else "")
        for name, table in tables.items()
    ]


def certificate(name: str, directory: Path) -> str:
    """Issue a certificate for a host on loopback; return the lines that name it."""
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    ca, ca_key, own, key = (directory / one for one in ("ca.pem", "ca.key", f"{name}.pem", f"{name}.key"))
    if not ca.exists():
        openssl("req", "-x509", *ec, "-subj", "/CN=ca", "-keyout", str(ca_key), "-out", str(ca))
    sign: tuple[str, ...] = ("-CA", str(ca), "-CAkey", str(ca_key), "-addext", "subjectAltName=IP:127.0.0.1")
    sign += ("-addext", "basicConstraints=critical,CA:FALSE")
    openssl("req", "-x509", *ec, "-subj", f"/CN={name}", *sign, "-keyout", str(key), "-out", str(own))
    return f'ca = "{ca}"\ncertificate = "{own}"\nkey = "{key}"\n'


def openssl(*arguments: str) -> None:
    """Run openssl(1)."""
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@contextmanager
def linked(bus: str, kind: str, directory: Path) -> Iterator[tuple[Daemon, Daemon, Daemon, list[int]]]:
    """Start three buses and a link of two; yield the one alone, the others, and the processes of the link."""
    with ExitStack() as stack:
        buses = {}
        for name in ("alone", "a", "b"):
            buses[name] = Daemon(bus, COMMANDS[bus], WIDE, directory / name)
            stack.callback(buses[name].stop)
        pids, logs = [], []
        for number, text in enumerate(
            files(kind, {name: buses[name].address for name in ("a", "b")}, directory)
        ):
            file, log = directory / f"{number}.toml", directory / f"{number}.log"
            file.write_text(text)
            with log.open("wb") as stream:
                link = subprocess.Popen([LINK, file], stderr=stream)
            stack.callback(link.wait)
            stack.callback(link.terminate)
            pids.append(link.pid)
            logs.append(log)
        end = time.monotonic() + START_DEADLINE
        while not all("linked" in log.read_text() for log in logs):
            if time.monotonic() > end:
                raise RuntimeError(f"the link does not start: {[log.read_text() for log in logs]}")
            time.sleep(0.02)
        yield buses["alone"], buses["a"], buses["b"], pids


def run(case: tuple[str, ...], address: str, pids: list[int], seconds: float, *more: str) -> dict[str, Any]:
    """Run a case of busbench; return its numbers."""
    options = [f"--address={address}", f"--seconds={seconds}", "--json", f"--pid={','.join(map(str, pids))}"]
    done = subprocess.run([BUSBENCH, *options, *case[1:], *more, case[0]], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return dict(json.loads(done.stdout))


def wait_for_absence(address: str) -> None:
    """Wait until the service of an earlier run is gone on the other bus, too."""
    question = ("dbus-send", f"--bus={address}", "--print-reply", "--dest=org.freedesktop.DBus", "/")
    asked = [*question, "org.freedesktop.DBus.NameHasOwner", "string:org.busbench.Echo"]
    end = time.monotonic() + START_DEADLINE
    while "true" in subprocess.run(asked, capture_output=True, text=True, check=True).stdout:
        if time.monotonic() > end:
            raise RuntimeError("the service of the run before does not go")
        time.sleep(0.01)


def pss(pids: list[int]) -> int:
    """Return the PSS of processes, in KiB."""
    found = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        found += int(next(line.split()[1] for line in lines if line.startswith("Pss:")))
    return found


def measure(bus: str, kind: str, seconds: float, runs: int) -> None:
    """Print the table of a bus and a kind of link."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        with linked(bus, kind, Path(place)) as (alone, a, b, pids):
            before = pss(pids)
            for name, case in CASES.items():
                local, remote, cpu = [], [], []
                for _ in range(runs):
                    one = run(case, alone.address, [alone.pid], seconds, "--wellknown")
                    local.append(one["n"] / one["seconds"])
                    wait_for_absence(b.address)
                    two = run(case, b.address, pids, seconds, f"--service-address={a.address}")
                    remote.append(two["n"] / two["seconds"])
                    cpu.append(2 * two["daemon_cpu_us_per_msg"])
                ratio = statistics.median(local) / statistics.median(remote)
                print(
                    f"{bus:12} {kind:10} {name:22} ratio {ratio:5.2f}"
                    f"   local {statistics.median(local):8.0f}/s   linked {statistics.median(remote):8.0f}/s"
                    f"   link {statistics.median(cpu):6.1f} us a call",
                    flush=True,
                )
            after = pss(pids)
            print(
                f"{bus:12} {kind:10} memory of the link: {before} KiB at first, {after} KiB after", flush=True
            )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bus", action="append", choices=(OURS, "dbus-daemon", BROKER))
    parser.add_argument("--kind", action="append", choices=KINDS)
    options = parser.parse_args()
    for bus in options.bus or installed():
        for kind in options.kind or KINDS:
            measure(bus, kind, options.seconds, options.runs)


if __name__ == "__main__":
    main()
