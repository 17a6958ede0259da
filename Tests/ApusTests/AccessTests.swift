import Apus
import Testing

/// Swift's exclusivity checks over parking, ending and beginning again. `ExclusivityTests` looks at the list itself; here
/// the compiler's own accesses are nested.
@Suite struct AccessTests {
  @Test func anAccessStaysOpenWhileItsGoroutineIsParked() {
    let sums = onGoroutine {
      let boxes = (0..<40).map { _ in Box() }
      let (gates, ended) = (boxes.map { _ in Channel<Int>() }, WaitGroup())
      for (box, gate) in zip(boxes, gates) {
        ended.go { add(&box.value, gate) }
      }
      Goroutine.yield()
      for (i, gate) in gates.enumerated() { gate.send(i) }
      ended.wait()
      return boxes.map(\.value)
    }
    #expect(sums == Array(0..<40))
  }

  @Test func aReusedRecordBeginsWithNoAccessOpen() {
    // Each goroutine parks inside an access, closes it, and ends with another one in line that begins on its stack: no
    // switch tells the list. Its record is used again by goroutines that open accesses of their own.
    let total = onGoroutine {
      var total = 0
      for round in 0..<100 {
        let boxes = (0..<40).map { _ in Box() }
        let (gates, ended) = (boxes.map { _ in Channel<Int>() }, WaitGroup())
        for (box, gate) in zip(boxes, gates) {
          ended.go {
            add(&box.value, gate)
            ended.go { change(Box()) { $0 += 1 } }
          }
        }
        Goroutine.yield()
        for gate in gates { gate.send(round) }
        ended.wait()
        for box in boxes {
          ended.go {
            let ready = Channel<Int>(capacity: 1)
            ready.send(1)
            change(box) {
              $0 += ready.receive() ?? 0
              Goroutine.yield()
            }
          }
        }
        ended.wait()
        total += boxes.reduce(0) { $0 + $1.value }
      }
      return total
    }
    #expect(total == (0..<100).reduce(0) { $0 + 40 * ($1 + 1) })
  }
}

private final class Box: @unchecked Sendable {
  // Unchecked: one goroutine uses it at a time.
  var value = 0
}

@inline(never)
private func add(_ value: inout Int, _ gate: Channel<Int>) { value += gate.receive() ?? 0 }

@inline(never)
private func change(_ box: Box, _ body: (inout Int) -> Void) { body(&box.value) }
