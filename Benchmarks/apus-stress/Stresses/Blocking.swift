import Apus
import CStress
import Glibc

import struct Synchronization.Atomic

/// Goroutines that sleep in the kernel, with a word and without, beside some that compute: sleeps and waits of every kind,
/// pipes whose bytes are summed up, child processes, regions inside regions that use channels. Nobody may lose a byte, a
/// wake-up or its processor for good.
@Sendable func blocking(_ run: StressRun) {
  besideTicker(run) {
    run.withWorkers(24) { worker, random in
      guard let caller = Caller() else {
        run.check(false, "the system refuses what the calls need, error \(errno)")
        return
      }
      while !run.isOver {
        switch worker {
        case 0...2: compute(run, &random)
        case 3...8: stream(run, &random)
        case 9...12: region(run, &random)
        default:
          let call = random.oneIn(20) ? Int(stress_child_call()) : random.pick(0...Int(stress_call_count()) - 1)
          if stress_call_is_weak(CInt(call)) != 0 { continue }
          let microseconds = random.pick(1...3000)
          let isTold = random.oneIn(2)
          run.check(caller.make(call, microseconds, isTold: isTold))
        }
        run.count()
      }
    }
  }
}

/// What one goroutine needs to make the calls of CStress.
final class Caller {
  private let caller: OpaquePointer
  private var hasFailed = false

  /// nil with errno set where the system refuses some of it.
  init?() {
    guard let caller = stress_caller_make() else { return nil }
    self.caller = caller
  }

  deinit {
    // After a failure somebody may still be about to do his part of it.
    if !hasFailed { stress_caller_free(caller) }
  }

  /// What was wrong with the call; nil for nothing.
  func make(_ call: Int, _ microseconds: Int, isTold: Bool) -> String? {
    let result = told(isTold) { Int(stress_call_once(caller, CInt(call), CInt(microseconds))) }
    if result == STRESS_DONE || result == STRESS_MISSING { return nil }
    hasFailed = true
    let outcome =
      switch result {
      case STRESS_EARLY: "came back early"
      case STRESS_WRONG: "came back with a wrong result"
      case Int(EINTR): "was interrupted"
      default: "failed with error \(result)"
      }
    let name = String(cString: stress_call_name(CInt(call)))
    return "\(name) for \(microseconds) µs, \(isTold ? "told" : "untold"), \(outcome)"
  }
}

extension StressRun {
  /// Counts a loss where there is something to complain of.
  func check(_ complaint: String?) {
    if let complaint { check(false, complaint) }
  }
}

private func compute(_ run: StressRun, _ random: inout Random) {
  let (seed, rounds) = (random.next(), UInt64(random.pick(1...100_000)))
  run.check(stress_vectors(seed, rounds) == 1, "vector registers have lost something in \(rounds) rounds from \(seed)")
}

/// Bytes through a pipe, in pieces that do not fit together, by plain reads and writes.
private func stream(_ run: StressRun, _ random: inout Random) {
  var ends: [CInt] = [0, 0]
  guard pipe(&ends) == 0 else {
    run.check(false, "no pipe, error \(errno)")
    return
  }
  let (reading, writing) = (ends[0], ends[1])
  let count = random.pick(1...200_000)
  let seed = random.next()
  let group = WaitGroup()
  var own = Random(seed: seed, stream: 1)
  group.go {
    var source = Random(seed: seed, stream: 0)
    var left = count
    while left > 0 {
      let size = min(left, own.pick(1...9000))
      let piece = (0..<size).map { _ in UInt8(truncatingIfNeeded: source.next()) }
      // A signal may end a write to a pipe in the middle, and the kernel says how far it came.
      var done = 0
      while done < size {
        let written = told(own.oneIn(2)) {
          piece[done...].withUnsafeBytes { write(writing, $0.baseAddress, $0.count) }
        }
        run.check(written > 0, "a write failed with error \(errno)")
        if written <= 0 { break }
        done += written
      }
      left -= size
      if own.oneIn(10) { usleep(UInt32(own.pick(0...300))) }
    }
    close(writing)
  }
  var expected = Random(seed: seed, stream: 0)
  var received = 0
  while true {
    var bytes = [UInt8](repeating: 0, count: random.pick(1...9000))
    let capacity = bytes.count
    let got = told(random.oneIn(2)) { bytes.withUnsafeMutableBytes { read(reading, $0.baseAddress, capacity) } }
    run.check(got >= 0, "a read failed with error \(errno)")
    if got <= 0 { break }
    let isRight = bytes[0..<got].allSatisfy { $0 == UInt8(truncatingIfNeeded: expected.next()) }
    run.check(isRight, "a pipe has other bytes than were written")
    received += got
  }
  run.check(received == count, "\(received) of \(count) bytes came through a pipe")
  close(reading)
  group.wait()
}

/// Calls `body` with a word or without.
private func told<Value>(_ isTold: Bool, _ body: () -> Value) -> Value { isTold ? Apus.blocking(body) : body() }

/// Regions inside regions, with channels, errors and errno.
private func region(_ run: StressRun, _ random: inout Random) {
  struct Failure: Error {}
  let (requests, answers) = (Channel<Int>(), Channel<Int>(capacity: 1))
  let pause = UInt32(random.pick(0...500))
  let fails = random.oneIn(3)
  go {
    while let request = requests.receive() {
      let answer = Apus.blocking {
        usleep(pause)
        return request + 1
      }
      answers.send(answer)
    }
    answers.close()
  }
  let rounds = random.pick(1...5)
  do {
    try Apus.blocking {
      for round in 0..<rounds {
        requests.send(round)
        let answer = Apus.blocking {
          errno = CInt(round + 1)
          return answers.receive()
        }
        run.check(answer == round + 1, "a region was given \(answer ?? -1) in place of \(round + 1)")
      }
      usleep(pause)
      if fails { throw Failure() }
    }
    run.check(!fails, "an error thrown inside a region was lost")
  } catch {
    run.check(fails && error is Failure, "a region has thrown an error of its own")
  }
  requests.close()
  run.check(answers.receive() == nil, "a region has answered once too often")
}
