import Apus
import ApusNet
import Glibc

/// The sockets that the process has open. Not all its descriptors: sysmon has one for a moment whenever it looks at a
/// thread (`ThreadCensus`, `apus_thread_state_by_syscall`), and counting must not meet it.
private func openSockets() -> Int {
  guard let directory = opendir("/proc/self/fd") else { fatalError("/proc/self/fd cannot be read") }
  defer { closedir(directory) }
  var count = 0
  var target = [CChar](repeating: 0, count: 64)
  while let entry = readdir(directory) {
    let length = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 1) { readlinkat(dirfd(directory), $0, &target, target.count) }
    }
    if length > 0, target[..<length].starts(with: "socket:".utf8.map { CChar($0) }) { count += 1 }
  }
  return count
}

/// Lets the process have `count` descriptors at most.
private func limitDescriptors(to count: Int) {
  var limit = rlimit(rlim_cur: rlim_t(count), rlim_max: rlim_t(count))
  setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

/// Takes all descriptors that are left, the one too that the monitor has open for a moment while it looks at a thread.
private func takeAllDescriptors() -> [Int32] {
  var taken: [Int32] = []
  var failures = 0
  while failures < 20 {
    let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
    if descriptor < 0 {
      failures += 1
      usleep(1000)
    } else {
      failures = 0
      taken.append(descriptor)
    }
  }
  return taken
}

/// What the process has to give, and whether it gets it back.
func runLimitScenario(_ name: String, _ count: Int) throws -> Bool {
  switch name {
  case "cycles":
    // Connections made and closed, by either side first, by `close` or with the last reference.
    let listener = try TCPListener(port: 0)
    let port = listener.address.port
    let group = WaitGroup()
    func cycle(_ rounds: Int) {
      for _ in 0..<4 {
        group.go {
          for _ in 0..<(rounds / 4) {
            guard let server = try? listener.accept() else { fatalError("not accepted") }
            if let bytes = try? server.read(upTo: 1), bytes == [1] { server.close() }
          }
        }
        group.go {
          for round in 0..<(rounds / 4) {
            guard let client = try? TCPConnection(host: "127.0.0.1", port: port) else { fatalError("not connected") }
            // Without lingering, or the ports would be used up.
            client.setLinger(0)
            if round % 2 == 0 { try? client.write([1] as [UInt8]) }
            if round % 4 < 2 { client.close() }
          }
        }
      }
      group.wait()
    }
    cycle(100)
    let before = openSockets()
    cycle(count)
    print("left over", openSockets() - before)
  case "failures":
    // What fails on the way leaves no descriptor either.
    let listener = try TCPListener(port: 0)
    let busy = listener.address.port
    let free = try TCPListener(port: 0)
    let refused = free.address.port
    free.close()
    let before = openSockets()
    var failures = 0
    for _ in 0..<count {
      do { _ = try TCPConnection(host: "127.0.0.1", port: refused) } catch { failures += 1 }
      do { _ = try TCPConnection(host: "localhost", port: refused) } catch { failures += 1 }
      do { _ = try TCPListener(port: busy) } catch { failures += 1 }
      do { _ = try UDPSocket(host: "192.0.2.1", port: 1) } catch { failures += 1 }
      do { _ = try UnixConnection(path: "/tmp/no/such/socket") } catch { failures += 1 }
      do { _ = try UnixListener(path: "/tmp/no/such/socket") } catch { failures += 1 }
    }
    print("failures", failures, "left over", openSockets() - before)
  case "no-descriptor-to-accept":
    // Accepting waits until there is one, and goes on.
    let listener = try TCPListener(port: 0)
    let first = try TCPConnection(host: "127.0.0.1", port: listener.address.port)
    let accepted = Channel<[UInt8]>(capacity: 10)
    let second = try TCPConnection(host: "127.0.0.1", port: listener.address.port)
    limitDescriptors(to: openSockets() + 20)
    let taken = takeAllDescriptors()
    go {
      while let connection = try? listener.accept() {
        go { accepted.send((try? connection.readExactly(1)) ?? []) }
      }
    }
    try first.write([1] as [UInt8])
    try second.write([2] as [UInt8])
    Goroutine.sleep(for: .milliseconds(100))
    let none = accepted.count
    for descriptor in taken { close(descriptor) }
    print(none, [accepted.receive()!, accepted.receive()!].map { $0[0] }.sorted())
    // The wait ends with the deadline, and with the listener, too.
    let again = takeAllDescriptors()
    listener.close()
    for descriptor in again { close(descriptor) }
  case "no-descriptor-ends":
    let listener = try TCPListener(port: 0)
    let client = try TCPConnection(host: "127.0.0.1", port: listener.address.port)
    limitDescriptors(to: openSockets() + 10)
    let taken = takeAllDescriptors()
    listener.deadline = .now + .milliseconds(20)
    var texts: [String] = []
    do { _ = try listener.accept() } catch { texts.append("\((error as! NetError).kind)") }
    listener.deadline = nil
    let kinds = Channel<String>()
    go { do { _ = try listener.accept() } catch { kinds.send("\((error as! NetError).kind)") } }
    // Into a pause of hundreds of milliseconds.
    Goroutine.sleep(for: .milliseconds(400))
    let start = ContinuousClock.now
    listener.close()
    texts.append(kinds.receive()!)
    texts.append(ContinuousClock.now - start < .milliseconds(200) ? "at once" : "late")
    print(texts.joined(separator: " "))
    client.close()
    for descriptor in taken { close(descriptor) }
  case "no-descriptor-to-open":
    let listener = try TCPListener(port: 0)
    limitDescriptors(to: openSockets() + 10)
    let taken = takeAllDescriptors()
    func say(_ body: () throws -> Void) { do { try body() } catch { print(error) } }
    say { _ = try TCPConnection(host: "127.0.0.1", port: 1) }
    say { _ = try TCPListener(port: 1) }
    say { _ = try UDPSocket(host: "127.0.0.1", port: 1) }
    say { _ = try UnixConnection(path: "/tmp/x") }
    say { _ = try UnixListener(path: "/tmp/x") }
    say { _ = try DescriptorStream.pipe() }
    for descriptor in taken { close(descriptor) }
    listener.close()
  case "no-descriptor-for-the-poller":
    limitDescriptors(to: openSockets() + 10)
    var taken = takeAllDescriptors()
    // One for the socket, none for epoll.
    close(taken.removeLast())
    do { _ = try TCPListener(port: 0) } catch { print((error as! NetError).errno) }
    for descriptor in taken { close(descriptor) }
    print(try TCPListener(port: 0).address.port > 0)
  default:
    return false
  }
  return true
}
