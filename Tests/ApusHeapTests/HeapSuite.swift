import Apus
import ApusHeap
import Testing

/// Every test of the managed heap: one at a time, since they share the process's heap and some drive its collector.
@Suite(.serialized) enum ManagedHeapTests {}

/// An object with a link and something to tell it by.
struct Node {
  var next = Link<Node>()
  var value: Int
}

/// Something that Swift counts references to, and how many of them there are.
final class Tracked: @unchecked Sendable {
  // Unchecked: the count is under a mutex.
  static let count = Mutex(0)
  let number: Int

  init(_ number: Int = 0) {
    self.number = number
    Self.count.withLock { $0 += 1 }
  }

  deinit { Self.count.withLock { $0 -= 1 } }

  /// How many there are.
  static var living: Int { count.withLock { $0 } }
}

/// A variable that goroutines share; whoever uses it sees to the order.
final class Shared<Value>: @unchecked Sendable {
  // Unchecked: every test orders its accesses.
  var value: Value

  init(_ value: Value) {
    self.value = value
  }
}

/// Lets others run until `condition` holds; false when it still does not after half a minute.
func eventually(_ condition: () -> Bool) -> Bool {
  let end = ContinuousClock.now + .seconds(30)
  while !condition() {
    if ContinuousClock.now > end { return false }
    Goroutine.yield()
  }
  return true
}

/// Runs `body` on a goroutine of its own, in a scope that has ended when this returns: what `body` leaves on its stack is
/// nothing that the collector looks at.
func onAnotherStack(_ body: @escaping @Sendable (HeapToken) -> Void) {
  let group = WaitGroup()
  group.go { withHeap { heap in body(heap) } }
  group.wait()
}
