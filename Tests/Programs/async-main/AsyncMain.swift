// A program with an asynchronous main, which has to start on the process's main thread: libdispatch insists on it. Its
// tasks use goroutines and channels; a blocking operation in a task blocks the task's thread.
import Apus
import Glibc

/// Whether this is the thread that the process began with: `/proc/thread-self` is `PROCESS/task/THREAD`.
func onMainThread() -> Bool {
  var buffer = [UInt8](repeating: 0, count: 64)
  let length = readlink("/proc/thread-self", &buffer, buffer.count)
  let parts = String(decoding: buffer[..<max(0, length)], as: UTF8.self).split(separator: "/")
  return parts.count == 3 && parts[0] == parts[2]
}

@main
struct AsyncMain {
  static func main() async {
    print("main thread: \(onMainThread())")

    let squares = Channel<Int>()
    for number in 1...3 {
      go { squares.send(number * number) }
    }
    let sum = await withTaskGroup(of: Int.self) { group in
      for _ in 1...3 {
        group.addTask { squares.receive() ?? 0 }
      }
      var sum = 0
      for await square in group { sum += square }
      return sum
    }
    print("sum: \(sum)")

    let numbers = Channel<Int>()
    let total = Channel<Int>(capacity: 1)
    go {
      var sum = 0
      numbers.forEach { sum += $0 }
      total.send(sum)
    }
    await Task.detached {
      for number in 1...10 { numbers.send(number) }
      numbers.close()
    }.value
    print("total: \(total.receive() ?? 0)")
  }
}
