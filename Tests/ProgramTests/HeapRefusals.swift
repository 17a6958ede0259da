extension Programs.Refusals {
  static let heapPrelude = """
    import Apus
    import ApusHeap
    struct Node { var next = Link<Node>(); var value = 0 }
    func run(_ body: @escaping () -> Void) {}
    func call(_ body: () -> Void) { body() }

    """

  static let heapSnippets: [Snippet] = [
    Snippet(
      name: "a reference in a property of a class",
      refused: "final class C { var node: Ref<Node>; init(_ n: Ref<Node>) { node = n } }",
      because: "~Escapable",
      accepted: "final class C { let node: Root<Node>; init(_ n: Ref<Node>) { node = Root(n) } }"),
    Snippet(
      name: "a reference in a property of a structure",
      refused: "struct S { var node: Ref<Node> }",
      because: "non-Escapable type 'Ref<Node>'",
      accepted: "struct S { var node: Root<Node> }"),
    Snippet(
      name: "a reference in a global variable",
      refused: """
        nonisolated(unsafe) var kept: Ref<Node>?
        func f(_ n: Ref<Node>) { kept = n }
        """,
      because: "escapes its scope",
      accepted: """
        nonisolated(unsafe) var kept: Root<Node>?
        func f(_ n: Ref<Node>) { kept = Root(n) }
        """),
    Snippet(
      name: "a reference in an array",
      refused: "func f(_ n: Ref<Node>) { let a = [n]; print(a.count) }",
      because: "conform to 'Escapable'",
      accepted: "func f(_ n: Ref<Node>) { let a = [Root(n)]; print(a.count) }"),
    Snippet(
      name: "a reference in an existential",
      refused: "func f(_ n: Ref<Node>) { let a: Any = n; print(a) }",
      because: "conform to specified type 'Escapable'",
      accepted: "func f(_ n: Ref<Node>) { let a: Any = Root(n); print(a) }"),
    Snippet(
      name: "a reference in an escaping closure",
      refused: "func f(_ n: Ref<Node>) { run { n.value = 1 } }",
      because: "escapes its scope",
      accepted: "func f(_ n: Ref<Node>) { call { n.value = 1 } }"),
    Snippet(
      name: "a reference in another goroutine",
      refused: "func f(_ n: Ref<Node>) { go { n.value = 1 } }",
      because: "escapes its scope",
      accepted: "func f(_ n: Ref<Node>) { let r = Root(n); go { heap in r.get(heap).value = 1 } }"),
    Snippet(
      name: "a reference in a task",
      refused: "func f(_ n: Ref<Node>) { Task { n.value = 1 } }",
      because: "escapes its scope",
      accepted: "func f(_ n: Ref<Node>) { let r = Root(n); Task { withHeap { r.get($0).value = 1 } } }"),
    Snippet(
      name: "a reference through a channel",
      refused: "func f(_ c: Channel<Ref<Node>>) {}",
      because: "conform to protocol 'Escapable'",
      accepted: "func f(_ c: Channel<Root<Node>>) {}"),
    Snippet(
      name: "a reference out of its scope",
      refused: "func f() { var kept: Ref<Node>?; withHeap { kept = $0.new(Node()) }; print(kept!.value) }",
      because: "escapes its scope",
      accepted: "func f() { let value = withHeap { $0.new(Node()).value }; print(value) }"),
    Snippet(
      name: "a token out of its scope",
      refused: "func f() { var kept: HeapToken?; withHeap { kept = $0 }; _ = kept!.new(Node()).value }",
      because: "escapes its scope",
      accepted: "func f() { withHeap { heap in let token = heap; _ = token.new(Node()).value } }"),
    Snippet(
      name: "a token made of nothing",
      refused: "func f() { _ = HeapToken().new(Node()).value }",
      because: "inaccessible due to 'internal' protection level",
      accepted: "func f() { withHeap { _ = $0.new(Node()).value } }"),
    Snippet(
      name: "a reference thrown",
      refused: "func f(_ n: Ref<Node>) throws { throw n }",
      because: "does not conform to 'Error'",
      accepted: "func f(_ n: Ref<Node>) throws { throw CancellationError() }"),
    Snippet(
      name: "a reference as an object's property",
      refused: "struct Bad { var node: Ref<Node>; var value = 0 }",
      because: "non-Escapable type 'Ref<Node>'",
      accepted: """
        struct Good { var node = Link<Node>(); var value = 0 }
        func f(_ h: HeapToken) { _ = h.new(Good()).value }
        """),
    Snippet(
      name: "a link that refers to another type",
      refused: """
        struct Other { var x = 0 }
        func f(_ n: Ref<Node>, _ o: Ref<Other>) { n.next = o }
        """,
      because: "cannot assign value",
      accepted: "func f(_ n: Ref<Node>, _ o: Ref<Node>) { n.next = o }"),
    Snippet(
      name: "a link from a reference",
      refused: "func f(_ n: Ref<Node>) { _ = Node(next: Link(n)) }",
      because: "argument passed to call that takes no arguments",
      accepted: "func f(_ n: Ref<Node>) { let m = n.heap.new(Node()); m.next = n }"),
  ]
}
