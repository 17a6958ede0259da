import CApus
import Synchronization

/// What the public API says of the calling goroutine.
package enum CurrentGoroutine {
  /// Its number; nil on a thread that is no goroutine's.
  package static var id: UInt64? {
    guard let m = currentMOrNil(), !m.pointee.isForeign else { return nil }
    return m.currentG.pointee.head.id
  }

  /// It is one of the runtime's own from now on: not counted among the program's, and not shown with them.
  package static func becomeSystem() {
    let m = acquireM()
    assert(m.currentG.pointee.kind == .user, "a goroutine becomes the runtime's that is no program's")
    m.currentG.pointee.kind = .system
    let p = m.pointee.p.unsafelyUnwrapped
    p.pointee.liveBalance.store(p.pointee.liveBalance.load(ordering: .relaxed) &- 1, ordering: .relaxed)
    releaseM(m)
  }
}
