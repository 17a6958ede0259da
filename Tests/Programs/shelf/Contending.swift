import Apus
import CApus
import CStress
import Glibc

import struct Synchronization.Atomic

/// Starts a thread that the runtime does not know.
func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
  var thread = pthread_t()
  pthread_create(
    &thread, nil,
    {
      Unmanaged<Body>.fromOpaque($0!).takeRetainedValue().run()
      return nil
    }, Unmanaged.passRetained(Body(body)).toOpaque())
  pthread_detach(thread)
}

/// Where threads meet before each step, as close together as they can.
private final class Meeting: Sendable {
  private let arrived = Atomic<Int>(0)
  private let size: Int

  init(of size: Int) { self.size = size }

  /// Waits for the others, who come to step `step` as well, from 0 on.
  func meet(_ step: Int) {
    arrived.wrappingAdd(1, ordering: .acquiringAndReleasing)
    var turns = 0
    while arrived.load(ordering: .acquiring) < (step + 1) * size {
      turns += 1
      if turns > 2000 { sched_yield() }
    }
  }
}

/// Two threads touch the same stacks at the same moment, again and again: one of them brings each back, once.
func touchTogether(_ rounds: Int) {
  let size = 128
  let counters = Counters(size)
  let meeting = Meeting(of: 2)
  let done = Shared()
  let uncounted = Shared()
  for place in 0..<2 {
    startThread {
      for round in 0..<rounds {
        meeting.meet(round * (size + 1))
        while shelved < size { usleep(100) }
        let restored = apus_shelf_restored()
        for index in 0..<size {
          meeting.meet(round * (size + 1) + 1 + index)
          counters.counters[index]![place].wrappingAdd(1, ordering: .relaxed)
          // Who finds a stack back finds it counted, whoever has brought it.
          if apus_shelf_restored() < restored + UInt64(index) + 1 { uncounted.count.wrappingAdd(1, ordering: .relaxed) }
        }
      }
      done.count.wrappingAdd(1, ordering: .releasing)
    }
  }
  // Where no goroutine runs nobody looks for stacks to be taken.
  while done.count.load(ordering: .acquiring) < 2 { Goroutine.sleep(for: .milliseconds(1)) }
  for bell in counters.bells { bell.close() }
  counters.group.wait()
  let lost = 2 * rounds * size - counters.sum.load(ordering: .relaxed)
  print("lost \(lost) left \(shelved) uncounted \(uncounted.count.load(ordering: .relaxed))")
}

/// The runtime's own calls read into stacks that are away, others touch these, and the world is stopped all the time: nobody
/// who has a stack in hand is stopped with it, and no call fails.
func stopMeanwhile(_ rounds: Int) {
  let size = 8
  let counters = Counters(size)
  let shared = Shared()
  let refusals = Shared()
  let readers = 4
  let group = WaitGroup()
  for reader in 0..<readers {
    group.go {
      var ends: [CInt] = [0, 0]
      socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends)
      var turn = 0
      while !shared.isSet.load(ordering: .acquiring) {
        turn += 1
        let place = UnsafeMutableRawPointer(counters.counters[turn % size]! + reader)
        // What is there already, so that nothing changes.
        var value = 0
        write(ends[1], &value, 8)
        let result = turn % 2 == 0 ? apus_read(ends[0], place, 8) : apus_receive(ends[0], place, 8)
        if result == -Int64(EFAULT) {
          refusals.count.wrappingAdd(1, ordering: .relaxed)
          read(ends[0], &value, 8)
        }
        if turn % size == 0 { Goroutine.sleep(for: .microseconds(500)) }
      }
      close(ends[0])
      close(ends[1])
    }
  }
  for toucher in readers..<6 {
    group.go {
      while !shared.isSet.load(ordering: .acquiring) {
        for index in 0..<size { counters.counters[index]![toucher].wrappingAdd(1, ordering: .relaxed) }
        shared.count.wrappingAdd(size, ordering: .relaxed)
        Goroutine.sleep(for: .microseconds(500))
      }
    }
  }
  let start = apus_shelf_taken()
  while apus_shelf_taken() < start + UInt64(rounds * size) { _ = Runtime.dump(all: true) }
  shared.isSet.store(true, ordering: .releasing)
  group.wait()
  for bell in counters.bells { bell.close() }
  counters.group.wait()
  let lost = shared.count.load(ordering: .relaxed) - counters.sum.load(ordering: .relaxed)
  print("lost \(lost) refused \(refusals.count.load(ordering: .relaxed))")
}

/// The kernel fails halfway while it takes every other stack: what was on it is there.
func failHalfway(_ count: Int) {
  let sleepers = Sleepers(count)
  Runtime.shelveStacks(afterWaiting: .seconds(3600))
  sleepers.start()
  let result = stress_break_guards()
  if result < 0 {
    print("no filters: \(result)")
    return
  }
  Runtime.shelveStacks(afterWaiting: .milliseconds(5))
  while shelved < count { Goroutine.sleep(for: .milliseconds(1)) }
  print("broken \(stress_broken_guards() > 0) wrong \(sleepers.wake())")
}

/// Begins anew with SIGSEGV blocked, as a parent may have it.
func beginMasked(_ arguments: [String]) {
  var mask = sigset_t()
  sigemptyset(&mask)
  sigaddset(&mask, SIGSEGV)
  pthread_sigmask(SIG_BLOCK, &mask, nil)
  beginAnew(arguments)
}

func beginAnew(_ arguments: [String]) {
  var words = arguments.map { strdup($0) }
  words.append(nil)
  execv("/proc/self/exe", &words)
  print("execv failed: \(errno)")
}

/// A handler that comes when stacks are away already: they come back, and are not taken any more.
func replaceHandlerLater(_ count: Int) {
  let sleepers = Sleepers(count)
  sleepers.start()
  awaitShelved(count)
  signal(SIGSEGV) { _ in _exit(1) }
  while shelved > 0 { Goroutine.sleep(for: .milliseconds(1)) }
  let isOn = Runtime.shelveStacks(afterWaiting: .milliseconds(1))
  let taken = apus_shelf_taken()
  Goroutine.sleep(for: .milliseconds(50))
  print("more \(apus_shelf_taken() - taken) on \(isOn) wrong \(sleepers.wake())")
}

/// A dump and a trace tell of goroutines whose stacks are away, and leave these there.
func tellOfThem(_ count: Int) {
  let sleepers = Sleepers(count)
  sleepers.start()
  awaitShelved(count)
  let dump = Runtime.dump(all: true).split(separator: "\n")
  let afterDump = apus_shelf_restored()
  Runtime.writeTrace(to: "/dev/null") {}
  let afterTrace = apus_shelf_restored()
  let frames = dump.filter { $0.hasPrefix("apus_shelf.Sleepers.sleep(") }.count
  print("frames \(frames) restored \(afterDump) \(afterTrace) wrong \(sleepers.wake())")
}
