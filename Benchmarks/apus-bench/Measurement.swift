import Glibc

/// Nanoseconds on the monotonic clock.
func nanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// The number behind `key` in `/proc/self/status` (kilobytes for the memory keys), or 0 where there is none.
func processStatus(_ key: String) -> Int {
  let file = open("/proc/self/status", O_RDONLY)
  guard file >= 0 else { return 0 }
  defer { close(file) }
  // The kernel hands the whole file out in one read: it is under 2 KiB.
  let text = String(unsafeUninitializedCapacity: 8192) { max(0, read(file, $0.baseAddress, $0.count)) }
  for line in text.split(separator: "\n") where line.hasPrefix(key + ":") {
    return Int(line.filter { $0.isNumber }) ?? 0
  }
  return 0
}

/// `value` in decimal with `places` digits behind the point, rounded.
func decimal(_ value: Double, places: Int) -> String {
  let scale = (0..<places).reduce(1) { product, _ in product * 10 }
  let scaled = Int((abs(value) * Double(scale)).rounded())
  let sign = value < 0 && scaled > 0 ? "-" : ""
  guard places > 0 else { return "\(sign)\(scaled)" }
  let fraction = String(scaled % scale)
  return "\(sign)\(scaled / scale)." + String(repeating: "0", count: places - fraction.count) + fraction
}

/// Prints the one line that every workload ends with, as the peers print it:
/// `name procs size ns_per_op ops_per_s peak_rss_kb [key=value …]`.
///
/// - Parameters:
///   - duration: The nanoseconds that all `operations` took together.
///   - extra: The workload's own `key=value` pairs.
func report(
  _ name: String, _ options: Options, size: Int, duration: Int, operations: Int, _ extra: String = ""
) {
  let each = Double(duration) / Double(operations)
  let peak = processStatus("VmHWM")
  let columns = [
    name, String(options.procs), String(size), decimal(each, places: 2), decimal(1e9 / each, places: 0), String(peak),
    extra,
  ]
  print(columns.joined(separator: " "))
}
