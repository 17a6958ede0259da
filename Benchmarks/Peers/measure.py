"""One run of one program, and the rounds of all of them."""

import os
import socket
import statistics
import subprocess
import time

from workloads import WORKLOADS

LIMIT = 60         # seconds for one run
TOO_LONG = 5       # seconds after which a run is not repeated
CPUS = sorted(os.sched_getaffinity(0))


def pinned(cpus, command):
    return ["taskset", "-c", ",".join(map(str, cpus))] + command


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    for _ in range(250):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def failed(workload, procs, size, why):
    return f"{workload} {procs} {size} inf 0 0 failed={why}"


def output(name, command, procs, size):
    """The line that the command prints; None where it says (by status 3) that it has no such workload."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return failed(name, procs, size, f"timeout_{LIMIT}s")
    if run.returncode == 3:
        return None
    line = run.stdout.strip()
    return line if run.returncode == 0 and len(line.split()) >= 6 else failed(name, procs, size, run.returncode)


def startup(command, procs, size):
    """The median time of a whole process, from its creation to its end."""
    times = []
    null = os.open(os.devnull, os.O_WRONLY)
    for _ in range(size):
        start = time.perf_counter_ns()
        process = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
        status = os.waitpid(process, 0)[1]
        times.append(time.perf_counter_ns() - start)
        if status != 0:
            return failed("startup", procs, size, os.waitstatus_to_exitcode(status))
    os.close(null)
    median = statistics.median(times)
    return f"startup {procs} {size} {median:.0f} {1e9 / median:.0f} 0 p99_us={sorted(times)[int(size * .99)] // 1000}"


def wrk(port, connections, procs, server):
    """Requests to a server of HTTP by the tool of that name: two seconds, one thread."""
    text = subprocess.run(pinned(CPUS[1:2] or CPUS, ["wrk", "-t1", f"-c{connections}", "-d2s", "--latency",
                                                     f"http://127.0.0.1:{port}/"]),
                          capture_output=True, text=True, timeout=LIMIT).stdout
    lines = text.split("\n")
    rate = float(next(line for line in lines if "Requests/sec" in line).split()[1])
    late = next(line for line in lines if "99%" in line).split()[1]
    bad = any("Non-2xx" in line or "Socket err" in line for line in lines)
    with open(f"/proc/{server}/status") as status:
        peak = next(line for line in status if line.startswith("VmHWM")).split()[1]
    return f"http {procs} {connections} {1e9 / rate:.0f} {rate:.0f} {peak} p99={late}" + (" errors=yes" if bad else "")


def network(workload, peer, command, procs, size, server_command=None, server_name=None):
    """A server and its clients in two processes. At procs 1 each has a CPU of its own, where there are two."""
    port = free_port()
    name = server_name or "http_server" if workload == "http" else "echo_server_async" if peer == "nio-async" else "echo_server"
    cpus = CPUS[:procs]
    arguments = [name, "-procs", str(procs), "-port", str(port)]
    server = subprocess.Popen(pinned(cpus, (server_command or command) + arguments),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if not answers(port):
            return None if server.poll() == 3 else failed(workload, procs, size, "no_answer")
        if workload == "http":
            return wrk(port, size, procs, server.pid)
        client = pinned((CPUS[1:2] or CPUS) if procs == 1 else cpus, command)
        return output(workload, client + ["tcp_echo", "-procs", str(procs), "-port", str(port), "-n", str(size)],
                      procs, size)
    finally:
        server.kill()
        server.wait()


def one(programs, workload, peer, procs, quick):
    """One run: the line of its result, or None where the peer has no such workload."""
    what = WORKLOADS[workload]
    command = programs.command(peer, workload)
    size = what.quick if quick else what.sizes.get(peer, what.size)
    if workload == "startup":
        return startup(command, procs, size)
    if workload in ("tcp_echo", "http"):
        return network(workload, peer, command, procs, size)
    command = command + [what.command, "-procs", str(procs), "-n", str(size)] + programs.arguments.get(peer, [])
    if what.command in ("hog", "io_hog"):
        command += ["-secs", "1"]
    return output(what.command, pinned(CPUS[:procs], command), procs, size)


def rounds(programs, workload, peers, procs, reps, quick, write):
    """Measures the workload `reps` times, each time of all peers in turn, so that a disturbance meets all alike. Each
    result goes to `write` with the peer, the round and the load of the machine."""
    done = set()
    for rep in range(reps):
        for n in procs:
            if workload in ("http", "startup") and n > 1:
                continue
            for peer in peers:
                if (peer, n) in done:
                    continue
                start = time.monotonic()
                line = one(programs, workload, peer, n, quick)
                took = time.monotonic() - start
                if line is None or (took > TOO_LONG and workload != "startup"):
                    done.add((peer, n))
                if line is not None:
                    write(f"{workload}\t{peer}\t{rep}\t{os.getloadavg()[0]:.1f}\t{line}")
