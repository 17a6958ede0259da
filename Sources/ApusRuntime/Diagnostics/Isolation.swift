import CApus

/// Calls that a trap ends without ending the process (Go's `recover`, as far as that goes without unwinding).
///
/// `apus_isolate` saves the registers that a function keeps for its caller, and calls the body. A trap inside makes the
/// handler go on behind that call, with those registers: to the caller the body has returned. Everything between is
/// forgotten: no `defer` runs, no reference is released, no lock is given back.
///
/// What is put right is what belongs to the thread: the list of open accesses, and the mark of regions that were said to
/// block. A P that was taken meanwhile is asked for again by the next section, as ever. Scopes of the managed heap that
/// the body has begun end: the collector would look for their references for ever. And so do regions of a trace.
///
/// The innermost call that is under way hangs at the top of the goroutine's own stack, so it goes where the goroutine goes.
/// On a scheduler's stack and inside a section of the runtime nothing is caught: there the runtime's own state would be
/// left half done.
package enum Isolation {
  /// A body, as it passes through C.
  private struct Call {
    let body: () -> Void
  }

  /// Calls `body` on the current goroutine; nil when it returns, else what has ended it. Not on a foreign thread.
  ///
  /// `body` escapes as far as the compiler knows: frames that are forgotten keep their references to it.
  @inline(never)
  package static func call(_ body: @escaping () -> Void) -> TrapRecord? {
    let m = currentM()
    precondition(!m.pointee.isForeign, "an isolated call on a thread that is no goroutine's")
    let top = m.currentG.pointee.head.stack_hi
    let (accesses, values) = (Exclusivity.mark(m), TaskLocals.mark(m))
    let told = m.pointee.head.told
    var isolation = apus_isolation()
    isolation.outer = apus_isolation_get(top)
    let hasTrapped = withUnsafeMutablePointer(to: &isolation) { isolation in
      var call = Call(body: body)
      return withUnsafeMutablePointer(to: &call) { call in
        apus_isolation_set(top, isolation)
        return apus_isolate(
          isolation,
          { argument in
            if let call = argument?.assumingMemoryBound(to: Call.self) { call.pointee.body() }
          }, call)
      }
    }
    // The goroutine may be on another thread by now. A region that was said to block has ended, too: with the mark left
    // behind, whoever runs on this thread would lose its P again and again.
    let last = acquireM()
    Exclusivity.goBack(to: accesses, on: last)
    TaskLocals.goBack(to: values, on: last)
    last.pointee.head.told = told
    releaseM(last)
    apus_isolation_set(top, isolation.outer)
    if isolation.regions != nil { OpenRegions.close(&isolation, hasTrapped: hasTrapped) }
    if hasTrapped { withUnsafePointer(to: &isolation) { HeapScopes.forget(below: UInt(bitPattern: $0)) } }
    return hasTrapped ? TrapRecord(isolation, goroutine: currentM().currentG.pointee.head.id) : nil
  }

  /// Ends the innermost isolated call of the current goroutine, because the runtime has noticed `misuse`; `address` is where
  /// the first frame to be shown goes on. Returns when there is none, or inside a section of the runtime.
  static func leave(_ misuse: StaticString, at address: UInt) {
    leave(misuse.utf8Start, misuse.utf8CodeUnitCount, at: address)
  }

  /// The same with `length` bytes at `misuse`, which stay there.
  static func leave(_ misuse: UnsafePointer<UInt8>, _ length: Int, at address: UInt) {
    guard let m = currentMOrNil(), m.currentG != m.g0, m.pointee.head.locks == 0 else { return }
    let top = m.currentG.pointee.head.stack_hi
    guard let isolation = apus_isolation_get(top) else { return }
    isolation.pointee.misuse = misuse
    isolation.pointee.misuse_length = length
    apus_unwind(address, &isolation.pointee.frames)
    apus_isolation_set(top, isolation.pointee.outer)
    apus_isolation_leave(isolation)
  }
}
