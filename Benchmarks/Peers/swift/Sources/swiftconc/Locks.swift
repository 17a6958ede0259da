import Glibc
import Synchronization

final class Counter: Sendable { let m = Mutex(0) }
actor ACounter {
  var c = 0
  func inc() { c += 1 }
}

func mutex() async {
  let n = size(1_000_000)
  let k = Counter()
  let t = now()
  await withDiscardingTaskGroup { g in
    for _ in 0..<8 { g.addTask { for _ in 0..<n { k.m.withLock { $0 += 1 } } } }
  }
  let d = now() - t
  precondition(k.m.withLock { $0 } == 8 * n)
  report("mutex", n, d, 8 * n)
}

func mutexActor() async {
  let n = size(1_000_000)
  let a = ACounter(), own = Slots<Int>(128)
  let t = now()
  await withDiscardingTaskGroup { g in
    for k in 0..<8 {
      // the store outside the actor makes each call hop there and back: without it the optimizer
      // drops the hop back and a task keeps the actor for its whole loop
      g.addTask { for i in 0..<n { await a.inc(); own.p[k * 16] = i } }
    }
  }
  let d = now() - t
  let c = await a.c
  precondition(c == 8 * n)
  report("mutex_actor", n, d, 8 * n)
}

final class RW: @unchecked Sendable {
  let l = UnsafeMutablePointer<pthread_rwlock_t>.allocate(capacity: 1)
  var c = 0
  init() { pthread_rwlock_init(l, nil) }
}

func rwmutex() async {
  let n = size(1_000_000)
  let k = RW()
  let t = now()
  await withDiscardingTaskGroup { g in
    for _ in 0..<8 {
      g.addTask {
        var r = 0
        for i in 0..<n {
          if i % 10 == 9 {
            pthread_rwlock_wrlock(k.l)
            k.c += 1
          } else {
            pthread_rwlock_rdlock(k.l)
            if k.c >= 0 { r += 1 }
          }
          pthread_rwlock_unlock(k.l)
        }
      }
    }
  }
  let d = now() - t
  precondition(k.c == 8 * (n / 10))
  report("rwmutex", n, d, 8 * n)
}
