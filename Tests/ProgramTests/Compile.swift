import Foundation

/// Compiles `source`, a file of top-level code, against the modules that were built with the tests, as far as the end of
/// the optimizer; nothing is kept.
func compile(_ source: String, _ options: [String] = [], timeout: Duration = .seconds(60)) throws -> ProgramResult {
  let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
  try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: directory) }
  let file = directory.appendingPathComponent("snippet.swift")
  try source.write(to: file, atomically: true, encoding: .utf8)
  let build = try product("")
  return try run(
    "/usr/bin/env",
    [
      "swiftc", "-emit-sil", "-o", "/dev/null", "-swift-version", "6", "-package-name", "snippet", "-I",
      "\(build)/Modules", "-Xcc", "-fmodule-map-file=\(build)/CApus.build/module.modulemap",
    ] + options + [file.path], timeout: timeout)
}
