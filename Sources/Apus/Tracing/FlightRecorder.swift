import ApusRuntime

/// An execution trace of the last seconds, in memory, to be written when something has gone wrong (Go's
/// `trace.FlightRecorder`).
///
///     let recorder = FlightRecorder(minAge: .seconds(5), maxBytes: 16 << 20)
///     try recorder.start()
///     …
///     if latency > .milliseconds(300) { try recorder.write(to: "slow.trace") }
///
/// What it writes is what `Runtime.writeTrace` writes: whole generations of a trace, of which the oldest is forgotten when
/// the others are enough. Recording costs what a trace costs, some 50 nanoseconds an event; besides the world stops for a
/// moment for each generation: at every quarter of `minAge`, but not more often than each 10 milliseconds nor less often
/// than each second, and at every quarter of `maxBytes`.
///
/// At most one recorder is on; a trace to a file may be written beside it. When the recorder is deinitialised, it stops.
public final class FlightRecorder: Sendable {
  private let number = TraceRecorder.makeNumber()
  private let minAge: Int64
  private let maxBytes: Int

  /// Makes a recorder, which is off.
  /// - Parameters:
  ///   - minAge: How far back it remembers at least, unless that were more than `maxBytes`. Zero and less end the process
  ///     with a panic.
  ///   - maxBytes: About how many bytes it keeps. The generation that is being written comes on top of that, and a single
  ///     one is kept however large it is. Zero and less end the process with a panic.
  public init(minAge: Duration = .seconds(10), maxBytes: Int = 10 << 20) {
    if minAge <= .zero { Fatal.panic("trace: a flight recorder that is to remember no time") }
    if maxBytes <= 0 { Fatal.panic("trace: a flight recorder that is to keep no bytes") }
    self.minAge = Deadline.nanoseconds(of: minAge)
    self.maxBytes = maxBytes
  }

  deinit { stop() }

  /// Begins to record.
  /// - Throws: `Failure.isEnabled` when it is on, `anotherIsEnabled` when another one is, and `noThread` when the kernel
  ///   does not give the thread that writes.
  public func start() throws(Failure) {
    let (other, error) = TraceRecorder.begin(number, minAge: minAge, maxBytes: maxBytes)
    if let other { throw other == number ? .isEnabled : .anotherIsEnabled }
    if error != 0 { throw .noThread(TraceRecorder.text(of: error)) }
  }

  /// Stops recording, and forgets what was recorded; waits for those who are writing it. Does nothing when it is off.
  public func stop() { TraceRecorder.end(number) }

  /// Whether it is on.
  public var isEnabled: Bool { TraceRecorder.current == number }

  /// Writes what it remembers, up to this moment, to the file at `path`, which is created or emptied. It goes on recording.
  /// If several write at once, they take turns; the disk is waited for as in `blocking`. Each time the world stops for a
  /// moment, as for a generation.
  /// - Throws: `Failure.isNotEnabled` when it is off, and `cannotWrite` with the kernel's reason.
  public func write(to path: String) throws(Failure) {
    guard let parts = TraceRecorder.snapshot(of: number) else { throw .isNotEnabled }
    let error = blocking { TraceRecorder.write(parts, to: path) }
    if error != 0 { throw .cannotWrite(path, TraceRecorder.text(of: error)) }
  }

  /// The same, in memory: the bytes of a trace file, a copy of what the recorder keeps.
  /// - Throws: `Failure.isNotEnabled` when it is off.
  public func snapshot() throws(Failure) -> [UInt8] {
    guard let parts = TraceRecorder.snapshot(of: number) else { throw .isNotEnabled }
    return Array(parts.joined())
  }

  /// Why a flight recorder does not do what it is asked for.
  public enum Failure: Error, Equatable, CustomStringConvertible {
    /// It was started already.
    case isEnabled
    /// Another one was started.
    case anotherIsEnabled
    /// It was not started, or was stopped.
    case isNotEnabled
    /// There is no thread to be had, for the reason that the kernel gives.
    case noThread(String)
    /// The file at the path cannot be written, for the reason that the kernel gives.
    case cannotWrite(String, String)

    /// What has happened, in words.
    public var description: String {
      switch self {
      case .isEnabled: "the flight recorder is on already"
      case .anotherIsEnabled: "another flight recorder is on"
      case .isNotEnabled: "the flight recorder is not on"
      case .noThread(let reason): "the flight recorder has no thread to write: \(reason)"
      case .cannotWrite(let path, let reason): "\(path): cannot be written: \(reason)"
      }
    }
  }
}
