import CApus

/// The arguments and the environment as the process got them, counted once (Go's `goargs` and `goenvs`).
///
/// The environment's array is the initial one: what `setenv` adds later is not in it.
package struct ProcessEnvironment {
  /// The number of arguments, the program's name included; 0 is possible.
  package let argumentCount: Int
  /// The arguments, ended by nil; nil only when nobody knows them.
  package let arguments: UnsafePointer<UnsafeMutablePointer<CChar>?>?
  /// The number of strings in `environment`.
  package let environmentCount: Int
  /// The strings `NAME=value`, ended by nil.
  package let environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?

  /// Takes over what `vector` found and counts the environment.
  package init(_ vector: AuxiliaryVector) {
    argumentCount = vector.argumentCount
    arguments = vector.arguments
    environment = vector.environment
    var count = 0
    if let environment = vector.environment {
      while environment[count] != nil { count += 1 }
    }
    environmentCount = count
  }

  /// The value of `name`: of its first occurrence, as `getenv` has it. nil when it is not set.
  package func value(of name: StaticString) -> UnsafePointer<CChar>? {
    Self.value(of: name, in: environment)
  }

  /// The same in any environment array.
  package static func value(
    of name: StaticString, in environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?
  ) -> UnsafePointer<CChar>? {
    guard var entry = environment else { return nil }
    let length = name.utf8CodeUnitCount
    while let string = entry.pointee {
      var index = 0
      // Ends at the string's terminator at the latest: a name contains no zero byte.
      while index < length, UInt8(bitPattern: string[index]) == name.utf8Start[index] { index += 1 }
      if index == length, string[index] == 0x3D { return UnsafePointer(string + length + 1) }
      entry += 1
    }
    return nil
  }

  /// Whether `CommandLine` has the same arguments, byte for byte.
  ///
  /// The first use of `CommandLine` may make the standard library read and copy /proc/self/cmdline. Meant for the boot
  /// trace and tests, not for every start.
  package func agreesWithCommandLine() -> Bool {
    guard Int(CommandLine.argc) == argumentCount else { return false }
    guard let arguments else { return argumentCount == 0 }
    let others = CommandLine.unsafeArgv
    var index = 0
    while index < argumentCount {
      guard let mine = arguments[index], let other = others[index] else { return false }
      if !ByteText(cString: mine).equals(ByteText(cString: other)) { return false }
      index += 1
    }
    return true
  }
}
