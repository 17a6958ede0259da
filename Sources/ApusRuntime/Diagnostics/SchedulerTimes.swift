import Synchronization

/// How long goroutines had to wait for what: the distributions of `Runtime.metrics`, as counts of `TimeHistogram`'s buckets.
package struct SchedulerTimes: Sendable {
  /// Ready, before they ran.
  package private(set) var latencies = none
  /// For the world to stand still, and to go on: for the collector, and for everybody else.
  package private(set) var collectorsStopping = none
  package private(set) var collectorsTotal = none
  package private(set) var othersStopping = none
  package private(set) var othersTotal = none
  /// For locks, all together, in nanoseconds.
  package private(set) var mutexWait: Int64 = 0

  /// One in so many times that a goroutine stopped running is among the latencies.
  package static var samplePeriod: Int64 { Latency.period }

  private static var none: [UInt64] { [UInt64](repeating: 0, count: TimeHistogram.count) }

  /// Starts the runtime if nothing has.
  package static func now() -> SchedulerTimes {
    LazyStart.ensure()
    var times = SchedulerTimes()
    times.latencies = latencies()
    sched.pointee.pauses.collectorsStopping.add(to: &times.collectorsStopping)
    sched.pointee.pauses.collectorsTotal.add(to: &times.collectorsTotal)
    sched.pointee.pauses.othersStopping.add(to: &times.othersStopping)
    sched.pointee.pauses.othersTotal.add(to: &times.othersTotal)
    times.mutexWait = max(sched.pointee.mutexWait.load(ordering: .relaxed), 0)
    return times
  }

  /// Of the running runtime, the first of them alone.
  static func latencies() -> [UInt64] {
    var sums = none
    Processors.each { $0.pointee.latencies.add(to: &sums) }
    return sums
  }
}
