import Apus
import ApusHeap
import Testing

@testable import ApusRuntime

extension ManagedHeapTests {
  /// Bodies that a trap ends (`Goroutine.isolated`).
  @Suite struct Isolations {
    /// How many scopes the current goroutine is in.
    private static var scopes: Int {
      let current = currentM().currentG
      var count = 0
      _ = HeapScopes.each(fetching: { _ in }) {
        if $0 == current { count += 1 }
        return true
      }
      return count
    }

    @inline(never)
    private static func addTooMuch(_ number: Int8) -> Int8 { number + 1 }

    /// Begins two scopes and traps in the inner one.
    @inline(never)
    private static func trapInTwoScopes() -> Bool {
      let result = Goroutine.isolated {
        withHeap { heap in
          let node = heap.new(Node(value: 127))
          return withHeap { _ in Self.addTooMuch(Int8(node.value)) }
        }
      }
      if case .failure = result { return true } else { return false }
    }

    @Test func aTrapEndsTheScopesOfItsBody() {
      let seen = Shared<[Int]>([])
      let group = WaitGroup()
      group.go {
        for _ in 0..<3 where Self.trapInTwoScopes() { seen.value.append(Self.scopes) }
        seen.value.append(currentM().currentG.pointee.isInHeapScope ? 1 : 0)
      }
      group.wait()
      #expect(seen.value == [0, 0, 0, 0])
      // The goroutine has no stack any more.
      ManagedHeap.collect()
    }

    @Test func theScopesAroundItStay() {
      let seen = Shared<[Int]>([])
      let group = WaitGroup()
      group.go {
        withHeap { heap in
          let first = heap.new(Node(value: 1))
          withHeap { heap in
            let second = heap.new(Node(value: 2))
            if Self.trapInTwoScopes() { seen.value.append(Self.scopes) }
            ManagedHeap.collect()
            for number in 0..<10_000 { heap.new(Node(value: number)).next = nil }
            seen.value.append(second.value)
          }
          seen.value += [Self.scopes, currentM().currentG.pointee.isInHeapScope ? 1 : 0, first.value]
        }
        seen.value.append(currentM().currentG.pointee.isInHeapScope ? 1 : 0)
      }
      group.wait()
      #expect(seen.value == [2, 2, 1, 1, 1, 0])
    }

    @Test func misuseIsNamed() {
      let reason = Shared("")
      let group = WaitGroup()
      group.go {
        let result = Goroutine.isolated { withHeap { heap in heap.newArray(repeating: 1, count: -1).count } }
        if case .failure(let trap) = result { reason.value = trap.reason }
      }
      group.wait()
      #expect(reason.value == "managed heap: an array cannot have -1 elements")
    }
  }
}
