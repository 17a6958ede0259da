import ApusRuntime
import CApus

/// A file descriptor that somebody else has opened, or a pipe, as a stream.
///
/// What can be polled (pipes, terminals, sockets, devices) is waited for without a thread. Regular files cannot: each read
/// and write may sleep in the kernel, and the scheduler is told so; deadlines have no effect on them, and `close` does not
/// wake who is inside.
public final class DescriptorStream: ByteStream {
  private let descriptor: Descriptor
  private let name: String

  /// A stream over `descriptor`, which must be open and stays the stream's alone until it is closed. With
  /// `closeOnRelease` it is closed when the stream is, by `close` or with its last reference; without, it is only let go.
  ///
  /// What can be polled is made non-blocking, also for other processes that share it (a terminal, say); when the stream is
  /// closed it is made blocking again if it was.
  ///
  /// Throws a `NetError` when the descriptor is not open, or a stream has it already.
  public init(descriptor: Int32, closeOnRelease: Bool = true) throws {
    name = "descriptor \(descriptor)"
    let (record, error) = Netpoll.open(descriptor)
    if error < 0 && error != -Number.notPermitted { throw NetError(-error, "open \(name)") }
    apus_pipe_guard()
    let wasBlocking = record != nil && apus_set_nonblocking(descriptor, 1) == 0
    self.descriptor = Descriptor(descriptor, record, ownsNumber: closeOnRelease, wasBlocking: wasBlocking)
  }

  private init(pipeEnd number: Int32, _ record: PollDescriptorRef) {
    name = "pipe"
    descriptor = Descriptor(number, record)
  }

  /// A new pipe: what is written to one end is read from the other. Throws a `NetError` when there is no descriptor left.
  public static func pipe() throws -> (reader: DescriptorStream, writer: DescriptorStream) {
    apus_pipe_guard()
    var numbers: (Int32, Int32) = (-1, -1)
    let error = withUnsafeMutablePointer(to: &numbers) {
      $0.withMemoryRebound(to: Int32.self, capacity: 2) { apus_pipe($0) }
    }
    if error < 0 { throw NetError(-error, "open pipe") }
    do throws(SystemError) {
      let reader: DescriptorStream
      do throws(SystemError) {
        reader = DescriptorStream(pipeEnd: numbers.0, try Descriptor.register(numbers.0).get())
      } catch {
        _ = apus_close(numbers.1)
        throw error
      }
      return (reader, DescriptorStream(pipeEnd: numbers.1, try Descriptor.register(numbers.1).get()))
    } catch {
      throw error.saying("open pipe")
    }
  }

  public var readDeadline: ContinuousClock.Instant? {
    get { descriptor.deadline(.read) }
    set { descriptor.setDeadline(.read, newValue) }
  }

  public var writeDeadline: ContinuousClock.Instant? {
    get { descriptor.deadline(.write) }
    set { descriptor.setDeadline(.write, newValue) }
  }

  public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let result = descriptor.readFile(buffer)
    if result < 0 { throw failure(result, "read") }
    return Int(result)
  }

  public func read(scattering buffers: [UnsafeMutableRawBufferPointer]) throws -> Int {
    let result = descriptor.read(scattering: buffers, apus_read_vectors)
    if result < 0 { throw failure(result, "read") }
    return Int(result)
  }

  /// Writes all of `bytes`. A pipe that nobody reads any more gives the kind `.reset` ("broken pipe"); no signal ends the
  /// process.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    let result = descriptor.writeFile(bytes)
    if result < 0 { throw failure(result, "write") }
  }

  public func write(gathering parts: [UnsafeRawBufferPointer]) throws {
    let result = descriptor.write(gathering: parts, apus_write_vectors)
    if result < 0 { throw failure(result, "write") }
  }

  public func close() {
    descriptor.close()
  }

  /// `pipe`, or the descriptor's number.
  public var description: String { name }

  @inline(never)
  private func failure(_ outcome: Int64, _ operation: StaticString) -> NetError {
    SystemError(outcome: outcome).saying("\(operation) \(name)")
  }
}
