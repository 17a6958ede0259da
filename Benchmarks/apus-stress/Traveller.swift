import Apus

/// Answers whoever asks, so that asking takes a goroutine off its thread: it waits, and goes on where the ferry is, as
/// the one that was woken last. Yields alone would leave goroutines where they are while every processor has work.
struct Ferry: Sendable {
  fileprivate let requests = Channel<Channel<Void>>()

  init() {
    go(requests) { requests in
      while let answer = requests.receive() { answer.send(()) }
    }
  }

  /// Ends the ferry's goroutine. Nobody may ask any more.
  func close() { requests.close() }
}

/// One goroutine on its way over the threads: takes it off its thread, and counts how often it was found on another
/// than the last time.
struct Traveller: ~Copyable {
  private let run: StressRun
  private let ferry: Ferry
  private let answer = Channel<Void>()
  private var last = ThreadRecord.current.number
  private var migrations = 0

  init(_ run: StressRun, on ferry: Ferry) {
    self.run = run
    self.ferry = ferry
  }

  deinit { run.countMigrations(migrations) }

  /// Yields a few times or asks the ferry.
  mutating func pause(_ random: inout Random) {
    if random.oneIn(3) {
      ferry.requests.send(answer)
      _ = answer.receive()
    } else {
      for _ in 0..<random.pick(1...3) { Goroutine.yield() }
    }
    let number = ThreadRecord.current.number
    if number != last {
      migrations += 1
      last = number
    }
  }
}
