import struct Synchronization.Atomic

/// A channel that is made when somebody asks for it first, and read without a lock from then on.
///
/// Not the standard library's `AtomicLazyReference`, whose functions are generic and not inlined: 50 ns against 5.
struct DoneChannel: ~Copyable, Sendable {
  /// The channel's address, with a reference of its own; 0 until there is one.
  private let address = Atomic<UInt>(0)

  deinit {
    reference?.release()
  }

  /// The channel, if there is one. Acquiring: whoever sees the address sees the channel that it is the address of.
  var channel: Channel<Never>? { reference?.takeUnretainedValue() }

  /// Makes the channel. One at a time, and only when there is none.
  func make() -> Channel<Never> {
    let channel = Channel<Never>()
    channel.state.pointee.isReserved = true
    address.store(UInt(bitPattern: Unmanaged.passRetained(channel).toOpaque()), ordering: .releasing)
    return channel
  }

  private var reference: Unmanaged<Channel<Never>>? {
    UnsafeRawPointer(bitPattern: address.load(ordering: .acquiring)).map { Unmanaged.fromOpaque($0) }
  }
}

/// The channels that many contexts share.
enum DoneChannels {
  /// Never closed: that of contexts which nothing can cancel.
  static let never: Channel<Never> = {
    let channel = Channel<Never>()
    channel.state.pointee.isReserved = true
    return channel
  }()

  /// Closed from the start: that of contexts which were cancelled before anybody asked for their channel.
  static let closed: Channel<Never> = {
    let channel = Channel<Never>()
    channel.close()
    channel.state.pointee.isReserved = true
    return channel
  }()
}
