// swift-tools-version: 6.2
import PackageDescription

/// Swift settings of every target: language mode 6 comes with the tools version.
let settings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]

let package = Package(
  name: "apus",
  products: [
    .library(name: "Apus", targets: ["Apus"]),
    .library(name: "ApusPreemptionPoints", targets: ["ApusPreemptionPoints"]),
    .library(name: "ApusNet", targets: ["ApusNet"]),
    .library(name: "ApusMetrics", targets: ["ApusMetrics"]),
    .library(name: "ApusHeap", targets: ["ApusHeap"]),
    .executable(name: "apus", targets: ["apus"]),
    .executable(name: "apus-bench", targets: ["apus-bench"]),
    .executable(name: "apus-stress", targets: ["apus-stress"]),
    .executable(name: "hello", targets: ["hello"]),
    .executable(name: "sieve", targets: ["sieve"]),
    .executable(name: "million", targets: ["million"]),
    .executable(name: "busy", targets: ["busy"]),
    .executable(name: "echo", targets: ["echo"]),
    .executable(name: "crawl", targets: ["crawl"]),
    .executable(name: "shutdown", targets: ["shutdown"]),
    .executable(name: "tally", targets: ["tally"]),
    .executable(name: "graph", targets: ["graph"]),
    .executable(name: "lru", targets: ["lru"]),
  ],
  // Without any of them Apus depends on nothing.
  traits: [
    .default(enabledTraits: ["Metrics", "Tools"]),
    .trait(name: "Metrics", description: "ApusMetrics, which needs swift-metrics."),
    .trait(name: "Tools", description: "The command apus, which needs swift-argument-parser."),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.6.0"),
  ],
  targets: [
    .target(name: "CApus"),
    .target(name: "ApusRuntime", dependencies: ["CApus"], swiftSettings: settings),
    .target(name: "ApusPreemptionPoints", dependencies: ["CApus"]),
    .target(name: "Apus", dependencies: ["ApusRuntime", "CApus"], swiftSettings: settings),
    .target(name: "ApusNet", dependencies: ["Apus", "ApusRuntime", "CApus"], swiftSettings: settings),
    .target(
      name: "ApusMetrics",
      dependencies: [
        "Apus", .product(name: "CoreMetrics", package: "swift-metrics", condition: .when(traits: ["Metrics"])),
      ],
      swiftSettings: settings),
    // `Lifetimes` is for writing down how long a returned reference lives. Those who use the module need it only to write
    // such functions of their own.
    .target(
      name: "ApusHeap", dependencies: ["Apus", "ApusRuntime", "CApus"],
      swiftSettings: settings + [.enableExperimentalFeature("Lifetimes")]),
    // What the command does, without its command line: it knows traces, and nothing of the runtime.
    .target(name: "ApusInspection", path: "Tools/ApusInspection", swiftSettings: settings),
    // It shares a header with the runtime, and none of its code.
    .target(name: "CAttach", path: "Tools/CAttach"),
    .executableTarget(
      name: "apus",
      dependencies: [
        "ApusInspection", "CAttach",
        .product(name: "ArgumentParser", package: "swift-argument-parser", condition: .when(traits: ["Tools"])),
      ],
      path: "Tools/apus", swiftSettings: settings),
    .executableTarget(
      name: "apus-bench", dependencies: ["Apus", "ApusHeap", "ApusNet", "ApusRuntime"], path: "Benchmarks/apus-bench",
      swiftSettings: settings),
    .target(name: "CStress", path: "Benchmarks/CStress"),
    .executableTarget(
      name: "apus-stress", dependencies: ["Apus", "ApusHeap", "ApusNet", "ApusRuntime", "CApus", "CStress"],
      path: "Benchmarks/apus-stress",
      swiftSettings: settings),
    .executableTarget(
      name: "hello", dependencies: ["Apus"], path: "Examples/hello", exclude: ["expected.txt"],
      swiftSettings: settings),
    .executableTarget(
      name: "sieve", dependencies: ["Apus"], path: "Examples/sieve", exclude: ["expected.txt"],
      swiftSettings: settings),
    .executableTarget(
      name: "million", dependencies: ["Apus"], path: "Examples/million", exclude: ["expected.txt"],
      swiftSettings: settings),
    .executableTarget(name: "busy", dependencies: ["Apus"], path: "Examples/busy", swiftSettings: settings),
    .executableTarget(
      name: "echo", dependencies: ["Apus", "ApusNet"], path: "Examples/echo", exclude: ["expected.txt"],
      swiftSettings: settings),
    .executableTarget(
      name: "crawl", dependencies: ["Apus", "ApusNet"], path: "Examples/crawl", exclude: ["expected.txt"],
      swiftSettings: settings),
    .executableTarget(
      name: "shutdown", dependencies: ["Apus", "ApusNet"], path: "Examples/shutdown", exclude: ["expected.txt"],
      swiftSettings: settings),
    .executableTarget(
      name: "tally", dependencies: ["Apus", "ApusNet"], path: "Examples/tally", exclude: ["expected.txt"],
      swiftSettings: settings),
    .executableTarget(
      name: "graph", dependencies: ["Apus", "ApusHeap"], path: "Examples/graph", exclude: ["expected.txt"],
      swiftSettings: settings),
    .executableTarget(
      name: "lru", dependencies: ["Apus", "ApusHeap"], path: "Examples/lru", exclude: ["expected.txt"],
      swiftSettings: settings),
    .executableTarget(
      name: "apus-faults", dependencies: ["Apus", "ApusRuntime"], path: "Tests/Programs/faults", swiftSettings: settings
    ),
    .executableTarget(
      name: "apus-heap-programs", dependencies: ["Apus", "ApusHeap", "CStress"], path: "Tests/Programs/heap",
      swiftSettings: settings),
    .executableTarget(
      name: "apus-monitor", dependencies: ["Apus", "CApus", "CStress"], path: "Tests/Programs/monitor",
      swiftSettings: settings),
    .executableTarget(
      name: "apus-shelf", dependencies: ["Apus", "ApusHeap", "CApus", "CStress"], path: "Tests/Programs/shelf",
      swiftSettings: settings),
    .executableTarget(
      name: "async-main", dependencies: ["Apus"], path: "Tests/Programs/async-main", swiftSettings: settings),
    .executableTarget(
      name: "at-main", dependencies: ["Apus"], path: "Tests/Programs/at-main", swiftSettings: settings),
    .executableTarget(
      name: "apus-attached", dependencies: ["Apus", "ApusNet", "CAttach"], path: "Tests/Programs/attached",
      swiftSettings: settings),
    .executableTarget(
      name: "early-start", dependencies: ["Apus"], path: "Tests/Programs/early-start", swiftSettings: settings),
    .executableTarget(
      name: "endless-selects", dependencies: ["Apus"], path: "Tests/Programs/endless-selects",
      swiftSettings: settings),
    .executableTarget(
      name: "apus-traced", dependencies: ["Apus", "ApusHeap", "ApusNet", "ApusRuntime"], path: "Tests/Programs/traced",
      swiftSettings: settings),
    .executableTarget(
      name: "lazy-start", dependencies: ["Apus"], path: "Tests/Programs/lazy-start", swiftSettings: settings),
    .executableTarget(
      name: "network-scenarios", dependencies: ["Apus", "ApusNet", "ApusRuntime", "CApus"],
      path: "Tests/Programs/network", swiftSettings: settings),
    .executableTarget(
      name: "signal-scenarios", dependencies: ["Apus", "ApusNet"], path: "Tests/Programs/signals",
      swiftSettings: settings),
    .target(name: "AllocationCounter", dependencies: ["CApus"], path: "Tests/Programs/AllocationCounter"),
    .target(name: "TrapSource", path: "Tests/Programs/TrapSource"),
    .executableTarget(
      name: "apus-traps", dependencies: ["Apus", "ApusRuntime", "TrapSource"], path: "Tests/Programs/traps",
      swiftSettings: settings),
    .executableTarget(
      name: "apus-allocations", dependencies: ["Apus", "ApusNet", "ApusHeap", "AllocationCounter"],
      path: "Tests/Programs/allocations", swiftSettings: settings),
    .testTarget(name: "ApusRuntimeTests", dependencies: ["ApusRuntime", "CApus", "CStress"], swiftSettings: settings),
    .testTarget(
      name: "ApusTests", dependencies: ["Apus", "ApusNet", "ApusRuntime", "CApus"], swiftSettings: settings),
    .testTarget(
      name: "ApusMetricsTests",
      dependencies: [
        "Apus", "ApusMetrics",
        .product(name: "MetricsTestKit", package: "swift-metrics", condition: .when(traits: ["Metrics"])),
      ],
      swiftSettings: settings),
    .testTarget(
      name: "ApusHeapTests", dependencies: ["Apus", "ApusHeap", "ApusRuntime", "CApus", "CStress"],
      swiftSettings: settings),
    .testTarget(name: "ApusInspectionTests", dependencies: ["ApusInspection"], swiftSettings: settings),
    .testTarget(name: "ProgramTests", swiftSettings: settings),
  ]
)
