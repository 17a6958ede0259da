import Foundation
import Glibc

/// Runs programs in a folder of their own that may leave core files, finds these and removes them.
///
/// Where the kernel puts them says /proc/sys/kernel/core_pattern. It may be a program or a socket, and then there is no
/// file; nor is there one that can be found where the pattern is a folder's whose files do not have the process's number.
final class CoreFolder {
  private let folder: URL
  /// The pattern's folder, if it is none of the program's.
  private let elsewhere: String?
  /// Whether a core file that is made can be found.
  let isKnown: Bool
  /// Whether there can be one: the limit of this process may not be raised over the hard one.
  let isAllowed: Bool

  /// - Throws: What makes it impossible to have such a folder.
  init() throws {
    let pattern = (try? String(contentsOfFile: "/proc/sys/kernel/core_pattern", encoding: .utf8)) ?? "|"
    let usesNumber = (try? String(contentsOfFile: "/proc/sys/kernel/core_uses_pid", encoding: .utf8)) == "1\n"
    let parts = pattern.trimmingCharacters(in: .newlines).components(separatedBy: "/")
    let place = parts.dropLast().joined(separator: "/")
    elsewhere = pattern.hasPrefix("/") ? place + "/" : nil
    if pattern.hasPrefix("|") || pattern.hasPrefix("@") {
      isKnown = false
    } else if let elsewhere {
      isKnown = (parts[parts.count - 1].contains("%p") || usesNumber) && access(elsewhere, W_OK | X_OK) == 0
    } else {
      isKnown = parts.count == 1
    }
    var limit = rlimit()
    isAllowed = getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit) == 0 && limit.rlim_max > 1 << 20
    folder = FileManager.default.temporaryDirectory.appending(path: "apus-core-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  /// Runs the program there, with the limit of the size raised as far as it goes. The core files that it leaves are read
  /// and removed.
  func run(
    _ executable: String, _ arguments: [String], environment: [String: String]
  ) throws -> (result: ProgramResult, files: [CoreFile]) {
    let script = #"ulimit -S -c "$(ulimit -H -c)"; cd "$0" && exec "$@""#
    let result = try ProgramTests.run(
      "/bin/sh", ["-c", script, folder.path, executable] + arguments, environment: environment)
    var files = try FileManager.default.contentsOfDirectory(atPath: folder.path).map { folder.path + "/" + $0 }
    if let elsewhere, isKnown {
      let names = try FileManager.default.contentsOfDirectory(atPath: elsewhere)
      files += names.filter { $0.contains("\(result.process)") }.map { elsewhere + $0 }
    }
    defer { for file in files { unlink(file) } }
    return (result, try files.map { try CoreFile(path: $0) })
  }
}

/// What stands at the beginning of a core file of ELF.
struct CoreFile {
  /// The signal of which the process died.
  var signal: Int32?
  /// The process of whose thread that signal was.
  var thread: pid_t?

  /// Reads the file at `path`; nothing is known of one that is no core file.
  /// - Throws: What Foundation says where it cannot be read.
  init(path: String) throws {
    let file = try FileHandle(forReadingFrom: URL(filePath: path))
    defer { try? file.close() }
    let bytes = try file.read(upToCount: 1 << 20) ?? Data()
    func number<T: FixedWidthInteger>(_ offset: Int, as type: T.Type) -> T? {
      guard offset >= 0, offset + MemoryLayout<T>.size <= bytes.count else { return nil }
      return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) }
    }
    // ET_CORE, and the table of segments, of which one is PT_NOTE.
    guard bytes.starts(with: [0x7f, 0x45, 0x4c, 0x46, 2]), number(16, as: UInt16.self) == 4,
      let table = number(32, as: UInt64.self), let count = number(56, as: UInt16.self)
    else { return }
    let headers = (0..<Int(count)).map { Int(clamping: table) + $0 * 56 }
    guard let header = headers.first(where: { number($0, as: UInt32.self) == 4 }),
      let notes = number(header + 8, as: UInt64.self).map({ Int(clamping: $0) }),
      let nameSize = number(notes, as: UInt32.self), number(notes + 8, as: UInt32.self) == 1
    else { return }
    // The first note is NT_PRSTATUS of the thread that died: a siginfo, and behind two masks its number.
    let status = notes + 12 + (Int(nameSize) + 3) / 4 * 4
    signal = number(status, as: Int32.self)
    thread = number(status + 32, as: Int32.self)
  }
}
