import Apus
import Glibc

import struct Synchronization.Atomic

final class Counts: Sendable {
  let wrong = Atomic<Int>(0)
  let received = Atomic<Int>(0)
}

let counts = Counts()

func useTheRuntime() {
  if Runtime.maxProcs < 1 { counts.wrong.wrappingAdd(1, ordering: .relaxed) }
  let reply = Channel<Int>()
  go(reply) { $0.send(1) }
  counts.received.wrappingAdd(reply.receive() ?? 0, ordering: .relaxed)
}

/// Calls itself until the stack ends.
@inline(never)
func descend(_ depth: Int) -> Int {
  var marks = (depth, depth, depth, depth)
  return withUnsafeMutableBytes(of: &marks) { bytes in
    depth == .max ? bytes.count : descend(depth + 1) + Int(bytes[depth & 31])
  }
}

/// Has a fault end the process with status 7, as the program's own handler.
func exitByFault() {
  signal(SIGSEGV) { _ in _exit(7) }
}

@inline(never)
func useNullPointer() {
  UnsafeMutablePointer<Int>(bitPattern: 8)?.pointee = 1
}

/// Eight threads that use the runtime at once; returns when they have ended.
func runThreads() {
  var threads: [pthread_t] = []
  for _ in 0..<8 {
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { _ in
        useTheRuntime()
        return nil
      }, nil)
    threads.append(thread)
  }
  for thread in threads { pthread_join(thread, nil) }
}
