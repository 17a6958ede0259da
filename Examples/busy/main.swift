// The three programs with which Go's start-up notes end: on one processor, a goroutine computes for ever, and main, which
// sleeps for a second, has to print all the same. `busy leaf`, `busy array`, `busy division`; without an argument each in
// turn, in a process that ends with the last.
import Apus
import struct Synchronization.Atomic

/// Takes what is computed, so that it is computed.
let sink = Atomic<UInt>(0)

/// A loop that calls nothing.
@inline(__always)
func leaf(_ start: UInt) -> UInt {
  var x = start
  for _ in 1..<10_000 {
    x ^= x << 13
    x ^= x >> 7
    x ^= x << 17
  }
  return x
}

/// The same in a function with a local array of 128 bytes: in Go the frame is large enough for a stack check, and so for a
/// preemption point.
@inline(never)
func array(_ start: UInt) -> UInt {
  var words = InlineArray<16, UInt>(repeating: start)
  for i in 1..<10_000 { words[i & 15] ^= words[(i &+ 1) & 15] << 13 &+ 1 }
  return words[0]
}

/// The same with a division, which can fail: in Go a call of `panicdivide`, which had no preemption point from Go 1.8 on.
@inline(__always)
func division(_ start: UInt) -> UInt {
  var x = start | 1
  for i in 1..<10_000 { x = (x ^ x << 13) / (UInt(i) | x & 1) | 1 }
  return x
}

@inline(__always)
func run(_ name: String, _ work: @escaping @Sendable (UInt) -> UInt) {
  let start = ContinuousClock.now
  go {
    var x: UInt = 88_172_645_463_325_252
    while true {
      x = work(x)
      sink.store(x, ordering: .relaxed)
    }
  }
  Goroutine.sleep(for: .seconds(1))
  let elapsed = (ContinuousClock.now - start).components
  let hundredths = Int(elapsed.seconds) * 100 + Int(elapsed.attoseconds / 10_000_000_000_000_000)
  print("Hello world: \(name), after \(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) s")
}

Runtime.maxProcs = 1
switch CommandLine.arguments.dropFirst().first {
case "leaf": run("leaf", leaf)
case "array": run("array", array)
case "division": run("division", division)
default:
  run("leaf", leaf)
  run("array", array)
  run("division", division)
}
