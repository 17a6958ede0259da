@testable import Apus
@testable import ApusRuntime
import Synchronization

extension Channel where Element: ~Copyable {
  /// How many goroutines wait to send, and to receive.
  var waiting: (senders: Int, receivers: Int) {
    let m = currentM()
    state.pointee.lock.lock(m)
    defer { state.pointee.lock.unlock(m) }
    return (state.pointee.senders.length, state.pointee.receivers.length)
  }
}

extension WaitQueue {
  fileprivate var length: Int {
    var length = 0
    var waiter = first
    while let current = waiter {
      length += 1
      waiter = current.pointee.next
    }
    return length
  }
}

/// How many thread records there are, those of ended threads among them.
func threadRecordCount() -> Int {
  var count = 0
  var m = sched.pointee.allM.load(ordering: .acquiring)
  while let current = m {
    count += 1
    m = current.pointee.allLink
  }
  return count
}
