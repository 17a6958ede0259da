// Endless loops around `select` over globals: built in release, the optimizer has to come to an end with each of them.
// (Why it might not: `Channel.anotherReference`.) Each loop passes on what it receives, with its name; main sends until every loop
// has had something, and checks that nothing is missing.
import Apus
import Glibc

let c1 = Channel<Int>()
let c2 = Channel<Int>()
let c3 = Channel<Int>()
let c4 = Channel<Int>()
let c5 = Channel<Int>()
let c6 = Channel<Int>()
let c7 = Channel<Int>()
let c8 = Channel<Int>()
let polled = Channel<Int>()
let never = Channel<Int>()
let results = Channel<(loop: String, value: Int)>()

func pass(_ loop: String, _ value: Int?) {
  if let value { results.send((loop, value)) }
}

go { while true { pass("1", select(c1.receiving)) } }
go {
  while true {
    switch select(c1.receiving, c2.receiving) {
    case .first(let value), .second(let value): pass("2", value)
    }
  }
}
go {
  while true {
    switch select(c1.receiving, c2.receiving, c3.receiving) {
    case .first(let value), .second(let value), .third(let value): pass("3", value)
    }
  }
}
go {
  while true {
    switch select(c1.receiving, c2.receiving, c3.receiving, c4.receiving) {
    case .first(let value), .second(let value), .third(let value), .fourth(let value): pass("4", value)
    }
  }
}
go {
  while true {
    switch select(c1.receiving, c2.receiving, c3.receiving, c4.receiving, c5.receiving) {
    case .first(let value), .second(let value), .third(let value), .fourth(let value), .fifth(let value):
      pass("5", value)
    }
  }
}
go {
  while true {
    switch select(c1.receiving, c2.receiving, c3.receiving, c4.receiving, c5.receiving, c6.receiving) {
    case .first(let value), .second(let value), .third(let value), .fourth(let value), .fifth(let value),
      .sixth(let value):
      pass("6", value)
    }
  }
}
go {
  while true {
    switch select(c1.receiving, c2.receiving, c3.receiving, c4.receiving, c5.receiving, c6.receiving, c7.receiving) {
    case .first(let value), .second(let value), .third(let value), .fourth(let value), .fifth(let value),
      .sixth(let value), .seventh(let value):
      pass("7", value)
    }
  }
}
go {
  while true {
    switch select(
      c1.receiving, c2.receiving, c3.receiving, c4.receiving, c5.receiving, c6.receiving, c7.receiving, c8.receiving)
    {
    case .first(let value), .second(let value), .third(let value), .fourth(let value), .fifth(let value),
      .sixth(let value), .seventh(let value), .eighth(let value):
      pass("8", value)
    }
  }
}
go {
  while true {
    switch select(c1.receiving, .after(.milliseconds(1))) {
    case .first(let value): pass("after", value)
    case .second: break
    }
  }
}
go {
  while true {
    switch select(polled.receiving, .default) {
    case .first(let value): pass("default", value)
    case .second: Goroutine.sleep(for: .microseconds(100))
    }
  }
}
go {
  while true {
    switch select(c1.receiver.receiving, never.sender.sending(1)) {
    case .first(let value): pass("ends", value)
    case .second: break
    }
  }
}
go { Worker(jobs: c1).run() }
go { Tallies.run() }
go {
  var seen: Set<String> = []
  var (sent, received) = (0, 0)
  let all = [
    "1", "2", "3", "4", "5", "6", "7", "8", "after", "default", "ends", "stored property", "static property",
    "top level",
  ]
  while !seen.isSuperset(of: all) {
    sent += 1
    // Whoever waits is served before whoever looks now and then.
    (sent == 1 ? polled : c1).send(sent)
    let (loop, value) = results.receive()!
    seen.insert(loop)
    received += value
  }
  print("\(seen.count) loops, missing: \(sent * (sent + 1) / 2 - received)")
  exit(0)
}

// Variables that change, at the top level itself.
var source: Receiving<Int>? = c1.receiving
var sink = never
while true {
  switch select(source, sink.sending(1), .after(.milliseconds(1))) {
  case .first(let value):
    pass("top level", value)
    source = nil
  case .second: sink = Channel()
  case .third: source = c1.receiving
  }
}
