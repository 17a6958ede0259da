import struct Synchronization.Atomic

/// A body that waits for a cancellation. It is either run or forgotten, by whoever comes first, and then released.
final class CancelHook: Registered, @unchecked Sendable {
  // Unchecked: `place` is under the cancellation's lock, `body` belongs to the one that took the hook.
  var place = Place.none
  private let isTaken = Atomic<Bool>(false)
  private var body: (() -> Void)?

  init(_ body: @escaping () -> Void) {
    self.body = body
  }

  /// Starts the body in a goroutine, unless it was taken before.
  func run() {
    if let body = take() { Launch.start(body, stackOrder: 0) }
  }

  /// Releases the body; false when it was taken before. Releasing may run code of the user's: not to be called under a
  /// lock.
  func forget() -> Bool {
    take() != nil
  }

  /// The exchange makes one caller the owner of `body`, and acquiring makes it see what `init` wrote.
  private func take() -> (() -> Void)? {
    if isTaken.exchange(true, ordering: .acquiringAndReleasing) { return nil }
    defer { body = nil }
    return body
  }
}
