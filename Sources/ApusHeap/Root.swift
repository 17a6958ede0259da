import ApusRuntime

/// A reference to a managed object from the world of reference counting: from properties of classes, arrays, closures,
/// channels and other goroutines. The object lives as long as the root does.
///
/// A managed object that holds a root to itself, directly or by way of others, lives for ever: the collector does not
/// look through Swift's objects. Inside the heap use links.
///
/// Making a root and releasing it cost a lock each, some tens of nanoseconds.
public final class Root<Object>: Sendable {
  private let slot: RootSlot

  /// A root of the object that `reference` refers to.
  public init(_ reference: Ref<Object>) {
    slot = RootSlot(RootTable.add(UInt(bitPattern: reference.address)))
  }

  /// A reference to the object, in a scope of the managed heap.
  @_lifetime(copy heap)
  public func get(_ heap: HeapToken) -> Ref<Object> {
    // The slot holds the object until `deinit`, which the caller's reference to this root has put off.
    let address = UnsafeMutableRawPointer(bitPattern: slot.place.pointee).unsafelyUnwrapped
    return dependent(Ref(address), on: heap)
  }

  deinit { RootTable.remove(slot.place) }
}

/// A slot of the root table. Written by its owner alone, before anybody else can know it and after.
private struct RootSlot: @unchecked Sendable {
  let place: UnsafeMutablePointer<UInt>

  init(_ place: UnsafeMutablePointer<UInt>) {
    self.place = place
  }
}

/// A reference that does not keep its object alive. When the collector has found that nothing else refers to the object,
/// `get` returns nil; before the object's own properties are destroyed.
public final class WeakRef<Object>: Sendable {
  private let number: UInt32

  /// A weak reference to the object that `reference` refers to.
  public init(_ reference: Ref<Object>) {
    number = WeakTable.add(UInt(bitPattern: reference.address))
  }

  /// A reference to the object; nil when it is gone. Takes a lock, some tens of nanoseconds.
  @_lifetime(copy heap)
  public func get(_ heap: HeapToken) -> Ref<Object>? {
    guard let address = WeakTable.get(number) else { return nil }
    return dependent(Ref(UnsafeMutableRawPointer(bitPattern: address).unsafelyUnwrapped), on: heap)
  }

  deinit { WeakTable.remove(number) }
}
