/// A semaphore that lives as long as somebody refers to it.
package final class SemaphoreBox: @unchecked Sendable {
  // Unchecked: `SemaphoreRoot` has its own lock.
  private let root: UnsafeMutablePointer<SemaphoreRoot>

  package init(_ count: Int = 0) {
    root = .allocate(capacity: 1)
    root.initialize(to: SemaphoreRoot(count))
  }

  deinit {
    root.deinitialize(count: 1)
    root.deallocate()
  }

  package func acquire(_ reason: WaitReason) { root.acquire(reason) }
  package func release() { root.release() }
}
