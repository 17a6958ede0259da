"""A file of results, and the table that is made of it.

Lines that begin with # say what was measured where. The others have tabs between workload, peer, round, the load of the
machine, and what the program printed: `name procs size ns_per_op ops_per_s peak_rss_kb [key=value ...]`.
"""

import math
import statistics

from workloads import WORKLOADS

HEADINGS = ["workload", "procs", "peer", "size", "ns/op", "min–max", "to Go", "peak RSS, MB", "runs", ""]


class Result:
    def __init__(self, line):
        fields = line.split()
        self.procs = int(fields[1])
        self.size = fields[2]
        self.time = float(fields[3])
        self.peak = int(fields[5])
        self.more = dict(field.split("=", 1) for field in fields[6:] if "=" in field)


class Results:
    def __init__(self, path):
        self.notes = []
        self.rows = {}      # (workload, procs) -> peer -> [Result]
        with open(path) as lines:
            for line in lines:
                line = line.rstrip("\n")
                if line.startswith("#"):
                    self.notes.append(line[1:].strip())
                    continue
                workload, peer, _, _, printed = line.split("\t")
                result = Result(printed)
                self.rows.setdefault((workload, result.procs), {}).setdefault(peer, []).append(result)

    def failures(self, peer):
        """The workloads of `peer` that gave no time, by name and processors."""
        return [f"{workload} at {procs}: " + next(r.more.get("failed", "?") for r in peers[peer] if math.isinf(r.time))
                for (workload, procs), peers in self.rows.items()
                if any(math.isinf(r.time) for r in peers.get(peer, []))]

    def table(self):
        """The rows of the table, as texts."""
        for (workload, procs), peers in self.rows.items():
            base = median(peers["go"]) if "go" in peers else None
            for peer, results in peers.items():
                times = [result.time for result in results]
                time = median(results)
                yield [workload, str(procs), peer, results[0].size, figure(time),
                       f"{figure(min(times))}–{figure(max(times))}", ratio(time, base),
                       f"{statistics.median(result.peak for result in results) / 1024:.0f}", str(len(results)),
                       " ".join(more(workload, results))]

    def standing(self, ours):
        """In how many rows `ours` is the fastest, of how many that it shares with others; and the rest by name."""
        shared = [(row, peers) for row, peers in self.rows.items() if ours in peers and len(peers) > 1]
        behind = []
        for (workload, procs), peers in shared:
            best = min(peers, key=lambda peer: median(peers[peer]))
            if best != ours:
                times = median(peers[ours]) / median(peers[best])
                behind.append(f"{workload} at {procs} ({best}, {times:.2f} times as long)")
        return len(shared) - len(behind), len(shared), behind


def median(results):
    return statistics.median(result.time for result in results)


def ratio(time, base):
    return f"{time / base:.2f}" if base and math.isfinite(time) and math.isfinite(base) else "–"


def figure(time):
    if math.isinf(time):
        return "failed"
    return f"{time:.0f}" if time >= 100 else f"{time:.1f}"


def more(workload, results):
    """The medians of the other figures that are worth a look."""
    for key in WORKLOADS[workload].shows if workload in WORKLOADS else ():
        try:
            yield f"{key}={statistics.median(float(result.more[key]) for result in results):.0f}"
        except (KeyError, ValueError):
            pass


def show(path, markdown):
    results = Results(path)
    if markdown:
        for note in results.notes:
            print(f"- {note}")
        if results.notes:
            print()
        print("| " + " | ".join(HEADINGS) + " |")
        print("|" + "|".join([" --- "] * len(HEADINGS)) + "|")
    for row in results.table():
        print("| " + " | ".join(row) + " |" if markdown else "\t".join(row))
    return results
