import Apus
import Testing

@Suite struct ConditionTests {
  /// Waits for exactly one notification, as a bare `Wait` would: sends to `running` under the mutex before it.
  private static func waitOnce(_ mutex: borrowing Mutex<Int>, _ condition: Condition, _ running: () -> Void) {
    var looks = 0
    mutex.withLock(
      waitingOn: condition,
      until: { _ in
        looks += 1
        if looks == 1 { running() }
        return looks > 1
      }
    ) { _ in }
  }

  @Test func signalWakesOne() throws {
    onGoroutine {
      let mutex = Mutex(0)
      let condition = Condition()
      let running = Channel<Void>(capacity: 2)
      let awake = Channel<Void>(capacity: 2)
      for _ in 0..<2 {
        go {
          Self.waitOnce(mutex, condition) { running.send(()) }
          awake.send(())
        }
      }
      for _ in 0..<2 { _ = running.receive() }
      for _ in 0..<2 {
        #expect(awake.count == 0)
        mutex.withLock { _ in condition.signal() }
        _ = awake.receive()
        for _ in 0..<100 { Goroutine.yield() }
        #expect(awake.count == 0)
      }
      condition.signal()
    }
  }

  @Test func signalsWakeInOrder() throws {
    onGoroutine {
      let mutex = Mutex(0)
      let condition = Condition()
      let count = 100
      let running = Channel<Void>(capacity: count)
      let awake = Channel<Int>(capacity: count)
      for number in 0..<count {
        go {
          Self.waitOnce(mutex, condition) { running.send(()) }
          awake.send(number)
        }
        if number > 0 { #expect(awake.receive() == number - 1) }
        _ = running.receive()
        mutex.withLock { _ in condition.signal() }
      }
      #expect(awake.receive() == count - 1)
    }
  }

  @Test func manyWaitersAreSignalledFirstComeFirstServed() throws {
    onGoroutine {
      let mutex = Mutex(0)
      let condition = Condition()
      let running = Channel<Void>()
      let awake = Channel<Int>()
      for number in 0..<20 {
        go {
          Self.waitOnce(mutex, condition) { running.send(()) }
          awake.send(number)
        }
        _ = running.receive()
      }
      for number in 0..<20 {
        mutex.withLock { _ in condition.signal() }
        #expect(awake.receive() == number)
      }
    }
  }

  @Test func broadcastWakesAll() throws {
    onGoroutine {
      let count = 50
      let mutex = Mutex(0)
      let condition = Condition()
      let isOver = Flag()
      let running = Channel<Int>(capacity: count)
      let awake = Channel<Int>(capacity: count)
      for number in 0..<count {
        go {
          while !isOver.isSet {
            Self.waitOnce(mutex, condition) { running.send(number) }
            awake.send(number)
          }
        }
      }
      for round in 0..<count {
        for _ in 0..<count { _ = running.receive() }
        if round == count - 1 { isOver.set() }
        #expect(awake.count == 0)
        mutex.withLock { _ in condition.broadcast() }
        let seen = Set((0..<count).map { _ in awake.receive()! })
        #expect(seen.count == count)
      }
      #expect(running.count == 0)
      condition.broadcast()
    }
  }

  /// Three goroutines that wait for each other's changes of one value.
  @Test func changesAreSeenByTheNextWaiter() throws {
    onGoroutine {
      let value = Mutex(0)
      let condition = Condition()
      let group = WaitGroup()
      for step in (0..<30).reversed() {
        group.go {
          value.withLock(waitingOn: condition, until: { $0 == step }) { $0 += 1 }
          condition.broadcast()
        }
      }
      group.wait()
      #expect(value.withLock { $0 } == 30)
    }
  }

  /// A goroutine that waits must get a broadcast that comes after it, though another begins to wait at the same time.
  @Test func newWaiterDoesNotStealTheNotification() throws {
    onGoroutine {
      for _ in 0..<1000 {
        let mutex = Mutex(0)
        let condition = Condition()
        let isOver = Mutex(false)
        let meeting = Channel<Void>()
        go {
          Self.waitOnce(mutex, condition) { meeting.send(()) }
          meeting.send(())
        }
        _ = meeting.receive()
        mutex.withLock { _ in }
        let group = WaitGroup()
        group.go { condition.broadcast() }
        group.go { isOver.withLock(waitingOn: condition, until: { $0 }) { _ in } }
        _ = meeting.receive()
        isOver.withLock { $0 = true }
        condition.broadcast()
        group.wait()
      }
    }
  }

  @Test func mutexIsFreeWhileItsHolderWaits() throws {
    onGoroutine {
      let mutex = Mutex(0)
      let condition = Condition()
      let running = Channel<Void>()
      let group = WaitGroup()
      group.go { Self.waitOnce(mutex, condition) { running.send(()) } }
      _ = running.receive()
      #expect(yieldUntil { mutex.withLockIfAvailable { _ in } != nil })
      condition.signal()
      group.wait()
    }
  }

  @Test func predicateThatHoldsNeedsNoSignal() {
    let mutex = Mutex(4)
    let doubled = mutex.withLock(waitingOn: Condition(), until: { $0 == 4 }) { $0 * 2 }
    #expect(doubled == 8)
  }

  @Test func threadBlocksForTheCondition() {
    let queue = Mutex([Int]())
    let notEmpty = Condition()
    go {
      for number in 0..<500 {
        queue.withLock { $0.append(number) }
        notEmpty.signal()
        if number % 3 == 0 { Goroutine.yield() }
      }
    }
    for number in 0..<500 {
      let taken = queue.withLock(waitingOn: notEmpty, until: { !$0.isEmpty }) { $0.removeFirst() }
      #expect(taken == number)
    }
  }
}
