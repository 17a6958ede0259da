import Apus

import struct Synchronization.Atomic

/// Rounds of one timer, or one ticker, that many set and stop at once while many receive from it, in each of the ways to
/// receive: each setting is received once or called off, and a time that is due reaches somebody who waits.
@Sendable func timerChannels(_ run: StressRun) {
  withChangingProcessors(run) {
    run.withWorkers(24) { _, random in
      while !run.isOver {
        if random.oneIn(3) { tickerRound(run, &random) } else { timerRound(run, &random) }
        run.count()
      }
    }
  }
}

private func timerRound(_ run: StressRun, _ random: inout Random) {
  let account = Account()
  let start = ContinuousClock.now
  account.set()
  let timer = Goroutine.Timer(after: shortTime(&random))
  let receivers = Receivers(timer.channel) { time in
    account.fired()
    run.check(time >= start && time <= .now, "a time was received that is of no setting")
  }
  receivers.start(random.pick(1...4), &random)
  @Sendable func reset(_ duration: Duration) {
    account.set()
    if timer.reset(after: duration) { account.calledOff() }
  }
  change(&random) { own in
    switch own.pick(0...3) {
    case 0:
      if timer.stop() { account.calledOff() }
    case 1: reset(.seconds(1000))
    default: reset(shortTime(&own))
    }
  }
  // Nobody else sets it any more, and whoever has not received has to be woken.
  reset(shortTime(&random))
  run.check(run.waitUntil { account.open == 0 }, "a timer was due, and nobody who waited received")
  receivers.gate.close()
  while receivers.left > 0 {
    reset(shortTime(&random))
    let isOver = run.waitUntil { account.open == 0 || receivers.left == 0 }
    run.check(isOver, "a timer was due, and the last who waited did not receive")
  }
  receivers.wait()
  if timer.stop() { account.calledOff() }
  run.check(account.open == 0, "a timer was set that neither was received nor called off")
  if case .element = timer.channel.tryReceive() { run.check(false, "a stopped timer's time was received") }
}

private func tickerRound(_ run: StressRun, _ random: inout Random) {
  let start = ContinuousClock.now
  let ticker = Goroutine.Ticker(every: .microseconds(random.pick(20...1000)))
  let receivers = Receivers(ticker.channel) { time in
    run.check(time > start && time <= .now, "a tick's time is before the ticker or in the future")
  }
  receivers.start(random.pick(1...4), &random)
  change(&random) { own in
    if own.oneIn(4) { ticker.stop() } else { ticker.reset(every: .microseconds(own.pick(20...1000))) }
  }
  receivers.gate.close()
  ticker.reset(every: .microseconds(random.pick(20...200)))
  run.check(run.waitUntil { receivers.left == 0 }, "a ticker goes on, and somebody who waits gets no tick")
  receivers.wait()
  ticker.stop()
  if case .element = ticker.channel.tryReceive() { run.check(false, "a tick was received after stop") }
}

/// Calls `change` often from a few goroutines, now and then from a thread that is not the runtime's; returns when all are
/// done.
private func change(_ random: inout Random, _ change: @escaping @Sendable (inout Random) -> Void) {
  let group = WaitGroup()
  for _ in 0..<random.pick(1...4) {
    // Each with its own numbers: they run at once.
    let own = Random(seed: random.next(), stream: 0)
    let body: @Sendable () -> Void = {
      var own = own
      for _ in 0..<own.pick(0...12) {
        change(&own)
        if own.oneIn(3) { Goroutine.sleep(for: .microseconds(own.pick(0...300))) }
        if own.oneIn(3) { Goroutine.yield() }
      }
      group.done()
    }
    group.add()
    if random.oneIn(16) { startThread(body) } else { go(body) }
  }
  group.wait()
}

/// Goroutines that receive times in different ways until the gate is closed. One that waits for nothing but the times
/// needs one more to see that.
private final class Receivers: Sendable {
  let gate = Channel<Never>()
  private let channel: Channel<ContinuousClock.Instant>
  private let received: @Sendable (ContinuousClock.Instant) -> Void
  private let group = WaitGroup()
  private let count = Atomic<Int>(0)

  init(
    _ channel: Channel<ContinuousClock.Instant>, _ received: @escaping @Sendable (ContinuousClock.Instant) -> Void
  ) {
    self.channel = channel
    self.received = received
  }

  /// How many have not ended.
  var left: Int { count.load(ordering: .acquiring) }

  func wait() { group.wait() }

  func start(_ number: Int, _ random: inout Random) {
    for _ in 0..<number {
      var own = Random(seed: random.next(), stream: 1)
      count.wrappingAdd(1, ordering: .relaxed)
      group.add()
      let body: @Sendable () -> Void = { [own] in
        var own = own
        while !self.gate.isClosed { self.receiveOnce(&own) }
        self.count.wrappingSubtract(1, ordering: .releasing)
        self.group.done()
      }
      if own.oneIn(16) { startThread(body) } else { go(body) }
    }
  }

  private func receiveOnce(_ random: inout Random) {
    switch random.pick(0...4) {
    case 0:
      received(channel.receive()!)
    case 1:
      switch select(channel.receiving, gate.receiving) {
      case .first(let time): received(time!)
      case .second: break
      }
    case 2:
      switch select(gate.receiving, channel.receiving, .after(.microseconds(random.pick(0...200)))) {
      case .second(let time): received(time!)
      case .first, .third: break
      }
    case 3:
      switch select(channel.receiving, channel.receiving, .default) {
      case .first(let time), .second(let time): received(time!)
      case .third: Goroutine.sleep(for: .microseconds(random.pick(0...100)))
      }
    default:
      if case .element(let time) = channel.tryReceive() { received(time) } else { Goroutine.yield() }
    }
  }
}
