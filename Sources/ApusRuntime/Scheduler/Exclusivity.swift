import CApus

/// Swift's dynamic exclusivity checking, kept right over a switch.
///
/// The runtime of Swift keeps the open accesses of a thread in a thread-local list whose nodes lie on the stack. A
/// goroutine that is switched away inside an access takes its nodes with it, so the head of the list must change with the
/// stack: otherwise the next goroutine would close accesses that it did not open, or find conflicts that are none.
///
/// The head is a thread-local word of libswiftCore without a name. Each M looks for it once: it opens an access and
/// searches the thread-local blocks of the loaded images for the one word that then holds the node's address. Swapping is
/// one load and one store from then on. Where the word cannot be found, libswiftCore's own functions for Swift
/// Concurrency do the same in 15 ns.
enum Exclusivity {
  /// The address of the calling thread's list head, nil when it was not found. A few microseconds.
  static func findListHead() -> UnsafeMutablePointer<UInt>? {
    var search = Search()
    // The dummy whose access is opened: any address that nobody else accesses.
    withUnsafeMutablePointer(to: &search) { search in
      apus_begin_access(search, &search.pointee.node)
      search.pointee.target = UInt(bitPattern: withUnsafeMutablePointer(to: &search.pointee.node) { $0 })
      _ = apus_each_image(
        { context, _, _, headers, count, tls in
          guard let context, let headers, let tls else { return 0 }
          let search = context.assumingMemoryBound(to: Search.self)
          let size = apus_tls_segment_size(headers, count)
          let words = tls.assumingMemoryBound(to: UInt.self)
          for i in 0..<(size / 8) where words[i] == search.pointee.target {
            search.pointee.found = words + i
            return 1
          }
          return 0
        }, search)
      apus_end_access(&search.pointee.node)
    }
    // A word that still names the closed access was a copy of the address, not the list.
    guard let found = search.found, found.pointee != search.target else { return nil }
    return found
  }

  private struct Search {
    var node: (UInt, UInt, UInt, UInt) = (0, 0, 0, 0)
    var target: UInt = 0
    var found: UnsafeMutablePointer<UInt>?
  }

  /// Puts away the list of `old` and installs that of `new`, on the thread of `m`.
  @inline(__always)
  static func swap(_ m: MRef, from old: GRef, to new: GRef) {
    if let head = m.pointee.accessListHead {
      old.pointee.accesses.0 = head.pointee
      head.pointee = new.pointee.accesses.0
    } else {
      swapByFunctions(from: old, to: new)
    }
  }

  /// What has to be known to go on as if every access that begins from here on had ended.
  struct Mark {
    fileprivate var head: UInt = 0
    fileprivate var state: (UInt, UInt) = (0, 0)
  }

  /// Remembers the accesses that are open on the thread of `m`. With libswiftCore's functions they are put away meanwhile: a
  /// conflict with one of them is not noticed then.
  static func mark(_ m: MRef) -> Mark {
    var mark = Mark()
    if let head = m.pointee.accessListHead {
      mark.head = head.pointee
    } else {
      apus_exit_thread_local_context(&mark.state.0)
    }
    return mark
  }

  /// Goes back to the accesses of `mark`, on the thread of `m`, which need not be the one that it was made on.
  static func goBack(to mark: Mark, on m: MRef) {
    var mark = mark
    if let head = m.pointee.accessListHead {
      head.pointee = mark.head
    } else {
      var lost: (UInt, UInt) = (0, 0)
      apus_exit_thread_local_context(&lost.0)
      apus_enter_thread_local_context(&mark.state.0)
    }
  }

  @inline(never)
  private static func swapByFunctions(from old: GRef, to new: GRef) {
    withUnsafeMutablePointer(to: &old.pointee.accesses.0) { apus_exit_thread_local_context($0) }
    withUnsafeMutablePointer(to: &new.pointee.accesses.0) { apus_enter_thread_local_context($0) }
  }
}
