public import ApusRuntime

/// One of the things that a `select` waits for. Made by `channel.receiving`, `channel.sending(_:)`, `.after(_:)` and
/// `.default`; an Optional of one is one too, and nil never proceeds, as a nil channel in Go.
///
/// The underscored requirements are the `select` functions' own; nobody else calls them, and programs do not conform.
public protocol SelectOperation<Output>: ~Copyable {
  /// What the case is given. Copyable, since Swift 6.3 has no other associated types.
  associatedtype Output
  /// What the operation is and where; `SelectPlan` decides by it.
  var _kind: SelectKind { get }
  /// Does it if that can be done at once, and leaves in `woken` whom to make ready. Its channel is locked.
  mutating func _perform(waking woken: inout GRef?) -> Bool
  /// Finds room for the element at place `index` of the frame. Nothing is locked: it may allocate.
  mutating func _prepare(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int)
  /// Puts place `index` into the queue of its locked channel, with the element if it is a send.
  mutating func _enqueue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int)
  /// Takes place `index` out of its channel's queue if it is still there. Locks the channel for that, unless it is the
  /// one that proceeded (`fired`), whose partner has taken it out: see `SelectFrame`.
  mutating func _dequeue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool)
  /// Clears place `index`, which was queued; `fired`: it is the one that proceeded.
  mutating func _settle(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool)
  /// Gives up the room of place `index`, which was never queued.
  mutating func _release(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int)
  /// What came of the operation that proceeded; once.
  mutating func _takeOutput() -> Output
}

/// What an operation of a `select` is.
public enum SelectKind {
  /// A receive from that channel.
  case receive(UnsafeMutablePointer<ChannelState>)
  /// A send to that channel.
  case send(UnsafeMutablePointer<ChannelState>)
  /// `.default`: what proceeds when nothing else can at once.
  case `default`
  /// A nil operation.
  case never
}

/// A receive as an operation of a `select`: its case gets the element, or nil when the channel is closed and drained.
public struct Receiving<Element>: SelectOperation {
  public typealias Output = Element?

  @usableFromInline let channel: Channel<Element>
  @usableFromInline var element: Element?

  @inlinable
  init(_ channel: Channel<Element>) {
    self.channel = channel.anotherReference
    self.element = nil
  }

  @inlinable public var _kind: SelectKind { .receive(channel.state) }

  @inlinable
  public mutating func _perform(waking woken: inout GRef?) -> Bool {
    guard let place = channel.receiveLocked(waking: &woken) else { return channel.state.pointee.isClosed }
    element = place.move()
    channel.finishReceive(waking: &woken)
    return true
  }

  @inlinable
  public mutating func _prepare(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    SelectPlace<Element>.prepare(frame, index)
  }

  @inlinable
  public mutating func _enqueue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    let waiter = frame.pointee.waiters + index
    channel.state.pointee.wait(in: &channel.state.pointee.receivers, waiter, waiter.pointee.element.unsafelyUnwrapped)
    if channel.state.pointee.timer != nil { TimerChannel.block(channel.state, on: currentM()) }
  }

  @inlinable
  public mutating func _dequeue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool) {
    let state = channel.state
    if fired && state.pointee.timer == nil { return }
    let m = currentM()
    state.pointee.lock.lock(m)
    state.pointee.receivers.remove(frame.pointee.waiters + index)
    if state.pointee.timer != nil { TimerChannel.unblock(state, on: m) }
    state.pointee.lock.unlock(m)
  }

  @inlinable
  public mutating func _settle(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool) {
    if fired && frame.pointee.waiters[index].succeeded { element = SelectPlace<Element>.at(frame, index).move() }
    SelectPlace<Element>.release(frame, index)
  }

  @inlinable
  public mutating func _release(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    SelectPlace<Element>.release(frame, index)
  }

  @inlinable
  public mutating func _takeOutput() -> Element? { element.take() }
}

/// A send as an operation of a `select`. When another operation proceeds, the element is destroyed with the operation; on
/// a closed channel the process ends, as in `send`.
public struct Sending<Element: ~Copyable>: SelectOperation, ~Copyable {
  public typealias Output = Void

  @usableFromInline let channel: Channel<Element>
  @usableFromInline var element: Element?

  @inlinable
  init(_ channel: Channel<Element>, _ element: consuming Element) {
    self.channel = channel.anotherReference
    self.element = consume element
  }

  @inlinable public var _kind: SelectKind { .send(channel.state) }

  @inlinable
  public mutating func _perform(waking woken: inout GRef?) -> Bool {
    let channel = channel
    return withUnsafeMutablePointer(to: &element) { optional in
      // The payload of an Optional lies at its start.
      let place = UnsafeMutableRawPointer(optional).assumingMemoryBound(to: Element.self)
      guard channel.sendLocked(from: place, waking: &woken) else { return false }
      optional.initialize(to: nil)
      return true
    }
  }

  @inlinable
  public mutating func _prepare(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    SelectPlace<Element>.prepare(frame, index)
  }

