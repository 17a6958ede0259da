"""What is measured, of whom, and in which size."""

ALL = ["go", "swiftconc", "tokio", "fiber", "dispatch", "pthreads"]
CHANNELS = ["go", "swiftconc", "swifthand", "tokio", "fiber", "pthreads"]


class Workload:
    """One row of the comparison: every program is called as `PROGRAM command -procs N -n SIZE`."""

    def __init__(self, command, size, peers, sizes={}, quick=None, shows=()):
        self.command = command
        self.size = size
        self.peers = peers
        self.sizes = sizes      # sizes of peers for which the full one would take minutes
        self.quick = quick      # the size of a quick run; None leaves the workload out of it
        self.shows = shows      # the keys that the table shows beside the time


TICKS = ("ticks", "late_p50_us", "late_p99_us", "late_max_us", "chunks_per_s")
PARKED = ("bytes_per_task", "spawn_ns")
BLOCKED = ("total_ms", "chunks_per_s", "threads")

WORKLOADS = {
    "yield": Workload("yield", 500000, ["go", "swiftconc", "tokio", "fiber", "pthreads"],
                      {"swiftconc": 200000, "pthreads": 200000}, quick=5000),
    "spawn_join": Workload("spawn_join", 1000000, ALL, {"fiber": 200000, "pthreads": 20000}, quick=2000),
    "pingpong": Workload("pingpong", 300000, CHANNELS + ["dispatch"],
                         {"swiftconc": 30000, "dispatch": 30000, "pthreads": 30000}, quick=2000),
    "chan_buffered": Workload("chan_buffered", 2000000, CHANNELS, {"swiftconc": 100000, "pthreads": 500000},
                              quick=10000),
    "chan_mpmc": Workload("chan_mpmc", 2000000, CHANNELS,
                          {"swiftconc": 200000, "pthreads": 500000, "tokio": 500000}, quick=10000),
    "select2": Workload("select2", 300000, ["go", "swiftconc", "tokio"], {"swiftconc": 50000}, quick=2000),
    "select8": Workload("select8", 300000, ["go", "swiftconc", "tokio"], {"swiftconc": 30000, "tokio": 150000},
                        quick=2000),
    "skynet": Workload("skynet", 1000000, CHANNELS, {"swiftconc": 100000, "fiber": 100000, "pthreads": 10000},
                       quick=1000),
    "skynet_taskgroup": Workload("skynet_taskgroup", 1000000, ["swiftconc"]),
    "ring": Workload("ring", 10000, CHANNELS, {"pthreads": 1000}, quick=100),
    "mutex": Workload("mutex", 1000000, ALL, {"dispatch": 300000}, quick=10000),
    "mutex_actor": Workload("mutex_actor", 1000000, ["swiftconc"]),
    "mutex_async": Workload("mutex_async", 300000, ["tokio"]),
    "rwmutex": Workload("rwmutex", 1000000, ["go", "swiftconc", "tokio", "dispatch", "pthreads"],
                        {"dispatch": 100000}, quick=10000),
    "rwmutex_async": Workload("rwmutex_async", 300000, ["tokio"]),
    "timers": Workload("timers", 100000, ALL, {"pthreads": 10000}, quick=500,
                       shows=("total_ms", "late_p50_us", "late_p99_us")),
    "parked_1e5": Workload("parked", 100000, ["go", "swiftconc", "tokio", "fiber", "pthreads"],
                           {"pthreads": 10000}, quick=500, shows=PARKED),
    "parked_1e6": Workload("parked", 1000000, ["go", "swiftconc", "tokio"], shows=PARKED),
    "parked_long": Workload("parked_long", 100000, ["go"], quick=500, shows=PARKED),
    "sieve": Workload("sieve", 2000, ["go", "swiftconc", "swifthand", "tokio", "fiber"], quick=50),
    "blocking": Workload("blocking", 200, ALL, {"swiftconc": 50, "tokio": 50, "fiber": 50}, quick=5, shows=BLOCKED),
    "blocking_offload": Workload("blocking_offload", 50, ["swiftconc", "tokio"], shows=BLOCKED),
    "hog_1": Workload("hog", 1, ALL, quick=1, shows=TICKS),
    "hog_4": Workload("hog", 4, ALL, shows=TICKS),
    "io_hog": Workload("io_hog", 2, ["go"], shows=("trips", "p50_us", "p99_us", "max_us", "chunks_per_s")),
    "tcp_echo": Workload("tcp_echo", 1000, ["go", "tokio", "nio", "nio-async", "pthreads"], quick=20,
                         shows=("p50_us", "p99_us")),
    "http": Workload("http_server", 64, ["go", "tokio", "nio", "hummingbird"]),
    "binary_trees": Workload("binary_trees", 16, ["go", "swiftconc", "tokio", "fiber", "pthreads"], quick=8),
    "graph": Workload("graph", 30000000, ["go"], quick=100000),
    "startup": Workload("hello", 200, ["go", "swiftconc", "swift-stdlib", "tokio", "pthreads"], quick=5),
}
