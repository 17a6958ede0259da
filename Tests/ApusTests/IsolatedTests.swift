import Apus
import ApusRuntime
import CApus
import Glibc
import Testing

/// A number that no optimizer knows.
@inline(never)
private func opaque<T>(_ value: T) -> T { value }

/// Needs a value.
@inline(never)
private func use<T>(_ value: T) { if "\(value)".isEmpty { Issue.record("a value without a text") } }

class Bird {}
class Finch: Bird {}

@inline(never)
private func addTooMuch(_ number: Int8) -> Int8 { number + 1 }

@inline(never)
private func descend(_ depth: Int) -> Int8 {
  depth == 0 ? addTooMuch(opaque(.max)) : descend(depth - 1) &+ 1
}

/// An object whose property is changed in place while somebody else's code runs.
private final class Changing: @unchecked Sendable {
  var value = 0

  func change(_ body: (inout Int) -> Void) { body(&value) }
}

// One after the other: who traps in libswiftCore while another does may get the other's reason.
@Suite(.serialized) struct IsolatedTests {
  @Test func aBodyThatReturnsHasAResult() throws {
    let results = onGoroutine {
      [Goroutine.isolated { opaque(1) + 1 }, Goroutine.isolated { 3 }]
    }
    #expect(try results.map { try $0.get() } == [2, 3])
  }

  struct Kind: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var reason: String
    var signal: Int32?
    var body: @Sendable () -> Void

