import CApus
import Foundation
import Testing

@testable import ApusRuntime

/// The reader of debug information, compared with LLVM's on this very program: two thousand addresses in its code.
@Suite struct SymbolizerTests {
  private struct Expected {
    var function: String
    var file: String
    var line: Int
  }

  /// What LLVM's symbolizer says of addresses as the program was linked; innermost functions first.
  private static func ask(_ addresses: [UInt]) throws -> [[Expected]] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      "llvm-symbolizer", "--obj=/proc/\(getpid())/exe", "--output-style=JSON", "--no-demangle",
    ]
    let (input, output) = (Pipe(), Pipe())
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    let text = addresses.map { "0x" + String($0, radix: 16) + "\n" }.joined()
    // More than a pipe holds on either side: written while the answers are read.
    let writing = Thread {
      input.fileHandleForWriting.write(Data(text.utf8))
      try? input.fileHandleForWriting.close()
    }
    writing.start()
    let answers = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return try answers.split(separator: UInt8(ascii: "\n")).map { line in
      let object = try JSONSerialization.jsonObject(with: line) as? [String: Any]
      return (object?["Symbol"] as? [[String: Any]] ?? []).map {
        Expected(
          function: $0["FunctionName"] as? String ?? "", file: $0["FileName"] as? String ?? "",
          line: $0["Line"] as? Int ?? 0)
      }
    }
  }

  /// Where the program's code lies, and where it was linked.
  private static func code() throws -> (segment: ModuleData.Segment, base: UInt) {
    let modules = ModuleData.collect()
    // A function that is surely in it.
    let here = unsafeBitCast(apus_goexit as @convention(c) () -> Void, to: UInt.self)
    let segment = try #require(modules.find(here))
    return (segment, segment.image.base)
  }

  private static func file(of place: SourcePlace) -> String {
    String(cString: SourcePlace.lastComponent(of: place.file))
  }

  @Test func agreesWithLLVM() throws {
    let (segment, base) = try Self.code()
    var random = SystemRandomNumberGenerator()
    let addresses = (0..<2000).map { _ in UInt.random(in: segment.start..<segment.end, using: &random) }
    let expected = try Self.ask(addresses.map { $0 - base })
    try #require(expected.count == addresses.count)
    var table = SymbolTable()
    defer { table.close() }
    var compared = 0
    // Lines that the compiler has left out, found behind the one in which the function is declared.
    var guesses = 0
    for (address, functions) in zip(addresses, expected) {
      let frames = table.lookUp(address).frames
      // Padding, and code without debug information.
      if functions.last?.file.isEmpty ?? true || frames.count == 0 { continue }
      #expect(frames.count == functions.count, "at \(String(address - base, radix: 16)): \(functions)")
      if frames.count != functions.count { continue }
      for index in 0..<frames.count {
        let (frame, wanted) = (frames[frames.count - 1 - index], functions[index])
        if let name = frame.name { #expect(String(cString: name) == wanted.function) }
        // Where the compiler gives a line of 0, or one in another file than the function's, ours is a better guess.
        if wanted.line == 0, index == 0, let declared = frame.declared, !declared.isInNoFile {
          let place = try #require(frame.place)
          #expect(place.isInFile(of: declared), "at \(String(address - base, radix: 16)): \(functions)")
          guesses += place.line > declared.line ? 1 : 0
        }
        guard wanted.line != 0, let place = frame.place else { continue }
        let file = URL(fileURLWithPath: wanted.file).lastPathComponent
        if let declared = frame.declared, Self.file(of: declared) != file { continue }
        #expect(
          Self.file(of: place) == file && place.line == UInt64(wanted.line),
          "at \(String(address - base, radix: 16)): \(functions)")
        compared += 1
      }
    }
    #expect(compared > 500, "only \(compared) functions were compared")
    #expect(guesses > 10, "only \(guesses) lines were guessed")
  }
}
