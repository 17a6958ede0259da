import CApus

/// The write barrier (Dijkstra's, of insertion): while the collector marks, whoever stores a link marks the object that it
/// refers to. So no scanned object ever refers to one that is not marked.
///
/// The flag is tested in the program's own code (ApusHeap/Ref.swift), and between the test and the store
/// the goroutine may be stopped. That is safe, because of what is scanned when a cycle begins. A goroutine that was stopped
/// in the middle of its own code when the flag was set had tested the old one; the object that it is about to store is in
/// its registers or on its stack then, and the stacks of those goroutines are scanned before anybody runs again. A goroutine
/// that was parked or on a queue is inside a call of the runtime, and no such call lies between the test and the store.
///
/// There is no deletion half as in Go's barrier: a reference that is loaded from an object and deleted there is on a
/// stack, and the stacks that ran are scanned again at the end.
public enum Barrier {
  /// The slow path of a store: marks the object at `address`. The flag may have been cleared since it was tested.
  ///
  /// Most objects that are stored while the collector marks are new, and black. That is looked at as the flag is, outside
  /// all sections, and true for as long: a mark that was seen is taken back when a cycle has ended, and the next one begins
  /// with the stacks of those who were stopped here.
  @inline(never)
  public static func shade(_ address: UInt) {
    if apus_mark_load(heap.pointee.arena.mark(of: address)) != 0 { return }
    let m = acquireM()
    shadeInSection(address, on: m)
    releaseM(m)
  }

  /// The same inside a section. The flag does not change there.
  static func shadeInSection(_ address: UInt, on m: MRef) {
    if apus_is_marking() == 0 { return }
    if let p = m.pointee.p {
      withUnsafeMutablePointer(to: &p.pointee.heap) { cache in
        var marker = Marker(cache, on: m)
        marker.mark(address)
        marker.end()
      }
    } else {
      var cache = HeapCache()
      var marker = Marker(&cache, on: m)
      marker.mark(address)
      marker.endSharing()
      cache.publishMarked()
    }
  }
}
