/// How much of its memory a free stack of the default size still has. A step down is a system call's work, and whoever uses
/// the stack next gets fresh pages, at a microsecond each: so sysmon takes it when nobody has needed the stack for a while.
enum StackWarmth {
  /// All that its goroutine has used (`StackCooling`).
  case warm
  /// The topmost pages, which every goroutine touches (`StackScavenging`).
  case cool
  /// None.
  case cold

  /// How much a cool stack keeps, in whole pages.
  static var topmost: UInt { max(8192, UInt(sched.pointee.facts.pageSize)) }

  /// A step down.
  var next: StackWarmth { self == .warm ? .cool : .cold }

  /// What a stack loses on its way there.
  func surplus(of stack: Stack) -> (start: UInt, size: UInt) {
    let top = stack.hi - Self.topmost
    return self == .warm ? (stack.lo, top - stack.lo) : (top, Self.topmost)
  }
}
