/// `value`, which lives as long as `source` does, as far as the compiler knows. What makes that true is said where it is
/// used.
@_unsafeNonescapableResult
@_lifetime(copy source)
@inlinable
@inline(__always)
func dependent<Value: ~Escapable, Source: ~Escapable>(_ value: consuming Value, on source: borrowing Source) -> Value {
  value
}
