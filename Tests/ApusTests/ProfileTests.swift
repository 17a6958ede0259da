@testable import Apus
@testable import ApusRuntime
import Glibc
import Testing

/// A message of protocol buffers, by field: numbers, and what has a length.
private struct Message {
  var numbers: [UInt64: [UInt64]] = [:]
  var contents: [UInt64: [ArraySlice<UInt8>]] = [:]

  /// Nil for bytes that are no message.
  init?(_ bytes: ArraySlice<UInt8>) {
    var rest = bytes
    while !rest.isEmpty {
      guard let key = Self.number(&rest) else { return nil }
      switch key & 7 {
      case 0:
        guard let number = Self.number(&rest) else { return nil }
        numbers[key >> 3, default: []].append(number)
      case 2:
        guard let length = Self.number(&rest), length <= rest.count else { return nil }
        contents[key >> 3, default: []].append(rest.prefix(Int(length)))
        rest = rest.dropFirst(Int(length))
      default: return nil
      }
    }
  }

  static func number(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
    var number: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = bytes.popFirst(), shift < 64 {
      number |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return number }
      shift += 7
    }
    return nil
  }

  static func packed(_ bytes: ArraySlice<UInt8>) -> [UInt64] {
    var rest = bytes
    var numbers: [UInt64] = []
    while let number = number(&rest) { numbers.append(number) }
    return numbers
  }

  func messages(_ field: UInt64) -> [Message] { contents[field, default: []].compactMap { Message($0) } }
  func number(_ field: UInt64) -> UInt64 { numbers[field]?.first ?? 0 }
}

/// Behind the wait, so that it is no tail call.
@inline(never)
private func waitForProfile(_ channel: Channel<Int>, _ ready: WaitGroup) -> Int {
  ready.done()
  return (channel.receive() ?? 0) + 1
}

/// Counts so many waits of a microsecond each.
@inline(never)
private func countShortWaits(_ count: Int) {
  let g = currentM().currentG
  for _ in 0..<count { BlockProfile.count(1000, of: g) }
}

@inline(never)
private func holdForTheOthers(_ mutex: Mutex<Int>, _ isHeld: WaitGroup, _ count: Int) -> Int {
  mutex.withLock { value in
    isHeld.done()
    while mutex.word.waiters.waiterCount < count { Goroutine.yield() }
    let end = ContinuousClock.now + .milliseconds(20)
    while ContinuousClock.now < end { value &+= 1 }
    return value
  }
}

/// One goroutine holds a lock for which `count` others wait.
private func contend(for count: Int) {
  let mutex = Mutex(0)
  let (isHeld, ended) = (WaitGroup(), WaitGroup())
  isHeld.add()
  ended.go { _ = holdForTheOthers(mutex, isHeld, count) }
  isHeld.wait()
  for _ in 0..<count { ended.go { mutex.withLock { $0 += 1 } } }
  ended.wait()
}

/// Waiters that are charged for since so many nanoseconds of the clock. They stay.
private func makeWaiters(_ times: [Int64]) -> UnsafeMutablePointer<Waiter> {
  let waiters = UnsafeMutablePointer<Waiter>.allocate(capacity: times.count)
  for (index, time) in times.enumerated() {
    (waiters + index).initialize(to: Waiter(currentM().currentG))
    waiters[index].chargedSince = time
  }
  return waiters
}

/// Counts so many releases for which somebody has waited for a second.
@inline(never)
private func countReleases(_ count: Int) {
  let waiter = makeWaiters([Clock.nanotime() - 1_000_000_000])
  for _ in 0..<count {
    var charge = MutexProfile.Charge()
    charge.add(waiter)
    charge.count()
  }
}

/// The CPU time of the calling thread, in nanoseconds.
private func threadTime() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Computes for so many nanoseconds of its thread's CPU time.
@inline(never)
private func burnInGoroutine(_ duration: Int64) -> Int {
  let end = threadTime() + duration
  var rounds = 0
  while threadTime() < end {
    var number = 0
    while number < 20_000 {
      rounds &+= mix(number)
      number &+= 1
    }
  }
  return rounds
}

/// Calls nobody, not even in a debug build: of a thread that is not the runtime's only the innermost function is known.
@inline(never)
private func mix(_ number: Int) -> Int {
  var value = number
  var count = 0
  while count < 20 {
    value = value &* 31 ^ value &>> 7
    count &+= 1
  }
  return value
}

/// How many timers of this process send SIGPROF.
private func profileTimers() -> Int {
  guard let file = fopen("/proc/self/timers", "r") else { return 0 }
  defer { fclose(file) }
  var count = 0
  var line = [CChar](repeating: 0, count: 256)
  while fgets(&line, 256, file) != nil {
    if strncmp(line, "signal: 27/", 11) == 0 { count += 1 }
  }
  return count
}

