import AsyncAlgorithms
import Synchronization

struct Ring<T> {
  var a: [T?]
  var head = 0, count = 0
  init(_ cap: Int) { a = Array(repeating: nil, count: max(cap, 1)) }
  mutating func push(_ v: T) {
    if count == a.count {
      var b = [T?](repeating: nil, count: a.count * 2)
      for i in 0..<count { b[i] = a[(head + i) % a.count] }
      a = b
      head = 0
    }
    var i = head + count
    if i >= a.count { i -= a.count }
    a[i] = v
    count += 1
  }
  mutating func pop() -> T? {
    if count == 0 { return nil }
    let v = a[head].take()
    head += 1
    if head == a.count { head = 0 }
    count -= 1
    return v
  }
}

protocol Ch: Sendable {
  func send(_ v: Int) async
  func recv() async -> Int?
  func close()
}

final class LibCh: Ch {
  let c = AsyncChannel<Int>()
  init() {}
  func send(_ v: Int) async { await c.send(v) }
  func recv() async -> Int? {
    var it = c.makeAsyncIterator()
    return await it.next()
  }
  func close() { c.finish() }
}

final class HandCh: Ch {
  typealias R = UnsafeContinuation<Int?, Never>
  typealias S = UnsafeContinuation<Void, Never>
  struct State {
    var buf: Ring<Int>
    var recvq = Ring<R>(1)
    var sendq = Ring<(Int, S)>(1)
    var closed = false
  }
  let cap: Int
  let m: Mutex<State>
  init(_ cap: Int = 0) {
    self.cap = cap
    m = Mutex(State(buf: Ring(cap)))
  }
  // true: sent
  func trySend(_ v: Int, _ k: S?) -> Bool {
    let (ok, r): (Bool, R?) = m.withLock { s in
      if let r = s.recvq.pop() { return (true, r) }
      if s.buf.count < cap { s.buf.push(v); return (true, nil) }
      if let k { s.sendq.push((v, k)) }
      return (false, nil)
    }
    r?.resume(returning: v)
    return ok
  }
  func send(_ v: Int) async {
    if trySend(v, nil) { return }
    await withUnsafeContinuation { (k: S) in
      if trySend(v, k) { k.resume() }
    }
  }
  func tryRecv(_ k: R?) -> (Bool, Int?) {
    let (ok, v, w): (Bool, Int?, S?) = m.withLock { s in
      if let v = s.buf.pop() {
        if let (x, w) = s.sendq.pop() { s.buf.push(x); return (true, v, w) }
        return (true, v, nil)
      }
      if let (x, w) = s.sendq.pop() { return (true, x, w) }
      if s.closed { return (true, nil, nil) }
      if let k { s.recvq.push(k) }
      return (false, nil, nil)
    }
    w?.resume()
    return (ok, v)
  }
  func recv() async -> Int? {
    let (ok, v) = tryRecv(nil)
    if ok { return v }
    return await withUnsafeContinuation { (k: R) in
      let (ok, v) = tryRecv(k)
      if ok { k.resume(returning: v) }
    }
  }
  func close() {
    let ws: [R] = m.withLock { s in
      s.closed = true
      var o: [R] = []
      while let r = s.recvq.pop() { o.append(r) }
      return o
    }
    for r in ws { r.resume(returning: nil) }
  }
}
