import Apus

/// Runs `body` in a goroutine and blocks the calling thread until it has finished.
func onGoroutine<R: Sendable>(_ body: @escaping @Sendable () throws -> R) throws -> R {
  let finished = Channel<Result<R, any Error>>(capacity: 1)
  go { finished.send(Result(catching: body)) }
  return try finished.receive()!.get()
}
