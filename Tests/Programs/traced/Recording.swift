import Apus
import ApusHeap
import ApusRuntime
import Glibc

import struct Synchronization.Atomic

/// So many generations later.
func waitForGenerations(_ count: UInt64, _ body: () -> Void) {
  let first = TraceOfRun.generation
  repeat { body() } while TraceOfRun.generation < first + count
}

/// What a recorder remembers after many generations that its size has ended. The thread that ends them has to come to it
/// before another three quarters of what the recorder remembers are written: there are pauses, in all of 25 ms at least.
func recordBySize() throws {
  let recorder = FlightRecorder(minAge: .seconds(3600), maxBytes: 1_000_000)
  try recorder.start()
  Trace.log("mark", "first")
  waitForGenerations(12) {
    passNumbers(1000)
    Goroutine.sleep(for: .milliseconds(1))
  }
  Trace.log("mark", "last")
  try recorder.write(to: file)
  print(recorder.isEnabled, try recorder.snapshot().count < 5_000_000)
  recorder.stop()
  print(recorder.isEnabled, Trace.isOn)
}

/// The same when time has ended them, in a program that hardly does anything.
func recordByAge() throws {
  let recorder = FlightRecorder(minAge: .milliseconds(80), maxBytes: 100 << 20)
  try recorder.start()
  Trace.log("mark", "first")
  waitForGenerations(12) { Goroutine.sleep(for: .milliseconds(5)) }
  Trace.log("mark", "last")
  try recorder.write(to: file)
}

/// A recorder that begins before a trace to a file and ends after it, or the other way round.
func recordBesideTrace(isOutside: Bool) throws {
  let recorder = FlightRecorder(minAge: .seconds(3600))
  if isOutside {
    try recorder.start()
    Trace.log("mark", "outer")
    try Runtime.writeTrace(to: file + ".inner") {
      Trace.log("mark", "inner")
      passNumbers(100)
      try recorder.write(to: file + ".within")
    }
    Trace.log("mark", "outer")
    try recorder.write(to: file)
  } else {
    try Runtime.writeTrace(to: file) {
      Trace.log("mark", "outer")
      try recorder.start()
      Trace.log("mark", "inner")
      passNumbers(100)
      try recorder.write(to: file + ".inner")
      recorder.stop()
      precondition(Trace.isOn)
      Trace.log("mark", "outer")
    }
  }
  precondition(Trace.isOn == isOutside)
}

/// At any moment of collections, of what goroutines help with, and of what a program says: into files with numbers.
func recordAtAnyMoment() throws {
  let isOver = Flag()
  let group = WaitGroup()
  let kept = withHeap { heap in makeList(heap, 100_000) }
  ManagedHeap.growthPercent = 20
  for _ in 0..<3 {
    group.go {
      withHeap { heap in
        while !isOver.value.load(ordering: .relaxed) {
          Trace.task("round") { context in
            Trace.region("make", in: context) { _ = makeList(heap, 3_000) }
            Trace.region("pass", in: context) { _ = Trace.region("on") { passNumbers(20) } }
          }
        }
      }
    }
  }
  group.go { while !isOver.value.load(ordering: .relaxed) { ManagedHeap.collect() } }
  let recorder = FlightRecorder(minAge: .milliseconds(40), maxBytes: 200_000)
  try recorder.start()
  for number in 0..<12 {
    Goroutine.sleep(for: .milliseconds(number * 7))
    try recorder.write(to: file + ".\(number)")
  }
  try recorder.write(to: file)
  isOver.value.store(true, ordering: .relaxed)
  group.wait()
  withHeap { heap in _ = kept.get(heap) }
}

/// What cannot be.
func refuseRecorders() {
  let (one, other) = (FlightRecorder(), FlightRecorder(minAge: .nanoseconds(1), maxBytes: 1))
  func say(_ body: () throws(FlightRecorder.Failure) -> Void) {
    do throws(FlightRecorder.Failure) {
      try body()
      print("done")
    } catch { print(error) }
  }
  say { () throws(FlightRecorder.Failure) in _ = try one.snapshot() }
  say { () throws(FlightRecorder.Failure) in try one.write(to: file) }
  one.stop()
  say { () throws(FlightRecorder.Failure) in try one.start() }
  say { () throws(FlightRecorder.Failure) in try one.start() }
  say { () throws(FlightRecorder.Failure) in try other.start() }
  say { () throws(FlightRecorder.Failure) in try other.write(to: file) }
  say { () throws(FlightRecorder.Failure) in try one.write(to: "/no/such/folder/trace") }
  other.stop()
  print(one.isEnabled, other.isEnabled)
  one.stop()
  // The smallest there is; and one that nobody refers to any more.
  say { () throws(FlightRecorder.Failure) in try other.start() }
  passNumbers(1000)
  say { () throws(FlightRecorder.Failure) in try other.write(to: file) }
  other.stop()
  do {
    let third = FlightRecorder()
    say { () throws(FlightRecorder.Failure) in try third.start() }
    print(third.isEnabled)
  }
  print(Trace.isOn)
}
