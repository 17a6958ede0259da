import CAttach
import Foundation
import Glibc

/// A running program that this command looks into. It goes on meanwhile.
final class Attachment {
  private let program: TargetProcess
  private let connection: Int32
  /// For how long the program may say nothing.
  private let patience: Double
  /// Room for the longest message, and a byte to notice a longer one by.
  private var buffer = [UInt8](repeating: 0, count: 65536)

  /// The version of the answers.
  private static let version = "1"

  /// Attaches to the program. - Parameter patience: In seconds, as long as each answer may keep waiting.
  /// - Throws: `CommandFailure`.
  init(_ process: pid_t, patience: Double) throws {
    program = try TargetProcess(process)
    self.patience = patience
    let end = Self.now + patience
    // Who was attached before may just be leaving.
    let politeness = Self.now + 1
    while true {
      let connection = try Self.connect(to: program, until: end)
      let hello = Self.receive(from: connection, &buffer, until: end)
      if hello.count > 0, buffer[0] == UInt8(APUS_ATTACH_HELLO) {
        self.connection = connection
        let version = String(decoding: buffer[1..<hello.count], as: UTF8.self)
        if version == Self.version { return }
        throw CommandFailure("process \(process) is of another version of Apus than this command")
      }
      close(connection)
      if hello.count > 0, buffer[0] == UInt8(APUS_ATTACH_REFUSAL), Self.now < min(politeness, end) {
        usleep(20_000)
        continue
      }
      throw Self.failure(of: program, hello, buffer)
    }
  }

  /// Asks, and calls `body` with the answer as it comes.
  /// - Parameters:
  ///   - file: A descriptor for the program.
  ///   - delay: For how many seconds more than usually the program may say nothing.
  /// - Throws: `CommandFailure`.
  func ask(
    _ request: String, passing file: Int32 = -1, delay: Double = 0,
    _ body: (ArraySlice<UInt8>) -> Void = { _ in }
  ) throws {
    let error = attach_send(connection, request, request.utf8.count, file)
    if error != 0 { throw Self.failure(of: program, (0, error), buffer) }
    while true {
      let answer = Self.receive(from: connection, &buffer, until: Self.now + delay + patience)
      guard answer.count > 0 else { throw Self.failure(of: program, answer, buffer) }
      switch Int(buffer[0]) {
      case APUS_ATTACH_TEXT: body(buffer[1..<answer.count])
      case APUS_ATTACH_END: return
      default: throw Self.failure(of: program, answer, buffer)
      }
    }
  }

  /// Leaves the program, and waits until it has noticed: then the next command can attach.
  deinit {
    attach_finish(connection)
    let end = Self.now + 1
    while Self.receive(from: connection, &buffer, until: end).count > 0 {}
    close(connection)
  }

  private static func connect(to program: TargetProcess, until end: Double) throws -> Int32 {
    let number = UInt64(APUS_ATTACH_MAGIC) << 48 | UInt64.random(in: 0..<1 << 48)
    let listener = attach_listen(number)
    guard listener >= 0 else { throw CommandFailure("no socket: \(String(cString: strerror(-listener)))") }
    defer { close(listener) }
    while true {
      // Of two requests that come together one gets lost: it is sent again.
      let error = attach_request(program.id, program.thread, number)
      if error == -EPERM { throw CommandFailure(TargetProcess.belongsToAnother(program.id)) }
      if error == -ESRCH { throw CommandFailure(endOf: program.id) }
      if error != 0 { throw CommandFailure("process \(program.id): \(String(cString: strerror(-error)))") }
      let connection = attach_accept(listener, program.id, 100)
      if connection >= 0 { return connection }
      if connection != -EAGAIN { throw CommandFailure("no connection: \(String(cString: strerror(-connection)))") }
      if now >= end { throw TargetProcess.noAnswer(program.id) }
    }
  }

  private static func receive(
    from connection: Int32, _ buffer: inout [UInt8], until end: Double
  ) -> (count: Int, error: Int32) {
    let milliseconds = Int32(clamping: Int(max(end - now, 0) * 1000))
    let count = buffer.withUnsafeMutableBytes { attach_receive(connection, $0.baseAddress, $0.count, milliseconds) }
    return count < 0 ? (0, Int32(count)) : (count, 0)
  }

  /// Why this is no answer.
  private static func failure(
    of program: TargetProcess, _ answer: (count: Int, error: Int32), _ buffer: [UInt8]
  ) -> CommandFailure {
    if answer.count > 0 {
      let reason = String(decoding: buffer[1..<answer.count], as: UTF8.self)
      return CommandFailure("process \(program.id) refuses: \(reason)")
    }
    switch answer.error {
    case -EAGAIN: return TargetProcess.noAnswer(program.id)
    case 0, -EPIPE, -ECONNRESET: return CommandFailure(endOf: program.id)
    default: return CommandFailure("process \(program.id): \(String(cString: strerror(-answer.error)))")
    }
  }

  private static var now: Double { ProcessInfo.processInfo.systemUptime }
}
