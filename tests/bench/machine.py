"""The machine, the programs on it, and what a benchmark wants of both."""

import contextlib
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def choose_cpus():
    """One for the proxies, one for everything else."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        print("one CPU only: load, upstream and proxies share it", file=sys.stderr)
    return cpus[0], cpus[-1]


def raise_descriptor_limit():
    wanted = 65536
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, hard), max(wanted, hard)))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def progress(text):
    """One line that changes, for people who watch."""
    if sys.stderr.isatty():
        print(f"\r{text:<60}\r", end="", file=sys.stderr, flush=True)


def output_of(*command):
    """What a program says, on whatever stream."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


def version(pattern, *command):
    found = re.search(pattern, output_of(*command))
    return found[1] if found else "of unknown version"


def describe_machine():
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", info, re.M)
    system = re.search(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text(), re.M)
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1])
    return {
        "cpu": model[1] if model else os.uname().machine,
        "cpus": len(os.sched_getaffinity(0)),
        "virtual": bool(re.search(r"^flags.*\bhypervisor\b", info, re.M)),
        "memory_bytes": memory * 1024,
        "kernel": os.uname().release.split("-")[0],
        "system": system[1] if system else "Linux",
        "load": os.getloadavg()[0],
    }


def describe_weir(weir):
    commit = output_of("git", "-C", str(TOP), "describe", "--always", "--dirty", "--exclude=*").strip()
    own = version(r"(\d+\.\d+\.\d+\S*)", weir, "version")
    return f"{own} ({commit})"


def describe_traefik(traefik):
    return version(r"Version:\s*(\S+)", traefik, "version")


def describe_versions(weir, traefik):
    versions = {
        "weir": describe_weir(weir),
        "nginx": version(r"nginx/(\S+)", "nginx", "-v"),
        "HAProxy": version(r"version (\d\S*)", "haproxy", "-v"),
        "wrk": version(r"wrk (?:debian/)?(\S+)", "wrk", "-v"),
    }
    if traefik:
        versions["Traefik"] = describe_traefik(traefik)
    return versions


def find_guest(weir, name):
    """A guest that the build made beside the program."""
    found = [parent / "guests" / f"{name}.wasm" for parent in Path(weir).resolve().parents]
    found = [path for path in found if path.exists()]
    if not found:
        raise SystemExit(f"there is no guests/{name}.wasm in a directory above {weir}: build the guests")
    return found[0]
