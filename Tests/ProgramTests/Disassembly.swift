import Foundation
import Glibc

/// The machine code of a program, as `objdump` shows it.
struct Disassembly {
  /// One function: its symbol and its instructions.
  struct Function {
    var symbol: String
    var instructions: [Substring]

    /// The functions that it calls, or jumps to at its end.
    var callees: [Substring] {
      instructions.compactMap { instruction in
        guard let open = instruction.firstIndex(of: "<"), let close = instruction.lastIndex(of: ">") else { return nil }
        let words = instruction[..<open].split(whereSeparator: \.isWhitespace)
        guard words.contains(where: { $0.hasPrefix("call") || $0.hasPrefix("jmp") }) else { return nil }
        let target = instruction[instruction.index(after: open)..<close]
        return target.prefix { $0 != "@" && $0 != "+" }
      }
    }
  }

  private(set) var functions: [Function] = []

  /// Disassembles the program at `path`.
  /// - Throws: `HarnessError` when `objdump` cannot be run.
  init(of path: String) throws {
    // A function ends where its symbol says: what follows without a symbol is another's.
    let sizes = try Self.sizes(of: path)
    var end: UInt64 = 0
    for line in try Self.objdump(["-d", "--no-show-raw-insn", path]).split(separator: "\n") {
      if line.hasSuffix(">:"), let open = line.firstIndex(of: "<"),
        let address = UInt64(line[..<open].dropLast(), radix: 16)
      {
        let symbol = String(line[line.index(after: open)...].dropLast(2))
        functions.append(Function(symbol: symbol, instructions: []))
        end = address + (sizes[symbol] ?? 0)
      } else if let colon = line.firstIndex(of: ":"),
        let address = UInt64(line[..<colon].drop { $0 == " " }, radix: 16), address < end
      {
        functions[functions.count - 1].instructions.append(line[line.index(after: colon)...])
      }
    }
  }

  private static func sizes(of path: String) throws -> [String: UInt64] {
    var sizes: [String: UInt64] = [:]
    for line in try objdump(["-t", path]).split(separator: "\n") {
      // "address flags section<tab>size name", the name after an optional visibility.
      guard let tab = line.firstIndex(of: "\t") else { continue }
      let words = line[line.index(after: tab)...].split(separator: " ")
      guard let name = words.last, let size = words.first.flatMap({ UInt64($0, radix: 16) }) else { continue }
      sizes[String(name)] = size
    }
    return sizes
  }

  private static func objdump(_ arguments: [String]) throws -> String {
    let result = try run("/usr/bin/env", ["objdump"] + arguments, timeout: .seconds(60))
    guard result.status == 0 else { throw HarnessError(call: "objdump", number: ENOENT) }
    return result.output
  }

  /// The functions whose symbol contains every one of `parts`.
  func functions(containing parts: [String]) -> [Function] {
    functions.filter { function in parts.allSatisfy { function.symbol.contains($0) } }
  }
}
