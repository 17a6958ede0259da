import Apus
import Glibc

/// The CPU time of the calling thread, in milliseconds.
@inline(__always)
private func threadMilliseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

@inline(__always)
private func compute(_ milliseconds: Int) -> Int {
  let end = threadMilliseconds() + milliseconds
  var sum = 0
  while threadMilliseconds() < end {
    var number = 0
    while number < 1_000_000 {
      sum = sum &* 31 ^ number
      number &+= 1
    }
  }
  return sum
}

@inline(never)
func computeLong() -> Int { compute(900) }

@inline(never)
func computeShort() -> Int { compute(300) }

/// Writes a profile to `file` of two goroutines that compute, one for three times as long as the other.
func writeCPUProfile(to path: String) {
  guard Runtime.startCPUProfile() else { return }
  let group = WaitGroup()
  for body in [computeLong, computeShort] {
    group.go {
      // Its CPU time is its thread's.
      Goroutine.lockToThread()
      if body() == 0 { afterwards() }
    }
  }
  group.wait()
  guard let profile = Runtime.stopCPUProfile(), let file = fopen(path, "w") else { exit(1) }
  fwrite(profile, 1, profile.count, file)
  fclose(file)
}
