/// What bytes are read from and written to in order: a TCP or Unix connection, a pipe, a file. Functions over any of them
/// take `some ByteStream`.
///
/// One goroutine may read while another writes; of several that read (or write) each waits for the one before, so what one
/// call writes stays together. `close` may be called by anybody. Everything that fails throws a `NetError`.
public protocol ByteStream: AnyObject, Sendable, CustomStringConvertible {
  /// When reads that are waiting, and those to come, fail with `.timedOut`; nil for never. It may be set at any time from
  /// any goroutine: a time that has passed wakes whoever waits, at once; a later one lets it wait on. Where the stream is a
  /// regular file it has no effect.
  var readDeadline: ContinuousClock.Instant? { get set }
  /// The same for writes. After a write that timed out it is not known how much was written.
  var writeDeadline: ContinuousClock.Instant? { get set }

  /// Waits until there is something to read and reads as much of it as fits; how many bytes. 0: the end of the stream, or
  /// an empty buffer. Allocates nothing.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int
  /// The same into several buffers, the first first; at most 64 of them are used.
  func read(scattering buffers: [UnsafeMutableRawBufferPointer]) throws -> Int
  /// Writes all of `bytes`. Allocates nothing.
  func write(_ bytes: UnsafeRawBufferPointer) throws
  /// Writes all parts, in order, with few system calls and without copying them together.
  func write(gathering parts: [UnsafeRawBufferPointer]) throws
  /// Closes the stream: whoever waits on it gets `.closed`, and so does every later operation. When it returns nobody is
  /// inside any more. Closing again does nothing.
  func close()
}

extension ByteStream {
  /// Reads at most `count` bytes into a new array: what there is, after waiting for the first. Empty: the end of the stream.
  public func read(upTo count: Int) throws -> [UInt8] {
    if count < 0 { throw NetError(.system, "read \(self)", errno: Number.invalid, reason: "negative count") }
    // More is not there at once: what waits in the kernel is less, and memory for `count` bytes may not be there at all.
    return try [UInt8](unsafeUninitializedCapacity: min(count, 1 << 20)) { buffer, initialized in
      initialized = try read(into: UnsafeMutableRawBufferPointer(buffer))
    }
  }

  /// Reads exactly `count` bytes. When the stream ends before, it throws `.closed`, and what was read is lost.
  public func readExactly(_ count: Int) throws -> [UInt8] {
    if count < 0 { throw NetError(.system, "read \(self)", errno: Number.invalid, reason: "negative count") }
    return try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      try readExactly(into: UnsafeMutableRawBufferPointer(buffer))
      initialized = count
    }
  }

  /// Fills `buffer`. When the stream ends before, it throws `.closed`. Allocates nothing.
  public func readExactly(into buffer: UnsafeMutableRawBufferPointer) throws {
    var rest = buffer
    while rest.count > 0 {
      let count = try read(into: rest)
      if count == 0 { throw NetError(.closed, "read \(self)", reason: "unexpected end of stream") }
      rest = UnsafeMutableRawBufferPointer(rebasing: rest[count...])
    }
  }

  /// Reads into the free part of `span` what there is, after waiting for the first byte; how many bytes. 0: the end of the
  /// stream, or no room.
  public func read(into span: inout MutableRawSpan) throws -> Int {
    try span.withUnsafeMutableBytes { try read(into: $0) }
  }

  /// Writes all bytes. A collection that does not lie in memory in one piece is copied first.
  public func write(_ bytes: some Sequence<UInt8>) throws {
    let written: Void? = try bytes.withContiguousStorageIfAvailable { try write(UnsafeRawBufferPointer($0)) }
    if written == nil { try ContiguousArray(bytes).withUnsafeBytes { try write($0) } }
  }

  /// Writes all bytes of `span`.
  public func write(_ span: RawSpan) throws {
    try span.withUnsafeBytes { try write($0) }
  }

  /// Writes all parts, in order, as if they were one: a head and a body, say. Up to 64 parts are not copied together.
  public func write(gathering parts: [[UInt8]]) throws {
    if parts.count > 64 { return try write(parts.joined()) }
    try Self.withBuffers(of: parts[...], []) { try write(gathering: $0) }
  }

  /// Calls `body` with the memory of all parts: each is only good within a call of its own.
  private static func withBuffers(
    of parts: ArraySlice<[UInt8]>, _ buffers: [UnsafeRawBufferPointer],
    _ body: ([UnsafeRawBufferPointer]) throws -> Void
  ) throws {
    guard let part = parts.first else { return try body(buffers) }
    try part.withUnsafeBytes { try withBuffers(of: parts.dropFirst(), buffers + [$0], body) }
  }

  /// Sets both deadlines.
  public func setDeadline(_ deadline: ContinuousClock.Instant?) {
    readDeadline = deadline
    writeDeadline = deadline
  }
}