  @inlinable
  public mutating func _enqueue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    SelectPlace<Element>.at(frame, index).initialize(to: element.take()!)
    let waiter = frame.pointee.waiters + index
    channel.state.pointee.wait(in: &channel.state.pointee.senders, waiter, waiter.pointee.element.unsafelyUnwrapped)
  }

  @inlinable
  public mutating func _dequeue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool) {
    if fired { return }
    let m = currentM()
    channel.state.pointee.lock.lock(m)
    channel.state.pointee.senders.remove(frame.pointee.waiters + index)
    channel.state.pointee.lock.unlock(m)
  }

  @inlinable
  public mutating func _settle(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool) {
    if fired {
      if !frame.pointee.waiters[index].succeeded { Fatal.panic("send on closed channel") }
    } else {
      SelectPlace<Element>.at(frame, index).deinitialize(count: 1)
    }
    SelectPlace<Element>.release(frame, index)
  }

  @inlinable
  public mutating func _release(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    SelectPlace<Element>.release(frame, index)
  }

  @inlinable
  public mutating func _takeOutput() {}
}

/// The room for one operation's element in a frame: its slot when the element fits, else memory of its own.
@usableFromInline
enum SelectPlace<Element: ~Copyable> {
  @inlinable
  static func prepare(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    frame.pointee.waiters[index].element = UnsafeMutableRawPointer(
      HandOver<Element>(slot: frame.slot(index)).address)
  }

  @inlinable
  static func at(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) -> UnsafeMutablePointer<Element> {
    frame.pointee.waiters[index].element.unsafelyUnwrapped.assumingMemoryBound(to: Element.self)
  }

  @inlinable
  static func release(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    if !HandOver<Element>.fits { at(frame, index).deallocate() }
  }
}

/// Proceeds when no other operation can at once.
public struct Otherwise: SelectOperation {
  @inlinable init() {}
  @inlinable public var _kind: SelectKind { .default }
}

extension SelectOperation where Self == Otherwise {
  /// Proceeds when no other operation can at once: the `select` does not wait.
  @inlinable public static var `default`: Otherwise { Otherwise() }
}

/// What an operation that is not a channel's has nothing to do for.
extension SelectOperation where Self: ~Copyable, Output == Void {
  @inlinable public mutating func _perform(waking woken: inout GRef?) -> Bool { true }
  @inlinable public mutating func _prepare(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {}
  @inlinable public mutating func _enqueue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {}
  @inlinable public mutating func _dequeue(
    _ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool
  ) {}
  @inlinable public mutating func _settle(
    _ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool
  ) {}
  @inlinable public mutating func _release(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {}
  @inlinable public mutating func _takeOutput() {}
}

extension Optional: SelectOperation where Wrapped: SelectOperation & ~Copyable {
  public typealias Output = Wrapped.Output

  @inlinable public var _kind: SelectKind {
    switch self {
    case .some(let operation): operation._kind
    case .none: .never
    }
  }
  @inlinable public mutating func _perform(waking woken: inout GRef?) -> Bool {
    self?._perform(waking: &woken) ?? false
  }
  @inlinable public mutating func _prepare(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    self?._prepare(frame, index)
  }
  @inlinable public mutating func _enqueue(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    self?._enqueue(frame, index)
  }
  @inlinable public mutating func _dequeue(
    _ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool
  ) {
    self?._dequeue(frame, index, fired: fired)
  }
  @inlinable public mutating func _settle(
    _ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int, fired: Bool
  ) {
    self?._settle(frame, index, fired: fired)
  }
  @inlinable public mutating func _release(_ frame: UnsafeMutablePointer<SelectFrame>, _ index: Int) {
    self?._release(frame, index)
  }
  @inlinable public mutating func _takeOutput() -> Output { self!._takeOutput() }
}

extension Channel {
  /// A receive, for `select`.
  @inlinable public var receiving: Receiving<Element> { Receiving(self) }
}

extension Channel where Element: ~Copyable {
  /// The channel, by a reference that the optimizer does not know for a copy of the one at hand.
  ///
  /// Swift 6.3.1 does not come to an end over a loop without a way out in which a reference that nobody can change, such as
  /// a `let` global or a class's `let` property, is copied: loop-invariant code motion does not move the copy, takes that
  /// for a change, and tries again. An endless loop around a `select` is just that, as an operation owns its channel.
  @inlinable
  @inline(__always)
  var anotherReference: Channel {
    withExtendedLifetime(self) { Unmanaged.passUnretained(self).takeUnretainedValue() }
  }

  /// A send of `element`, for `select`.
  @inlinable public func sending(_ element: consuming sending Element) -> Sending<Element> { Sending(self, element) }
}

extension Receiver {
  /// A receive, for `select`.
  @inlinable public var receiving: Receiving<Element> { channel.receiving }
}

extension Sender where Element: ~Copyable {
  /// A send of `element`, for `select`.
  @inlinable public func sending(_ element: consuming sending Element) -> Sending<Element> { channel.sending(element) }
}
