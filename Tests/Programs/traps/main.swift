// Programs that trap: `apus-traps KIND PLACE COUNT`. The trap of that kind happens in `main`, in a goroutine, on a thread
// that is none of the runtime's, or on a scheduler's stack, while so many other goroutines wait.
import Apus
import ApusRuntime
import Glibc
import TrapSource

let arguments = CommandLine.arguments
let kind = arguments.dropFirst().first ?? ""
let place = arguments.dropFirst(2).first ?? "main"
let count = arguments.dropFirst(3).first.flatMap { Int($0) } ?? 0

let never = Channel<Int>()

func parkOthers(_ count: Int) {
  let started = WaitGroup()
  started.add(count)
  for _ in 0..<count {
    go {
      started.done()
      _ = never.receive()
    }
  }
  started.wait()
}

/// Starts a thread that the runtime does not know, and waits for it.
func onForeignThread(_ body: @escaping @Sendable () -> Void) {
  final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  pthread_create(
    &thread, nil,
    { argument in
      Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, Unmanaged.passRetained(Box(body)).toOpaque())
  pthread_join(thread, nil)
}

/// Has the trap happen where the runtime calls what a timer is to do: on a scheduler's stack.
func onSchedulersStack() {
  let record = TimerRecordRef.allocate(capacity: 1)
  record.initialize(to: TimerRecord(UnsafeMutableRawPointer(record)) { _ in trap(of: kind) })
  Timers.arm(record, at: 1, on: currentM())
  Timers.announce(currentM())
  _ = never.receive()
}

parkOthers(count)
switch place {
case "main": trap(of: kind)
case "goroutine":
  go { trap(of: kind) }
  _ = never.receive()
case "thread":
  onForeignThread { trap(of: kind) }
case "known-thread":
  onForeignThread {
    go {}
    trap(of: kind)
  }
case "scheduler":
  onSchedulersStack()
case "many":
  // All at the same time, on as many threads as there are processors.
  for _ in 0..<100 { go { trap(of: kind) } }
  _ = never.receive()
case "section":
  // In the runtime, where no goroutine's code runs.
  let m = acquireM()
  trap(of: kind)
  releaseM(m)
case "held-malloc":
  // With one processor the goroutine that holds malloc's lock is stopped when this one traps.
  go {
    trap_hold_malloc()
    trap_compute(300)
    trap_release_malloc()
    trap_compute(100_000)
  }
  while trap_malloc_was_held() == 0 { Goroutine.yield() }
  trap(of: kind)
case "held-loader":
  trap_hold_loader()
  go { trap(of: kind) }
  _ = never.receive()
case "stopping":
  // The world is stopped again and again, and threads are stopped inside malloc.
  for _ in 0..<4 {
    go {
      while true { UnsafeMutableRawPointer.allocate(byteCount: opaque(100), alignment: 8).deallocate() }
    }
  }
  go { while true { _ = opaque(Runtime.dump()) } }
  Goroutine.sleep(for: .milliseconds(30))
  trap(of: kind)
case "misled":
  go { trap_mislead() }
  go {
    trap_without_tables()
    afterwards()
  }
  go { trap_compute(100_000) }
  Goroutine.sleep(for: .milliseconds(100))
  trap(of: kind)
case "isolated":
  // What ends an isolated call is said; what it cannot catch ends the process.
  if case .failure(let trap) = Goroutine.isolated({ trap(of: kind) }) { print("caught: \(trap)") }
case "isolated-section":
  let result = Goroutine.isolated {
    let m = acquireM()
    trap(of: kind)
    releaseM(m)
  }
  print("gone on after \(result)")
case "main-returns":
  returnDuringReport()
case "forked":
  // A child has no thread but the one that forked it. It dies of the signal.
  let child = trap_fork()
  usleep(100_000)
  kill(child, SIGQUIT)
  var status: Int32 = 0
  waitpid(child, &status, 0)
  print("the child died of signal \(status & 0x7f)")
  exit(0)
default:
  print("unknown place: \(place)")
  exit(64)
}
