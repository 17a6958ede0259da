import ApusRuntime
import Testing

@Suite("The lead of a wake-up")
struct WakeLeadTests {
  /// Latenesses that all occur equally often, in an order that mixes them.
  private func latenesses(_ range: ClosedRange<Int64>, _ count: Int) -> [Int64] {
    let width = range.upperBound - range.lowerBound + 1
    return (0..<Int64(count)).map { range.lowerBound + ($0 * 15_485_863) % width }
  }

  @Test("covers all but one lateness of 128")
  func coversMost() {
    var lead: Int64 = 0
    for late in latenesses(10_000...50_000, 4000) { lead = WakeLead.next(lead, late: late) }
    var later = 0
    for late in latenesses(10_000...50_000, 32_000) {
      if late > lead { later += 1 }
      lead = WakeLead.next(lead, late: late)
    }
    #expect(abs(later - 250) <= 50)
    #expect(abs(lead - 49_690) <= 3000)
  }

  @Test("grows at once, and falls where the kernel is in time")
  func follows() {
    var lead: Int64 = 0
    for _ in 0..<60 { lead = WakeLead.next(lead, late: 200_000) }
    #expect(lead == WakeLead.longest)
    for _ in 0..<8000 { lead = WakeLead.next(lead, late: 2000) }
    #expect((1900...5000).contains(lead))
    for _ in 0..<1000 { lead = WakeLead.next(lead, late: 0) }
    #expect(lead == 0)
  }

  @Test("is an eighth of the wait at the most")
  func isBounded() {
    #expect(WakeLead.early(50_000, wait: 1_000_000) == 50_000)
    #expect(WakeLead.early(50_000, wait: 80_000) == 10_000)
    #expect(WakeLead.early(50_000, wait: -3) == 0)
  }

  @Test("stays the same for a whole wait, however often it is interrupted")
  func staysForAWait() {
    let wait = TimedWait(until: 2_000_000, lead: 100_000, now: 1_000_000)
    #expect(wait.step(now: 1_000_000) == .sleep(nanoseconds: 900_000))
    // An eighth of the 160 us that are left would be 20.
    #expect(wait.step(now: 1_840_000) == .sleep(nanoseconds: 60_000))
    #expect(wait.step(now: 1_900_000) == .spin)
    #expect(wait.step(now: 1_999_999) == .spin)
    #expect(wait.step(now: 2_000_000) == .over)
  }

  @Test("is no sleep of two microseconds or less")
  func sleepsNotForAMoment() {
    let wait = TimedWait(until: 10_000, lead: 0, now: 0)
    #expect(wait.step(now: 7_999) == .sleep(nanoseconds: 2_001))
    #expect(wait.step(now: 8_000) == .spin)
    #expect(TimedWait(until: 5, lead: 0, now: 6).step(now: 6) == .over)
  }

  @Test("learns nothing from a sleep that ended before its time")
  func learnsFromTheKernelAlone() {
    let wait = TimedWait(until: 2_000_000, lead: 100_000, now: 1_000_000)
    #expect(wait.lateness(now: 1_899_999) == nil)
    #expect(wait.lateness(now: 1_900_000) == 0)
    #expect(wait.lateness(now: 1_930_000) == 30_000)
  }
}
