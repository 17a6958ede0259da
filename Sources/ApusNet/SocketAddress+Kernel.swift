import CApus

extension SocketAddress {
  /// What the kernel said. An IPv4 address within IPv6 becomes one of IPv4, which is what it stands for. Allocates nothing
  /// but for a long path.
  init(_ kernel: UnsafePointer<apus_address>) {
    let address = kernel.pointee
    switch Int32(address.family) {
    case APUS_FAMILY_V4:
      self.init(.v4(Self.bytes(address).first, port: address.port))
    case APUS_FAMILY_V6:
      let words = Self.words(address)
      if words.high == 0 && UInt64(bigEndian: words.low) >> 32 == 0xffff {
        self.init(.v4(UInt32(truncatingIfNeeded: UInt64(bigEndian: words.low)), port: address.port))
      } else {
        self.init(.v6(words.high, words.low, scope: address.scope, port: address.port))
      }
    case APUS_FAMILY_UNIX where address.path_length > 0:
      // The bytes lie in memory that does not move; a copy of the whole record would be made to look at it.
      let start = UnsafeRawPointer(kernel) + MemoryLayout<apus_address>.offset(of: \.path).unsafelyUnwrapped
      let bytes = UnsafeRawBufferPointer(start: start, count: Int(address.path_length))
      if bytes[0] == 0 {
        self.init(.unix("@" + String(decoding: bytes.dropFirst(), as: UTF8.self)))
      } else {
        self.init(.unix(String(decoding: bytes, as: UTF8.self)))
      }
    default:
      self.init(.none)
    }
  }

  /// Writes it in the kernel's terms; for a socket of IPv6 if that is what `family` says. False for a path that is too
  /// long.
  func write(to kernel: UnsafeMutablePointer<apus_address>, family: Int32? = nil) -> Bool {
    kernel.pointee.family = UInt16(family ?? self.family)
    kernel.pointee.port = UInt16(port)
    kernel.pointee.scope = 0
    kernel.pointee.path_length = 0
    switch storage {
    case .v4(let address, _):
      if family == APUS_FAMILY_V6 {
        Self.set(kernel, high: 0, low: UInt64(0xffff_0000_0000 | UInt64(address)).bigEndian)
      } else {
        withUnsafeMutableBytes(of: &kernel.pointee.bytes) { $0.storeBytes(of: address.bigEndian, as: UInt32.self) }
      }
      return true
    case .v6(let high, let low, let scope, _):
      kernel.pointee.scope = scope
      Self.set(kernel, high: high, low: low)
      return true
    case .unix(var path):
      return path.withUTF8 { bytes in
        // The kernel's field has 108 bytes, and a path ends with a zero in it.
        let isAbstract = bytes.first == UInt8(ascii: "@")
        guard bytes.count <= (isAbstract ? Self.pathLimit + 1 : Self.pathLimit) else { return false }
        withUnsafeMutableBytes(of: &kernel.pointee.path) {
          $0.copyBytes(from: bytes)
          if isAbstract { $0[0] = 0 }
        }
        kernel.pointee.path_length = UInt16(bytes.count)
        return true
      }
    case .none:
      return true
    }
  }

  /// The most bytes that the path of a Unix socket may have.
  static var pathLimit: Int { 107 }

  private static func bytes(_ address: apus_address) -> (first: UInt32, Void) {
    (withUnsafeBytes(of: address.bytes) { UInt32(bigEndian: $0.loadUnaligned(as: UInt32.self)) }, ())
  }

  private static func words(_ address: apus_address) -> (high: UInt64, low: UInt64) {
    withUnsafeBytes(of: address.bytes) {
      ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }
  }

  private static func set(_ kernel: UnsafeMutablePointer<apus_address>, high: UInt64, low: UInt64) {
    withUnsafeMutableBytes(of: &kernel.pointee.bytes) {
      $0.storeBytes(of: high, as: UInt64.self)
      $0.storeBytes(of: low, toByteOffset: 8, as: UInt64.self)
    }
  }
}
