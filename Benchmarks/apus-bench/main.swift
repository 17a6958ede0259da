import Apus
import Glibc

// `hello` measures start-up, so it is told apart before anything else is made: no array of arguments, no table.
if CommandLine.argc > 1, let name = CommandLine.unsafeArgv[1], strcmp(name, "hello") == 0 {
  print("Hello, world.")
  exit(0)
}

/// Every workload by the name that the command line gives it.
let workloads: [(name: String, body: (Options) -> Void)] = [
  ("yield", yielding),
  ("spawn_join", spawnJoin),
  ("pingpong", pingPong),
  ("chan_buffered", { buffered("chan_buffered", producers: 1, consumers: 1, $0) }),
  ("chan_mpmc", { buffered("chan_mpmc", producers: 4, consumers: 4, $0) }),
  ("ring", ring),
  ("skynet", skynet),
  ("timers", timers),
  ("parked", parked),
  ("parked_long", parkedLong),
  ("sieve", sieve),
  ("select2", { selecting(2, $0) }),
  ("select8", { selecting(8, $0) }),
  ("mutex", mutex),
  ("rwmutex", rwMutex),
  ("binary_trees", binaryTrees),
  ("graph", graph),
  ("heap_pauses", heapPauses),
  ("hog", hog),
  ("io_hog", inputBesideHogs),
  ("blocking", blockingCalls),
  ("echo_server", echoServer),
  ("tcp_echo", tcpEcho),
  ("http_handler", httpHandler),
  ("clock", clockReads),
  ("cpus", processorCount),
]

let options = Options(CommandLine.arguments)
guard let workload = workloads.first(where: { $0.name == options.workload }) else {
  exitUnsupported(options.workload)
}
Runtime.maxProcs = options.procs
workload.body(options)
