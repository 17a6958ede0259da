import Apus

/// Changes the number of processors again and again, while others spawn goroutines and send on channels.
@Sendable func maxProcs(_ run: StressRun) {
  let before = Runtime.maxProcs
  run.withWorkers(4) { worker, random in
    var migrations = MigrationCounter()
    while !run.isOver {
      switch worker {
      case 0:
        let procs = random.oneIn(2) ? random.pick(1...4) : random.pick(1...32)
        Runtime.maxProcs = procs
        // Only this goroutine changes it.
        run.check(Runtime.maxProcs == procs, "maxProcs is \(Runtime.maxProcs) after it was set to \(procs)")
        for _ in 0..<random.pick(0...200) { Goroutine.yield() }
        run.count()
      case 1: spawnRound(run, &random)
      default: channelRound(run, &random)
      }
      migrations.observe()
    }
    run.countMigrations(migrations.migrations)
  }
  Runtime.maxProcs = before
}
