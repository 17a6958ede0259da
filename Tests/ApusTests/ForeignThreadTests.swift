import Apus
import Foundation
import Testing

/// Runs `body` on `count` new threads.
func startThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  for number in 0..<count { Thread { body(number) }.start() }
}

/// Threads that the runtime did not make use channels and wait groups, and block where a goroutine would be parked.
@Suite struct ForeignThreadTests {
  @Test(arguments: [0, 3])
  func threadsSendToGoroutines(capacity: Int) {
    let numbers = Channel<Int>(capacity: capacity)
    startThreads(6) { thread in for number in 0..<200 { numbers.send(thread * 200 + number) } }
    let sum = onGoroutine { (0..<1200).reduce(0) { sum, _ in sum + numbers.receive()! } }
    #expect(sum == 1200 * 1199 / 2)
  }

  @Test(arguments: [0, 3])
  func threadsReceiveFromGoroutines(capacity: Int) {
    let (numbers, sums) = (Channel<Int>(capacity: capacity), Channel<Int>())
    startThreads(6) { _ in
      var sum = 0
      numbers.forEach { sum += $0 }
      sums.send(sum)
    }
    onGoroutine {
      for number in 0..<1200 { numbers.send(number) }
      numbers.close()
    }
    #expect((0..<6).reduce(0) { sum, _ in sum + sums.receive()! } == 1200 * 1199 / 2)
  }

  @Test func threadsWaitForEachOther() {
    let (there, back) = (Channel<Int>(), Channel<Int>())
    startThreads(1) { _ in
      there.forEach { back.send($0 + 1) }
      back.close()
    }
    var good = true
    for number in 0..<200 {
      there.send(number)
      if back.receive() != number + 1 { good = false }
    }
    there.close()
    #expect(back.receive() == nil)
    #expect(good)
  }

  /// None has another's random choices. There are more threads at once than records that served others before.
  @Test func eachChoosesForItself() {
    let threads = 64
    let choices = Channel<UInt64>(capacity: threads)
    let ready = WaitGroup()
    ready.add(threads)
    startThreads(threads) { _ in
      let channels = [Channel<Int>(capacity: 1), Channel<Int>(capacity: 1)]
      for channel in channels { channel.send(0) }
      ready.done()
      ready.wait()
      var chosen: UInt64 = 0
      for _ in 0..<64 {
        guard case .first = select(channels[0].receiving, channels[1].receiving) else {
          chosen <<= 1
          channels[1].send(0)
          continue
        }
        chosen = chosen << 1 | 1
        channels[0].send(0)
      }
      choices.send(chosen)
    }
    #expect(Set((0..<threads).map { _ in choices.receive()! }).count == threads)
  }

  /// Threads come and go: each one's record serves a later one.
  @Test func threadsThatEndLeaveNothingBehind() {
    let results = Channel<Int>()
    let before = threadRecordCount()
    var sum = 0
    for number in 0..<400 {
      startThreads(1) { _ in results.send(number) }
      sum += results.receive()!
    }
    #expect(sum == 399 * 200)
    // Other tests have threads of their own meanwhile.
    #expect(threadRecordCount() < before + 200)
  }
}
