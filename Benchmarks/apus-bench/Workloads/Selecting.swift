import Apus

/// One goroutine that selects over `ways` unbuffered channels, each with a sender of its own.
func selecting(_ ways: Int, _ options: Options) {
  let size = options.size ?? 1_000_000
  let each = size / ways
  let total = each * ways
  let channels = (0..<ways).map { _ in Channel<Int>() }
  let start = nanoseconds()
  for channel in channels {
    go(channel) { channel in
      for i in 0..<each { channel.send(i) }
    }
  }
  let sum = ways == 2 ? receiveFromTwo(channels, total) : receiveFromEight(channels, total)
  let duration = nanoseconds() - start
  precondition(sum == ways * (each * (each - 1) / 2), "an element was lost or doubled")
  report("select\(ways)", options, size: size, duration: duration, operations: total)
}

private func receiveFromTwo(_ channels: [Channel<Int>], _ total: Int) -> Int {
  let (a, b) = (channels[0], channels[1])
  var sum = 0
  for _ in 0..<total {
    switch select(a.receiving, b.receiving) {
    case .first(let value?), .second(let value?): sum += value
    case .first(nil), .second(nil): break
    }
  }
  return sum
}

private func receiveFromEight(_ channels: [Channel<Int>], _ total: Int) -> Int {
  let (a, b, c, d) = (channels[0], channels[1], channels[2], channels[3])
  let (e, f, g, h) = (channels[4], channels[5], channels[6], channels[7])
  var sum = 0
  for _ in 0..<total {
    switch select(
      a.receiving, b.receiving, c.receiving, d.receiving, e.receiving, f.receiving, g.receiving, h.receiving)
    {
    case .first(let value?), .second(let value?), .third(let value?), .fourth(let value?), .fifth(let value?),
      .sixth(let value?), .seventh(let value?), .eighth(let value?):
      sum += value
    default: break
    }
  }
  return sum
}
