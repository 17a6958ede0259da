/// The sending end of a channel (Go's `chan<- T`).
public struct Sender<Element: ~Copyable>: Sendable {
  @usableFromInline let channel: Channel<Element>

  @usableFromInline
  init(_ channel: Channel<Element>) {
    self.channel = channel
  }

  /// As `Channel.send`.
  @inlinable
  public func send(_ element: consuming sending Element) { channel.send(element) }

  /// As `Channel.trySend`.
  @inlinable
  public func trySend(_ element: consuming sending Element) -> sending Element? { channel.trySend(element) }

  /// As `Channel.close`.
  public func close() { channel.close() }

  /// As `Channel.count`.
  public var count: Int { channel.count }

  /// As `Channel.capacity`.
  public var capacity: Int { channel.capacity }
}

/// The receiving end of a channel (Go's `<-chan T`).
public struct Receiver<Element: ~Copyable>: Sendable {
  @usableFromInline let channel: Channel<Element>

  @usableFromInline
  init(_ channel: Channel<Element>) {
    self.channel = channel
  }

  /// As `Channel.receive`.
  @inlinable
  public func receive() -> sending Element? { channel.receive() }

  /// As `Channel.tryReceive`.
  @inlinable
  public func tryReceive() -> sending Received<Element> { channel.tryReceive() }

  /// As `Channel.forEach`.
  @inlinable
  public func forEach<E: Error>(_ body: (consuming sending Element) throws(E) -> Void) throws(E) {
    try channel.forEach(body)
  }

  /// As `Channel.count`.
  public var count: Int { channel.count }

  /// As `Channel.capacity`.
  public var capacity: Int { channel.capacity }
}

extension Receiver: Sequence, IteratorProtocol where Element: Copyable {
  @inlinable
  public mutating func next() -> Element? { channel.receive() }

  /// As `Channel.forEach`.
  @inlinable
  public func forEach(_ body: (consuming sending Element) -> Void) { channel.forEach(body) }
}

extension Channel where Element: ~Copyable {
  /// The end that can only send and close.
  public var sender: Sender<Element> { Sender(self) }

  /// The end that can only receive.
  public var receiver: Receiver<Element> { Receiver(self) }
}

/// Puts `new` where `value` was and returns what was there: how a value that is not `Sendable` is taken out of a variable
/// to be sent.
@inlinable
public func exchange<T>(_ value: inout sending T, with new: sending T) -> sending T {
  let old = value
  value = new
  return old
}
