import Synchronization

/// A counting semaphore on which goroutines park (Go's `semacquire`, `semrelease`), first come first served.
public struct SemaphoreRoot: ~Copyable {
  fileprivate var lock = RuntimeLock(.semaphore)
  /// Under `lock`.
  fileprivate var count: Int
  fileprivate var waiters = WaitQueue()

  package init(_ count: Int) {
    self.count = count
  }
}

extension UnsafeMutablePointer where Pointee == SemaphoreRoot {
  /// Takes one, or parks until somebody releases one to this goroutine.
  package func acquire(_ reason: WaitReason) {
    let m = currentM()
    pointee.lock.lock(m)
    if pointee.count > 0 {
      pointee.count -= 1
      pointee.lock.unlock(m)
      return
    }
    pointee.waiters.append(m.currentG.ownWaiter)
    Park.park(reason, unlocking: withUnsafeMutablePointer(to: &pointee.lock) { $0 })
  }

  /// Gives one back: to the first that waits, else to the count.
  package func release() {
    let m = currentM()
    pointee.lock.lock(m)
    let waiter = pointee.waiters.takeFirst()
    if waiter == nil { pointee.count += 1 }
    pointee.lock.unlock(m)
    if let waiter { Park.ready(waiter.pointee.g, on: m) }
  }
}
