public import ApusRuntime

/// The operations of one `select` as the choice sees them: which of them may proceed, and in which order they are tried.
public struct SelectPlan {
  @usableFromInline typealias Channels = (
    UnsafeMutablePointer<ChannelState>?, UnsafeMutablePointer<ChannelState>?, UnsafeMutablePointer<ChannelState>?,
    UnsafeMutablePointer<ChannelState>?, UnsafeMutablePointer<ChannelState>?, UnsafeMutablePointer<ChannelState>?,
    UnsafeMutablePointer<ChannelState>?, UnsafeMutablePointer<ChannelState>?
  )
  @usableFromInline var channels: Channels = (nil, nil, nil, nil, nil, nil, nil, nil)
  /// A bit for each operation.
  @usableFromInline var receives: UInt32 = 0
  @usableFromInline var sends: UInt32 = 0
  /// The operations on channels that looked as if they could proceed when they were added. Costs no lock.
  @usableFromInline var ready: UInt32 = 0
  /// The place of `.default`, or -1.
  @usableFromInline var defaultIndex = -1

  @inlinable init() {}

  @inlinable
  @inline(__always)
  mutating func add(_ index: Int, _ kind: SelectKind) {
    switch kind {
    case .receive(let channel):
      setChannel(index, channel)
      receives |= 1 << UInt32(index)
      if channel.peekReceivable { ready |= 1 << UInt32(index) }
    case .send(let channel):
      setChannel(index, channel)
      sends |= 1 << UInt32(index)
      if channel.peekSendable { ready |= 1 << UInt32(index) }
    case .default:
      defaultIndex = index
    case .never:
      break
    }
  }

  @inlinable
  @inline(__always)
  mutating func setChannel(_ index: Int, _ channel: UnsafeMutablePointer<ChannelState>) {
    withUnsafeMutableBytes(of: &channels) {
      $0.storeBytes(of: UInt(bitPattern: channel), toByteOffset: index &* 8, as: UInt.self)
    }
  }

  @inlinable
  @inline(__always)
  mutating func channel(_ index: Int) -> UnsafeMutablePointer<ChannelState>? {
    withUnsafeBytes(of: &channels) {
      UnsafeMutablePointer(bitPattern: $0.load(fromByteOffset: index &* 8, as: UInt.self))
    }
  }

  /// The operations on channels that look as if they could proceed now.
  @inlinable
  mutating func looksReady() -> UInt32 {
    var ready: UInt32 = 0
    var left = receives | sends
    while left != 0 {
      let index = left.trailingZeroBitCount
      left &= left &- 1
      let state = channel(index).unsafelyUnwrapped
      let can = receives >> UInt32(index) & 1 != 0 ? state.peekReceivable : state.peekSendable
      if can { ready |= 1 << UInt32(index) }
    }
    return ready
  }

  /// Whether the operation is a send on a channel that is closed. The channel is locked.
  @inlinable
  mutating func sendsOnClosed(_ index: Int) -> Bool {
    sends >> UInt32(index) & 1 != 0 && channel(index).unsafelyUnwrapped.pointee.isClosed
  }

  /// Notes the channels' locks in the frame.
  @usableFromInline
  mutating func collectLocks(_ frame: UnsafeMutablePointer<SelectFrame>) {
    var left = receives | sends
    while left != 0 {
      let index = left.trailingZeroBitCount
      left &= left &- 1
      frame.add(channel(index).unsafelyUnwrapped.lockAddress)
    }
  }

  /// One of the operations in `mask`, each as likely as the others, which is taken out of it.
  @inlinable
  static func pick(_ mask: inout UInt32, _ m: MRef) -> Int {
    var nth = mask.nonzeroBitCount
    if nth > 1 {
      // A product in place of a division: the upper half of random * n is uniform in 0..<n but for n in 2^32.
      nth = Int((UInt64(m.randomBits()) &* UInt64(nth)) >> 32)
    } else {
      nth = 0
    }
    var rest = mask
    for _ in 0..<nth { rest &= rest &- 1 }
    let index = rest.trailingZeroBitCount
    mask &= ~(1 << UInt32(index))
    return index
  }
}
