/// A member of at most one registry.
protocol Registered: AnyObject {
  /// Its index there, or `Place.none`. Whatever protects the registry protects this.
  var place: Int { get set }
}

enum Place {
  /// The place of a member of no registry.
  static var none: Int { -1 }
}

/// A set of objects in which each knows its place, so that adding and removing take constant time without hashing, and
/// a member costs a word. It has no order.
struct Registry<Member: Registered> {
  private var members: [Member] = []

  var count: Int { members.count }
  /// How many members the memory would hold.
  var capacity: Int { members.capacity }

  /// Adds `member`, which is in no registry.
  mutating func insert(_ member: Member) {
    assert(member.place == Place.none, "a member of two registries")
    member.place = members.count
    members.append(member)
  }

  /// Removes `member`, if it is there: it can only be here or nowhere. The caller has a reference, so nothing is freed
  /// but the list's own memory.
  mutating func remove(_ member: Member) {
    let place = member.place
    if place == Place.none { return }
    member.place = Place.none
    let last = members.removeLast()
    if last !== member {
      members[place] = last
      last.place = place
    }
    // After a burst of members the list is not to keep the memory of all of them.
    if members.capacity > 64 && members.count < members.capacity / 4 {
      var fewer: [Member] = []
      fewer.reserveCapacity(members.capacity / 2)
      fewer += members
      members = fewer
    }
  }

  /// Removes and returns all.
  mutating func removeAll() -> [Member] {
    for member in members { member.place = Place.none }
    defer { members = [] }
    return members
  }
}