    init(_ name: String, _ signal: Int32?, _ reason: String, _ body: @escaping @Sendable () -> Void) {
      testDescription = name
      self.reason = reason
      self.signal = signal
      self.body = body
    }
  }

  #if arch(arm64)
    private static let trapped: Int32 = 5
  #else
    private static let trapped: Int32 = 4
  #endif

  static let kinds: [Kind] = [
    Kind("index", trapped, "Index out of range") { use(opaque([1, 2, 3])[opaque(7)]) },
    Kind("nil", trapped, "nexpectedly found nil while unwrapping an Optional value") { use(opaque(nil as Int?)!) },
    Kind("overflow", trapped, "arithmetic overflow") { use(addTooMuch(opaque(.max))) },
    Kind("fatalError", trapped, "Fatal error: that was all") { fatalError("that was all") },
    Kind("cast", 6, "Could not cast value of type") { use(opaque(Bird()) as! Finch) },
    Kind("null", 11, "invalid memory address or nil pointer dereference") {
      use(opaque(UnsafePointer<Int>(bitPattern: 8)!).pointee)
    },
    Kind("send", nil, "send on closed channel") {
      let channel = Channel<Int>()
      channel.close()
      channel.send(1)
    },
    Kind("close", nil, "close of closed channel") {
      let channel = Channel<Int>()
      channel.close()
      channel.close()
    },
    Kind("wait group", nil, "sync: negative WaitGroup counter") { WaitGroup().done() },
  ]

  @Test(arguments: kinds)
  func aTrapIsAnErrorValue(kind: Kind) throws {
    let (result, number) = onGoroutine { (Goroutine.isolated { kind.body() }, Goroutine.current) }
    guard case .failure(let trap) = result else {
      Issue.record("it did not trap")
      return
    }
    #expect(trap.reason.contains(kind.reason))
    #expect(trap.signal == kind.signal)
    #expect(trap.goroutine == number)
    #expect(trap.frames.contains("IsolatedTests.swift:"))
    #expect(!trap.frames.contains("apus_isolate"))
  }

  /// A check that the compiler has put into the program traps without a word: what libswiftCore has kept meanwhile is
  /// another goroutine's.
  @Test func aMessageIsLeftToWhomItIsFor() throws {
    typealias Buffer = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    typealias BufferFunction = @convention(c) () -> Buffer
    let symbol = try #require(dlsym(nil, "swift_getFatalErrorMessageBuffer"))
    let buffer = unsafeBitCast(symbol, to: BufferFunction.self)()
    buffer.pointee = strdup("another's")
    let result = onGoroutine { Goroutine.isolated { addTooMuch(opaque(.max)) } }
    let rest = apus_take_fatal_message()
    defer { free(rest) }
    guard case .failure(let trap) = result else {
      Issue.record("it did not trap")
      return
    }
    #expect(trap.reason.contains("arithmetic overflow"))
    #expect(rest.map { String(cString: $0) } == "another's")
  }

  /// The handler has taken it: who traps later finds nothing of it.
  @Test func aMessageIsTakenWithTheTrap() throws {
    let (message, rest) = onGoroutine { () -> (String?, String?) in
      let top = currentM().currentG.pointee.head.stack_hi
      var isolation = apus_isolation()
      withUnsafeMutablePointer(to: &isolation) { isolation in
        apus_isolation_set(top, isolation)
        let hasTrapped = apus_isolate(isolation, { _ in fatalError("mine") }, nil)
        #expect(hasTrapped)
        apus_isolation_set(top, nil)
      }
      let rest = apus_take_fatal_message()
      defer {
        free(rest)
        free(isolation.fault.message)
      }
      return (isolation.fault.message.map { String(cString: $0) }, rest.map { String(cString: $0) })
    }
    #expect(message?.hasSuffix("Fatal error: mine\n") == true)
    #expect(rest == nil)
  }

  @Test func theFramesSayWhere() throws {
    let result = onGoroutine { Goroutine.isolated { descend(10) } }
    guard case .failure(let trap) = result else {
      Issue.record("it did not trap")
      return
    }
    let lines = trap.frames.split(separator: "\n")
    #expect(lines.first?.hasSuffix(".addTooMuch(_:)") == true, "\(trap.frames)")
    #expect(lines.dropFirst().first?.contains("/IsolatedTests.swift:19 ") == true, "\(trap.frames)")
    #expect(lines.filter { $0.contains(".descend(_:)") }.count >= 1, "\(trap.frames)")
    #expect("\(trap)" == trap.reason)
  }

  @Test func theInnermostCallIsLeft() {
    let results = onGoroutine {
      var inner: [Bool] = []
      let outer = Goroutine.isolated {
        let first = Goroutine.isolated { addTooMuch(opaque(.max)) }
        let second = Goroutine.isolated { addTooMuch(opaque(1)) }
        return [first, second].map { if case .success = $0 { true } else { false } }
      }
      if case .success(let list) = outer { inner = list }
      let failing = Goroutine.isolated {
        _ = Goroutine.isolated { 1 }
        return addTooMuch(opaque(.max))
      }
      if case .failure = failing { inner.append(false) } else { inner.append(true) }
      return inner
    }
    #expect(results == [false, true, false])
  }

  /// The goroutine goes on: what it waits for, what it shares, and what it has open.
  @Test func tenThousandInARow() {
    let (caught, received) = onGoroutine {
      let channel = Channel<Int>()
      let counter = Changing()
      var caught = 0
      var received = 0
      for round in 0..<10_000 {
        let result = Goroutine.isolated { () -> Int8 in
          if round % 3 == 0 { Goroutine.yield() }
          // Inside an access that is never ended.
          counter.change { $0 += Int(descend(round % 50)) }
          return 0
        }
        if case .failure = result { caught += 1 }
        if round % 100 == 0 {
          go { channel.send(1) }
          received += channel.receive() ?? 0
          // Would be a conflict, if the access were still open.
          counter.change { $0 += 1 }
        }
      }
      return (caught, received)
    }
    #expect(caught == 10_000)
    #expect(received == 100)
  }

  /// A body may go on in another thread before it traps.
  @Test func bodiesWander() {
    let caught = onGoroutine {
      let count = SharedCount()
      let group = WaitGroup()
      let requests = Channel<Int>()
      let replies = Channel<Int>()
      go { requests.forEach { replies.send($0) } }
      for _ in 0..<8 {
        group.go {
          for round in 0..<200 {
            let result = Goroutine.isolated { () -> Int8 in
              requests.send(round)
              _ = replies.receive()
              return addTooMuch(opaque(.max))
            }
            if case .failure(let trap) = result, trap.signal != nil { count.add() }
          }
        }
      }
      group.wait()
      requests.close()
      return count.value
    }
    #expect(caught == 1600)
  }

  /// Bodies that were stopped by a signal, and went on, trap.
  @Test func stoppedBodiesTrap() {
    let caught = onGoroutine {
      let count = SharedCount()
      let group = WaitGroup()
      for _ in 0..<16 {
        group.go {
          for _ in 0..<3 {
            let result = Goroutine.isolated { () -> Int8 in
              let end = ContinuousClock.now + .milliseconds(10)
              while ContinuousClock.now < end {}
              return addTooMuch(opaque(.max))
            }
            if case .failure = result { count.add() }
          }
        }
      }
      group.wait()
      return count.value
    }
    #expect(caught == 48)
  }

  /// A region that was said to block has ended with the body.
  @Test func aRegionEnds() {
    let (isCaught, told) = onGoroutine {
      let result = Goroutine.isolated { blocking { addTooMuch(opaque(.max)) } }
      let inner = blocking { () -> UInt32 in
        _ = Goroutine.isolated { blocking { addTooMuch(opaque(.max)) } }
        return currentM().pointee.head.told
      }
      guard case .failure = result else { return (false, [UInt32]()) }
      return (true, [currentM().pointee.head.told, inner])
    }
    #expect(isCaught)
    #expect(told == [0, 1])
  }

  @Test func whatTheBodyHeldStaysHeld() {
    let isFree = onGoroutine {
      let mutex = Apus.Mutex(0)
      _ = Goroutine.isolated { mutex.withLock { $0 = Int(addTooMuch(opaque(.max))) } }
      return mutex.withLockIfAvailable { _ in } != nil
    }
    #expect(!isFree)
  }

  @Test func aForeignThreadWaitsForAGoroutine() throws {
    let numbers = Channel<Goroutine.ID?>(capacity: 2)
    let result = Goroutine.isolated {
      numbers.send(Goroutine.current)
      return addTooMuch(opaque(.max))
    }
    if case .success = result { Issue.record("it did not trap") }
    #expect(try Goroutine.isolated { opaque(5) }.get() == 5)
    #expect(Goroutine.current == nil)
    #expect(numbers.receive()! != nil)
  }
}
