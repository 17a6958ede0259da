import ApusRuntime

/// The current goroutine.
public enum Goroutine {
  /// A goroutine's number: unique in the process, never reused; `main` is 1.
  public struct ID: Hashable, Sendable, CustomStringConvertible {
    let value: UInt64

    /// The number in decimal, as dumps show it.
    public var description: String { String(value) }
  }

  /// The running goroutine's number; nil on a thread that is no goroutine's.
  public static var current: ID? {
    CurrentGoroutine.id.map(ID.init(value:))
  }

  /// Lets the other runnable goroutines go first: this one goes to the end of its processor's queue (Go's `Gosched`).
  /// On a thread that is no goroutine's it yields the CPU.
  public static func yield() {
    Park.yield()
  }

  /// Ties the goroutine to the thread that it runs on: only this goroutine runs there until `unlockFromThread` was called
  /// as often (Go's `LockOSThread`). A goroutine that ends while it is locked takes its thread with it. Each switch of a
  /// locked goroutine costs a hand-over between threads.
  public static func lockToThread() {
    LockedThread.lockCurrent()
  }

  /// Takes one `lockToThread` back. Without one it does nothing.
  public static func unlockFromThread() {
    LockedThread.unlockCurrent()
  }
}
