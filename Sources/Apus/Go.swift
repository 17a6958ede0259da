public import ApusRuntime

/// Starts a goroutine that runs `body`, and returns at once.
///
/// The goroutine is put next in line on the caller's processor. When `main` returns the process ends, whatever still
/// runs. A closure costs one allocation; `go(_:_:)` with a body that captures nothing costs none.
///
/// A captured value that is not `Sendable` can't be sent on from inside `body` (the compiler can't know that a closure
/// runs once): pass it as an argument, `go(value) { channel.send($0) }`.
@inlinable
@inline(__always)
public func go(_ body: sending @escaping () -> Void) {
  Launch.start(body, stackOrder: 0)
}

/// Starts a goroutine with a stack of at least `stackSize` bytes, rounded up to a power of two from 16 KiB to 1 GiB.
/// Only touched pages cost memory.
@inlinable
@inline(__always)
public func go(stackSize: Int, _ body: sending @escaping () -> Void) {
  Launch.start(body, stackOrder: Launch.order(ofStack: stackSize))
}

/// Starts a goroutine that runs `body` with `argument`, which moves to it.
///
/// The argument and the body travel in the goroutine's own record when the argument has at most 32 bytes: with a body
/// that captures nothing, a spawn allocates nothing.
@inlinable
@inline(__always)
public func go<Argument: ~Copyable>(
  _ argument: consuming sending Argument,
  _ body: sending @escaping (consuming sending Argument) -> Void
) {
  Launch.start(argument, body)
}

/// How a body and its argument get into a goroutine's record.
@usableFromInline
enum Launch {
  /// A function as a stored property keeps its own calling convention; behind a pointer to the bare function type it
  /// would be wrapped in another closure.
  @usableFromInline
  struct Body {
    @usableFromInline let run: () -> Void
    @inlinable init(_ run: @escaping () -> Void) { self.run = run }
  }

  @usableFromInline
  struct Payload<Argument: ~Copyable>: ~Copyable {
    @usableFromInline let run: (consuming sending Argument) -> Void
    @usableFromInline let argument: Argument

    @inlinable
    init(_ run: @escaping (consuming sending Argument) -> Void, _ argument: consuming Argument) {
      self.run = run
      self.argument = argument
    }

    @inlinable
    consuming func callAsFunction() {
      // The argument came as `sending` and nobody else has it.
      nonisolated(unsafe) let argument = argument
      run(argument)
    }
  }

  @inlinable
  @inline(__always)
  static func start(_ body: @escaping () -> Void, stackOrder: UInt8) {
    let g = Spawn.allocate(stackOrder: stackOrder)
    g.payloadAddress.bindMemory(to: Body.self, capacity: 1).initialize(to: Body(body))
    Spawn.submit(g, Entry { $0.assumingMemoryBound(to: Body.self).move().run() })
  }

  @inlinable
  @inline(__always)
  static func start<Argument: ~Copyable>(
    _ argument: consuming Argument, _ body: @escaping (consuming sending Argument) -> Void
  ) {
    if MemoryLayout<Payload<Argument>>.size <= SlotSize.payload
      && MemoryLayout<Payload<Argument>>.alignment <= SlotSize.alignment
    {
      let g = Spawn.allocate()
      g.payloadAddress.bindMemory(to: Payload<Argument>.self, capacity: 1).initialize(to: Payload(body, argument))
      Spawn.submit(g, Entry { $0.assumingMemoryBound(to: Payload<Argument>.self).move()() })
    } else {
      let box = UnsafeMutablePointer<Payload<Argument>>.allocate(capacity: 1)
      box.initialize(to: Payload(body, argument))
      let g = Spawn.allocate()
      g.payloadAddress.bindMemory(to: UnsafeMutablePointer<Payload<Argument>>.self, capacity: 1).initialize(to: box)
      Spawn.submit(
        g,
        Entry {
          let box = $0.assumingMemoryBound(to: UnsafeMutablePointer<Payload<Argument>>.self).pointee
          let payload = box.move()
          box.deallocate()
          payload()
        })
    }
  }

  @usableFromInline
  static func order(ofStack bytes: Int) -> UInt8 { StackSize.order(of: bytes) }
}
