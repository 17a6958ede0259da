import Apus
import ApusRuntime

/// Threads that are no goroutine's have no stack that the collector knows, and no processor to allocate on.
@usableFromInline
enum OtherThread {
  /// Runs `body` on a goroutine, and waits for it.
  @usableFromInline
  static func run<Result: ~Copyable, E: Error>(_ body: () throws(E) -> Result) throws(E) -> Result {
    var outcome: Outcome<Result, E> = .none
    withoutActuallyEscaping(body) { body in
      var job = Job(body: body, outcome: .none)
      withUnsafeMutablePointer(to: &job) { job in
        // A pointer and no capture: the body must not be held any more when the thread goes on.
        nonisolated(unsafe) let job = job
        go(job) {
          $0.pointee.run()
          $0.pointee.ended.release()
        }
        job.pointee.ended.acquire()
      }
      outcome = job.outcome.take()
    }
    switch consume outcome {
    case .returned(let result): return result
    case .threw(let error): throw error
    case .none: fatalError("the goroutine that stood in for a thread has ended without a result")
    }
  }

  private enum Outcome<Result: ~Copyable, E: Error>: ~Copyable {
    case none
    case returned(Result)
    case threw(E)

    mutating func take() -> Self {
      let taken = consume self
      self = .none
      return taken
    }
  }

  private struct Job<Result: ~Copyable, E: Error>: ~Copyable {
    let body: () throws(E) -> Result
    var outcome: Outcome<Result, E>
    let ended = Semaphore(0)

    init(body: @escaping () throws(E) -> Result, outcome: consuming Outcome<Result, E>) {
      self.body = body
      self.outcome = outcome
    }

    mutating func run() {
      do throws(E) {
        outcome = .returned(try body())
      } catch {
        outcome = .threw(error)
      }
    }
  }
}
