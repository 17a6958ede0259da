"""The programs of the comparison: the tools that each needs, how it is built, and how it is called."""

import os
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
DEBIAN_CRATES = "/usr/share/cargo/registry"


def go():
    """The Go toolchain: `$GO`, else what PATH has."""
    return os.environ.get("GO", "go")


def swift_missing():
    return None if shutil.which("swift") else "no swift on PATH"


def go_missing():
    return None if shutil.which(go()) else f"no {go()} on PATH, and GO does not name one"


def cpp_missing():
    return None if shutil.which("g++") else "no g++ on PATH"


def fiber_missing():
    if missing := cpp_missing():
        return missing
    probe = subprocess.run(["g++", "-E", "-x", "c++", "-"], input="#include <boost/fiber/all.hpp>\n", text=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return None if probe.returncode == 0 else "no headers of Boost.Fiber (libboost-fiber-dev)"


def rust_missing():
    return None if shutil.which("cargo") else "no cargo on PATH"


def has_debian_crates():
    """Whether Debian's packages of tokio and hyper are there: then nothing is downloaded."""
    crates = os.listdir(DEBIAN_CRATES) if os.path.isdir(DEBIAN_CRATES) else []
    return all(any(re.match(f"{name}-[0-9]", crate) for crate in crates) for name in ("tokio", "hyper"))


def build_go(out):
    run([go(), "build", "-o", f"{out}/gopeer", "."], f"{HERE}/go")
    run([go(), "build", "-o", f"{out}/gohello", "./hello"], f"{HERE}/go")


def build_pthreads(out):
    run(["g++", "-O2", "-std=c++17", f"{HERE}/cpp/peer.cc", "-o", f"{out}/pthpeer", "-lpthread"])


def build_fiber(out):
    run(["g++", "-O2", "-std=c++17", "-DFIBER", f"{HERE}/cpp/peer.cc", "-o", f"{out}/fiberpeer",
         "-lboost_fiber", "-lboost_context", "-lboost_system", "-lpthread"])


def build_rust(out):
    # The lock file lands beside Cargo.toml, and says which of the sources it is for: so a copy is built.
    source = f"{out}/rust-source"
    shutil.copytree(f"{HERE}/rust", source, dirs_exist_ok=True)
    command = ["cargo", "build", "--release", "--target-dir", f"{out}/rust"]
    if has_debian_crates():
        command += ["--offline", "--config", 'source.crates-io.replace-with="debian"',
                    "--config", f'source.debian.directory="{DEBIAN_CRATES}"']
    run(command, source)


def build_swift(out):
    run(["swift", "build", "-c", "release", "--scratch-path", f"{out}/swift"], f"{HERE}/swift")


# A group is what is built together: why it cannot be built here, how it is built, and the peers that it gives.
GROUPS = {
    "go": (go_missing, build_go, ["go"]),
    "pthreads": (cpp_missing, build_pthreads, ["pthreads"]),
    "fiber": (fiber_missing, build_fiber, ["fiber"]),
    "rust": (rust_missing, build_rust, ["tokio"]),
    "swift": (swift_missing, build_swift,
              ["swiftconc", "swifthand", "dispatch", "nio", "nio-async", "hummingbird", "swift-stdlib"]),
}
ALIASES = {"cpp": ["pthreads", "fiber"]}


def groups(names):
    """The groups that are called so, each by its own name, an alias, or one of its peers."""
    chosen = []
    for name in names:
        found = ALIASES.get(name) or [g for g, (_, _, peers) in GROUPS.items() if name == g or name in peers]
        if not found:
            raise SystemExit(f"no peer is called {name}: there are {', '.join(GROUPS)}, and cpp for both of C++")
        chosen += [group for group in found if group not in chosen]
    return chosen


def run(command, directory=None):
    print("+", " ".join(command), flush=True)
    subprocess.run(command, cwd=directory, check=True)


def build(names, out):
    """Builds the groups, and returns why each of those that could not be built was left out."""
    os.makedirs(out, exist_ok=True)
    left_out = {}
    for name in names:
        missing, make, _ = GROUPS[name]
        reason = missing()
        if not reason:
            try:
                make(out)
            except subprocess.CalledProcessError as error:
                reason = f"{os.path.basename(error.cmd[0])} failed with status {error.returncode}"
        if reason:
            left_out[name] = reason
    return left_out


class Programs:
    """Where the programs of one directory of builds are, by peer."""

    def __init__(self, out):
        swift = f"{out}/swift/release"
        self.commands = {
            "go": [f"{out}/gopeer"],
            "swiftconc": [f"{swift}/swiftconc"],
            "swifthand": [f"{swift}/swiftconc"],
            "tokio": [f"{out}/rust/release/tokiopeer"],
            "fiber": [f"{out}/fiberpeer"],
            "dispatch": [f"{swift}/swdispatch"],
            "pthreads": [f"{out}/pthpeer"],
            "nio": [f"{swift}/swiftnio"],
            "hummingbird": [f"{swift}/hbserver"],
        }
        self.arguments = {"swifthand": ["-impl", "hand"]}
        self.hello = {
            "go": [f"{out}/gohello"],
            "swiftconc": [f"{swift}/swiftconc", "hello"],
            "swift-stdlib": [f"{swift}/swhello"],
            "tokio": [f"{out}/rust/release/rshello"],
            "pthreads": [f"{out}/pthpeer", "hello"],
        }

    def add(self, name, command):
        """One more program, which understands what all of them do."""
        self.commands[name] = command
        self.hello[name] = command + ["hello"]

    def command(self, peer, workload):
        """How `peer` is called for `workload`, without arguments; None where it has not been built."""
        if workload == "startup":
            command = self.hello.get(peer)
        else:
            command = self.commands.get(peer) or self.commands.get(peer.split("-")[0])
        return command if command and shutil.which(command[0]) else None
