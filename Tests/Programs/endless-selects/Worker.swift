import Apus

/// The same over stored properties that nobody can change.
final class Worker: Sendable {
  private let jobs: Channel<Int>
  private let quit = Channel<Never>()

  init(jobs: Channel<Int>) {
    self.jobs = jobs
  }

  func run() -> Never {
    while true {
      switch select(jobs.receiving, quit.receiving) {
      case .first(let value): pass("stored property", value)
      case .second: break
      }
    }
  }
}

/// And over static ones.
enum Tallies {
  private static let replies = Channel<Int>()
  private static let jobs = c1

  static func run() -> Never {
    while true {
      switch select(replies.sending(1), jobs.receiving) {
      case .first: break
      case .second(let value): pass("static property", value)
      }
    }
  }
}
