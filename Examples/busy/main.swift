// The three programs with which Go's start-up notes end: on one processor, a goroutine computes for ever, and main, which
// sleeps for a second, has to print all the same. `busy leaf`, `busy array`, `busy division`; without an argument each in
// turn, in a process that ends with the last.
import Apus

@inline(never)
func leaf() -> Int {
  var number = 0
  for i in 1..<10_000 { number = number &+ opaque(i) }
  return number
}

/// A function with a local array of 128 bytes: in Go the frame is large enough for a stack check, and so for a preemption
/// point.
@inline(never)
func array() -> Int {
  var bytes = InlineArray<128, UInt8>(repeating: 0)
  bytes[opaque(0)] = 1
  var number = Int(bytes[opaque(1)])
  for i in 1..<10_000 { number = number &+ opaque(i) }
  return number
}

/// With a division, which can fail: in Go a call of `panicdivide`, which had no preemption point from Go 1.8 on.
@inline(never)
func division() -> Int {
  var number = 0
  for i in 1..<10_000 { number = number &+ opaque(i) / opaque(i) }
  return number
}

/// A value that the optimizer does not know, so that the loops stay loops.
@inline(never)
func opaque(_ value: Int) -> Int { value }

func run(_ name: String, _ work: @escaping @Sendable () -> Int) {
  let start = ContinuousClock.now
  go {
    var sum = 0
    while true { sum = sum &+ work() }
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