@Suite(.serialized) struct ProfileTests {
  /// What a profile's samples of two values say of the stacks in which `name` occurs.
  private static func sums(_ profile: [UInt8], _ name: String) throws -> (samples: UInt64, cpu: UInt64) {
    let message = try #require(Message(profile[...]))
    let strings = message.contents[6, default: []].map { String(decoding: $0, as: UTF8.self) }
    var found: Set<UInt64> = []
    for function in message.messages(5) where strings[Int(function.number(2))].contains(name) {
      found.insert(function.number(1))
    }
    var places: Set<UInt64> = []
    for location in message.messages(4) where location.messages(4).contains(where: { found.contains($0.number(1)) }) {
      places.insert(location.number(1))
    }
    var sums: (samples: UInt64, cpu: UInt64) = (0, 0)
    for sample in message.messages(2) {
      let stack = Message.packed(try #require(sample.contents[1]?.first))
      let values = Message.packed(try #require(sample.contents[2]?.first))
      try #require(values.count == 2)
      if places.isDisjoint(with: stack) { continue }
      sums.samples += values[0]
      sums.cpu += values[1]
    }
    return sums
  }

  /// A hundred goroutines that have waited once each.
  private static func waitAHundredTimes() -> Bool {
    onGoroutine {
      let channel = Channel<Int>()
      let (ready, ended) = (WaitGroup(), WaitGroup())
      ready.add(100)
      for _ in 0..<100 { ended.go { _ = waitForProfile(channel, ready) } }
      ready.wait()
      let areWaiting = eventually { channel.waiting.receivers == 100 }
      channel.close()
      ended.wait()
      return areWaiting
    }
  }

  @Test func waitsAreCountedByStack() throws {
    let before = try Self.sums(Runtime.blockProfile(), "waitForProfile")
    Runtime.blockProfileRate = 1
    #expect(Runtime.blockProfileRate == 1)
    #expect(Self.waitAHundredTimes())
    // Nobody waits for eighteen minutes: one in a million of these would be counted.
    Runtime.blockProfileRate = 1 << 40
    #expect(Self.waitAHundredTimes())
    Runtime.blockProfileRate = -1
    #expect(Runtime.blockProfileRate == 0)
    #expect(Self.waitAHundredTimes())
    let after = try Self.sums(Runtime.blockProfile(), "waitForProfile")
    #expect(after.samples == before.samples + 100)
    #expect(after.cpu > before.cpu)
  }

  /// Goroutines wait for a lock until its holder has seen them all and has held it for 20 ms more.
  @Test func waitsForALockAreItsHoldersDoing() throws {
    Runtime.mutexProfileFraction = 1
    #expect(Runtime.mutexProfileFraction == 1)
    let before = try Self.sums(Runtime.mutexProfile(), "holdForTheOthers")
    onGoroutine { contend(for: 20) }
    let after = try Self.sums(Runtime.mutexProfile(), "holdForTheOthers")
    #expect(after.samples > before.samples)
    // All twenty have waited for as long as that.
    #expect(after.cpu - before.cpu >= 20 * 20_000_000)
    Runtime.mutexProfileFraction = 0
    onGoroutine { contend(for: 20) }
    let last = try Self.sums(Runtime.mutexProfile(), "holdForTheOthers")
    #expect(last == after)
  }

  /// One release of eight is counted, eightfold.
  @Test func releasesAreCountedForTheOthers() throws {
    Runtime.mutexProfileFraction = 8
    defer { Runtime.mutexProfileFraction = 0 }
    let before = try Self.sums(Runtime.mutexProfile(), "countReleases")
    onGoroutine { countReleases(20_000) }
    let after = try Self.sums(Runtime.mutexProfile(), "countReleases")
    #expect((17_700...22_300).contains(after.samples - before.samples))
    // Of a second each, or as much longer as the test took meanwhile.
    #expect(after.cpu - before.cpu >= 17_700 * 1_000_000_000)
  }

  /// Those who wait on are charged for, from now on anew.
  @Test func whoWaitsOnIsChargedForOnce() {
    Runtime.mutexProfileFraction = 1
    defer { Runtime.mutexProfileFraction = 0 }
    let (delay, areAnew) = onGoroutine { () -> (Int64, Bool) in
      let second: Int64 = 1_000_000_000
      let now = Clock.nanotime()
      let waiters = makeWaiters([4, 3, 2].map { now - $0 * second })
      var charge = MutexProfile.Charge()
      charge.add(waiters)
      charge.add(5, first: waiters + 1, last: waiters + 2)
      return (charge.delay / second, waiters[1].chargedSince >= now && waiters[2].chargedSince >= now)
    }
    // Four seconds of its own, and those of five others who have waited for two to four.
    #expect(delay >= 4 + 5 * 3)
    #expect(areAnew)
  }

  /// One wait in eight of an eighth of the rate is counted, eightfold.
  @Test func shortWaitsAreCountedForTheOthers() throws {
    let before = try Self.sums(Runtime.blockProfile(), "countShortWaits")
    Runtime.blockProfileRate = 8000
    onGoroutine { countShortWaits(20_000) }
    Runtime.blockProfileRate = 0
    let after = try Self.sums(Runtime.blockProfile(), "countShortWaits")
    // Six standard deviations.
    #expect((17_700...22_300).contains(after.samples - before.samples))
    #expect((17_700_000...22_300_000).contains(after.cpu - before.cpu))
  }

  /// CPU time, not time: whatever else the machine does.
  @Test func cpuTimeIsCountedByStack() throws {
    #expect(Runtime.stopCPUProfile() == nil)
    #expect(Runtime.startCPUProfile(samplesPerSecond: 200))
    #expect(!Runtime.startCPUProfile())
    let rounds = onGoroutine {
      Goroutine.lockToThread()
      defer { Goroutine.unlockFromThread() }
      return burnInGoroutine(1_000_000_000)
    }
    let profile = try #require(Runtime.stopCPUProfile())
    #expect(rounds != 0)
    #expect(Runtime.stopCPUProfile() == nil)
    let sums = try Self.sums(profile, "burnInGoroutine")
    #expect(sums.cpu == sums.samples * 5_000_000)
    #expect((800_000_000...1_200_000_000).contains(sums.cpu), "\(sums)")
    #expect(profileTimers() == 0)
  }

  /// A thread that begins while the profile lasts has a timer, too, and one that ends leaves none.
  @Test func threadsComeAndGo() throws {
    for round in 0..<8 {
      #expect(Runtime.startCPUProfile(samplesPerSecond: 1000))
      var threads: [pthread_t] = []
      for _ in 0..<8 {
        var thread = pthread_t()
        pthread_create(
          &thread, nil,
          { _ in
            go {}
            _ = burnInGoroutine(30_000_000)
            return nil
          }, nil)
        threads.append(thread)
      }
      // The first half ends within the profile, the others at the same time as it, or after it.
      if round % 2 == 0 { for thread in threads { pthread_join(thread, nil) } }
      let profile = try #require(Runtime.stopCPUProfile())
      if round % 2 != 0 { for thread in threads { pthread_join(thread, nil) } }
      #expect(profileTimers() == 0)
      if round % 2 == 0 {
        let sums = try Self.sums(profile, "mix")
        // Of 240 milliseconds. The kernel looks at its ticks, some milliseconds apart: what comes after a thread's last is lost.
        #expect(sums.cpu > 100_000_000, "\(sums)")
      }
    }
  }

  @Test func goroutinesAreCountedByStack() throws {
    let profile = onGoroutine { () -> [UInt8] in
      let channel = Channel<Int>()
      let ready = WaitGroup()
      ready.add(10)
      for _ in 0..<10 { go { _ = waitForProfile(channel, ready) } }
      ready.wait()
      var profile: [UInt8] = []
      // Ready they are before they wait.
      for _ in 0..<20 { Goroutine.yield() }
      profile = Runtime.goroutineProfile()
      channel.close()
      return profile
    }
    let message = try #require(Message(profile[...]))
    let strings = message.contents[6, default: []].map { String(decoding: $0, as: UTF8.self) }
    #expect(strings.first == "")
    let type = try #require(message.messages(1).first)
    #expect(strings[Int(type.number(1))] == "goroutine")
    #expect(strings[Int(type.number(2))] == "count")
    // What every other message refers to is there, once.
    let functions = message.messages(5)
    let locations = message.messages(4)
    #expect(Set(functions.map { $0.number(1) }).count == functions.count)
    #expect(Set(locations.map { $0.number(1) }).count == locations.count)
    let byID = Dictionary(uniqueKeysWithValues: functions.map { ($0.number(1), $0) })
    var names: [UInt64: [String]] = [:]
    for location in locations {
      let lines = location.messages(4)
      #expect(!lines.isEmpty)
      names[location.number(1)] = try lines.map { line in
        let function = try #require(byID[line.number(1)])
        return "\(strings[Int(function.number(2))]) \(strings[Int(function.number(4))]):\(line.number(2))"
      }
    }
    var waiting: UInt64 = 0
    for sample in message.messages(2) {
      let places = Message.packed(try #require(sample.contents[1]?.first))
      #expect(places.allSatisfy { names[$0] != nil })
      let stack = places.flatMap { names[$0] ?? [] }
      let values = Message.packed(try #require(sample.contents[2]?.first))
      let value = try #require(values.first)
      #expect(value > 0)
      if stack.contains(where: { $0.contains("waitForProfile") && $0.contains("/ProfileTests.swift:") }) {
        waiting += value
      }
    }
    #expect(waiting == 10)
  }
}
