"""What a table has to say about the machine and the programs, to be read again later."""

import json
import os
import re
import subprocess
import time

from peers import HERE, go

ROOT = os.path.dirname(os.path.dirname(HERE))


def first_line(*command, directory=None):
    try:
        text = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    line = next((line.strip() for line in text.stdout.split("\n") if line.strip()), None)
    return line if text.returncode == 0 else None


def field(path, name):
    with open(path) as lines:
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "unknown")


def swift_packages(out):
    """The versions of the Swift packages that were built, from the resolved state of their build."""
    try:
        with open(f"{out}/swift/workspace-state.json") as file:
            found = json.load(file)["object"]["dependencies"]
    except (OSError, KeyError, ValueError):
        return None
    wanted = ("swift-nio", "swift-async-algorithms", "hummingbird")
    versions = {d["packageRef"]["identity"]: (d["state"].get("checkoutState") or {}).get("version") for d in found}
    return ", ".join(f"{name} {versions[name]}" for name in wanted if versions.get(name)) or None


def crates(out):
    try:
        with open(f"{out}/rust-source/Cargo.lock") as file:
            text = file.read()
    except OSError:
        return None
    found = re.findall(r'name = "(tokio|hyper)"\nversion = "([^"]+)"', text)
    return ", ".join(" ".join(crate) for crate in found) or None


def boost():
    try:
        with open("/usr/include/boost/version.hpp") as file:
            found = re.search(r'BOOST_LIB_VERSION "([0-9_]+)"', file.read())
    except OSError:
        return None
    return f"Boost {found[1].replace('_', '.')}" if found else None


def apus():
    commit = first_line("git", "rev-parse", "--short", "HEAD", directory=ROOT)
    changed = first_line("git", "status", "--porcelain", directory=ROOT)
    return f"Apus {commit}{' with changes' if changed else ''}" if commit else None


def notes(out, peers, load):
    """One line each about the machine and the versions of what was measured."""
    memory = int(field("/proc/meminfo", "MemTotal").split()[0]) / 1024 / 1024
    yield (f"{time.strftime('%Y-%m-%d')}, {field('/proc/cpuinfo', 'model name')}, "
           f"{len(os.sched_getaffinity(0))} CPUs, {memory:.0f} GB, Linux {os.uname().release}")
    yield f"load of the machine at the start: {load:.1f}" + (" (not idle: the figures are noisy)" if load > 0.5 else "")
    versions = [apus(), first_line("swift", "--version")]
    if "go" in peers:
        versions.append(first_line(go(), "version"))
    if {"nio", "swiftconc", "hummingbird"} & peers:
        versions.append(swift_packages(out))
    if {"pthreads", "fiber"} & peers:
        versions.append(first_line("g++", "--version"))
    if "fiber" in peers:
        versions.append(boost())
    if "tokio" in peers:
        versions += [first_line("rustc", "--version"), crates(out)]
    yield "; ".join(version for version in versions if version)
