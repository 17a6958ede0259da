import ApusRuntime

/// A profile in pprof's format (profile.proto of github.com/google/pprof), while it is made: stacks with values. Functions
/// have names, files and lines, so that whoever reads it needs no program beside it. The field numbers are the format's.
struct ProfileBuilder {
  private var profile = ProtocolBuffer()
  private var samples: [ProtocolBuffer] = []
  private var strings: [String: UInt64] = ["": 0]
  private var texts = [""]
  private var functions: [FrameLookup.Function: UInt64] = [:]
  private var functionMessages: [ProtocolBuffer] = []
  private var locations: [UInt: UInt64] = [:]
  private var locationMessages: [ProtocolBuffer] = []
  private let program: String

  /// What a value counts: its name and unit.
  struct Kind {
    var name: String
    var unit: String

    init(_ name: String, _ unit: String) {
      self.name = name
      self.unit = unit
    }
  }

  /// The values of each sample are of these `kinds`; a sample was taken every `period` of `periodKind`. `program`: the path
  /// of the executable.
  init(of kinds: [Kind], every period: UInt64, _ periodKind: Kind, program: String) {
    self.program = program
    for kind in kinds { profile.add(1, message(for: kind)) }
    profile.add(11, message(for: periodKind))
    profile.add(12, period)
  }

  private mutating func message(for kind: Kind) -> ProtocolBuffer {
    var type = ProtocolBuffer()
    type.add(1, index(of: kind.name))
    type.add(2, index(of: kind.unit))
    return type
  }

  /// A remark, for whoever reads it.
  mutating func comment(_ text: String) { profile.add(13, index(of: text)) }

  private mutating func index(of text: String) -> UInt64 {
    if let known = strings[text] { return known }
    let index = UInt64(texts.count)
    strings[text] = index
    texts.append(text)
    return index
  }

  /// A stack, by addresses inside instructions, innermost first.
  mutating func add(_ addresses: [UInt], values: [UInt64], _ lookup: inout FrameLookup) {
    var sample = ProtocolBuffer()
    sample.add(1, packed: addresses.map { location(at: $0, &lookup) })
    sample.add(2, packed: values)
    samples.append(sample)
  }

  private mutating func location(at address: UInt, _ lookup: inout FrameLookup) -> UInt64 {
    if let known = locations[address] { return known }
    let id = UInt64(locations.count + 1)
    locations[address] = id
    var location = ProtocolBuffer()
    location.add(1, id)
    location.add(2, 1 as UInt64)
    location.add(3, UInt64(address))
    for line in lookup.lines(at: address) {
      var entry = ProtocolBuffer()
      entry.add(1, self.id(of: line.function))
      entry.add(2, line.line)
      location.add(4, entry)
    }
    locationMessages.append(location)
    return id
  }

  private mutating func id(of function: FrameLookup.Function) -> UInt64 {
    if let known = functions[function] { return known }
    let id = UInt64(functions.count + 1)
    functions[function] = id
    var message = ProtocolBuffer()
    message.add(1, id)
    message.add(2, index(of: function.name))
    message.add(3, index(of: function.symbol))
    message.add(4, index(of: function.file))
    functionMessages.append(message)
    return id
  }

  /// The whole. `time`: nanoseconds since 1970.
  consuming func finish(at time: UInt64) -> [UInt8] {
    var mapping = ProtocolBuffer()
    mapping.add(1, 1 as UInt64)
    mapping.add(5, index(of: program))
    // Functions, files, lines and inlined functions are known already.
    for field in 7...10 { mapping.add(UInt64(field), true) }
    for sample in samples { profile.add(2, sample) }
    profile.add(3, mapping)
    for location in locationMessages { profile.add(4, location) }
    for function in functionMessages { profile.add(5, function) }
    for text in texts { profile.add(6, text) }
    profile.add(9, time)
    return profile.bytes
  }
}
