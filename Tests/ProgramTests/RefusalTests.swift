import Testing

extension Programs {
  /// What the compiler must not let through: an element that was sent belongs to its receiver alone. Each snippet is
  /// compiled (as far as the passes that diagnose) against the built modules, and so is its innocent twin.
  @Suite struct Refusals {
    struct Snippet: Sendable, CustomTestStringConvertible {
      let name: String
      let refused: String
      /// A part of the diagnostic.
      let because: String
      let accepted: String
      var testDescription: String { name }
    }

    static let prelude = """
      import Apus
      final class Node { var value = 0; var next: Node? }
      struct Coin: ~Copyable { let value: Int }

      """

    static let snippets: [Snippet] = [
      Snippet(
        name: "use after send",
        refused: "func f(_ c: Channel<Node>) { let n = Node(); c.send(n); n.value = 1 }",
        because: "sending 'n' risks causing data races",
        accepted: "func f(_ c: Channel<Node>) { let n = Node(); n.value = 1; c.send(n) }"),
      Snippet(
        name: "use after trySend",
        refused: "func f(_ c: Channel<Node>) { let n = Node(); _ = c.trySend(n); n.value = 1 }",
        because: "sending 'n' risks causing data races",
        accepted: "func f(_ c: Channel<Node>) { let n = Node(); if let back = c.trySend(n) { back.value = 1 } }"),
      Snippet(
        name: "an alias of what was sent",
        refused: "func f(_ c: Channel<Node>) { let a = Node(), b = Node(); a.next = b; c.send(a); b.value = 1 }",
        because: "risks causing data races",
        accepted: "func f(_ c: Channel<Node>) { let a = Node(), b = Node(); c.send(a); b.value = 1 }"),
      Snippet(
        name: "a value that somebody else keeps",
        refused: "final class Owner { var n = Node(); func f(_ c: Channel<Node>) { c.send(n) } }",
        because: "risks causing data races",
        accepted: "final class Owner { func f(_ c: Channel<Node>) { c.send(Node()) } }"),
      Snippet(
        name: "a variable that a goroutine changes",
        refused: "func f() { var x = 0; go { x += 1 }; x += 1; print(x) }",
        because: "risks causing data races",
        accepted: "func f() { let x = 0; go { print(x) }; print(x) }"),
      Snippet(
        name: "an argument used after go",
        refused: "func f() { let n = Node(); go(n) { $0.value = 1 }; n.value = 2 }",
        because: "sending 'n' risks causing data races",
        accepted: "func f() { let n = Node(); n.value = 2; go(n) { $0.value = 1 } }"),
      Snippet(
        name: "a captured value sent on",
        refused: "func f(_ c: Channel<Node>) { let n = Node(); go { c.send(n) } }",
        because: "risks causing data races",
        accepted: "func f(_ c: Channel<Node>) { let n = Node(); go(n) { c.send($0) } }"),
      Snippet(
        name: "a noncopyable element used after send",
        refused: "func f(_ c: Channel<Coin>) { let coin = Coin(value: 1); c.send(coin); print(coin.value) }",
        because: "used after consume",
        accepted: "func f(_ c: Channel<Coin>) { let coin = Coin(value: 1); print(coin.value); c.send(coin) }"),
      Snippet(
        name: "a loop over noncopyable elements",
        refused: "func f(_ c: Channel<Coin>) { for coin in c { _ = coin.value } }",
        because: "Copyable",
        accepted: "func f(_ c: Channel<Coin>) { c.forEach { print($0.value) } }"),
      Snippet(
        name: "sending by way of a receiver",
        refused: "func f(_ c: Channel<Int>) { c.receiver.send(1) }",
        because: "has no member 'send'",
        accepted: "func f(_ c: Channel<Int>) { c.sender.send(1) }"),
      Snippet(
        name: "receiving by way of a sender",
        refused: "func f(_ c: Channel<Int>) { _ = c.sender.receive() }",
        because: "has no member 'receive'",
        accepted: "func f(_ c: Channel<Int>) { _ = c.receiver.receive() }"),
      Snippet(
        name: "an element of a select used afterwards",
        refused: """
          func f(_ c: Channel<Node>, _ d: Channel<Int>) {
            let n = Node()
            switch select(c.sending(n), d.receiving) { case .first: break; case .second: break }
            n.value = 1
          }
          """,
        because: "sending 'n' risks causing data races",
        accepted: """
          func f(_ c: Channel<Node>, _ d: Channel<Int>) {
            switch select(c.sending(Node()), d.receiving) { case .first: break; case .second(_?): break; case .second(nil): break }
          }
          """),
    ]

    @Test(arguments: snippets)
    func isRefused(snippet: Snippet) throws {
      try check(snippet, Self.prelude)
    }

    /// What keeps references to managed objects on the stacks. The snippets are compiled as those of any program are: the
    /// module's own experimental feature is not on.
    @Test(arguments: heapSnippets)
    func isRefusedOfReferences(snippet: Snippet) throws {
      try check(snippet, Self.heapPrelude)
    }

    private func check(_ snippet: Snippet, _ prelude: String) throws {
      let refused = try compile(prelude + snippet.refused)
      #expect(refused.status != 0, "it was accepted")
      #expect((refused.output + refused.errors).contains(snippet.because), "\(refused)")
      let accepted = try compile(prelude + snippet.accepted)
      #expect(accepted.status == 0, "\(accepted)")
    }
  }
}
