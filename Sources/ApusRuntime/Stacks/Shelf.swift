import CApus
import Synchronization

/// Stacks that are kept elsewhere while their goroutines wait for long (`Shelver`): what was in use of them, some hundred
/// bytes, lies in a record, and the page is gone and guarded. They come back to the same addresses.
///
/// The work is done in C (shelf.c), since it may fall to a signal handler: whoever touches such a stack by a pointer faults,
/// and finds it back when the handler returns. The scheduler brings a stack back before its goroutine runs. Both claim
/// it by compare-exchange in the word of the stack's slot, and who comes second waits.
enum Shelf {
  /// Brings back the stack of `g`, which runs next on `m`, if it is away. With it come those of others that are next in the
  /// P's queue: together they cost less than one by one. If they are stolen meanwhile, who runs them finds them back or
  /// waits.
  @inline(never)
  static func restore(_ g: GRef, on m: MRef) {
    // Of those that came with another nearly all find it back, and bring nobody along: else each would bring one.
    if let word = apus_shelf_word(g.pointee.head.stack_hi - 1), apus_shelf_load(word) != 0 { bringBack(g, on: m) }
    g.pointee.careBits.bitwiseAnd(~G.isShelved, ordering: .relaxed)
  }

  /// How many come back together where each takes one step: enough that the two calls around them do not count.
  private static var fewTogether: UInt32 { 16 }

  private static func bringBack(_ g: GRef, on m: MRef) {
    if apus_shelf_fills() {
      bringBack(g, andUpTo: fewTogether - 1, on: m)
      return
    }
    // One thread at a time: in the kernel they would exclude each other too, and two take longer there than one after the
    // other. Whoever has its goroutines' stacks runs these meanwhile.
    sched.pointee.shelver.restoring.lock(m)
    bringBack(g, andUpTo: UInt32(APUS_SHELF_BATCH) - 1, on: m)
    sched.pointee.shelver.restoring.unlock(m)
  }

  /// While the world is to be stopped it is the one stack, since who waits here has a P.
  private static func bringBack(_ g: GRef, andUpTo others: UInt32, on m: MRef) {
    let limit = StopTheWorld.isStopping ? 0 : others
    withUnsafeTemporaryAllocation(of: UInt.self, capacity: Int(APUS_SHELF_BATCH)) { tops in
      tops[0] = g.pointee.head.stack_hi
      var count = 1
      OwnerQueue(m.pointee.p.unsafelyUnwrapped).peek(limit) { other in
        // It may be stolen, run, end and begin anew meanwhile: to bring back a stack is never wrong.
        let top = other.peekStackTop
        if other.pointee.needsCare == G.isShelved && top != 0 && apus_shelf_peek(top) != nil {
          tops[count] = top
          count += 1
        }
      }
      apus_shelf_restore(tops.baseAddress, count)
    }
  }

  /// Where what is in use of the stack of `g` lies while that is kept elsewhere. The world stands still, so no record is
  /// used anew.
  static func copy(of g: GRef) -> Range<UInt>? {
    if g.pointee.needsCare & G.isShelved == 0 { return nil }
    guard let record = apus_shelf_peek(g.pointee.head.stack_hi) else { return nil }
    let start = UInt(bitPattern: record + 1)
    return start..<(start + UInt(record.pointee.size))
  }
}
