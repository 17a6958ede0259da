import Apus

/// Rounds in which producers send by `select` and consumers receive by `select`, with timeouts and defaults between: each
/// number arrives once, and none that was sent by a case that did not proceed.
@Sendable func selects(_ run: StressRun) {
  run.withWorkers(3) { _, random in
    while !run.isOver { selectRound(run, &random) }
  }
}

private func selectRound(_ run: StressRun, _ random: inout Random) {
  let channels = (0..<3).map { _ in Channel<Int>(capacity: random.oneIn(2) ? 0 : random.pick(1...8)) }
  let (producers, consumers) = (random.pick(1...6), random.pick(1...6))
  let each = random.pick(1...400)
  let sums = Channel<(count: Int, sum: Int)>(capacity: producers + consumers)
  let (producing, consuming) = (WaitGroup(), WaitGroup())
  for producer in 0..<producers {
    let seed = random.pick(0...Int.max)
    producing.go {
      sums.send(produce(each, from: producer * each, into: channels, Random(seed: UInt64(seed), stream: 0)))
    }
  }
  for _ in 0..<consumers {
    let seed = random.pick(0...Int.max)
    consuming.go { sums.send(consume(channels, Random(seed: UInt64(seed), stream: 0))) }
  }
  producing.wait()
  for channel in channels { channel.close() }
  consuming.wait()
  sums.close()
  var (sent, received) = ((count: 0, sum: 0), (count: 0, sum: 0))
  sums.forEach { tally in
    // A producer's counts are negative.
    if tally.count < 0 {
      sent = (sent.count - tally.count, sent.sum - tally.sum)
    } else {
      received = (received.count + tally.count, received.sum + tally.sum)
    }
  }
  run.check(sent == received, "\(sent) was sent by select and \(received) received")
  run.check(sent.count == producers * each, "\(sent.count) of \(producers * each) numbers were sent")
  run.count(sent.count + received.count)
}

/// Sends `count` numbers and returns what was sent, negated.
private func produce(
  _ count: Int, from first: Int, into channels: [Channel<Int>], _ seeded: Random
) -> (count: Int, sum: Int) {
  var random = seeded
  var (sent, sum) = (0, 0)
  while sent < count {
    let (a, b) = (channels[random.pick(0...2)], channels[random.pick(0...2)])
    let number = first + sent
    let proceeded: Bool
    switch random.pick(0...3) {
    case 0:
      switch select(a.sending(number), b.sending(number), .default) {
      case .first, .second: proceeded = true
      case .third: proceeded = false
      }
      if !proceeded { Goroutine.yield() }
    case 1:
      switch select(a.sending(number), b.sending(number), .after(.microseconds(random.pick(0...200)))) {
      case .first, .second: proceeded = true
      case .third: proceeded = false
      }
    case 2:
      switch select(a.sending(number), random.oneIn(2) ? b.sending(number) : nil) {
      case .first, .second: proceeded = true
      }
    default:
      a.send(number)
      proceeded = true
    }
    if proceeded {
      sent += 1
      sum += number
    }
  }
  return (-sent, -sum)
}

/// Receives until all channels are closed and drained.
private func consume(_ channels: [Channel<Int>], _ seeded: Random) -> (count: Int, sum: Int) {
  var random = seeded
  var open: [Channel<Int>?] = channels
  var (count, sum) = (0, 0)
  func take(_ number: Int?, _ index: Int) {
    guard let number else {
      open[index] = nil
      return
    }
    count += 1
    sum += number
  }
  while open.contains(where: { $0 != nil }) {
    if random.oneIn(4) {
      switch select(
        open[0]?.receiving, open[1]?.receiving, open[2]?.receiving, .after(.microseconds(random.pick(0...200))))
      {
      case .first(let number): take(number, 0)
      case .second(let number): take(number, 1)
      case .third(let number): take(number, 2)
      case .fourth: break
      }
    } else {
      switch select(open[0]?.receiving, open[1]?.receiving, open[2]?.receiving) {
      case .first(let number): take(number, 0)
      case .second(let number): take(number, 1)
      case .third(let number): take(number, 2)
      }
    }
  }
  return (count, sum)
}
