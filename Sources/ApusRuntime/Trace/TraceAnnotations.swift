import CApus

/// What a program itself says in a trace, on the goroutine that calls; on a thread that is no goroutine's, nothing. The
/// module Apus has the functions for programs.
///
/// A string is made bytes before the section in which they are written: that allocates. In the section a trace neither
/// begins nor ends.
package enum TraceAnnotations {
  package static func beginTask(_ task: UInt64, parent: UInt64, _ name: String) {
    beginTask(task, parent, name, name.utf8.count)
  }

  private static func beginTask(_ task: UInt64, _ parent: UInt64, _ name: UnsafePointer<CChar>, _ count: Int) {
    let m = acquireM()
    if hears(m) { apus_trace_task_begin(m.cM, task, parent, name, count) }
    releaseM(m)
  }

  package static func endTask(_ task: UInt64) {
    let m = acquireM()
    if hears(m) { apus_trace_task_end(m.cM, task) }
    releaseM(m)
  }

  package static func beginRegion(_ name: String, of task: UInt64) {
    beginRegion(task, name, name.utf8.count)
    OpenRegions.add(name, of: task)
  }

  private static func beginRegion(_ task: UInt64, _ name: UnsafePointer<CChar>, _ count: Int) {
    let m = acquireM()
    if hears(m) { apus_trace_region_begin(m.cM, task, name, count) }
    releaseM(m)
  }

  package static func endRegion(_ name: String, of task: UInt64) {
    OpenRegions.remove(name, of: task)
    tellRegionEnd(name, of: task)
  }

  /// Says so alone.
  static func tellRegionEnd(_ name: String, of task: UInt64) { endRegion(task, name, name.utf8.count) }

  private static func endRegion(_ task: UInt64, _ name: UnsafePointer<CChar>, _ count: Int) {
    let m = acquireM()
    if hears(m) { apus_trace_region_end(m.cM, task, name, count) }
    releaseM(m)
  }

  package static func log(_ category: String, _ message: String, of task: UInt64) {
    log(task, category, category.utf8.count, message, message.utf8.count)
  }

  private static func log(
    _ task: UInt64, _ category: UnsafePointer<CChar>, _ categoryCount: Int, _ message: UnsafePointer<CChar>,
    _ count: Int
  ) {
    let m = acquireM()
    if hears(m) { apus_trace_log(m.cM, task, category, categoryCount, message, count) }
    releaseM(m)
  }

  private static func hears(_ m: MRef) -> Bool { Trace.isOn && m.pointee.p != nil }
}

/// Whether a trace is on: for what is inlined into programs.
public enum TraceFlag {
  /// A load and a comparison.
  @inlinable
  @inline(__always)
  public static var isOn: Bool { apus_trace_is_on() }
}
