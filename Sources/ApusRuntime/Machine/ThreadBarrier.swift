import CApus

/// A barrier in every running thread of the process, made by one of them (membarrier(2), private expedited): a full one,
/// somewhere between the call and its return. A thread that does not run had one when the kernel switched away from it.
///
/// 0.3 us while no other thread runs, and an interrupt for each that does: up to 10 us on a virtual machine.
package enum ThreadBarrier {
  /// Whether the kernel had it at the runtime's start; false before it.
  package static var isAvailable: Bool { apus_is_started() && sched.pointee.facts.hasThreadBarrier }

  /// Makes it. False if the kernel refused.
  package static func run() -> Bool { apus_membarrier() == 0 }
}
