/// Makes tasks and regions of their beginnings and ends.
struct AnnotationBuilder {
  private var tasks: [Timeline.Task] = []
  /// Those that have not ended, by their numbers.
  private var openTasks: [UInt64: Int] = [:]
  private var regions: [Timeline.Region] = []
  /// Those of a goroutine that have not ended, the innermost last.
  private var openRegions: [Int32: [Int]] = [:]

  mutating func beginTask(_ id: UInt64, below parent: UInt64, _ name: Int32, at time: Int64) {
    openTasks[id] = tasks.count
    tasks.append(Timeline.Task(id: id, parent: parent, name: name, start: time, end: time))
  }

  /// Of a task that began before the trace there is nothing to tell.
  mutating func endTask(_ id: UInt64, at time: Int64) {
    guard let place = openTasks.removeValue(forKey: id) else { return }
    tasks[place].end = time
    tasks[place].hasEnded = true
  }

  mutating func beginRegion(_ name: Int32, of task: UInt64, on goroutine: Int32, at time: Int64) {
    openRegions[goroutine, default: []].append(regions.count)
    regions.append(Timeline.Region(goroutine: goroutine, name: name, task: task, start: time, end: time))
  }

  /// One that is not open began before the trace.
  mutating func endRegion(_ name: Int32, of task: UInt64, on goroutine: Int32, at time: Int64) {
    if let place = openRegions[goroutine]?.popLast() {
      regions[place].end = time
    } else {
      regions.append(Timeline.Region(goroutine: goroutine, name: name, task: task, start: 0, end: time))
    }
  }

  /// The goroutine is over.
  mutating func endRegions(on goroutine: Int32, at time: Int64) {
    for place in openRegions.removeValue(forKey: goroutine) ?? [] { regions[place].end = time }
  }

  /// All that is open lasts until the end of the trace.
  mutating func finish(at time: Int64) -> (tasks: [Timeline.Task], regions: [Timeline.Region]) {
    for place in openTasks.values { tasks[place].end = time }
    for goroutine in Array(openRegions.keys) { endRegions(on: goroutine, at: time) }
    return (tasks.sorted { $0.start < $1.start }, regions.sorted { ($0.start, $1.end) < ($1.start, $0.end) })
  }
}
