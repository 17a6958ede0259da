import Apus

import struct Synchronization.Atomic

/// Sleeps, timers, tickers and select timeouts, set, reset and stopped by many goroutines at once while the number of
/// processors changes: nothing fires early, and what was set fires once or is called off, never both and never neither.
@Sendable func timers(_ run: StressRun) {
  withChangingProcessors(run) {
    run.withWorkers(64) { _, random in
      while !run.isOver {
        switch random.pick(0...5) {
        case 0: sleepOnce(run, &random)
        case 1, 2: functionTimer(run, &random)
        case 3: channelTimer(run, &random)
        case 4: ticker(run, &random)
        default: timeouts(run, &random)
        }
        run.count()
      }
    }
  }
}

/// Runs `body` while a goroutine changes the number of processors all the time.
func withChangingProcessors(_ run: StressRun, _ body: () -> Void) {
  let before = Runtime.maxProcs
  let over = Channel<Never>()
  let changer = WaitGroup()
  changer.go {
    var random = run.random(1_000_000)
    while !over.isClosed {
      Runtime.maxProcs = random.pick(1...8)
      Goroutine.sleep(for: .microseconds(random.pick(100...3000)))
    }
  }
  body()
  over.close()
  changer.wait()
  Runtime.maxProcs = before
}

/// What became of a timer each time that it was set.
final class Account: Sendable {
  private let balance = Atomic<Int>(0)
  private let fires = Atomic<Int>(0)

  /// It was set, and has not fired or been called off.
  func set() { balance.wrappingAdd(1, ordering: .sequentiallyConsistent) }
  func calledOff() { balance.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
  func fired() {
    fires.wrappingAdd(1, ordering: .sequentiallyConsistent)
    balance.wrappingSubtract(1, ordering: .sequentiallyConsistent)
  }

  var open: Int { balance.load(ordering: .sequentiallyConsistent) }
  var fireCount: Int { fires.load(ordering: .sequentiallyConsistent) }
}

/// A time that passes soon, or has passed.
func shortTime(_ random: inout Random) -> Duration { .microseconds(random.pick(0...2000) - 100) }

private func sleepOnce(_ run: StressRun, _ random: inout Random) {
  let duration = shortTime(&random)
  let start = ContinuousClock.now
  Goroutine.sleep(for: duration)
  run.check(ContinuousClock.now - start >= duration, "a sleep of \(duration) was too short")
}

private func functionTimer(_ run: StressRun, _ random: inout Random) {
  let account = Account()
  account.set()
  let timer = Goroutine.after(shortTime(&random)) { account.fired() }
  let group = WaitGroup()
  for worker in 0..<random.pick(1...3) {
    // Each with its own numbers: they run at once.
    var own = Random(seed: run.seed, stream: random.next() &+ UInt64(worker))
    group.go {
      for _ in 0..<own.pick(0...6) {
        switch own.pick(0...3) {
        case 0:
          if timer.stop() { account.calledOff() }
        case 1, 2:
          account.set()
          if timer.reset(after: own.oneIn(4) ? .seconds(1000) : shortTime(&own)) { account.calledOff() }
        default:
          Goroutine.sleep(for: .microseconds(own.pick(0...300)))
        }
      }
    }
  }
  group.wait()
  if timer.stop() { account.calledOff() }
  run.check(run.waitUntil { account.open == 0 }, "a timer that was set neither fired nor was called off")
  let fires = account.fireCount
  if random.oneIn(8) { Goroutine.sleep(for: .milliseconds(1)) }
  run.check(account.open == 0 && account.fireCount == fires, "a timer fired that had been stopped")
}

private func channelTimer(_ run: StressRun, _ random: inout Random) {
  var earliest = ContinuousClock.now
  let timer = Goroutine.Timer(after: .milliseconds(1))
  earliest += .milliseconds(1)
  for _ in 0..<random.pick(1...6) {
    switch random.pick(0...3) {
    case 0:
      let wasPending = timer.stop()
      if case .element = timer.channel.tryReceive() { run.check(false, "a stopped timer's time was received") }
      run.check(!timer.stop(), "a timer was stopped twice")
      _ = wasPending
      fallthrough
    case 1:
      let duration = shortTime(&random)
      earliest = ContinuousClock.now + max(duration, .zero)
      timer.reset(after: duration)
    case 2:
      if case .element(let time) = timer.channel.tryReceive() {
        run.check(time >= earliest, "a timer's time came early, or is of an earlier setting")
        earliest = ContinuousClock.now
        timer.reset(after: .zero)
      }
    default:
      let time = timer.channel.receive()!
      run.check(time >= earliest, "a timer's time came early, or is of an earlier setting")
      run.check(!timer.stop(), "a timer was stopped whose time had been received")
      earliest = ContinuousClock.now
      timer.reset(after: .zero)
    }
  }
}

private func ticker(_ run: StressRun, _ random: inout Random) {
  let interval = Duration.microseconds(random.pick(20...1000))
  var last = ContinuousClock.now
  let ticker = Goroutine.Ticker(every: interval)
  for tick in 0..<random.pick(1...5) {
    let time = ticker.channel.receive()!
    // A tick's time may be told too late by ten microseconds, which is less than the shortest interval.
    run.check(time >= last + (tick == 0 ? interval : .zero), "a tick came early")
    last = time
  }
  ticker.stop()
  if case .element = ticker.channel.tryReceive() { run.check(false, "a tick was received after stop") }
}

private func timeouts(_ run: StressRun, _ random: inout Random) {
  let channel = Channel<Int>()
  let sent = Account()
  let group = WaitGroup()
  let rounds = random.pick(1...8)
  let (sending, receiving) = (shortTime(&random), shortTime(&random))
  group.go {
    for round in 0..<rounds {
      switch select(channel.sending(round), .after(sending)) {
      case .first: sent.set()
      case .second: break
      }
    }
  }
  for _ in 0..<rounds {
    let start = ContinuousClock.now
    switch select(channel.receiving, .after(receiving)) {
    case .first: sent.calledOff()
    case .second: run.check(ContinuousClock.now - start >= receiving, "a timeout came early")
    }
  }
  group.wait()
  run.check(sent.open == 0, "an element was lost or doubled by a timeout")
}
