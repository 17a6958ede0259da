/// A goroutine as a dump shows it.
struct DumpedGoroutine {
  var id: Int
  /// What stands between the brackets.
  var status: String
  /// The first rows of its frames, innermost first.
  var functions: [String] = []
  /// The second row of each.
  var places: [String] = []
  var creator: Int?
  /// The function that created it, and where.
  var creation: (function: String, place: String)?

  /// Whether the innermost frames named in `names`, each a part of a function's name, are there in this order, beside
  /// whatever an optimizer leaves of others.
  func calls(_ names: String...) -> Bool {
    var rest = functions[...]
    for name in names {
      guard let index = rest.firstIndex(where: { $0.contains(name) }) else { return false }
      rest = rest[(index + 1)...]
    }
    return true
  }
}

/// A fatal report or a dump, read strictly: every line has to be one that belongs where it is.
struct DumpText {
  /// The first of the lines before the goroutines; nil in a dump that is no report.
  var headline: String?
  /// The others.
  var details: [String] = []
  var goroutines: [DumpedGoroutine] = []
  /// Where the thread was that found out, if it was no goroutine's: functions, innermost first.
  var runtimeStack: [String] = []
  /// The lines that broke the form, with their numbers from 1.
  var faults: [String] = []

  init(_ text: String, hasHeadline: Bool) {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
    // The last line ends in a newline, too.
    if lines.last == "" { lines.removeLast() }
    if hasHeadline {
      headline = lines.popFirst().map(String.init)
      while let line = lines.first, line != "" {
        details.append(String(line))
        lines.removeFirst()
      }
    }
    var needsBlank = hasHeadline
    while let line = lines.first {
      let number = lines.startIndex + 1
      if needsBlank {
        if line != "" { faults.append("\(number), no blank line: \(line)") } else { lines.removeFirst() }
      }
      needsBlank = true
      if lines.first == "runtime stack:" && goroutines.isEmpty {
        lines.removeFirst()
        while let function = lines.popFirst(), let place = lines.popFirst(), Self.isPlace(place) {
          runtimeStack.append(String(function))
          if lines.first == "" { break }
        }
        continue
      }
      guard let header = lines.popFirst()?.wholeMatch(of: Self.header), let id = Int(header.1)
      else {
        faults.append("\(number), no header: \(line)")
        continue
      }
      var goroutine = DumpedGoroutine(id: id, status: String(header.2))
      while let line = lines.first, line != "" {
        let number = lines.startIndex + 1
        lines.removeFirst()
        if let creator = line.wholeMatch(of: Self.creation) {
          goroutine.creator = Int(creator.2)
          let place = lines.popFirst() ?? ""
          if !Self.isPlace(place) { faults.append("\(number + 1), no place of the creation: \(place)") }
          goroutine.creation = (String(creator.1), String(place.dropFirst()))
          if let next = lines.first, next != "" { faults.append("\(number + 2), after the creator: \(next)") }
        } else if line == "\tgoroutine running on other thread; stack unavailable" && goroutine.status == "running" {
          continue
        } else if line.wholeMatch(of: Self.elision) != nil {
          // In the middle of a stack that is deeper than a report shows.
          if goroutine.places.isEmpty { faults.append("\(number), no frame before: \(line)") }
        } else if line.hasPrefix("\t") {
          faults.append("\(number), a place without a function: \(line)")
        } else {
          goroutine.functions.append(String(line))
          guard let place = lines.popFirst(), Self.isPlace(place) else {
            faults.append("\(number + 1), no place of a function: \(line)")
            continue
          }
          goroutine.places.append(String(place.dropFirst()))
        }
      }
      goroutines.append(goroutine)
    }
  }

  // Made once: a dump has many lines. Nothing but `wholeMatch`, which changes nothing, is called of them.
  nonisolated(unsafe) private static let header = /goroutine ([0-9]+) \[([^\]]+)\]:/
  nonisolated(unsafe) private static let creation = /created by (.+) in goroutine ([0-9]+)/
  nonisolated(unsafe) private static let elision = /\.\.\.[0-9]+ frames elided\.\.\./
  nonisolated(unsafe) private static let sourcePlace = /\t\/[^\t]+:[0-9]+( \+0x[0-9a-f]+)?/
  nonisolated(unsafe) private static let imagePlace = /\t([^\t]+\+0x[0-9a-f]+ )?pc=0x[0-9a-f]+/

  /// `file:line`, with a distance unless the function was inlined; or the image, the address in it, and the address.
  private static func isPlace(_ line: Substring) -> Bool {
    line.wholeMatch(of: sourcePlace) != nil || line.wholeMatch(of: imagePlace) != nil
  }

  /// A function that only `GOTRACEBACK=system` shows.
  var hasRuntimeFrames: Bool {
    goroutines.contains { $0.calls("ApusRuntime.Park") || $0.calls("apus_goroutine_main") }
  }
}
