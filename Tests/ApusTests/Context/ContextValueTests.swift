import Apus
import Testing

@Suite struct ContextValueTests {
  @Test func valuesAreFoundByTheirKeys() throws {
    // The same name and type, and yet three keys.
    let (k1, k2, k3) = (Context.Key<String?>("k"), Context.Key<String?>("k"), Context.Key<String?>("k"))
    func check(_ context: Context, _ v1: String??, _ v2: String??, _ v3: String??, line: Int = #line) {
      #expect(context[k1] == v1 && context[k2] == v2 && context[k3] == v3, "line \(line)")
    }
    let none = String??.none
    check(.background, none, none, none)
    let c1 = Context.background.with(k1, "1")
    check(c1, "1", none, none)
    let c2 = c1.with(k2, "2")
    check(c2, "1", "2", none)
    let c3 = c2.with(k3, "3")
    check(c3, "1", "2", "3")
    // A nil hides what is above as any value does.
    let c4 = c3.with(k1, nil)
    check(c4, .some(nil), "2", "3")
    let c5 = c4.cancellable().context.timeout(.seconds(3600)).context.detached().with(k3, "5")
    check(c5, .some(nil), "2", "5")
    // Nothing that lies above has changed.
    check(c2, "1", "2", none)
    check(c3, "1", "2", "3")
  }

  @Test func keysAreEqualToThemselvesOnly() {
    let (one, other) = (Context.Key<Int>("n"), Context.Key<Int>("n"))
    #expect(one == one && one != other)
    #expect(Set([one, other, one]).count == 2)
  }

  @Test func valuesOfAnyTypeComeBackWhole() {
    struct Large: Equatable, Sendable { var a = 1, b = "two", c = [3.0], d: Int? = 4, e = ["five": 6] }
    let (large, function, empty) = (Context.Key<Large>(), Context.Key<@Sendable (Int) -> Int>(), Context.Key<Void>())
    let context = Context.background.with(large, Large()).with(function) { $0 + 1 }.with(empty, ())
    #expect(context[large] == Large())
    #expect(context[function]?(2) == 3)
    #expect(context[empty] != nil)
    #expect(Context.background[empty] == nil)
  }

  @Test func detachedKeepsTheValuesOnly() throws {
    try checking { found in
      let key = Context.Key<String>("key")
      let (parent, cancel) = Context.background.with(key, "value").timeout(.seconds(3600))
      let context = parent.detached()
      cancel(nil)
      found.check(context.deadline == nil)
      found.check(context.shows(nil))
      found.check(context[key] == "value")
      found.check(context.census == nil)
      // A deadline below it is not held against that of the context it was detached from.
      found.check(context.timeout(.seconds(7200)).context.deadline! > parent.deadline!)
    }
  }

  @Test(arguments: [true, false])
  func layers(_ expire: Bool) throws {
    try checking { found in
      var random = SystemRandomNumberGenerator()
      for _ in 0..<20 {
        var context = Context.background
        var keys: [Context.Key<Int>] = []
        var cancels: [@Sendable ((any Error)?) -> Void] = []
        var timers = 0
        var steps = 0
        while steps < 30 || keys.isEmpty || cancels.isEmpty || timers == 0 {
          steps += 1
          let derived: (context: Context, cancel: @Sendable ((any Error)?) -> Void)
          switch Int.random(in: 0..<3, using: &random) {
          case 0:
            let key = Context.Key<Int>()
            context = context.with(key, keys.count)
            keys.append(key)
            continue
          case 1: derived = context.cancellable()
          default:
            derived = context.timeout(expire ? .milliseconds(1) : .seconds(3600))
            timers += 1
          }
          context = derived.context
          cancels.append(derived.cancel)
        }
        func checkValues(line: Int = #line) {
          for (number, key) in keys.enumerated() { found.check(context[key] == number, line: line) }
        }
        if !expire { found.check(context.shows(nil)) }
        found.check(context.description.hasPrefix("Context.background."))
        checkValues()
        if expire {
          _ = context.done.receive()
        } else {
          cancels.randomElement(using: &random)!(nil)
        }
        found.check(context.shows(expire ? .deadlineExceeded : .cancelled))
        checkValues()
        for cancel in cancels { cancel(nil) }
      }
    }
  }

  @Test func isPrintedAsItWasDerived() {
    struct Opaque: Sendable {}
    let context = Context.background.with(Context.Key<Int>("id"), 7).cancellable().context
    #expect("\(Context.background)" == "Context.background")
    #expect("\(context)" == "Context.background.with(id, 7).cancellable")
    #expect("\(context.detached())" == "Context.background.with(id, 7).cancellable.detached")
    #expect("\(Context.background.with(Context.Key<Opaque>(), Opaque()))" == "Context.background.with(Opaque, Opaque)")
    #expect("\(Context.background.timeout(.seconds(3600)).context)".hasPrefix("Context.background.deadline(in 3"))
    #expect("\(Context.Failure.cancelled)" == "context canceled")
    #expect("\(Context.Failure.deadlineExceeded)" == "context deadline exceeded")
  }
}
