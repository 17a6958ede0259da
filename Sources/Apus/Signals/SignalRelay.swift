import ApusRuntime
import CApus

/// Passes signals on to channels.
///
/// The handler (CApus/Signals/notify.c) sets a bit and writes to an eventfd. A goroutine of the runtime's own waits for that in the
/// poller, as others do for connections, and puts what has come into the channels. It is there as long as there are
/// channels.
final class SignalRelay: Sendable {
  static let shared = SignalRelay()

  /// A channel, and which signals it is notified of.
  private struct Subscription {
    let channel: Channel<Int32>
    let mask: UInt64
    /// The last ones that were put into the channel, as many as it has room for.
    var recent: [Int32] = []

    /// Puts `signals` in, except for those of which there is one that nobody has received yet. Then there is always room:
    /// the channel has as much as there are kinds of signals.
    mutating func deliver(_ signals: UInt64) {
      for signal in SignalRelay.numbers(in: signals & mask) {
        // What is in the channel is what was put there last; whoever receives meanwhile only makes it less.
        if recent.suffix(channel.count).contains(signal) { continue }
        if channel.trySend(signal) != nil { continue }
        recent.append(signal)
        if recent.count > channel.capacity { recent.removeFirst() }
      }
    }
  }

  private struct State {
    var subscriptions: [Subscription] = []
    /// How many are notified of each signal.
    var counts = [Int](repeating: 0, count: 65)
    /// The goroutine lives.
    var isRunning = false
    /// What the handler writes to, and its place in the poller. Once made it stays: a handler may be late.
    var wake: Wake?
  }

  private struct Wake: @unchecked Sendable {
    // Unchecked: the record has a lock of its own, and one goroutine at a time waits.
    let descriptor: Int32
    let record: PollDescriptorRef
  }

  /// Not the standard library's: goroutines wait under it for channels' locks.
  private let state = Mutex(State())

  /// A new channel that is notified of the signals of `mask`.
  func add(_ mask: UInt64) -> Channel<Int32> {
    let channel = Channel<Int32>(capacity: mask.nonzeroBitCount)
    channel.state.pointee.isReserved = true
    if mask == 0 { return channel }
    state.withLock { state in
      let wake = state.wake ?? Self.makeWake()
      state.wake = wake
      // What came before belongs to those who were there.
      Self.deliver(&state)
      state.subscriptions.append(Subscription(channel: channel, mask: mask))
      for signal in Self.numbers(in: mask) {
        state.counts[Int(signal)] += 1
        if state.counts[Int(signal)] == 1 && apus_signal_notify(signal, wake.descriptor) < 0 {
          Fatal.panic("signal: the system refuses a handler")
        }
      }
      if !state.isRunning {
        state.isRunning = true
        go(wake) { SignalRelay.shared.run($0) }
      }
    }
    return channel
  }

  func remove(_ channel: Channel<Int32>) {
    state.withLock { state in
      guard let index = state.subscriptions.firstIndex(where: { $0.channel === channel }) else { return }
      for signal in Self.numbers(in: state.subscriptions[index].mask) {
        state.counts[Int(signal)] -= 1
        if state.counts[Int(signal)] == 0 { apus_signal_restore(signal) }
      }
      // What the handler has caught until now was this channel's, too.
      Self.deliver(&state)
      state.subscriptions.remove(at: index)
      if state.subscriptions.isEmpty, let wake = state.wake { Self.write(to: wake.descriptor) }
    }
  }

  /// The relay's goroutine.
  private func run(_ wake: Wake) {
    CurrentGoroutine.becomeSystem()
    while true {
      wake.record.forget(.read)
      var count: UInt64 = 0
      // Nothing to read: nothing has come since the last time.
      if apus_read(wake.descriptor, &count, 8) < 0 { _ = wake.record.wait(.read) }
      let isOver = state.withLock { state in
        Self.deliver(&state)
        state.isRunning = !state.subscriptions.isEmpty
        return !state.isRunning
      }
      if isOver { return }
    }
  }

  private static func deliver(_ state: inout State) {
    let signals = apus_signal_take()
    if signals == 0 { return }
    for index in state.subscriptions.indices { state.subscriptions[index].deliver(signals) }
  }

  private static func makeWake() -> Wake {
    let descriptor = apus_eventfd()
    guard descriptor >= 0, let record = Netpoll.open(descriptor).0 else {
      Fatal.panic("signal: no descriptor left")
    }
    return Wake(descriptor: descriptor, record: record)
  }

  private static func write(to descriptor: Int32) {
    var one: UInt64 = 1
    _ = apus_write(descriptor, &one, 8)
  }

  /// The signals of `mask`, by their numbers, in ascending order.
  private static func numbers(in mask: UInt64) -> [Int32] {
    (1...64).filter { mask & 1 << UInt64($0 - 1) != 0 }
  }
}
