import Apus
import CApus
import CStress
import Glibc

/// How many stacks come back in one step each, and in how many steps the others, where the system can do the former or not.
func countFilled(_ count: Int) {
  let sleepers = Sleepers(count)
  sleepers.start()
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
  print("closed \(closed) wrong \(sleepers.wake()) filled \(apus_shelf_filled() - filled)")
}

private func isUserfault(_ descriptor: CInt) -> Bool {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
    text.initialize(repeating: 0)
    return readlink("/proc/self/fd/\(descriptor)", text.baseAddress!, 63) > 0
      && strcmp(text.baseAddress!, "anon_inode:[userfaultfd]") == 0
  }
}
