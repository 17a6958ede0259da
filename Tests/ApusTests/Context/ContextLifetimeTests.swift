import Apus
import Testing

/// That contexts are released, and how deep a tree may be.
@Suite struct ContextLifetimeTests {
  @Test func aTreeThatNobodyCanCancelIsReleased() throws {
    try checking { found in
      let tokens = Counter()
      let key = Context.Key<Held>()
      do {
        let (top, _) = Context.background.with(key, Held(tokens)).cancellable()
        for _ in 0..<10 {
          let (middle, _) = top.with(key, Held(tokens)).cancellable()
          let held = Held(tokens)
          _ = middle.cancellable().context.with(key, Held(tokens)).onCancel { _ = held }
        }
        found.check(tokens.count > 0)
      }
      found.check(tokens.count == 0, "\(tokens.count) are left")
    }
  }

  @Test func aCancelledTreeIsReleasedThoughItsRootLives() throws {
    try checking { found in
      let tokens = Counter()
      let key = Context.Key<Held>()
      let (top, cancel) = Context.background.cancellable()
      do {
        let (below, cancelBelow) = top.with(key, Held(tokens)).cancellable()
        let held = Held(tokens)
        _ = below.onCancel { _ = held }
        cancelBelow(Held(tokens))
        found.check(below.cause is Held)
      }
      // The body runs in its own goroutine.
      while tokens.count != 0 { Goroutine.yield() }
      cancel(nil)
    }
  }

  /// The channel alone is enough to notice a cancellation above.
  @Test func doneOutlivesTheContext() throws {
    try checking { found in
      let (parent, cancel) = Context.background.cancellable()
      let done = parent.cancellable().context.done
      let ran = Channel<Never>()
      _ = parent.cancellable().context.onCancel { ran.close() }
      found.check(!done.isClosed)
      cancel(nil)
      found.check(done.receive() == nil)
      _ = ran.receive()
    }
  }

  /// Deeper than a goroutine's stack would allow to go down by recursion.
  @Test func deepTreesAreCancelledAndReleased() throws {
    try checking { found in
      let depth = 100_000
      let key = Context.Key<Int>()
      let (top, cancel) = Context.background.with(key, -1).cancellable()
      var context = top
      for _ in 0..<depth { context = context.cancellable().context }
      found.check(context[key] == -1)
      cancel(Reason("deep"))
      found.check(context.reason == Reason("deep"))
      // Released without having been cancelled, from below and, the second time, from above.
      for fromAbove in [false, true] {
        let (first, cancelFirst) = Context.background.cancellable()
        var last = first
        for number in 0..<depth { last = last.with(key, number).cancellable().context }
        found.check(last[key] == depth - 1)
        if fromAbove { cancelFirst(nil) }
        last = .background
      }
      var values = Context.background
      for number in 0..<depth { values = values.with(key, number) }
      found.check(values.description.count > depth)
    }
  }

  @Test func severalDropTheSameChainAtOnce() throws {
    try checking { found in
      let tokens = Counter()
      let key = Context.Key<Held>()
      for _ in 0..<200 {
        let group = WaitGroup()
        do {
          var chain = Context.background
          for _ in 0..<50 { chain = chain.with(key, Held(tokens)) }
          for _ in 0..<4 { group.go { [chain] in found.check(chain.with(key, Held(tokens))[key] != nil) } }
        }
        group.wait()
      }
      while tokens.count != 0 { Goroutine.yield() }
    }
  }
}
