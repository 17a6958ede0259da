import AllocationCounter
import Apus
import ApusHeap
import ApusNet

/// Does what the runtime has sections for, twice, as there is much that happens at the first time only, the second time
/// with profiles of what goroutines wait for, and prints how many
/// blocks were allocated or freed in them: `in sections N`. Then whether one in a section is seen: `control 1`.
func useEverything() {
  use()
  Runtime.blockProfileRate = 1
  Runtime.mutexProfileFraction = 1
  use()
  print("in sections", allocation_count_in_sections())
  let before = allocation_count_in_sections()
  allocate_in_section()
  print("control", allocation_count_in_sections() - before)
}

private func use() {
  spawnMany()
  waitInManyWays()
  setTimers()
  changeProcessors()
  useSockets()
  useHeap()
  _ = Runtime.dump()
  _ = Runtime.schedulerStatistics
}

/// More than a ring holds, from one goroutine and from many, with stacks of several sizes.
private func spawnMany() {
  let group = WaitGroup()
  for number in 0..<2000 {
    group.add()
    go(stackSize: number % 2 == 0 ? 16 << 10 : 1 << 20) {
      if number % 100 == 0 {
        for _ in 0..<20 { group.go { Goroutine.yield() } }
      }
      for _ in 0..<10 { Goroutine.yield() }
      group.done()
    }
  }
  group.wait()
}

private func waitInManyWays() {
  let group = WaitGroup()
  let mutex = Mutex(0)
  let shared = RWMutex(0)
  let units = Semaphore(2)
  let numbers = Channel<Int>()
  let buffer = Channel<Int>(capacity: 4)
  let (context, cancel) = Context.background.cancellable()
  for number in 0..<200 {
    group.go {
      for _ in 0..<20 {
        mutex.withLock {
          $0 += 1
          if number % 10 == 0 { Goroutine.yield() }
        }
        shared.withReadLock { _ in Goroutine.yield() }
        if number % 10 == 1 { shared.withWriteLock { $0 += 1 } }
        units.acquire()
        Goroutine.yield()
        units.release()
        switch select(numbers.sending(number), numbers.receiving, buffer.receiving, .after(.microseconds(50))) {
        default: break
        }
        switch select(buffer.sending(number), .default) {
        default: break
        }
      }
    }
  }
  for _ in 0..<100 {
    let (inner, stop) = context.timeout(.milliseconds(1))
    group.go {
      _ = inner.done.receive()
      stop(nil)
    }
  }
  group.wait()
  cancel(nil)
}

/// Many that fire, and many that are called off, so that the heaps are swept.
private func setTimers() {
  var timers: [Goroutine.Timer] = []
  for number in 0..<2000 { timers.append(Goroutine.after(.microseconds(number % 2 == 0 ? 100 : 1_000_000_000)) {}) }
  Goroutine.sleep(for: .milliseconds(5))
  for timer in timers { _ = timer.stop() }
}

private func changeProcessors() {
  let before = Runtime.maxProcs
  let group = WaitGroup()
  for count in [1, 4, 2, 8, 3, before] {
    for _ in 0..<100 { group.go { for _ in 0..<20 { Goroutine.yield() } } }
    Runtime.maxProcs = count
    // Somebody computes, so that others are stolen, and it is stopped.
    group.go {
      let end = ContinuousClock.now + .milliseconds(5)
      while ContinuousClock.now < end {}
    }
  }
  group.wait()
}

private func useSockets() {
  guard let listener = try? TCPListener(port: 0) else { return }
  let group = WaitGroup()
  for _ in 0..<20 {
    group.go {
      guard let connection = try? listener.accept() else { return }
      connection.readDeadline = .now + .seconds(10)
      if let bytes = try? connection.readExactly(4) { try? connection.write(bytes) }
      connection.close()
    }
    group.go {
      guard let connection = try? TCPConnection(host: "127.0.0.1", port: listener.address.port) else { return }
      try? connection.write([1, 2, 3, 4] as [UInt8])
      _ = try? connection.readExactly(4)
      connection.close()
    }
  }
  group.wait()
  listener.close()
}

private struct Node {
  var next = Link<Node>()
  var number: Int
}

private struct Named {
  var next = Link<Named>()
  var name: String
}

/// Objects with and without something to destroy, arrays of all sizes, roots and weak references, from several goroutines
/// at once, and collections meanwhile.
private func useHeap() {
  let group = WaitGroup()
  for worker in 0..<4 {
    group.go {
      withHeap { heap in
        let first = heap.new(Node(number: worker))
        let name = heap.new(Named(name: "the name of an object, of more than fifteen bytes"))
        var roots: [Root<Node>] = []
        var weak: [WeakRef<Named>] = []
        for number in 0..<5000 {
          let node = heap.new(Node(number: number))
          node.next = first.next
          first.next = node
          if number % 5 == 0 { roots.append(Root(node)) }
          if number % 10 == 0 {
            let other = heap.new(Named(name: "another name of more than fifteen bytes"))
            name.next = other
            weak.append(WeakRef(other))
          }
          if number % 500 == 0 {
            let array = heap.newArray(repeating: number, count: number * number / 100)
            if array.count > 0 { array[0] = worker }
            roots.removeAll()
          }
          if number % 2000 == worker * 100 { ManagedHeap.collect() }
        }
        for reference in weak { _ = reference.get(heap)?.name }
      }
    }
  }
  group.wait()
  ManagedHeap.collect()
  ManagedHeap.releaseMemory()
  _ = ManagedHeap.statistics
}
