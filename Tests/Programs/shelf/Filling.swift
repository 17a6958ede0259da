import Apus
import CApus
import CStress
import Glibc

import struct Synchronization.Atomic

/// How many stacks come back in one step each, and in how many steps the others, where the system can do the former or not.
func countFilled(_ count: Int) {
  let sleepers = Sleepers(count)
  // What is reserved for the others is reserved by now: later than the first stacks were to be taken.
  sleepers.start(sizes: [1 << 18, 1 << 17, 1 << 21])
  awaitShelved(count)
  let (restored, filled) = (apus_shelf_restored(), apus_shelf_filled())
  let wrong = sleepers.wake()
  let steps = (apus_shelf_restored() - restored) - (apus_shelf_filled() - filled)
  print(
    "can \(stress_can_userfault()) filled \(apus_shelf_filled() - filled) by steps \(steps) wrong \(wrong)")
}

/// The program closes a descriptor that it does not know while stacks are away: they come back without it.
func closeDescriptor(_ count: Int) {
  let sleepers = Sleepers(count)
  sleepers.start()
  awaitShelved(count)
  var closed = 0
  for descriptor in 3..<CInt(1024) where isUserfault(descriptor) {
    close(descriptor)
    closed += 1
  }
  let filled = apus_shelf_filled()
  let wrong = sleepers.wake()
  // Nobody tries again and again, and one thread at a time takes the other way.
  print("closed \(closed) wrong \(wrong) filled \(apus_shelf_filled() - filled) fills \(apus_shelf_fills())")
}

/// Begins anew without standard input. Nothing of the runtime's is in its place: who reads from it is told.
func beginWithoutInput(_ arguments: [String]) {
  close(0)
  beginAnew(arguments)
}

func readInput() {
  let line = readLine()
  print("line \(line ?? "none") errno \(errno)")
}

/// A thread of somebody else's touches stacks that are away. Its signal stack is as small as Rust's are.
func touchWithSmallSignalStack(_ count: Int) {
  let sleepers = Sleepers(count)
  sleepers.start()
  awaitShelved(count)
  let wrong = Shared()
  startThread {
    // What the kernel puts there is larger where the processor has more registers.
    let frame = sysconf(CInt(_SC_MINSIGSTKSZ))
    let size = max(8192, frame + 4096)
    let guarded = 4096
    let memory = mmap(nil, guarded + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
    mprotect(memory, guarded, PROT_NONE)
    var stack = stack_t(ss_sp: memory + guarded, ss_flags: 0, ss_size: size)
    sigaltstack(&stack, nil)
    wrong.count.wrappingAdd(sleepers.countWrong(), ordering: .relaxed)
    wrong.isSet.store(true, ordering: .releasing)
  }
  while !wrong.isSet.load(ordering: .acquiring) { Goroutine.sleep(for: .milliseconds(1)) }
  print("read wrong \(wrong.count.load(ordering: .relaxed)) wrong \(sleepers.wake())")
}

/// What lies below what was in use of a stack, when it is back, is nothing: whether it came alone, or with others which have
/// more in use.
func lookBelow(_ count: Int) {
  let (alone, together) = (Sleepers(count), Sleepers(count))
  alone.start(deepening: 40)
  together.start(deepening: 40)
  awaitShelved(2 * count)
  let (lowest, others) = (alone.lowest(), together.lowest())
  for index in 0..<count where alone.values[index]![0] != Sleepers.value(index, 0) { print("wrong value") }
  let beside = alone.countBelow(lowest)
  // Another handler has all come back together, with nobody running.
  signal(SIGSEGV, SIG_DFL)
  while together.areAway { Goroutine.sleep(for: .milliseconds(1)) }
  print("below \(beside) \(together.countBelow(others)) wrong \(alone.wake() + together.wake())")
}

extension Sleepers {
  /// Where each stack that is away begins to be in use.
  fileprivate func lowest() -> [UInt] {
    (0..<count).map { apus_shelf_peek(top(of: $0))!.pointee.sp }
  }

  fileprivate var areAway: Bool { (0..<count).contains { apus_shelf_peek(top(of: $0)) != nil } }

  /// They lie in the topmost page.
  private func top(of index: Int) -> UInt { (UInt(bitPattern: values[index]!) & ~4095) + 4096 }

  /// How many bytes from the page's beginning to there are not zero.
  fileprivate func countBelow(_ lowest: [UInt]) -> Int {
    (0..<count).reduce(0) { sum, index in
      let start = top(of: index) - 4096
      let bytes = UnsafeRawBufferPointer(
        start: UnsafeRawPointer(bitPattern: start), count: Int(lowest[index] - start))
      return sum + bytes.count { $0 != 0 }
    }
  }
}

private func isUserfault(_ descriptor: CInt) -> Bool {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
    text.initialize(repeating: 0)
    return readlink("/proc/self/fd/\(descriptor)", text.baseAddress!, 63) > 0
      && strcmp(text.baseAddress!, "anon_inode:[userfaultfd]") == 0
  }
}
