#if Tools
  import Foundation
  import Glibc

  /// The trace of a running program, which writes it itself, into a file of this command's.
  struct RunningTrace {
    let contents: Data
    /// The program has ended meanwhile. By `exit` it has completed its trace.
    private(set) var hasEnded = false

    /// - Parameter path: Where the trace is to stay; nil for nowhere.
    /// - Throws: `CommandFailure`.
    init(of process: Int32, seconds: Double, _ path: String?, _ options: AttachOptions) throws {
      // First: what is at the path stays where there is nobody to be traced.
      let program = try Attachment(process, patience: options.timeout)
      let file = try Self.open(path)
      defer { close(file) }
      do {
        try program.ask("trace \(Int64(seconds * 1e9))", passing: file, delay: seconds)
      } catch let failure as CommandFailure where failure.isEndOfProgram {
        hasEnded = true
      }
      let handle = FileHandle(fileDescriptor: file)
      do {
        try handle.seek(toOffset: 0)
        contents = try handle.readToEnd() ?? Data()
      } catch {
        throw CommandFailure("the trace of process \(process): \(error.localizedDescription)")
      }
    }

    private static func open(_ path: String?) throws -> Int32 {
      if let path {
        let file = Glibc.open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard file >= 0 else { throw CommandFailure("\(path): \(String(cString: strerror(errno)))") }
        return file
      }
      var name = Array(FileManager.default.temporaryDirectory.appending(path: "apus-trace-XXXXXX").path.utf8CString)
      let file = mkstemp(&name)
      guard file >= 0 else { throw CommandFailure("no file for the trace: \(String(cString: strerror(errno)))") }
      _ = fcntl(file, F_SETFD, FD_CLOEXEC)
      // It goes with its last descriptor.
      unlink(name)
      return file
    }
  }
#endif
