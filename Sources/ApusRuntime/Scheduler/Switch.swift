import CApus

/// The one place through which every change of stacks goes.
///
/// A switch is: leave in the M what is to be done with the goroutine left (`AfterSwitch`), make the new one current, swap
/// the exclusivity list and the task-local values, swap the registers. Whoever continues, wherever it was switched away,
/// calls `finish` first, or on g0 `finishOnG0`.
///
/// From where the goroutine is left until then the thread is in the runtime (Section.swift): by the lock under which the
/// goroutine parks, or else by one section, which `finish` ends.
enum Switch {
  /// Continues `next` in place of `g`, the current goroutine of `m`. `next` has a stack. Returns when somebody continues
  /// `g`, perhaps on another thread: no M that was read before is valid then.
  @inline(__always)
  static func to(_ next: GRef, from g: GRef, on m: MRef) {
    exchange(next, g, m)
    finish()
  }

  /// The same from g0, where the thread stays in the runtime when it comes back.
  @inline(__always)
  static func fromG0(to next: GRef, on m: MRef) {
    exchange(next, m.g0, m)
    finishOnG0(m)
  }

  @inline(__always)
  private static func exchange(_ next: GRef, _ g: GRef, _ m: MRef) {
    assert(m.currentG == g, "a switch away from a goroutine that is not the current one")
    assert(next != g && next.pointee.head.stack_hi != 0, "a switch to a goroutine without a stack")
    #if DEBUG
      // The lock under which the goroutine parks is the only one that may be held over a switch.
      let held =
        switch m.pointee.after {
        case .unlock, .unlockAndAnnounce: 1
        case .unlockAll: m.pointee.afterFrame.unsafelyUnwrapped.pointee.lockCount
        case .nothing, .enqueueLocal, .enqueueGlobal, .free: 1
        }
      precondition(m.pointee.head.locks == held, "a switch outside the runtime, or with a runtime lock held")
    #endif
    Exclusivity.swap(m, from: g, to: next)
    TaskLocals.swap(m, from: g, to: next)
    m.setCurrent(next)
    // Not by a closure: where it is not inlined, what parks has a frame that bears the name of another library.
    apus_switch(&g.pointee.head.sp, next.pointee.head.sp)
  }

  /// Does what the goroutine that was left on this M asked for, and leaves the runtime. Called where a goroutine goes on:
  /// after `apus_switch`, and at its start.
  @inline(__always)
  static func finish() {
    let m = currentMOrNil().unsafelyUnwrapped
    switch m.pointee.after {
    case .nothing:
      m.leave()
    case .unlock:
      m.pointee.after = .nothing
      m.pointee.afterLock.unsafelyUnwrapped.pointee.unlock(m)
    case .enqueueLocal:
      finishYield(m)
    case .unlockAndAnnounce, .unlockAll, .enqueueGlobal, .free:
      finishSlowly(m)
      Timers.announce(m)
      m.leave()
    }
  }

  /// The same for the scheduler loop. The announcement of a timer waits until it is known whether the thread goes idle,
  /// which makes it needless.
  @inline(__always)
  private static func finishOnG0(_ m: MRef) {
    if let left = m.pointee.left {
      m.pointee.left = nil
      StackNotes.take(from: left, on: m)
    }
    if m.pointee.after != .nothing { finishSlowly(m) }
    assert(m.pointee.head.locks == 1, "the scheduler's stack is outside the runtime, or holds a lock")
  }

  /// The goroutine that was left goes to the end of the local queue: the M still has its P.
  @inline(never)
  private static func finishYield(_ m: MRef) {
    m.pointee.after = .nothing
    enqueueLocal(m)
    Timers.announce(m)
    m.leave()
  }

  /// Puts the goroutine that was left behind all others of the P.
  @inline(__always)
  private static func enqueueLocal(_ m: MRef) {
    OwnerQueue(m.pointee.p.unsafelyUnwrapped).putLast(m.pointee.afterG.unsafelyUnwrapped)
    Spinning.wakeIfIdle()
  }

  /// Does what is to be done; one section is left.
  @inline(never)
  private static func finishSlowly(_ m: MRef) {
    let action = m.pointee.after
    m.pointee.after = .nothing
    switch action {
    case .unlock, .unlockAndAnnounce:
      m.pointee.afterLock.unsafelyUnwrapped.pointee.unlockKeepingSection(m)
    case .unlockAll:
      m.enter()
      m.pointee.afterFrame.unsafelyUnwrapped.unlockAll(m)
    case .enqueueLocal:
      enqueueLocal(m)
    case .enqueueGlobal:
      GlobalQueue.put(m.pointee.afterG.unsafelyUnwrapped)
      Spinning.wakeIfIdle()
    case .free:
      Spawn.recycle(m.pointee.afterG.unsafelyUnwrapped, on: m)
    case .nothing:
      break
    }
  }

  /// Makes `g` ready to be switched to for the first time: binds the stack whose usable part ends at `stack.hi`.
  @inline(__always)
  static func bind(_ g: GRef, to stack: Stack) {
    if Trace.isOn { apus_trace_bind(g.cHead, stack.hi) }
    g.pointee.head.stack_lo = stack.lo
    g.pointee.head.stack_hi = stack.hi
    apus_isolation_set(stack.hi, nil)
    g.pointee.head.sp = apus_make_context(stack.hi - APUS_STACK_HEADER)
    g.pointee.needsCare &= ~G.hasNoStack
  }
}
