import CApus
import Synchronization

/// The sections of the runtime in which a thread is neither stopped by a signal nor robbed of its P.
///
/// Outside them, in a program's code, either may happen between any two instructions: then the goroutine stays where it
/// is and its thread gets another P before it goes on. So whatever reads `M.p` and relies on it has to be inside, and so
/// has whatever holds a `RuntimeLock`, which is a section by itself. Inside there is no malloc, no ARC, no `swift_once`
/// and no lock that a program's code can hold: the one who has it may be stopped, and nobody could take this thread's P to
/// let it go on.
///
/// A switch carries exactly one section from the goroutine that is left to whoever continues on the M (`Switch`). On g0
/// a thread is always inside.

/// The calling thread's M, in the runtime (Go's `acquirem`). Ends with `releaseM`.
@inlinable
@inline(__always)
public func acquireM() -> MRef {
  let m = currentM()
  m.enter()
  return m
}

/// Ends what `acquireM` began (Go's `releasem`): `m` is still the calling thread's, unless there was a switch in between
/// and it is the new one.
@inlinable
@inline(__always)
public func releaseM(_ m: MRef) {
  m.leave()
}

extension UnsafeMutablePointer where Pointee == M {
  /// Enters the runtime; nests.
  @inlinable
  @inline(__always)
  func enter() {
    if apus_m_enter(cM) != UInt32(APUS_P_HELD) { Claim.reenter(self) }
  }

  /// Leaves it. A signal that came meanwhile is looked into when this was the outermost.
  @inlinable
  @inline(__always)
  func leave() {
    if apus_m_leave(cM) { apus_preempt_pending(cM) }
  }
}
