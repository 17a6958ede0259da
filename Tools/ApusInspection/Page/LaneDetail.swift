/// What a lane of the page shows for a while. Whiles that are too short to be told apart are one, with a count.
package struct LaneItem: Equatable {
  package var start: Int64
  package var end: Int64
  /// A goroutine's place for a processor's lane, an activity for a goroutine's; -1 for several.
  package var what: Int32
  /// How many whiles this one stands for.
  package var count: Int32 = 1
  /// For how long of it there was something.
  package var busy: Int64
  package var reason: Int32 = 0
  package var stack: Int32 = 0

  package init(
    start: Int64, end: Int64, what: Int32, count: Int32 = 1, busy: Int64, reason: Int32 = 0, stack: Int32 = 0
  ) {
    (self.start, self.end, self.what, self.count) = (start, end, what, count)
    (self.busy, self.reason, self.stack) = (busy, reason, stack)
  }
}

/// Finds out how much detail a page can have.
package enum LaneDetail {
  /// The lanes with at most `limit` items in all: where there are more, those shorter than a time that is as short as it
  /// can be, and that follow each other within it, become one.
  package static func reduce(_ lanes: [[LaneItem]], to limit: Int) -> (lanes: [[LaneItem]], resolution: Int64) {
    var resolution: Int64 = 0
    var reduced = lanes
    while reduced.reduce(0, { $0 + $1.count }) > limit, resolution < .max / 4 {
      resolution = max(resolution * 2, 1000)
      reduced = reduced.map { merge($0, resolution) }
    }
    return (reduced, resolution)
  }

  private static func merge(_ lane: [LaneItem], _ resolution: Int64) -> [LaneItem] {
    var result: [LaneItem] = []
    for item in lane {
      if let last = result.last, item.end - last.start <= resolution {
        result[result.count - 1] = LaneItem(
          start: last.start, end: max(item.end, last.end), what: last.what == item.what ? last.what : -1,
          count: last.count + item.count, busy: last.busy + item.busy)
      } else {
        result.append(item)
      }
    }
    return result
  }
}
