import Apus

/// Goroutines that yield and wait inside `inout` accesses to class properties and globals.
///
/// The compiler checks such accesses at run time by a list of those that are going on, whose nodes lie on the stack and
/// whose head belongs to the thread. A goroutine must find its own list again on whichever thread it goes on, and
/// nobody else's: else the program ends with "overlapping accesses", or the list is torn.
@Sendable func inoutMigration(_ run: StressRun) {
  // Each of the globals belongs to whoever has received its token.
  let tokens = Channel<Int>(capacity: 2)
  for token in 0..<2 { tokens.send(token) }
  let ferry = Ferry()
  run.withWorkers(16) { worker, random in
    let ledger = Ledger()
    var expected = 0
    var traveller = Traveller(run, on: ferry)
    while !run.isOver {
      let depth = random.pick(1...12)
      expected += depth
      change(&ledger.first, ledger, depth) { traveller.pause(&random) }
      run.check(
        ledger.total == expected, "worker \(worker): the ledger holds \(ledger.total), not \(expected)")
      if random.oneIn(4) {
        let token = tokens.receive()!
        let before = shared(token)
        changeShared(token) {
          ledger.first += 1
          traveller.pause(&random)
        }
        run.check(shared(token) == before + 2, "the global \(token) lost a change")
        expected += 1
        tokens.send(token)
      }
      run.count(depth)
    }
  }
  ferry.close()
}

/// Adds `depth` to the ledger, one at each level, each level inside the access of the one before and to another
/// property or object than it.
@inline(never)
private func change(_ value: inout Int, _ ledger: Ledger, _ depth: Int, _ wait: () -> Void) {
  wait()
  value += 1
  if depth > 1 {
    switch depth % 3 {
    case 0: changeSecond(ledger, depth - 1, wait)
    case 1: ledger.changeLast { change(&$0, ledger.next, depth - 1, wait) }
    default: change(&ledger.next.first, ledger.next, depth - 1, wait)
    }
  }
  wait()
}

/// The step of `change` that goes through an element of an array in place.
@inline(never)
private func changeSecond(_ ledger: Ledger, _ depth: Int, _ wait: () -> Void) {
  let next = ledger.next
  change(&ledger.second[depth % 4], next, depth, wait)
}

/// The numbers of one worker, some of them in further ledgers made when first asked for. Public and not final, so that
/// the compiler cannot see that no two accesses overlap and has to check each of them at run time.
open class Ledger {
  public var first = 0
  public var second = [0, 0, 0, 0]
  public var last = (0, 0)
  private var following: Ledger?

  public init() {}

  /// The next ledger.
  public var next: Ledger {
    if let following { return following }
    let made = Ledger()
    following = made
    return made
  }

  /// What this ledger and all that follow it hold together.
  public var total: Int { first + second.reduce(0, +) + last.0 + last.1 + (following?.total ?? 0) }

  /// Calls `body` with one of the numbers, inside an access to the whole tuple.
  public func changeLast(_ body: (inout Int) -> Void) { body(&last.1) }
}

/// The globals, written only by the one goroutine that holds their token.
nonisolated(unsafe) public var sharedFirst = 0
nonisolated(unsafe) public var sharedSecond = [0]

/// The value of the global that `token` stands for.
private func shared(_ token: Int) -> Int { token == 0 ? sharedFirst : sharedSecond[0] }

/// Adds two to the global that `token` stands for, and calls `body` between.
@inline(never)
private func changeShared(_ token: Int, _ body: () -> Void) {
  @inline(never)
  func add(_ value: inout Int) {
    value += 1
    body()
    value += 1
  }
  if token == 0 { add(&sharedFirst) } else { add(&sharedSecond[0]) }
}
