import Foundation
import Testing

/// A copy of a product without symbols or without debug information only, in a folder of its own, which goes with it.
private final class StrippedProduct {
  let path: String
  private let original: String
  private let folder: URL

  /// - Throws: `HarnessError` when `strip` cannot be run.
  init(_ name: String, _ options: [String]) throws {
    original = try product(name)
    folder = FileManager.default.temporaryDirectory.appending(path: "apus-stripped-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    path = folder.appending(path: "stripped").path
    let result = try run("/usr/bin/env", ["strip"] + options + ["-o", path, original])
    if result.status != 0 { throw HarnessError(call: "strip", number: ENOENT) }
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  func report(_ arguments: [String]) throws -> ProgramResult {
    try run(path, arguments, environment: inheritedEnvironment(["GOMAXPROCS": "1"]))
  }

  /// The files and lines that `addr2line` finds in the original at addresses of the copy, without folders.
  func places(at offsets: [UInt64]) throws -> [Substring] {
    let result = try run(
      "/usr/bin/env", ["addr2line", "-i", "-s", "-e", original] + offsets.map { "0x" + String($0, radix: 16) },
      timeout: .seconds(60))
    #expect(result.status == 0, "\(result)")
    return result.output.split(separator: "\n").map { $0.prefix { $0 != " " } }
  }

  /// What the second line of a frame says where it is one of the copy: the address in the image, and the address.
  func address(_ place: String) -> (offset: UInt64, pc: UInt64)? {
    guard let match = place.wholeMatch(of: /stripped\+0x([0-9a-f]+) pc=0x([0-9a-f]+)/),
      let offset = UInt64(match.1, radix: 16), let pc = UInt64(match.2, radix: 16)
    else { return nil }
    return (offset, pc)
  }
}

extension Programs {
  /// Reports of programs in whose files there are no names, or no places in the source: addresses that those find out who
  /// have kept the original.
  @Suite struct StrippedDumps {
    /// Goroutine by goroutine the original has what the report of a whole program shows.
    @Test func addressesLeadToThePlaces() throws {
      let program = try StrippedProduct("apus-faults", ["-s"])
      let result = try program.report(["waits-quit"])
      #expect(result.status == 2, "\(result)")
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(dump.faults == [], "\(result)")
      #expect(dump.headline == "SIGQUIT: quit", "\(result)")
      let whole = DumpText(
        try run(
          product("apus-faults"), ["waits-quit"], environment: inheritedEnvironment(["GOMAXPROCS": "1"])
        ).errors, hasHeadline: true)
      #expect(dump.goroutines.map(\.id) == whole.goroutines.map(\.id))
      #expect(dump.goroutines.map(\.status) == whole.goroutines.map(\.status))
      var bases: Set<UInt64> = []
      for (goroutine, original) in zip(dump.goroutines, whole.goroutines) {
        let creation = goroutine.creation.map { [($0.function, $0.place)] } ?? []
        var offsets: [UInt64] = []
        for (function, place) in Array(zip(goroutine.functions, goroutine.places)) + creation {
          guard let address = program.address(place) else { continue }
          #expect(function == "?(...)", "\(function) \(place)")
          offsets.append(address.offset)
          bases.insert(address.pc - address.offset)
        }
        let found = try program.places(at: offsets)
        for place in original.places + [original.creation?.place ?? ""] where place.contains("/Waits.swift:") {
          let line = place.split(separator: "/").last?.prefix { $0 != " " }
          #expect(found.contains { $0 == line }, "goroutine \(goroutine.id): \(place), \(found)")
        }
      }
      #expect(bases.count == 1, "\(result)")
    }

    @Test func namesStayWithoutPlaces() throws {
      let program = try StrippedProduct("apus-faults", ["-g"])
      let result = try program.report(["waits-quit"])
      let dump = DumpText(result.errors, hasHeadline: true)
      #expect(result.status == 2 && dump.faults == [], "\(result)")
      let receiver = dump.goroutines.first { $0.id == 6 }
      #expect(receiver?.status == "chan receive", "\(result)")
      let frame = receiver?.functions.firstIndex(of: "apus_faults.receive(_:)")
      #expect(frame.flatMap { receiver?.places[$0] }.flatMap { program.address($0) } != nil, "\(result)")
      #expect(receiver?.creation?.function.contains("startWaits") == true, "\(result)")
    }

    @Test(arguments: ["index", "null", "stack"], ["main", "goroutine"]) func trapsAreReported(
      kind: String, place: String
    ) throws {
      let program = try StrippedProduct("apus-traps", ["-s"])
      let result = try program.report([kind, place, "10"])
      #expect(result.status == 2 && !result.timedOut, "\(result)")
      let lines = result.errors.split(separator: "\n", omittingEmptySubsequences: false)
      let start = lines.firstIndex { $0.hasPrefix("panic: ") || $0.hasPrefix("fatal error: ") }
      #expect(start != nil, "\(result)")
      let dump = DumpText(lines[(start ?? 0)...].joined(separator: "\n"), hasHeadline: true)
      #expect(dump.faults == [], "\(result)")
      #expect(dump.goroutines.first?.places.contains { program.address($0) != nil } == true, "\(result)")
    }
  }
}
