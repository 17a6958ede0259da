import CApus

/// epoll(7) and the descriptor by which a thread that waits in it is woken.
struct EventPoll {
  /// The number that the kernel gives back with an event of `breaker`; no other may be added with it.
  static var breakerTag: UInt64 { 0 }

  typealias Visitor = @convention(c) (UnsafeMutableRawPointer?, UInt32, UInt64) -> Void

  private let epoll: Int32
  private let breaker: Int32

  /// nil, and a negative errno, where the process or the machine has no descriptor left.
  static func make() -> (EventPoll?, Int32) {
    let epoll = apus_epoll_create()
    if epoll < 0 { return (nil, epoll) }
    let breaker = apus_eventfd()
    // Level-triggered: an event of it may be given to a thread that does not wait, and has to be there for the one that
    // does.
    let error = breaker < 0 ? breaker : apus_epoll_add(epoll, breaker, APUS_EPOLLIN, breakerTag)
    if error < 0 {
      if breaker >= 0 { _ = apus_close(breaker) }
      _ = apus_close(epoll)
      return (nil, error)
    }
    return (EventPoll(epoll: epoll, breaker: breaker), 0)
  }

  /// Has `tag` come with every event of `descriptor` from now on, edge-triggered. 0 or a negative errno: -EPERM for what
  /// cannot be polled, such as a regular file.
  func add(_ descriptor: Int32, tag: UInt64) -> Int32 {
    let events = APUS_EPOLLIN | APUS_EPOLLOUT | APUS_EPOLLPRI | APUS_EPOLLRDHUP | APUS_EPOLLET
    return apus_epoll_add(epoll, descriptor, events, tag)
  }

  func delete(_ descriptor: Int32) {
    _ = apus_epoll_delete(epoll, descriptor)
  }

  /// Waits for events for `delay` nanoseconds (0: looks; below zero: no limit), less when a signal comes, and calls
  /// `each(context, events, tag)` for those that came.
  func wait(_ delay: Int64, _ context: UnsafeMutableRawPointer, _ each: Visitor) {
    let result = apus_epoll_wait(epoll, delay, each, context)
    if result < 0 && result != -4 { FatalReport.fatalError("runtime: netpoll failed") }  // EINTR
  }

  /// Ends the wait, or the next one.
  func interrupt() {
    var one: UInt64 = 1
    // The counter has room for more than there will ever be, and a write to it is not interrupted.
    _ = apus_write(breaker, &one, 8)
  }

  /// Forgets the interruptions. Only the thread that waits does this.
  func clearInterruption() {
    var count: UInt64 = 0
    _ = apus_read(breaker, &count, 8)
  }
}
