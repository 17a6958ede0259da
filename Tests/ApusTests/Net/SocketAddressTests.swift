import Apus
@testable import ApusNet
import CApus
import Testing

/// Addresses as text, as values, and as the kernel has them.
@Suite struct SocketAddressTests {
  @Test(
    arguments: [
      ("127.0.0.1", 80, "127.0.0.1", "127.0.0.1:80"), ("0.0.0.0", 0, "0.0.0.0", "0.0.0.0:0"),
      ("255.255.255.255", 65_535, "255.255.255.255", "255.255.255.255:65535"), ("::1", 443, "::1", "[::1]:443"),
      ("2001:0DB8:0:0:0:0:0:1", 1, "2001:db8::1", "[2001:db8::1]:1"), ("::", 9, "::", "[::]:9"),
      ("::ffff:10.1.2.3", 5, "10.1.2.3", "10.1.2.3:5"), ("fe80::1%lo", 7, "fe80::1%lo", "[fe80::1%lo]:7"),
    ])
  func numbersAreTakenAsTheyStand(host: String, port: Int, canonical: String, text: String) throws {
    let address = try SocketAddress(host: host, port: port)
    #expect(address.host == canonical)
    #expect(address.port == port)
    #expect(address.description == text)
    #expect(address == (try SocketAddress(host: canonical, port: port)))
  }

  @Test(arguments: ["1.2.3", "1.2.3.4.5", "1.2.3.256", ":::", "fe80::1%", "fe80::1%no such interface", "12345::", ""])
  func whatIsNoAddress(text: String) {
    #expect(Resolver.literal(text) == nil)
  }

  @Test func anInterfaceMayBeANumber() throws {
    #expect(try SocketAddress(host: "fe80::1%1", port: 1) == SocketAddress(host: "fe80::1%lo", port: 1))
    #expect(try SocketAddress(host: "fe80::1%4000000000", port: 1).host == "fe80::1%4000000000")
    #expect(Resolver.literal("fe80::1%99999999999999999999") == nil)
  }

  @Test func paths() {
    #expect(SocketAddress(path: "/run/x.sock").description == "/run/x.sock")
    #expect(SocketAddress(path: "/run/x.sock").host == "/run/x.sock")
    #expect(SocketAddress(path: "/run/x.sock").port == 0)
    #expect(SocketAddress(path: "a") != SocketAddress(path: "b"))
  }

  @Test(
    arguments: [
      "/tmp/some.sock", "@abstract name", String(repeating: "p", count: 107), "@" + String(repeating: "q", count: 107),
    ])
  func pathsSurviveTheKernelsForm(path: String) {
    var kernel = apus_address()
    #expect(SocketAddress(path: path).write(to: &kernel))
    #expect(SocketAddress(&kernel) == SocketAddress(path: path))
  }

  @Test(arguments: ["127.0.0.1", "2001:db8::1", "fe80::1%lo"])
  func addressesSurviveTheKernelsForm(host: String) throws {
    var kernel = apus_address()
    let address = try SocketAddress(host: host, port: 4242)
    #expect(address.write(to: &kernel))
    #expect(SocketAddress(&kernel) == address)
  }

  /// A socket of IPv6 that serves both is given an IPv4 address as one of IPv6.
  @Test func anAddressOfIPv4WithinIPv6() throws {
    var kernel = apus_address()
    let address = try SocketAddress(host: "10.1.2.3", port: 4242)
    #expect(address.write(to: &kernel, family: APUS_FAMILY_V6))
    #expect(Int32(kernel.family) == APUS_FAMILY_V6)
    #expect(SocketAddress(&kernel) == address)
  }

  @Test func tooLongAPath() {
    var kernel = apus_address()
    #expect(!SocketAddress(path: String(repeating: "p", count: 108)).write(to: &kernel))
    #expect(!SocketAddress(path: "@" + String(repeating: "q", count: 108)).write(to: &kernel))
  }

  @Test func names() throws {
    let host = try onGoroutine { try SocketAddress(host: "localhost", port: 1).host }
    #expect(host == "127.0.0.1")
  }
}
