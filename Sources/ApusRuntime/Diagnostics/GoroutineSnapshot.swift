import CApus

/// The dump of a program that goes on (Go's `Stack`).
///
/// While the world stands still only numbers are copied, into memory straight from the kernel: a goroutine that does not
/// run might hold malloc's lock. The text is made from them when everybody runs again.
package struct GoroutineSnapshot: ~Copyable {
  private struct Record {
    var state: GoroutineDump.State
    var elided: UInt64
    var count: Int
  }

  private var memory: UnsafeMutableRawPointer?
  private var size = 0
  private var used = 0

  private init() {}

  /// The calling goroutine's dump, and with `all` the others' as they were at one moment: the world is stopped for it, so
  /// who has the preemption signal blocked, or any that computes with asyncpreemptoff=1, delays the caller. Not for a
  /// goroutine inside an exclusive access to state that others need.
  @inline(never)
  package static func text(all: Bool) -> String {
    LazyStart.ensure()
    let address = apus_return_address()
    var snapshot = GoroutineSnapshot()
    if all { StopTheWorld.run(.everything, for: .stacks) { snapshot.take($0) } }
    var bytes: [UInt8] = []
    let showsRuntime = sched.pointee.knobs.traceback >= .system
    withUnsafeMutablePointer(to: &bytes) { bytes in
      var dump = GoroutineDump(to: .text(bytes), showsRuntime: showsRuntime)
      dump.writer.gathersLines = true
      if all && currentM().pointee.isForeign {
        snapshot.write(to: &dump, after: false)
      } else {
        dump.writeCurrent(from: address)
        snapshot.write(to: &dump, after: true)
      }
      dump.close()
    }
    snapshot.close()
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Writes all goroutines' dump to `destination`, in pieces. `m` is the calling thread's, which is a `ServiceThread`.
  static func write(to destination: ReportWriter.Destination, on m: MRef) {
    var snapshot = GoroutineSnapshot()
    ServiceThread.whileOthersWait(m) {
      StopTheWorld.run(.everything, for: .stacks) { snapshot.take($0) }
    }
    var dump = GoroutineDump(to: destination, showsRuntime: sched.pointee.knobs.traceback >= .system)
    dump.writer.gathersLines = true
    snapshot.write(to: &dump, after: false)
    dump.close()
    snapshot.close()
  }

  /// The stacks of all goroutines, the caller's among them, and how many goroutines have each: addresses inside
  /// instructions, innermost first. The world is stopped as for `text`.
  @inline(never)
  package static func stacks() -> [[UInt]: Int] {
    LazyStart.ensure()
    var own = Traceback(from: apus_return_address())
    var snapshot = GoroutineSnapshot()
    StopTheWorld.run(.everything, for: .stacks) { snapshot.take($0) }
    var stacks: [[UInt]: Int] = [:]
    if !currentM().pointee.isForeign { stacks[own.addresses()] = 1 }
    var position = 0
    while let memory = snapshot.memory, position < snapshot.used {
      let record = (memory + position).assumingMemoryBound(to: Record.self)
      position += MemoryLayout<Record>.stride
      let addresses = (memory + position).assumingMemoryBound(to: UInt.self)
      stacks[Array(UnsafeBufferPointer(start: addresses, count: record.pointee.count)), default: 0] += 1
      position += record.pointee.count * MemoryLayout<UInt>.stride
    }
    snapshot.close()
    return stacks
  }

  /// Copies what is to be told of every goroutine but the current one.
  private mutating func take(_ m: MRef) {
    let showsRuntime = sched.pointee.knobs.traceback >= .system
    var list = GoroutineList(GoroutineRegistry.lockedSlabs(m), without: m.currentG, withSystem: showsRuntime)
    defer { list.close() }
    if list.count == 0 { return }
    // Room for the longest tracebacks: address space only, pages come as they are written.
    let largest = MemoryLayout<Record>.stride + Traceback.capacity * MemoryLayout<UInt>.stride
    size = list.count * largest
    memory = apus_mmap(size)
    guard let memory else { return }
    for index in 0..<list.count {
      let g = list[index]
      var traceback = GoroutineDump.traceback(of: g)
      let record = (memory + used).bindMemory(to: Record.self, capacity: 1)
      record.initialize(
        to: Record(state: GoroutineDump.State(g), elided: traceback.elidedCount, count: traceback.count))
      used += MemoryLayout<Record>.stride
      traceback.copyAddresses(to: (memory + used).bindMemory(to: UInt.self, capacity: traceback.count))
      used += record.pointee.count * MemoryLayout<UInt>.stride
    }
  }

  /// Writes what was copied; `after`: something stands before it.
  private func write(to dump: inout GoroutineDump, after: Bool) {
    guard let memory else { return }
    var position = 0
    while position < used {
      let record = (memory + position).assumingMemoryBound(to: Record.self)
      let addresses = (memory + position + MemoryLayout<Record>.stride).assumingMemoryBound(to: UInt.self)
      var traceback = Traceback(parked: addresses, count: record.pointee.count, elided: record.pointee.elided)
      if position > 0 || after {
        dump.writeOther(record.pointee.state, &traceback)
      } else {
        dump.write(record.pointee.state, &traceback)
      }
      position += MemoryLayout<Record>.stride + record.pointee.count * MemoryLayout<UInt>.stride
    }
  }

  private mutating func close() {
    if let memory { _ = apus_munmap(memory, size) }
  }
}
