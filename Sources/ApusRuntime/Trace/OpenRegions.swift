import CApus

/// The regions of traces that are open in an isolated call: a trap ends them, since nobody else does it then, and the
/// readers of traces refuse regions that do not nest.
///
/// They hang at the call, innermost first. What begins outside of such a call is in no list; nor does anybody ask for one
/// while no trace is on.
enum OpenRegions {
  private struct Region {
    let task: UInt64
    let name: String
    let outer: UnsafeMutablePointer<Region>?
  }

  /// The innermost isolated call of the calling goroutine; nil for none. It stays where it is while its body runs.
  private static var call: UnsafeMutablePointer<apus_isolation>? {
    guard let m = currentMOrNil(), m.currentG.pointee.head.stack_hi != 0 else { return nil }
    return apus_isolation_get(m.currentG.pointee.head.stack_hi)
  }

  private static func innermost(of call: UnsafeMutablePointer<apus_isolation>) -> UnsafeMutablePointer<Region>? {
    call.pointee.regions?.assumingMemoryBound(to: Region.self)
  }

  /// The calling goroutine has begun one.
  static func add(_ name: String, of task: UInt64) {
    guard let call else { return }
    let region = UnsafeMutablePointer<Region>.allocate(capacity: 1)
    region.initialize(to: Region(task: task, name: name, outer: innermost(of: call)))
    call.pointee.regions = UnsafeMutableRawPointer(region)
  }

  /// It is about to end one. One that began outside of the call is not there.
  static func remove(_ name: String, of task: UInt64) {
    guard let call, let region = innermost(of: call), region.pointee.task == task, region.pointee.name == name
    else { return }
    remove(region, from: call)
  }

  private static func remove(_ region: UnsafeMutablePointer<Region>, from call: UnsafeMutablePointer<apus_isolation>) {
    call.pointee.regions = UnsafeMutableRawPointer(region.pointee.outer)
    region.deinitialize(count: 1)
    region.deallocate()
  }

  /// `call` is over, by a trap or not: by a trap its regions end with it. Else they have been taken out of it, and nobody
  /// need know of them.
  static func close(_ call: UnsafeMutablePointer<apus_isolation>, hasTrapped: Bool) {
    while let region = innermost(of: call) {
      if hasTrapped { TraceAnnotations.tellRegionEnd(region.pointee.name, of: region.pointee.task) }
      remove(region, from: call)
    }
  }
}
