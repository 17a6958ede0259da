import Apus

import struct Synchronization.Atomic

/// Two goroutines that hand one number back and forth; an operation is one round trip.
func pingPong(_ options: Options) {
  let size = options.size ?? 1_000_000
  let there = Channel<Int>()
  let back = Channel<Int>()
  go {
    while let value = there.receive() { back.send(value + 1) }
    back.close()
  }
  let start = nanoseconds()
  var value = 0
  for _ in 0..<size {
    there.send(value)
    value = back.receive()!
  }
  let duration = nanoseconds() - start
  there.close()
  precondition(value == size, "pingpong: wrong value")
  report("pingpong", options, size: size, duration: duration, operations: size)
}

/// Producers and consumers on one channel with room for 128; an operation is one element.
func buffered(_ name: String, producers: Int, consumers: Int, _ options: Options) {
  let size = options.size ?? 4_000_000
  let channel = Channel<Int>(capacity: 128)
  let producing = WaitGroup()
  let consuming = WaitGroup()
  let tally = ReceivedTally()
  let share = size / producers
  let start = nanoseconds()
  for _ in 0..<producers {
    producing.add()
    go {
      for element in 0..<share { channel.send(element) }
      producing.done()
    }
  }
  for _ in 0..<consumers {
    consuming.add()
    go {
      var count = 0
      while channel.receive() != nil { count += 1 }
      tally.count.wrappingAdd(count, ordering: .relaxed)
      consuming.done()
    }
  }
  producing.wait()
  channel.close()
  consuming.wait()
  let duration = nanoseconds() - start
  precondition(tally.count.load(ordering: .relaxed) == share * producers, "\(name): an element is missing")
  report(name, options, size: size, duration: duration, operations: size)
}

/// The elements that the consumers of `buffered` have counted together.
private final class ReceivedTally: Sendable {
  let count = Atomic<Int>(0)
}

/// A ring of `-n` goroutines that a number runs round 100 times; an operation is one hop.
func ring(_ options: Options) {
  let size = options.size ?? 10_000
  let laps = 100
  let first = Channel<Int>()
  var last = first
  for _ in 1..<max(size, 1) {
    let next = Channel<Int>()
    go((last, next)) { source, sink in
      while let value = source.receive() { sink.send(value + 1) }
      sink.close()
    }
    last = next
  }
  let start = nanoseconds()
  var value = 0
  for _ in 0..<laps {
    first.send(value)
    value = last.receive()! + 1
  }
  let duration = nanoseconds() - start
  first.close()
  _ = last.receive()
  precondition(value == size * laps, "ring: wrong value")
  report("ring", options, size: size, duration: duration, operations: size * laps)
}

/// The first `-n` primes by a chain of goroutines, one a prime; an operation is one prime.
func sieve(_ options: Options) {
  let size = options.size ?? 2000
  let start = nanoseconds()
  var channel = Channel<Int>()
  go(channel) { numbers in
    var number = 2
    while true {
      numbers.send(number)
      number += 1
    }
  }
  var prime = 0
  for _ in 0..<size {
    prime = channel.receive()!
    let next = Channel<Int>()
    go((channel, next, prime)) { source, sink, prime in
      while let number = source.receive() {
        if number % prime != 0 { sink.send(number) }
      }
    }
    channel = next
  }
  let duration = nanoseconds() - start
  let total = decimal(Double(duration) / 1e6, places: 1)
  report("sieve", options, size: size, duration: duration, operations: size, "total_ms=\(total) prime=\(prime)")
}
