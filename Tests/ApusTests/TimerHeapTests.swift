import ApusRuntime
import Synchronization
import Testing

/// The heap by itself, against a sorted list.
@Suite struct TimerHeapTests {
  /// Records whose function does nothing, in memory that is given back at the end.
  private func withRecords(_ count: Int, _ body: (TimerRecordRef) -> Void) {
    let records = TimerRecordRef.allocate(capacity: count)
    for index in 0..<count {
      (records + index).initialize(to: TimerRecord(UnsafeMutableRawPointer(bitPattern: 64)!) { _ in })
    }
    body(records)
    records.deinitialize(count: count)
    records.deallocate()
  }

  // The macro copies what a condition calls methods of, and a heap can't be.
  private func expectSound(_ heap: borrowing TimerHeap, _ location: SourceLocation = #_sourceLocation) {
    let isSound = heap.isConsistent()
    #expect(isSound, sourceLocation: location)
  }

  private func expectNext(_ heap: borrowing TimerHeap, _ when: Int64) {
    let next = heap.nextWhen.load(ordering: .relaxed)
    #expect(next == when)
  }

  private func insert(_ heap: inout TimerHeap, _ record: TimerRecordRef, at when: Int64) {
    record.pointee.alarm = when
    record.pointee.isWanted = true
    heap.insert(TimerHeap.Entry(when: when, record: record))
  }

  /// Takes out everything up to `now`; when each fired.
  private func expire(_ heap: inout TimerHeap, _ now: Int64) -> [Int64] {
    var sleepers = GQueue()
    var fired: TimerRecordRef?
    let stopped = heap.takeExpired(now, atMost: Int.max, &sleepers, &fired)
    #expect(!stopped)
    var times: [Int64] = []
    while let record = fired {
      times.append(record.pointee.alarm)
      record.pointee.isFiring.store(false, ordering: .relaxed)
      fired = record.pointee.link
    }
    return times
  }

  @Test func firesInTheOrderOfTimeWhateverTheOrderOfInsertion() {
    withRecords(1000) { records in
      var heap = TimerHeap()
      var random = SystemRandomNumberGenerator()
      var times: [Int64] = []
      for index in 0..<1000 {
        let when = Int64.random(in: 1...500, using: &random)
        times.append(when)
        insert(&heap, records + index, at: when)
      }
      expectSound(heap)
      _ = heap.publish()
      expectNext(heap, times.min()!)
      times.sort()
      let early = expire(&heap, 250)
      expectSound(heap)
      let late = expire(&heap, 500)
      #expect(early.allSatisfy { $0 <= 250 })
      #expect(late.allSatisfy { $0 > 250 })
      #expect(early + late == times)
      let count = heap.count
      #expect(count == 0)
    }
  }

  @Test func removesAnywhere() {
    withRecords(300) { records in
      var heap = TimerHeap()
      for index in 0..<300 { insert(&heap, records + index, at: Int64(index * 7919 % 300) + 1) }
      for index in stride(from: 0, to: 300, by: 3) {
        heap.remove(at: Int(records[index].index))
        records[index].isWanted = false
        expectSound(heap)
      }
      let left = expire(&heap, 1000)
      #expect(left.count == 200)
      #expect(left == left.sorted())
    }
  }

  @Test func aPostponedEntryIsBroughtUpToDateWhenItSurfaces() {
    withRecords(3) { records in
      var heap = TimerHeap()
      for index in 0..<3 { insert(&heap, records + index, at: Int64(index) + 1) }
      records[0].alarm = 10
      #expect(expire(&heap, 5) == [2, 3])
      _ = heap.publish()
      expectNext(heap, 10)
      #expect(expire(&heap, 9) == [])
      #expect(expire(&heap, 10) == [10])
    }
  }

  @Test func deadEntriesAreSweptWhenTheyAreMany() {
    withRecords(100) { records in
      var heap = TimerHeap()
      for index in 0..<100 { insert(&heap, records + index, at: Int64(index) + 1) }
      for index in 0..<100 {
        records[index].isWanted = false
        heap.dead += 1
        heap.sweepIfWorthwhile()
        expectSound(heap)
        let (dead, count) = (heap.dead, heap.count)
        #expect(dead <= 16 || dead * 4 <= count + 4)
      }
      let live = heap.live
      #expect(live == 0)
      _ = heap.publish()
      expectNext(heap, TimerHeap.none)
      #expect(expire(&heap, 1000) == [])
    }
  }

  @Test func aRecordWhoseFunctionRunsIsNotTakenTwice() {
    withRecords(1) { records in
      var heap = TimerHeap()
      insert(&heap, records, at: 1)
      var sleepers = GQueue()
      var fired: TimerRecordRef?
      _ = heap.takeExpired(1, atMost: 10, &sleepers, &fired)
      #expect(fired == records)
      insert(&heap, records, at: 1)
      fired = nil
      _ = heap.takeExpired(1, atMost: 10, &sleepers, &fired)
      let count = heap.count
      #expect(fired == nil && count == 1)
      records.pointee.isFiring.store(false, ordering: .relaxed)
      #expect(expire(&heap, 1) == [1])
    }
  }

  @Test func takesNoMoreThanTheLimit() {
    withRecords(10) { records in
      var heap = TimerHeap()
      for index in 0..<10 { insert(&heap, records + index, at: 1) }
      var sleepers = GQueue()
      var fired: TimerRecordRef?
      let stopped = heap.takeExpired(1, atMost: 4, &sleepers, &fired)
      let left = heap.count
      #expect(stopped && left == 6)
    }
  }
}

@Suite struct DeadlineTests {
  @Test func durationsOfAnySizeAreNanoseconds() {
    #expect(Deadline.nanoseconds(of: .zero) == 0)
    #expect(Deadline.nanoseconds(of: .seconds(-1)) == 0)
    #expect(Deadline.nanoseconds(of: .nanoseconds(-1)) == 0)
    #expect(Deadline.nanoseconds(of: .seconds(Int64.min)) == 0)
    #expect(Deadline.nanoseconds(of: .nanoseconds(1)) == 1)
    #expect(Deadline.nanoseconds(of: Duration(secondsComponent: 0, attosecondsComponent: 1)) == 1)
    #expect(Deadline.nanoseconds(of: .milliseconds(1500)) == 1_500_000_000)
    #expect(Deadline.nanoseconds(of: .nanoseconds(Int64.max)) == Int64.max)
    #expect(Deadline.nanoseconds(of: .nanoseconds(Int64.max) + .nanoseconds(1)) == Int64.max)
    #expect(Deadline.nanoseconds(of: .seconds(Int64.max)) == Int64.max)
    let now = Clock.nanotime()
    #expect(Deadline.after(.seconds(-5)) >= now)
    #expect(Deadline.after(.seconds(Int64.max)) == TimerHeap.latest)
    #expect(Deadline.after(.nanoseconds(Int64.max)) == TimerHeap.latest)
  }
}
