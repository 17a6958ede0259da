import Apus
import ApusHeap
import CApus
import Glibc

import struct Synchronization.Atomic

private struct Leaf {
  var number: Int
}

private final class Holders: Sendable {
  let gate = Channel<Void>()
  let group = WaitGroup()
  let arrived = Atomic<Int>(0)
  let wrong = Atomic<Int>(0)

  @inline(never)
  func hold(_ index: Int) {
    withHeap { heap in
      let leaf = heap.new(Leaf(number: index))
      arrived.wrappingAdd(1, ordering: .relaxed)
      _ = gate.receive()
      if leaf.number != index { wrong.wrappingAdd(1, ordering: .relaxed) }
    }
  }
}

/// The only references to managed objects are on stacks that are kept elsewhere: a collection finds them there, and leaves
/// them there.
func collectBeside(_ count: Int) {
  let holders = Holders()
  for index in 0..<count { holders.group.go { holders.hold(index) } }
  while holders.arrived.load(ordering: .relaxed) < count { Goroutine.yield() }
  awaitShelved(count)
  for _ in 0..<5 {
    ManagedHeap.collect()
    // What was freed by mistake is used anew.
    withHeap { heap in
      for _ in 0..<10_000 { _ = heap.new(Leaf(number: -1)) }
    }
  }
  let (restored, faults) = (apus_shelf_restored(), apus_shelf_faults())
  holders.gate.close()
  holders.group.wait()
  print("wrong \(holders.wrong.load(ordering: .relaxed)) restored \(restored) faults \(faults)")
}

/// The report shows the frames of a goroutine whose stack is away.
func failBeside(_ count: Int) {
  let sleepers = Sleepers(count)
  sleepers.start()
  awaitShelved(count)
  fatalError("enough")
}

/// The number of processors changes while stacks come and go.
func changeProcessors(_ count: Int) {
  var wrong = 0
  for procs in [1, 3, 2, 8, 1] {
    let sleepers = Sleepers(count)
    sleepers.start()
    awaitShelved(count)
    Runtime.maxProcs = procs
    wrong += sleepers.wake()
  }
  print("wrong \(wrong)")
}

/// The runtime's own calls find a place on a stack that is away.
func receiveIntoStack() {
  let sleepers = Sleepers(4)
  sleepers.start { $0 == Sleepers.value(1, 0) ? 42 : $0 == Sleepers.value(2, 0) ? 43 : $0 }
  awaitShelved(4)
  var pair: [CInt] = [0, 0]
  socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair)
  var sent = [42, 43]
  write(pair[1], &sent, 16)
  let direct = read(pair[0], sleepers.values[0]!, 8)
  let refused = direct < 0 && errno == EFAULT
  let first = apus_receive(pair[0], sleepers.values[1]!, 8)
  var vector = apus_vector(base: sleepers.values[2]!, count: 8)
  let second = apus_read_vectors(pair[0], &vector, 1)
  let third = apus_send(pair[0], sleepers.values[3]!, 8)
  print("refused \(refused) received \(first) \(second) sent \(third) wrong \(sleepers.wake())")
}

/// A child has the stacks, too, and its own way to bring them back.
func forkBeside() {
  let sleepers = Sleepers(3)
  sleepers.start()
  awaitShelved(3)
  typealias Fork = @convention(c) () -> pid_t
  let fork = unsafeBitCast(dlsym(nil, "fork")!, to: Fork.self)
  let child = fork()
  if child == 0 {
    var isRight = true
    for place in 0..<Sleepers.each where sleepers.values[1]![place] != Sleepers.value(1, place) { isRight = false }
    sleepers.values[2]![0] = 7
    _exit(isRight && sleepers.values[2]![0] == 7 ? 0 : 1)
  }
  var status: CInt = -1
  waitpid(child, &status, 0)
  print("child \(status) kept \(shelved) wrong \(sleepers.wake())")
}

/// A jump into a stack that is away is a fault like another.
func executeStack() {
  let sleepers = Sleepers(1)
  sleepers.start()
  awaitShelved(1)
  unsafeBitCast(sleepers.values[0]!, to: (@convention(c) () -> Void).self)()
}

/// With another handler in place of the runtime's nothing is taken.
func replaceHandler(_ milliseconds: Int) {
  signal(SIGSEGV) { _ in _exit(1) }
  let sleepers = Sleepers(100)
  sleepers.start()
  Goroutine.sleep(for: .milliseconds(milliseconds))
  let taken = apus_shelf_taken()
  print("taken \(taken) wrong \(sleepers.wake())")
}

func waitWithoutShelf(_ milliseconds: Int) {
  let sleepers = Sleepers(100)
  sleepers.start()
  Goroutine.sleep(for: .milliseconds(milliseconds))
  let taken = apus_shelf_taken()
  print("taken \(taken) helpers \(countHelpers()) wrong \(sleepers.wake())")
}

/// How many goroutines of the runtime's take stacks: with GOTRACEBACK=system a dump has them.
private func countHelpers() -> Int {
  Runtime.dump(all: true).split(separator: "\n").filter { $0.contains("[stack shelf wait") }.count
}

/// Nothing is done before a call asks for it, and nothing after one that asks for what cannot be.
func askForShelf(_ count: Int) {
  let sleepers = Sleepers(count)
  sleepers.start()
  let refusals = [Duration.zero, .seconds(86401)].map { Runtime.shelveStacks(afterWaiting: $0) }
  let isStarted = Runtime.shelveStacks(afterWaiting: .seconds(3600))
  let isChanged = Runtime.shelveStacks(afterWaiting: .milliseconds(2))
  awaitShelved(count)
  // It may sleep between two batches.
  var helpers = countHelpers()
  while helpers == 0 {
    Goroutine.sleep(for: .milliseconds(1))
    helpers = countHelpers()
  }
  print("\(refusals[0]) \(refusals[1]) \(isStarted) \(isChanged) helpers \(helpers) wrong \(sleepers.wake())")
}

/// How often the threads of the process have gone to sleep.
private func countSleeps() -> Int {
  var sum = 0
  guard let directory = opendir("/proc/self/task") else { return 0 }
  defer { closedir(directory) }
  while let entry = readdir(directory) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) {
      String(cString: $0.bindMemory(to: CChar.self).baseAddress!)
    }
    guard let file = fopen("/proc/self/task/\(name)/status", "r") else { continue }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, 256, file) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if text.hasPrefix("voluntary_ctxt_switches:") { sum += Int(text.filter(\.isNumber)) ?? 0 }
    }
  }
  return sum
}

/// When nothing is left to be taken, nobody looks for it any more. A pass every five milliseconds would take its thread, and
/// sysmon's, a hundred times.
func comeToRest(_ count: Int) {
  let sleepers = Sleepers(count)
  sleepers.start()
  awaitShelved(count)
  let before = countSleeps()
  Goroutine.sleep(for: .milliseconds(1000))
  let sleeps = countSleeps() - before
  print("rests \(sleeps < 100) wrong \(sleepers.wake())")
}
