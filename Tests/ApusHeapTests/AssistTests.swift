import Apus
import CApus
import Testing

import struct Synchronization.Atomic

@testable import ApusHeap
@testable import ApusRuntime

extension ManagedHeapTests {
  /// Where those who allocate find what they mark, and leave what they don't.
  @Suite struct Assists {
    @Test func whoHelpsLeavesItsRestToEverybody() {
      let isShared = DrivenCollector.run {
        let setting = Moving.Setting.make(length: 5000)
        DrivenCollector.begin()
        var hasMore = true
        _ = Assist.mark(100 * 24, leavesRest: true, &hasMore)
        let isShared = hasMore && MarkWork.hasWork
        DrivenCollector.end()
        return isShared && setting.payloadLives()
      }
      #expect(isShared)
    }

    /// Where there is a CPU for each P: else somebody may wait for this one who would leave something.
    @Test func whoFindsNothingWaitsForAMoment() {
      let (idle, busy, time, left) = DrivenCollector.run {
        let setting = Moving.Setting.make(length: 5000)
        DrivenCollector.begin()
        while MarkWork.hasWork { DrivenCollector.mark(100 * 24) }
        let active = withUnsafePointer(to: heap.pointee.markWork.active) { $0 }
        var waited: Int64 = 0
        let idle = Assist.othersLeaveWork(&waited)
        // As if somebody marked.
        active.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        waited = 0
        let busy = Assist.othersLeaveWork(&waited)
        let time = waited
        var hasMore = true
        _ = Assist.mark(100 * 24, leavesRest: true, &hasMore)
        let left = Assist.othersLeaveWork(&waited)
        active.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        DrivenCollector.end()
        return (idle, busy, setting.payloadLives() ? time : 0, left)
      }
      let isEachOnACPU = MaxProcs.current <= MaxProcs.cpuCount
      #expect(!idle && !busy)
      #expect(isEachOnACPU ? time > 50_000 : time == 0)
      #expect(left == isEachOnACPU)
    }
  }
}
