/// Numbers as text, without memory of their own: for whatever holds the text.
enum Digits {
  /// Calls `body` with each digit of `number`, the highest first. `radix`: 2 to 16.
  static func each(of number: UInt64, radix: UInt64, _ body: (UInt8) -> Void) {
    var place: UInt64 = 1
    while number / place >= radix { place *= radix }
    while place > 0 {
      let digit = UInt8(truncatingIfNeeded: number / place % radix)
      body(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      place /= radix
    }
  }
}
