import CApus
import Synchronization

/// A barrier in every running thread of the process, made by one of them (membarrier(2), private expedited): a full one,
/// somewhere between the call and its return. A thread that does not run had one when the kernel switched away from it.
///
/// 0.3 us while no other thread runs, and an interrupt for each that does: up to 10 us on a virtual machine.
package enum ThreadBarrier {
  /// Whether the kernel has it, as far as is known; false before the runtime's start.
  package static var isAvailable: Bool {
    apus_is_started() && sched.pointee.hasThreadBarrier.load(ordering: .relaxed)
  }

  /// Makes it. False if the kernel refused, and then it is not asked for again.
  package static func run() -> Bool {
    if apus_membarrier() == 0 { return true }
    sched.pointee.hasThreadBarrier.store(false, ordering: .relaxed)
    return false
  }
}
