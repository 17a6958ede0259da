import Apus
import CApus
import Synchronization
import Testing

@testable import ApusRuntime

/// Since when goroutines wait. One after the other: a scan stamps the goroutines of all tests.
@Suite(.serialized) struct WaitScanTests {
  private static var second: Int64 { 1_000_000_000 }

  /// A goroutine that waits for the channel again and again.
  private struct Waiter {
    let channel = Channel<Int>()
    let record: GRef

    init() {
      let records = Channel<UInt>()
      go { [channel] in
        records.send(UInt(bitPattern: currentM().currentG))
        while channel.receive() != nil {}
      }
      record = GRef(bitPattern: records.receive()!)!
    }

    var hasStamp: Bool { record.pointee.waitWord.load(ordering: .relaxed) >> 8 != 0 }
    var isWaiting: Bool { record.pointee.status == .waiting && record.pointee.waitReason == .channelReceive }

    /// The line of the dump about it.
    var header: String? {
      let start = "goroutine \(record.pointee.head.id) ["
      return Runtime.dump().split(separator: "\n").first { $0.hasPrefix(start) }.map(String.init)
    }
  }

  @Test func minutesAreCountedFromTheStamp() {
    let word: (Int64) -> UInt32 = { now in
      // As the scan makes it, beside a reason.
      UInt32(truncatingIfNeeded: now / 4 / Self.second % 0xff_ffff + 1) << 8 | 1
    }
    #expect(WaitScan.minutes(of: 1, at: 1_000_000 * Self.second) == 0)
    for start: Int64 in [0, 3, 4, 1_000_000, 4 * 0xff_ffff - 8, 4 * 0xff_ffff] {
      for minutes: Int64 in [0, 1, 2, 59, 100_000] {
        let now = (start + 60 * minutes + 4) * Self.second
        #expect(WaitScan.minutes(of: word(start * Self.second), at: now) == UInt64(minutes))
      }
    }
  }

  @Test func aStampShowsAndIsForgotten() throws {
    let waiter = Waiter()
    #expect(eventually { waiter.isWaiting })
    #expect(waiter.header?.hasSuffix("[chan receive]:") == true)
    WaitScan.stamp(at: Clock.nanotime() - 125 * Self.second, currentM())
    #expect(waiter.header?.hasSuffix("[chan receive, 2 minutes]:") == true)
    // It has its stamp: a later scan changes nothing.
    WaitScan.stamp(at: Clock.nanotime(), currentM())
    #expect(waiter.header?.hasSuffix("[chan receive, 2 minutes]:") == true)
    waiter.channel.send(1)
    #expect(eventually { waiter.isWaiting && !waiter.hasStamp })
    #expect(waiter.header?.hasSuffix("[chan receive]:") == true)
    waiter.channel.close()
  }

  /// Twenty seconds after the process has begun to do anything, or, while it does nothing, when it has begun to do nothing.
  @Test func aScanComesBy() async throws {
    let waiter = Waiter()
    #expect(eventually { waiter.isWaiting })
    let end = ContinuousClock.now + .seconds(60)
    while !waiter.hasStamp && ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(200)) }
    #expect(waiter.hasStamp)
    waiter.channel.close()
  }
}
