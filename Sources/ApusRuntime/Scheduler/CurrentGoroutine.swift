import CApus

/// What the public API says of the calling goroutine.
package enum CurrentGoroutine {
  /// Its number; nil on a thread that is no goroutine's.
  package static var id: UInt64? {
    guard let m = currentMOrNil(), !m.pointee.isForeign else { return nil }
    return m.currentG.pointee.head.id
  }
}
