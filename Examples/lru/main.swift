// A cache that forgets what was not used for the longest time: a hash table of entries that are also a doubly linked list,
// shared by goroutines under a lock. The entries are managed objects, so the links in both directions cost no counts and
// need no weak ones.
import Apus
import ApusHeap

struct Entry {
  var newer = Link<Entry>()
  var older = Link<Entry>()
  /// The next entry in the same bucket.
  var next = Link<Entry>()
  var key: Int
  var value: String
}

struct Table {
  var buckets = Link<HeapArray<Link<Entry>>>()
  var newest = Link<Entry>()
  var oldest = Link<Entry>()
  var count = 0
  var capacity: Int
}

final class Cache: Sendable {
  private let table: Mutex<Root<Table>>

  init(capacity: Int) {
    let root = withHeap { heap in
      let table = heap.new(Table(capacity: capacity))
      table.buckets = heap.newArray(repeating: Link<Entry>(), count: capacity)
      return Root(table)
    }
    table = Mutex(root)
  }

  /// The value of `key`, or what `make` makes of it.
  func value(of key: Int, orMake make: (Int) -> String) -> String {
    table.withLock { root in
      withHeap { heap in
        let table = root.get(heap)
        let buckets = table.buckets!
        var entry = buckets[key % buckets.count]
        while let current = entry {
          if current.key == key {
            Self.unlink(current, table)
            Self.putFirst(current, table)
            return current.value
          }
          entry = current.next
        }
        if table.count == table.capacity { Self.dropOldest(table) }
        let new = heap.new(Entry(key: key, value: make(key)))
        new.next = buckets[key % buckets.count]
        buckets[key % buckets.count] = new
        Self.putFirst(new, table)
        table.count += 1
        return new.value
      }
    }
  }

  /// The keys, the last one used first.
  var keys: [Int] {
    table.withLock { root in
      withHeap { heap in
        var keys: [Int] = []
        var entry = root.get(heap).newest
        while let current = entry {
          keys.append(current.key)
          entry = current.older
        }
        return keys
      }
    }
  }

  private static func putFirst(_ entry: Ref<Entry>, _ table: Ref<Table>) {
    entry.newer = nil
    entry.older = table.newest
    if let newest = table.newest { newest.newer = entry } else { table.oldest = entry }
    table.newest = entry
  }

  private static func unlink(_ entry: Ref<Entry>, _ table: Ref<Table>) {
    if let newer = entry.newer { newer.older = entry.older } else { table.newest = entry.older }
    if let older = entry.older { older.newer = entry.newer } else { table.oldest = entry.newer }
  }

  private static func dropOldest(_ table: Ref<Table>) {
    let oldest = table.oldest!
    unlink(oldest, table)
    let buckets = table.buckets!
    let index = oldest.key % buckets.count
    if buckets[index] === oldest {
      buckets[index] = oldest.next
    } else {
      var entry = buckets[index]
      while let current = entry {
        if current.next === oldest { current.next = oldest.next }
        entry = current.next
      }
    }
    table.count -= 1
  }
}

let cache = Cache(capacity: 4)
for key in [1, 2, 3, 4, 1, 5, 2] { print(cache.value(of: key) { "made \($0)" }, cache.keys) }

// The same from many goroutines, with many more keys than places.
let large = Cache(capacity: 500)
let group = WaitGroup()
let wrong = Mutex(0)
for worker in 0..<8 {
  group.go {
    for step in 0..<20_000 {
      let key = (step * (worker + 3)) % 2000
      let value = large.value(of: key) { "value \($0)" }
      if value != "value \(key)" { wrong.withLock { $0 += 1 } }
    }
  }
}
group.wait()
print("wrong values:", wrong.withLock { $0 }, "entries:", large.keys.count)
