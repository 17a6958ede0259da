import Apus
import ApusHeap

struct Node {
  var next = Link<Node>()
  var value = 0
}

struct WithOptional { var next: Link<Node>? }

struct WithEnumeration {
  enum Choice {
    case none
    indirect case both(WithEnumeration.Choice, Int)
    case some(inner: Inner)
  }
  struct Inner {
    var number = 1
    var pair = (1, Link<Node>())
  }
  var before = 0
  var choice = Choice.none
}

struct WithInlineArray { var links = [2 of Link<Node>](repeating: Link()) }

protocol Shape {}
struct Linked: Shape {
  var link = Link<Node>()
  init() {}
}
struct Plain: Shape {}
struct WithExistential {
  var shape: any Shape
  var any: Any
}

struct Holder {
  var inner = Linked()
  var number = 1
  var computed: Link<Node> {
    get { inner.link }
    set { inner.link = newValue }
  }
}

enum Tree {
  case leaf
  case node(Link<Node>)
}

/// Types that hold what looks like trouble and is none.
struct Innocent {
  enum Choice {
    case none, some(Int), text(String)
    indirect case list(Choice)
  }
  var choice = Choice.list(.some(3))
  var optional: String? = "x"
  var error: (any Error)?
  var object: AnyObject?
  var any: Any = 5
  var shape: any Shape = Plain()
  var links = [Link<Node>]()
  var bytes = [4 of UInt8](repeating: 1)
  var function: () -> Void = {}
}

/// What ends the process with a report; `innocent` does not. False for another scenario.
func runRefusal(_ scenario: String) -> Bool {
  withHeap { heap in
    let node = heap.new(Node())
    switch scenario {
    case "optional": _ = heap.new(WithOptional())
    case "enumeration": _ = heap.new(WithEnumeration())
    case "enumeration-itself": _ = heap.new(Tree.leaf)
    case "inline-array": _ = heap.new(WithInlineArray())
    case "existential": _ = heap.new(WithExistential(shape: Linked(), any: 1))
    case "any": _ = heap.new(WithExistential(shape: Plain(), any: Link<Node>()))
    case "array-of-optionals": _ = heap.newArray(repeating: Optional(Link<Node>()), count: 2)
    case "read-whole": print(heap.new(Holder()).inner)
    case "write-whole": heap.new(Holder()).inner = Linked()
    case "computed": heap.new(Holder()).computed = node
    case "array-index": print(heap.newArray([1, 2, 3])[3])
    case "link-index": print(heap.newArray(repeating: Link<Node>(), count: 3)[-1] == nil)
    case "array-count": _ = heap.newArray(repeating: 0, count: -1)
    case "array-size": _ = heap.newArray(repeating: 0, count: Int.max / 4)
    case "deadlock":
      let never = Channel<Int>()
      _ = never.receive()
    case "innocent":
      let innocent = heap.new(Innocent())
      innocent.optional? += "y"
      innocent.any = "text"
      print(innocent.optional ?? "", innocent.any, innocent.bytes[3])
    default: return false
    }
    return true
  }
}
