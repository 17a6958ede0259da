import Apus

/// What link-time initialisers leave for `main`.
enum Early {
  static let numbers = Channel<Int>(capacity: 4)

  /// Runs before `main`, and before the runtime's own start: spawns a goroutine, and registers a hook that waits while
  /// many others run, so that goroutine 1 would change its thread if it could.
  static func initialize() {
    go { numbers.send(Int(Goroutine.current!.description)!) }
    Runtime.onStart {
      let ended = WaitGroup()
      for _ in 0..<64 {
        ended.go { for _ in 0..<200 { Goroutine.yield() } }
      }
      ended.wait()
      numbers.send(Int(Goroutine.current!.description)!)
    }
  }
}

@section(".init_array")
@used
let earlyInitializer: @convention(c) () -> Void = { Early.initialize() }
