import Testing

extension Programs {
  /// Loops without a way out around `select`, over what nobody can change: the optimizer has to come to an end with them
  /// (see `Channel.anotherReference`).
  @Suite struct EndlessSelects {
    static let prelude = """
      import Apus
      let a = Channel<Int>()
      let b = Channel<String>()
      let (context, cancel) = Context.background.cancellable()

      """

    @Test(arguments: [
      "go { while true { _ = select(a.receiving) } }",
      "go { while true { switch select(a.receiving, b.receiving) { case .first: break; case .second: break } } }",
      "go { while true { switch select(a.sending(1), b.receiving) { case .first: break; case .second: break } } }",
      "go { while true { switch select(a.receiving, .default) { case .first: break; case .second: break } } }",
      "while true { switch select(a.receiving, .after(.seconds(1))) { case .first: break; case .second: cancel(nil) } }",
      """
      func serve() -> Never {
        while true {
          switch select(a.receiving, b.receiver.receiving, a.sender.sending(1), context.done.receiving) {
          case .first, .second, .third: continue
          case .fourth: print(context.cause as Any)
          }
        }
      }
      serve()
      """,
      """
      final class Server: Sendable {
        let jobs = Channel<[Int]>()
        let timeout = Goroutine.Ticker(every: .seconds(1))
        func serve() -> Never {
          while true {
            switch select(jobs.receiving, timeout.channel.receiving) {
            case .first(let jobs): print(jobs as Any)
            case .second: print("late")
            }
          }
        }
      }
      Server().serve()
      """,
    ])
    func isOptimizedInTime(loop: String) throws {
      let result = try compile(Self.prelude + loop, ["-O"])
      #expect(result.status == 0, "\(result)")
    }

    @Test(arguments: ["1", "2", "8"])
    func everyLoopGetsItsElements(processors: String) throws {
      let result = try run(
        product("endless-selects"), environment: inheritedEnvironment(["GOMAXPROCS": processors]),
        timeout: .seconds(20))
      #expect(result.status == 0, "\(result)")
      #expect(result.output == "14 loops, missing: 0\n", "\(result)")
    }
  }
}
