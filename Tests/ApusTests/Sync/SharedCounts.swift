import struct Synchronization.Atomic

/// A number that goroutines count on together.
final class Sum: Sendable {
  private let number = Atomic<Int>(0)

  var value: Int { number.load(ordering: .relaxed) }

  /// Adds `count` and returns the sum.
  @discardableResult
  func add(_ count: Int = 1) -> Int { number.wrappingAdd(count, ordering: .relaxed).newValue }

  /// Sets the number if it is still zero.
  func claim(_ value: Int) { _ = number.compareExchange(expected: 0, desired: value, ordering: .relaxed) }
}

/// Something that has happened or not.
final class Flag: Sendable {
  private let flag = Atomic<Bool>(false)

  var isSet: Bool { flag.load(ordering: .relaxed) }
  func set() { flag.store(true, ordering: .relaxed) }
}
