import Apus
import Glibc
import TrapSource

class Bird {}
class Finch: Bird {}

/// A number that no optimizer knows.
@inline(never)
func opaque<T>(_ value: T) -> T { value }

final class Counter: @unchecked Sendable {
  var value = 0
  func add(_ amount: (Counter) -> Int) { change(&value, by: amount) }
  @inline(never)
  func change(_ value: inout Int, by amount: (Counter) -> Int) { value += amount(self) }
}

struct Failure: Error {}

/// Calls itself until the stack ends.
@inline(never)
func descend(_ depth: Int) -> Int {
  var marks = (depth, depth, depth, depth)
  return withUnsafeMutableBytes(of: &marks) { bytes in
    depth == .max ? bytes.count : descend(depth + 1) + Int(bytes[depth & 31])
  }
}

@inline(never)
func fail() throws { if opaque(true) { throw Failure() } }

/// Behind every trap, so that none is the last thing that a function does: those leave no frame.
@inline(never)
func afterwards() { print("nothing has happened") }

/// Has no code of its own in a release build.
@inline(__always)
func addOne(_ number: Int8) -> Int8 { number + 1 }

/// Traps in the way called `kind`.
@inline(never)
func trap(of kind: String) {
  switch kind {
  case "index": print([1, 2, 3][opaque(7)])
  case "nil": print(opaque(nil as Int?)!)
  case "overflow": print(opaque(Int8.max) + 1)
  case "inlined": print(addOne(opaque(Int8.max)))
  case "division": print(7 / opaque(0))
  case "conversion": print(UInt8(opaque(300)))
  case "fatal": fatalError("out of \(opaque("seed"))\nand of nuts")
  case "precondition": precondition(opaque(1) == 2, "one is not two")
  case "force-try": try! fail()
  case "cast": print(opaque(Bird()) as! Finch)
  case "cast-any": print(opaque(7 as Any) as! String)
  case "access":
    let counter = Counter()
    counter.add { $0.value }
  case "null": print(opaque(UnsafePointer<Int>(bitPattern: 8)!).pointee)
  case "unmapped": print(opaque(UnsafePointer<Int>(bitPattern: 0x1000_0000)!).pointee)
  case "wild": trap_wild()
  case "call-null": trap_call_null()
  case "fpe": print(trap_divide(1, 0))
  case "bus": trap_bus()
  case "abort": trap_abort()
  case "raise": raise(SIGILL)
  case "blocked-malloc":
    let number = opaque(Int8.max)
    trap_block_malloc()
    let sum = number + 1
    print(sum)
  case "broken-malloc":
    let number = opaque(Int8.max)
    trap_break_malloc()
    let sum = number + 1
    print(sum)
  case "handler": trap_in_handler(SIGUSR1)
  case "stack": print(descend(0))
  case "close":
    // One that nobody waits for: main would wake up and end the process.
    let channel = Channel<Int>()
    channel.close()
    channel.close()
  default:
    print("unknown kind: \(kind)")
    exit(64)
  }
  afterwards()
}

/// `main` returns as soon as it has seen the beginning of the report about another goroutine.
func returnDuringReport() {
  trap_pipe_report()
  go { trap(of: kind) }
  trap_await_report()
  exit(0)
}
