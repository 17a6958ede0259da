@testable import ApusRuntime
import CApus
import Glibc
import Testing

#if arch(x86_64)
  /// What becomes of the time of a call that is to begin again, when the next signal finds the thread at its instruction.
  @Suite struct RestartTests {
    /// A thread that stands at a system call in code of its own, as the signal's handler sees it.
    fileprivate final class Standing {
      let m = FakeRecords.machine()
      /// Above the stack pointer, as libc's copy of a time.
      let stack = UnsafeMutablePointer<timespec>.allocate(capacity: 2)
      private let code = UnsafeMutablePointer<UInt8>.allocate(capacity: 64)
      private var context = ucontext_t()

      /// The numbers of the registers in a ucontext.
      enum Register: Int {
        case r8 = 0
        case rsi = 9
        case rdi = 8
        case rdx = 12
        case rax = 13
        case rsp = 15
        case rip = 16
      }

      init(_ number: Int) {
        stack.initialize(repeating: timespec(), count: 2)
        // mov $number, %eax; syscall
        let bytes: [UInt8] = [0xb8] + withUnsafeBytes(of: UInt32(number)) { Array($0) } + [0x0f, 0x05]
        code.initialize(repeating: 0x90, count: 64)
        for (index, byte) in bytes.enumerated() { code[40 - bytes.count + index] = byte }
        self[.rsp] = Int(bitPattern: stack)
      }

      deinit {
        stack.deallocate()
        code.deallocate()
      }

      subscript(_ register: Register) -> Int {
        get {
          withUnsafeBytes(of: &context.uc_mcontext.gregs) {
            $0.load(fromByteOffset: 8 * register.rawValue, as: Int.self)
          }
        }
        set {
          withUnsafeMutableBytes(of: &context.uc_mcontext.gregs) {
            $0.storeBytes(of: newValue, toByteOffset: 8 * register.rawValue, as: Int.self)
          }
        }
      }

      var time: timespec {
        get { stack[1] }
        set { stack[1] = newValue }
      }
      var timeAddress: Int { Int(bitPattern: stack + 1) }
      /// In nanoseconds, what the call waits for.
      var left: Int { time.tv_sec * 1_000_000_000 + time.tv_nsec }

      /// Behind the call, which the signal has interrupted.
      func interrupt() {
        self[.rax] = -Int(EINTR)
        self[.rip] = Int(bitPattern: code + 40)
      }

      /// The handler comes, stays for some time, and returns.
      func stop() {
        let time = apus_restart_call(m.cM, &context)
        usleep(2000)
        apus_restart_update(m.cM, time)
      }

      /// Whether it stands at the call, which is to begin with the number.
      func isAtCall(_ number: Int) -> Bool {
        self[.rax] == number && self[.rip] == Int(bitPattern: code + 38)
      }
    }

    /// Of Linux on x86-64.
    private static let (nanosleep, pselect6, ppoll) = (35, 270, 271)
    private static let milliseconds400 = timespec(tv_sec: 0, tv_nsec: 400_000_000)

    @Test(arguments: [(Self.ppoll, Standing.Register.rdx), (Self.pselect6, .r8)])
    fileprivate func whatPassesBeforeTheCallBeginsAgainCounts(_ number: Int, _ register: Standing.Register) {
      let standing = Standing(number)
      standing.time = Self.milliseconds400
      standing[register] = standing.timeAddress
      standing.interrupt()
      standing.stop()
      #expect(standing.isAtCall(number))
      let once = standing.left
      #expect(once <= 398_000_000 && once > 0)
      // Once more, before it has begun.
      standing.stop()
      #expect(standing.isAtCall(number))
      #expect(standing.left <= once - 2_000_000 && standing.left > 0)
    }

    @Test func itCountsForATimeInTheRecord() {
      let standing = Standing(Self.nanosleep)
      standing.time = Self.milliseconds400
      standing[.rdi] = standing.timeAddress
      standing.interrupt()
      standing.stop()
      #expect(standing[.rdi] != standing.timeAddress && standing.left == 400_000_000)
      let record = UnsafePointer<timespec>(bitPattern: standing[.rdi])!
      let once = record.pointee.tv_nsec
      #expect(once <= 398_000_000)
      standing.stop()
      #expect(record.pointee.tv_nsec <= once - 2_000_000)
    }

    /// A call that begins there with a time of its own, or with the same one elsewhere, is none of those.
    @Test func aNewCallIsLeftAlone() {
      let number = Self.ppoll
      let standing = Standing(number)
      standing.time = Self.milliseconds400
      standing[.rdx] = standing.timeAddress
      standing.interrupt()
      standing.stop()
      let once = standing.left
      standing.time.tv_nsec = once + 1
      standing.stop()
      #expect(standing.left == once + 1)
      standing.stack[0] = timespec(tv_sec: 0, tv_nsec: once)
      standing[.rdx] = Int(bitPattern: standing.stack)
      standing.stop()
      #expect(standing.stack[0].tv_nsec == once)
      standing[.rdx] = 0
      standing.stop()
      #expect(standing.isAtCall(number))
    }

    /// Nothing is left of it: a new call with the same nothing is as good as over.
    @Test func aTimeThatIsOverIsForgotten() {
      let standing = Standing(Self.ppoll)
      standing.time = timespec(tv_sec: 0, tv_nsec: 1_000_000)
      standing[.rdx] = standing.timeAddress
      standing.interrupt()
      standing.stop()
      #expect(standing.left == 0)
      #expect(standing.m.pointee.head.restart_place == nil)
    }
  }
#endif
