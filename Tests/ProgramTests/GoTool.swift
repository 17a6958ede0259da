import Foundation

/// Where Go's tool is, which opens profiles and traces; nil where Go is not installed.
let goTool: String? = {
  let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
  return folders.map { "\($0)/go" }.first { FileManager.default.isExecutableFile(atPath: $0) }
}()
