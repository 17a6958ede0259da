// A million goroutines, each of which adds its number to a sum, and a wait group that joins them.

import Apus

import struct Synchronization.Atomic

/// What all the goroutines add to.
final class Totals: Sendable {
  let finished = Atomic<Int>(0)
  let sum = Atomic<Int>(0)
}

let totals = Totals()
let group = WaitGroup()
for number in 1...1_000_000 {
  group.go {
    totals.sum.wrappingAdd(number, ordering: .relaxed)
    totals.finished.wrappingAdd(1, ordering: .relaxed)
  }
}
// What a goroutine did before it was done, the one that waited for it sees: no stronger ordering is needed above.
group.wait()

print("goroutines: \(totals.finished.load(ordering: .relaxed))")
print("sum: \(totals.sum.load(ordering: .relaxed))")
