import Apus
import Glibc

/// Whether the calling thread is the process's first: the kernel gives it the process's number.
private func isMainThread() -> Bool {
  var path = [CChar](repeating: 0, count: 64)
  let length = readlink("/proc/thread-self", &path, path.count)
  let text = String(decoding: path.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  return text.split(separator: "/").last.flatMap { Int32($0) } == getpid()
}

/// A program whose link-time initialiser uses the runtime before it has started, with an asynchronous main.
@main
struct Main {
  static func main() async throws {
    print("main is goroutine \(Goroutine.current.map { "\($0)" } ?? "none")")
    print("on the main thread: \(isMainThread())")
    print("the hook ran on goroutine 1: \([Early.numbers.receive(), Early.numbers.receive()].contains(1))")
    try await Task.sleep(nanoseconds: 1_000_000)
    print("a task went on")
  }
}
