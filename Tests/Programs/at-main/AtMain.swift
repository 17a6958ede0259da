// A program whose entry is an `@main` type, unchanged: it is goroutine 1 like top-level code.
import Apus

@main
struct AtMain {
  static func main() {
    print("goroutine \(Goroutine.current.map { "\($0)" } ?? "none")")
    let answer = Channel<Int>()
    go { answer.send(42) }
    print("answer \(answer.receive() ?? 0)")
  }
}
