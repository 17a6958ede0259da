import Foundation

/// A time of `nanoseconds` with three digits and its unit, as `1.23 ms`.
package func durationText(_ nanoseconds: Int64) -> String {
  let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")]
  let value = Double(nanoseconds)
  // What would be rounded to 1000 of a unit is 1.00 of the next.
  guard let (size, unit) = units.first(where: { value >= $0.0 * 0.9995 }) else { return "\(nanoseconds) ns" }
  let number = value / size
  let digits = number < 9.995 ? 2 : number < 99.95 ? 1 : 0
  return String(format: "%.\(digits)f \(unit)", number)
}

/// The share of `part` in `whole` in per cent.
package func shareText(_ part: Int64, of whole: Int64) -> String {
  whole > 0 ? String(format: "%.1f %%", Double(part) / Double(whole) * 100) : "-"
}
