import CApus

/// Task-local values that are bound outside of tasks, kept right over a switch: they are the goroutine's that has bound them.
///
/// Swift keeps them in a list of which a thread-local word has the head, null while none is bound. It changes with the stack,
/// as the list of open accesses does (`Exclusivity`), since what is bound lasts for a call. The word has no name; each M looks
/// for it once (`apus_find_task_words`). A new goroutine has none bound. Where the word is not found, and on threads that
/// run one goroutine only, nothing is changed.
enum TaskLocals {
  /// Puts away what `old` has bound and installs what `new` has, on the thread of `m`.
  @inline(__always)
  static func swap(_ m: MRef, from old: GRef, to new: GRef) {
    guard let word = m.pointee.taskLocalsWord else { return }
    old.pointee.taskLocals = word.pointee
    word.pointee = new.pointee.taskLocals
  }

  /// What has to be known to go on as if every binding that is made from here on had ended.
  struct Mark {
    fileprivate var word: UInt = 0
    fileprivate var head: UInt = 0
  }

  static func mark(_ m: MRef) -> Mark {
    guard let word = m.pointee.taskLocalsWord?.pointee, let list = UnsafePointer<UInt>(bitPattern: word) else {
      return Mark()
    }
    return Mark(word: word, head: list.pointee)
  }

  /// Goes back to the bindings of `mark`, on the thread of `m`, which need not be the one that it was made on. What was bound
  /// since is lost, as everything that the frames had which are gone.
  static func goBack(to mark: Mark, on m: MRef) {
    guard let word = m.pointee.taskLocalsWord else { return }
    word.pointee = mark.word
    if let list = UnsafeMutablePointer<UInt>(bitPattern: mark.word) { list.pointee = mark.head }
  }
}
