import Synchronization

/// The runtime's own goroutines: not counted among the program's, and none that waits keeps a deadlock from being reported.
enum SystemGoroutine {
  private struct Payload {
    let body: () -> Void
  }

  /// Starts one that runs `body`, which must capture nothing or be made for it: it is called once. Not in a section.
  static func start(_ body: @escaping () -> Void) {
    let g = Spawn.allocate()
    g.pointee.kind = .system
    let m = acquireM()
    if let p = m.pointee.p {
      p.pointee.liveBalance.store(p.pointee.liveBalance.load(ordering: .relaxed) &- 1, ordering: .relaxed)
    } else {
      sched.pointee.goroutines.foreignBalance.wrappingSubtract(1, ordering: .relaxed)
    }
    releaseM(m)
    g.payloadAddress.bindMemory(to: Payload.self, capacity: 1).initialize(to: Payload(body: body))
    Spawn.submit(g, Entry { $0.assumingMemoryBound(to: Payload.self).move().body() })
  }
}
