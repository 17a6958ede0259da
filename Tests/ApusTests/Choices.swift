import Apus
@testable import ApusRuntime

/// How often each of `places` comes of `choose`, which chooses by `select` and restores what it chose from.
///
/// The random state of the M, of which `select` makes its choices, is set to a fixed one at the start, and put back after
/// each yield, after which the goroutine may be on another M, and others may have drawn from this one (thieves draw their
/// order from it). Between two yields the goroutine stays on its M and nobody else draws. So the counts do not depend on
/// the process, the machine or the number of processors, but only on how many choices are made: a test of them passes
/// always or never, until the way in which `select` draws is changed.
func countChoices(_ choices: Int, among places: Int, _ choose: () -> Int) -> [Int] {
  var counts = [Int](repeating: 0, count: places)
  var random: UInt64 = 20_240_229
  var left = choices
  while left > 0 {
    let turn = min(left, 50)
    currentM().pointee.random = random
    for _ in 0..<turn { counts[choose()] += 1 }
    random = currentM().pointee.random
    left -= turn
    Goroutine.yield()
  }
  return counts
}

/// How often `receive` receives from each of the channels `ready`, among `count` of which the others are empty.
func countReceives(
  _ choices: Int, of count: Int, ready: [Int], _ receive: ([Channel<Int>]) -> Int
) -> [Int] {
  let channels = (0..<count).map { _ in Channel<Int>(capacity: 1) }
  for place in ready { channels[place].send(place) }
  let counts = countChoices(choices, among: count) {
    let place = receive(channels)
    channels[place].send(place)
    return place
  }
  return ready.map { counts[$0] }
}

/// How far `counts` are from equal ones.
func chiSquared(_ counts: [Int]) -> Double {
  let expected = Double(counts.reduce(0, +)) / Double(counts.count)
  return counts.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
}
