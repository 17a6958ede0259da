import Apus

import struct Synchronization.Atomic

/// Rounds of random trees of contexts below one that lives as long as the stress, cancelled from everywhere at once.
/// Every goroutine that waits must be woken, every body must run or be stopped, nothing may stay with a parent, and all
/// of a tree must be released.
@Sendable func contexts(_ run: StressRun) {
  let (parent, cancelParent) = Context.background.cancellable()
  run.withWorkers(4) { _, random in
    var migrations = MigrationCounter()
    while !run.isOver {
      contextRound(run, parent, &random)
      migrations.observe()
    }
    run.countMigrations(migrations.migrations)
  }
  // A timer's goroutine wakes others first and then takes its context off the parent's list.
  let isEmpty = run.waitUntil { parent.census! == (0, 0, false) }
  run.check(isEmpty, "the parent has kept \(parent.census!.children) children, \(parent.census!.hooks) bodies")
  run.check(parent.failure == nil, "a child has cancelled its parent")
  cancelParent(nil)
}

private typealias Cancel = @Sendable ((any Error)?) -> Void

/// One tree: grown, cancelled, awaited, released.
private func contextRound(_ run: StressRun, _ parent: Context, _ random: inout Random) {
  let tally = Tally()
  let key = Context.Key<Leaflet>("leaflet")
  do {
    let root = parent.with(key, Leaflet(tally)).cancellable()
    var nodes = [root]
    // Each a path from the root: the indices of the cancellable contexts above.
    var above = [[Int]()]
    let size = random.pick(1...(random.oneIn(20) ? 3000 : 60))
    let deep = random.oneIn(3)
    let group = WaitGroup()
    // Some of the tree is cancelled while it grows.
    if random.oneIn(3) { group.go { root.cancel(Cause(number: 0)) } }
    for number in 1...size {
      let place = deep ? nodes.count - 1 - random.pick(0...min(2, nodes.count - 1)) : random.pick(0...(nodes.count - 1))
      var context = nodes[place].context
      if random.oneIn(3) { context = context.with(key, Leaflet(tally)) }
      switch random.pick(0...15) {
      case 0, 1: nodes.append(context.timeout(.microseconds(random.pick(0...2000))))
      // Called off by whatever cancels it; it keeps its cause until then.
      case 2: nodes.append(context.timeout(.seconds(1000), cause: Leaflet(tally)))
      default: nodes.append(context.cancellable())
      }
      above.append(above[place] + [place])
      if random.oneIn(2) { attend(nodes[number].context, group, tally) }
      if random.oneIn(2) { hook(run, nodes[number].context, group, tally, &random) }
      if random.oneIn(8) { orphan(run, nodes[number].context, group, tally) }
    }
    for (number, node) in nodes.enumerated() where number > 0 && random.oneIn(4) {
      group.go {
        if number % 3 == 0 { Goroutine.yield() }
        node.cancel(Cause(number: number))
        run.check(node.context.failure != nil, "a context that was cancelled has no failure")
      }
    }
    if random.oneIn(2) { group.go { root.cancel(Cause(number: 0)) } }
    for _ in 0..<random.pick(0...20) { Goroutine.yield() }
    root.cancel(Cause(number: 0))
    for (number, node) in nodes.enumerated() { inspect(run, node.context, number, above[number]) }
    group.wait()
    run.check(tally.woken.load(ordering: .relaxed) == tally.waiting, "goroutines that waited for a context are lost")
    run.check(
      tally.settled.load(ordering: .relaxed) == tally.hooks, "bodies were run and stopped, or neither, or twice")
    for node in nodes { run.check(node.context.census! == (0, 0, false), "a cancelled context keeps something") }
    run.count(size + tally.waiting + tally.hooks)
  }
  // Goroutines and timers release what they refer to after they have said that they are done.
  let isReleased = run.waitUntil { tally.leaflets.load(ordering: .relaxed) == 0 }
  run.check(isReleased, "\(tally.leaflets.load(ordering: .relaxed)) contexts were not released")
}

/// Has a goroutine wait for `context` to be cancelled.
private func attend(_ context: Context, _ group: WaitGroup, _ tally: Tally) {
  tally.waiting += 1
  group.go {
    if context.done.receive() == nil && context.failure != nil { tally.woken.wrappingAdd(1, ordering: .relaxed) }
  }
}

/// Registers a body with `context`, of which some are stopped again.
private func hook(
  _ run: StressRun, _ context: Context, _ group: WaitGroup, _ tally: Tally, _ random: inout Random
) {
  tally.hooks += 1
  group.add()
  let stop = context.onCancel {
    run.check(context.failure != nil, "a body ran before its context was cancelled")
    tally.settled.wrappingAdd(1, ordering: .relaxed)
    group.done()
  }
  for _ in 0..<random.pick(0...2) {
    group.go {
      if stop() {
        tally.settled.wrappingAdd(1, ordering: .relaxed)
        group.done()
      }
      run.check(!stop(), "a body was stopped twice")
    }
  }
}

/// A context below `parent` that nobody keeps, with a body that must run when `parent` is cancelled.
private func orphan(_ run: StressRun, _ parent: Context, _ group: WaitGroup, _ tally: Tally) {
  tally.hooks += 1
  group.add()
  let leaflet = Leaflet(tally)
  _ = parent.cancellable().context.timeout(.seconds(1000)).context.onCancel {
    withExtendedLifetime(leaflet) { _ = tally.settled.wrappingAdd(1, ordering: .relaxed) }
    group.done()
  }
}

/// Whether the cancelled context says why: a cause of its own or of one above.
private func inspect(_ run: StressRun, _ context: Context, _ number: Int, _ above: [Int]) {
  run.check(context.failure != nil, "a context below one that was cancelled is not")
  run.check(context.done.isClosed, "a cancelled context's channel is open")
  switch context.cause {
  case let cause as Cause:
    run.check(context.failure == .cancelled, "a timeout has the cause of a cancellation")
    run.check(cause.number == number || above.contains(cause.number), "a cause came from elsewhere in the tree")
  case let failure as Context.Failure:
    run.check(failure == .deadlineExceeded && context.failure == failure, "a context has the wrong failure")
  default: run.check(false, "a cancelled context has no cause")
  }
}

/// Why a stress cancels: the number of the context whose `cancel` was called.
private struct Cause: Error {
  let number: Int
}

/// What the goroutines of one round count.
private final class Tally: Sendable {
  let woken = Atomic<Int>(0)
  let settled = Atomic<Int>(0)
  let leaflets = Atomic<Int>(0)
  // Of the round's own goroutine.
  nonisolated(unsafe) var waiting = 0
  nonisolated(unsafe) var hooks = 0
}

/// A value, or a cause, that counts itself, so that a context never released is noticed.
private final class Leaflet: Error {
  private let tally: Tally

  init(_ tally: Tally) {
    self.tally = tally
    tally.leaflets.wrappingAdd(1, ordering: .relaxed)
  }

  deinit { tally.leaflets.wrappingSubtract(1, ordering: .relaxed) }
}
