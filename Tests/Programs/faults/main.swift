// Programs that end badly, or in an unusual way: one scenario a run, named by the first argument. The tests start them
// as processes of their own and read what is left.
import Apus
import Glibc

/// Calls itself until the stack ends. The bytes are read after the call and the sum is checked, so no optimizer makes a
/// loop of it.
@inline(never)
func descend(_ depth: Int) -> Int {
  var marks = (depth, depth, depth, depth)
  return withUnsafeMutableBytes(of: &marks) { bytes in
    depth == .max ? bytes.count : descend(depth + 1) + Int(bytes[depth & 31])
  }
}

/// Has a frame that is larger than a goroutine's stack with its guard.
@inline(never)
func jump(_ index: Int) -> Int {
  var words = InlineArray<131_072, Int>(repeating: 1)
  words[index] = 2
  return words[7]
}

/// Goroutines that each hold a thread of their own and wait for ever.
func holdThreads(_ count: Int) {
  let locked = WaitGroup()
  let never = Channel<Int>()
  locked.add(count)
  for _ in 0..<count {
    go {
      Goroutine.lockToThread()
      locked.done()
      _ = never.receive()
    }
  }
  locked.wait()
}

/// Reads the standard input in a goroutine and hands its lines to main.
func echo() {
  let lines = Channel<String>()
  go {
    while let line = readLine() { lines.send(line) }
    lines.close()
  }
  lines.forEach { print("line: \($0)") }
}

/// Leaves by `main`'s return while goroutines run and wait.
func leaveGoroutinesBehind() {
  let never = Channel<Int>()
  let started = WaitGroup()
  started.add(20)
  for number in 0..<20 {
    go {
      started.done()
      if number % 2 == 0 { _ = never.receive() }
      while true { Goroutine.yield() }
    }
  }
  started.wait()
  print("main returns")
}

func integer(_ index: Int) -> Int32 { CommandLine.arguments.dropFirst(index).first.flatMap { Int32($0) } ?? 0 }

let scenario = CommandLine.arguments.dropFirst().first ?? ""
switch scenario {
case "ticker-interval": _ = Goroutine.Ticker(every: .zero)
case "ticker-reset-interval": Goroutine.Ticker(every: .seconds(1)).reset(every: .seconds(-1))
case "close-twice":
  let channel = Channel<Int>()
  channel.close()
  channel.close()
case "send-on-closed":
  let channel = Channel<Int>(capacity: 1)
  channel.close()
  channel.send(1)
case "overflow":
  let result = Channel<Int>()
  go { result.send(descend(0)) }
  print(result.receive() ?? 0)
case "overflow-main":
  print(descend(0))
case "overflow-far":
  // Beside others: below a goroutine's stack and its guard lie theirs.
  let never = Channel<Int>()
  for _ in 0..<50 { go { _ = never.receive() } }
  let result = Channel<Int>()
  go { result.send(jump(integer(2) == 0 ? 3 : 4)) }
  print(result.receive() ?? 0)
case "exit-status":
  exit(integer(2))
case "exit-from-goroutine":
  let never = Channel<Int>()
  go { exit(integer(2)) }
  _ = never.receive()
case "exit-while-goroutines-run":
  leaveGoroutinesBehind()
case "hold-threads":
  holdThreads(Int(integer(2)))
  print("all threads held")
case "main-returns":
  print("goroutine \(Goroutine.current.map { "\($0)" } ?? "none")")
case "on-start":
  Runtime.onStart { print("started") }
  print("main")
case "echo":
  echo()
case "cpu-profile":
  writeCPUProfile(to: CommandLine.arguments[2])
case "block-profile":
  writeBlockProfile(to: CommandLine.arguments[2])
case "mutex-profile":
  writeMutexProfile(to: CommandLine.arguments[2])
case "latencies":
  printLatencies()
case "mutex-wait":
  printMutexWait()
case let other where runDeadlock(other, Int(integer(2))) || runWaits(other):
  break
default:
  print("unknown scenario: \(scenario)")
  exit(64)
}
