/// Goroutines that were claimed under a lock and are to be made ready after it, chained by their links: a goroutine that
/// waits is on no other list.
public struct GChain {
  private var queue = GQueue()

  public init() {}

  /// Adds the goroutine of a waiter that was taken off its queue.
  public mutating func append(_ g: GRef) {
    queue.append(g)
  }

  /// Makes all of them ready, in order.
  public mutating func readyAll(on m: MRef) {
    while let g = queue.removeFirst() { Park.ready(g, on: m, othersFollow: queue.count > 0) }
  }
}
