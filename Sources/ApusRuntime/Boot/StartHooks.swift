import CApus
import Synchronization

/// Functions to run before `main` (Go's package initialisers, `main_init`), in the order in which they were registered.
package enum StartHooks {
  /// A function in a structure: by itself, as an element of an array or as an argument of `unsafeBitCast`, the compiler would
  /// put an adapter before it.
  private struct Hook {
    let body: @Sendable () -> Void

    /// Where its code begins.
    var entry: UInt { unsafeBitCast(self, to: (UInt, UInt).self).0 }
  }

  private struct State {
    var pending: [Hook] = []
    var haveRun = false
  }

  private static let state = Synchronization.Mutex(State())

  /// Registers `body`. From a link-time initialiser it runs on goroutine 1 before `main`; later, and in a process that our
  /// entry point did not start, it runs at once.
  package static func register(_ body: @escaping @Sendable () -> Void) {
    let runsNow = state.withLock { state in
      if state.haveRun || apus_get_initial_sp() == 0 { return true }
      state.pending.append(Hook(body: body))
      return false
    }
    if runsNow { body() }
  }

  /// Runs what was registered, on goroutine 1; how many there were. The lock is not held meanwhile: a hook may register
  /// another, and may wait.
  static func runAll() -> Int {
    var count = 0
    while true {
      let batch = state.withLock { state in
        if state.pending.isEmpty { state.haveRun = true }
        defer { state.pending = [] }
        return state.pending
      }
      if batch.isEmpty { return count }
      for hook in batch {
        let start = InitTrace.now()
        hook.body()
        InitTrace.write(hook.entry, from: start)
      }
      count += batch.count
    }
  }
}
