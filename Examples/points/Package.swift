// swift-tools-version: 6.2
// The example `busy` with preemption points compiled in, as early Go had them. A package of its own: the flags are ones
// that SwiftPM calls unsafe, and a package with such flags cannot be a dependency.
import PackageDescription

/// Calls `__sanitizer_cov_trace_pc_guard` where `kind` says. The sanitizer is named since the compiler wants one; none is
/// linked.
func points(_ kind: String) -> [SwiftSetting] {
  [.unsafeFlags(["-Xfrontend", "-sanitize=scudo", "-Xfrontend", "-sanitize-coverage=\(kind),trace-pc-guard"])]
}

let dependencies: [Target.Dependency] = [
  .product(name: "Apus", package: "apus"), .product(name: "ApusPreemptionPoints", package: "apus"),
]

let package = Package(
  name: "points",
  dependencies: [.package(name: "apus", path: "../..")],
  targets: [
    .executableTarget(name: "busy-func", dependencies: dependencies, swiftSettings: points("func")),
    .executableTarget(name: "busy-edge", dependencies: dependencies, swiftSettings: points("edge")),
  ]
)
