/// The sizes of goroutine stacks: powers of two, named by their exponent ("order").
package enum StackSize {
  /// 16 KiB: a `print` of a plain value fits; less is refused. 64 KiB where pages may be as large.
  package static var minimum: Int {
    #if arch(arm64)
      1 << 16
    #else
      1 << 14
    #endif
  }
  /// 1 GiB.
  package static var maximum: Int { 1 << 30 }
  /// 256 KiB. Only touched pages cost memory; 64 KiB is thin: the first `print` of a struct alone touches 41 KB.
  package static var standard: Int { 1 << 18 }

  /// The order of the smallest stack that has `bytes`; `bytes` outside the limits counts as the nearest limit.
  package static func order(of bytes: Int) -> UInt8 {
    let clamped = min(max(bytes, minimum), maximum)
    return UInt8(Int.bitWidth - (clamped - 1).leadingZeroBitCount)
  }

  static var orders: ClosedRange<UInt8> { 14...30 }

  /// The place of `order` in a table with one entry for each.
  static func index(of order: UInt8) -> Int { Int(order - orders.lowerBound) }
}

/// One goroutine's stack: [lo, hi) is usable, the guard below it faults.
struct Stack {
  var hi: UInt
  var order: UInt8

  var lo: UInt { hi - 1 << UInt(order) }
}
