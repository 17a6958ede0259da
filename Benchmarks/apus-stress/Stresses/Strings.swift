import Apus

/// Goroutines that build, hash, split and count strings, with yields between, so that the allocations, references and
/// hash tables of one are touched from many threads in turn.
@Sendable func strings(_ run: StressRun) {
  let ferry = Ferry()
  run.withWorkers(16) { _, random in
    var traveller = Traveller(run, on: ferry)
    while !run.isOver {
      let words = (0..<random.pick(1...200)).map { _ in word(&random) }
      let text = words.joined(separator: " ")
      let hash = text.hashValue
      traveller.pause(&random)

      let pieces = text.split(separator: " ").map(String.init)
      run.check(pieces == words, "a text came apart into other words than it was made of")
      run.check(text.hashValue == hash, "the hash value of a text changed")
      traveller.pause(&random)

      var counts: [String: Int] = [:]
      for piece in pieces {
        counts[piece, default: 0] += 1
        if random.oneIn(20) { traveller.pause(&random) }
      }
      run.check(counts.values.reduce(0, +) == words.count, "a dictionary lost a count")
      run.check(Set(words).count == counts.count, "a dictionary and a set disagree")
      run.check(counts.keys.sorted() == Set(words).sorted(), "a dictionary lost a key")
      traveller.pause(&random)

      let number = random.next()
      let digits = String(number, radix: 16)
      traveller.pause(&random)
      run.check(UInt64(digits, radix: 16) == number, "\(number) came back from \(digits) as another")
      run.check(
        "\(text)|\(number)" == text + "|" + String(number), "an interpolated string differs from a joined one")
      run.check(String(text.reversed().reversed()) == text, "a text turned round twice is another")
      run.count(words.count)
    }
  }
  ferry.close()
}

/// A word of random length; short ones are stored inline, long ones on the heap, and not all of them are ASCII.
private func word(_ random: inout Random) -> String {
  let letters = ["a", "e", "n", "r", "s", "t", "ö", "é", "ж", "字", "🐦"]
  return (0..<random.pick(1...24)).map { _ in letters[random.pick(0...letters.count - 1)] }.joined()
}
