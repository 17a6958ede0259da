#!/usr/bin/env python3
"""Builds the peers, measures them beside one another, prints medians.

  run.py build [-B DIR] [-p go,cpp,rust,swift]
  run.py run [-B DIR] [-w WORKLOAD,…] [-p PEER,…] [-procs 1,2] [-reps 3] [-o FILE] [-add NAME=COMMAND] [-quick]
  run.py table FILE [-md]

`Benchmarks/compare` does all three with apus-bench beside the peers. -add puts one more program into the run:
`COMMAND WORKLOAD -procs N -n SIZE` prints `name procs size ns_per_op ops_per_s peak_rss_kb [key=value ...]`, as every
peer here, and ends with status 3 where it has no such workload. For tcp_echo it also needs `echo_server -port P`, for
http `http_server -port P`, for startup `hello`.

Every run at procs N is pinned to N CPUs: Swift Concurrency and libdispatch have no other knob. For tcp_echo and http at
procs 1 the server has the first CPU and the client the second. Rounds go over all peers in turn. A run that takes
longer than 5 s is not repeated, one that takes 60 s is ended.
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import machine
import measure
import peers
import results
from workloads import WORKLOADS

DEFAULT_DIRECTORY = os.path.join(peers.HERE, ".build-peers")


def names(text):
    return [name for name in text.split(",") if name]


def numbers(text):
    return [int(number) for number in names(text)]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", allow_abbrev=False)
    build.add_argument("-B", dest="directory", default=DEFAULT_DIRECTORY)
    build.add_argument("-p", dest="peers", type=names, default=list(peers.GROUPS))
    add_run_options(commands.add_parser("run", allow_abbrev=False))
    table = commands.add_parser("table", allow_abbrev=False)
    table.add_argument("file")
    table.add_argument("-md", dest="markdown", action="store_true")
    return parser.parse_args()


def add_run_options(parser, reps=3):
    parser.add_argument("-B", dest="directory", default=DEFAULT_DIRECTORY, help="where the peers are built")
    parser.add_argument("-w", dest="workloads", type=names, help="only these workloads")
    parser.add_argument("-p", dest="peers", type=names, help="only these peers")
    parser.add_argument("-procs", type=numbers, default=[1, 2], help="processors, as 1,2")
    parser.add_argument("-reps", type=int, default=reps, help="how often each is measured")
    parser.add_argument("-o", dest="file", default="results.tsv", help="the file of results")
    parser.add_argument("-add", dest="added", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("-quick", action="store_true", help="sizes that show only that it works")


def run(options):
    """Measures, and writes the file of results. Peers that have not been built are left out, and named."""
    programs = peers.Programs(os.path.abspath(options.directory))
    added = []
    for text in options.added:
        name, command = text.split("=", 1)
        programs.add(name, command.split())
        added.append(name)
    workloads = options.workloads or [w for w, what in WORKLOADS.items() if what.quick or not options.quick]
    for workload in workloads:
        if workload not in WORKLOADS or (options.quick and not WORKLOADS[workload].quick):
            sys.exit(f"no workload is called {workload}: there are {', '.join(WORKLOADS)}")
    chosen = {}
    for workload in workloads:
        wanted = [p for p in WORKLOADS[workload].peers if options.peers is None or p in options.peers] + added
        chosen[workload] = [peer for peer in wanted if programs.command(peer, workload)]
        if absent := [peer for peer in wanted if peer not in chosen[workload]]:
            print(f"{workload}: not built, left out: {', '.join(absent)}", flush=True)
    measured = {peer for some in chosen.values() for peer in some}
    with open(options.file, "w") as file:

        def write(line):
            file.write(line + "\n")
            file.flush()

        for note in machine.notes(os.path.abspath(options.directory), measured, os.getloadavg()[0]):
            write("# " + note)
        for workload, some in chosen.items():
            measure.rounds(programs, workload, some, options.procs, options.reps, options.quick, write)
            print(time.strftime("%H:%M:%S"), workload, flush=True)


def main():
    options = arguments()
    if options.command == "build":
        left_out = peers.build(peers.groups(options.peers), os.path.abspath(options.directory))
        for name, reason in left_out.items():
            print(f"left out: {name}: {reason}")
        sys.exit(1 if left_out else 0)
    elif options.command == "run":
        run(options)
    else:
        results.show(options.file, options.markdown)


if __name__ == "__main__":
    main()
