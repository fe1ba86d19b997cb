"""Compare the mediation of omnibusd and dbus-daemon in guests that have AppArmor, and SELinux, in force.

    make mediation-test                               both, 10,000 messages under 100 policies each
    make mediation-test MODULES=selinux MESSAGES=1000 POLICIES=10 SEED=7

AppArmor: sid's kernel, and profiles compiled by sid's parser (sid.py). SELinux: a stock kernel of Debian 12,
enforcing a policy that has nothing but D-Bus. The host's files are the guest's, dbus-daemon and the libraries
included. SELinux's guest has the group, so that messages go directly there (group.py). Root only, as the
parser runs in a root directory of its own. Results are left in build/mediation.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from . import apparmor, selinux, sid

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = CHECKOUT / "build/mediation"
PACKAGES = ("dbus-daemon", "dbus-tests", "libapparmor1", "libselinux1", "libaudit1", "checkpolicy")
PARAMETERS = {
    "apparmor": "apparmor=1 security=apparmor audit=1",
    "selinux": "selinux=1 security=selinux enforcing=0 audit=1",
}


def run(module: str, arguments: argparse.Namespace) -> bool:
    """Compile the policies, boot, and return whether the daemons agree; output is shown."""
    results = RESULTS / module
    policies = results / "policies"
    shutil.rmtree(results, ignore_errors=True)
    policies.mkdir(parents=True)
    write = apparmor.write_policies if module == "apparmor" else selinux.write_policies
    write(arguments.seed, arguments.policies, policies)
    series = sid.kernel() if module == "apparmor" else "6.1"
    tools = CHECKOUT / "kernel/tools"
    kernel = subprocess.run(
        [tools / "fetch-kernel.sh", series],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=sid.environment() if module == "apparmor" else None,
    ).stdout.strip()
    words = [CHECKOUT / "tests/mediation/inside.sh", CHECKOUT, module, policies]
    words += [arguments.policies, arguments.messages, arguments.seed]
    command = shlex.join(map(str, words))
    directories = ["-d", CHECKOUT]
    if module == "selinux":
        built = subprocess.run(
            [tools / "build-module.sh", kernel], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        command = f"insmod {shlex.quote(built)}/unix_multicast.ko && CHANGES={arguments.changes} {command}"
        directories += ["-d", built]
    boot = [tools / "boot.sh", "-c", "2", "-m", "1024", "-t", str(60 * arguments.minutes), *directories]
    subprocess.run(
        ["nice", "-n", "10", *boot, kernel, results, command],
        check=False,
        env={**os.environ, "APPEND": PARAMETERS[module]},
    )
    output = results / "output"
    print(output.read_text() if output.exists() else f"{module}: no output", flush=True)
    status = results / "status"
    return status.exists() and status.read_text().strip() == "0"


def main() -> int:
    """Return an exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policies", type=int, default=100)
    parser.add_argument("--messages", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--changes", type=int, default=350, help="of each kind, while messages go directly")
    parser.add_argument("--minutes", type=int, default=120, help="after which a guest is switched off")
    parser.add_argument("modules", nargs="*", default=list(PARAMETERS), help="apparmor, selinux")
    arguments = parser.parse_args()
    subprocess.run([CHECKOUT / ".ci/packages", *PACKAGES], check=True)
    agreed = [run(module, arguments) for module in arguments.modules or PARAMETERS]
    return int(not all(agreed))


if __name__ == "__main__":
    sys.exit(main())
