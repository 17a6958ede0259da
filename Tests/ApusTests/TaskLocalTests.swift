import Apus
@testable import ApusRuntime
import Testing

private enum Request {
  @TaskLocal static var number = 0
  @TaskLocal static var name = "nobody"
}

@inline(never)
private func overflow(_ number: Int8) -> Int8 { number + 1 }

/// Task-local values are the goroutine's that has bound them, whichever thread it goes on in.
@Suite struct TaskLocalTests {
  @Test func eachGoroutineHasItsOwn() {
    let wrong = onGoroutine {
      let wrong = Channel<Int>(capacity: 1000)
      let group = WaitGroup()
      for number in 1...40 {
        group.go {
          Request.$number.withValue(number) {
            for turn in 0..<20 {
              turn % 2 == 0 ? Goroutine.yield() : Goroutine.sleep(for: .microseconds(50))
              if Request.number != number { wrong.send(Request.number) }
              Request.$name.withValue("\(number)") {
                Goroutine.yield()
                if Request.name != "\(number)" || Request.number != number { wrong.send(-1) }
              }
            }
          }
          if Request.number != 0 || Request.name != "nobody" { wrong.send(-2) }
        }
      }
      group.wait()
      wrong.close()
      return Array(wrong)
    }
    #expect(wrong == [])
  }

  @Test func aNewGoroutineHasNone() {
    let seen = onGoroutine {
      Request.$number.withValue(5) {
        let seen = Channel<Int>()
        go { seen.send(Request.number) }
        return [seen.receive()!, Request.number]
      }
    }
    #expect(seen == [0, 5])
  }

  @Test func anIsolatedCallThatTrapsTakesItsOwnWithIt() {
    let seen = onGoroutine {
      let outside: [Int] = {
        let trapped = Goroutine.isolated { Request.$number.withValue(7) { _ = overflow(.max) } }
        guard case .failure = trapped else { return [-1] }
        return [Request.number]
      }()
      let inside = Request.$number.withValue(3) {
        _ = Goroutine.isolated { Request.$number.withValue(7) { _ = overflow(.max) } }
        let after = Request.number
        return [after, Request.$number.withValue(4) { Request.number }, Request.number]
      }
      return outside + inside + [Request.number]
    }
    #expect(seen == [0, 3, 4, 3, 0])
  }

  /// Else nothing of the above would be.
  @Test func theWordIsFound() {
    #expect(onGoroutine { currentM().pointee.taskLocalsWord != nil })
  }
}
