import CApus

/// Free goroutine records (Go's `gList`): last in, first out. Owned by whoever holds what it is in.
///
/// Where goroutines are spawned on one processor and end on another, a free record lies in the cache of the processor where
/// it ended. A list by links would have to fetch each record just to find the next one. So the addresses of eight records
/// are written down in the slot of a ninth, their leader, of which a free record makes no use, and only leaders are linked:
/// to move records between lists fetches every ninth. What is to be popped next is known before it is needed
/// (`prefetchNext`).
struct GList {
  /// The newest leader; the others by their links. All but the newest lead `groupLimit` records.
  private var leader: GRef?
  /// How many the newest leads.
  private var members = 0
  private(set) var count = 0

  private static var groupLimit: Int { MemoryLayout<Slot>.size / MemoryLayout<GRef>.stride }

  @inline(__always)
  private static func group(of leader: GRef) -> UnsafeMutablePointer<GRef> {
    leader.slotAddress.assumingMemoryBound(to: GRef.self)
  }

  @inline(__always)
  mutating func push(_ g: GRef) {
    count += 1
    if let leader, members < Self.groupLimit {
      (Self.group(of: leader) + members).initialize(to: g)
      members += 1
      return
    }
    g.pointee.link = leader
    leader = g
    members = 0
  }

  @inline(__always)
  mutating func pop() -> GRef? {
    guard let leader else { return nil }
    count -= 1
    if members > 0 {
      members -= 1
      return Self.group(of: leader)[members]
    }
    self.leader = leader.pointee.link
    members = self.leader == nil ? 0 : Self.groupLimit
    return leader
  }

  /// Lets the processor fetch what the next `pop` returns, to write to it.
  @inline(__always)
  func prefetchNext() {
    guard let leader else { return }
    let next = members > 0 ? Self.group(of: leader)[members - 1] : leader
    next.prefetchToWrite()
  }
}

extension UnsafeMutablePointer where Pointee == G {
  /// Lets the processor fetch the two cache lines that spawning and the first switch use: the head with the state, and the
  /// slot.
  @inline(__always)
  func prefetchToWrite() {
    apus_prefetch_to_write(UInt(bitPattern: self))
  }
}
