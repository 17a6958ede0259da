// `select` over one to eight operations, a function and a result for each number: Swift has no enumeration with as many
// cases as a pack has elements. Everything that they do is `runSelect`'s; here the place that proceeded is only matched
// with its operation's output.

/// Waits until `operation` can proceed, does it, and returns what came of it.
@inlinable
public func select<A: SelectOperation & ~Copyable>(_ a: consuming A) -> A.Output {
  var list = SelectList(a, SelectEnd())
  _ = runSelect(&list)
  return list.head._takeOutput()
}

/// Which of 2 operations proceeded, and what came of it.
public enum Selected2<A, B> {
  /// The first operation proceeded; its output.
  case first(A)
  /// The second operation proceeded; its output.
  case second(B)
}

/// Waits until one of the operations can proceed, does it, and tells which: a uniformly random one of those that can. The
/// others are not done.
@inlinable
public func select<
  A: SelectOperation & ~Copyable, B: SelectOperation & ~Copyable
>(
  _ a: consuming A, _ b: consuming B
) -> Selected2<A.Output, B.Output> {
  var list =
    SelectList(a, SelectList(b, SelectEnd()))
  switch runSelect(&list) {
  case 0: return .first(list.head._takeOutput())
  default: return .second(list.tail.head._takeOutput())
  }
}

/// Which of 3 operations proceeded, and what came of it.
public enum Selected3<A, B, C> {
  /// The first operation proceeded; its output.
  case first(A)
  /// The second operation proceeded; its output.
  case second(B)
  /// The third operation proceeded; its output.
  case third(C)
}

/// Waits until one of the operations can proceed, does it, and tells which: a uniformly random one of those that can. The
/// others are not done.
@inlinable
public func select<
  A: SelectOperation & ~Copyable, B: SelectOperation & ~Copyable, C: SelectOperation & ~Copyable
>(
  _ a: consuming A, _ b: consuming B, _ c: consuming C
) -> Selected3<A.Output, B.Output, C.Output> {
  var list =
    SelectList(a, SelectList(b, SelectList(c, SelectEnd())))
  switch runSelect(&list) {
  case 0: return .first(list.head._takeOutput())
  case 1: return .second(list.tail.head._takeOutput())
  default: return .third(list.tail.tail.head._takeOutput())
  }
}

/// Which of 4 operations proceeded, and what came of it.
public enum Selected4<A, B, C, D> {
  /// The first operation proceeded; its output.
  case first(A)
  /// The second operation proceeded; its output.
  case second(B)
  /// The third operation proceeded; its output.
  case third(C)
  /// The fourth operation proceeded; its output.
  case fourth(D)
}

/// Waits until one of the operations can proceed, does it, and tells which: a uniformly random one of those that can. The
/// others are not done.
@inlinable
public func select<
  A: SelectOperation & ~Copyable, B: SelectOperation & ~Copyable, C: SelectOperation & ~Copyable,
  D: SelectOperation & ~Copyable
>(
  _ a: consuming A, _ b: consuming B, _ c: consuming C, _ d: consuming D
) -> Selected4<A.Output, B.Output, C.Output, D.Output> {
  var list =
    SelectList(a, SelectList(b, SelectList(c, SelectList(d, SelectEnd()))))
  switch runSelect(&list) {
  case 0: return .first(list.head._takeOutput())
  case 1: return .second(list.tail.head._takeOutput())
  case 2: return .third(list.tail.tail.head._takeOutput())
  default: return .fourth(list.tail.tail.tail.head._takeOutput())
  }
}

/// Which of 5 operations proceeded, and what came of it.
public enum Selected5<A, B, C, D, E> {
  /// The first operation proceeded; its output.
  case first(A)
  /// The second operation proceeded; its output.
  case second(B)
  /// The third operation proceeded; its output.
  case third(C)
  /// The fourth operation proceeded; its output.
  case fourth(D)
  /// The fifth operation proceeded; its output.
  case fifth(E)
}

/// Waits until one of the operations can proceed, does it, and tells which: a uniformly random one of those that can. The
/// others are not done.
@inlinable
public func select<
  A: SelectOperation & ~Copyable, B: SelectOperation & ~Copyable, C: SelectOperation & ~Copyable,
  D: SelectOperation & ~Copyable, E: SelectOperation & ~Copyable
>(
  _ a: consuming A, _ b: consuming B, _ c: consuming C, _ d: consuming D, _ e: consuming E
) -> Selected5<A.Output, B.Output, C.Output, D.Output, E.Output> {
  var list =
    SelectList(a, SelectList(b, SelectList(c, SelectList(d, SelectList(e, SelectEnd())))))
  switch runSelect(&list) {
  case 0: return .first(list.head._takeOutput())
  case 1: return .second(list.tail.head._takeOutput())
  case 2: return .third(list.tail.tail.head._takeOutput())
  case 3: return .fourth(list.tail.tail.tail.head._takeOutput())
  default: return .fifth(list.tail.tail.tail.tail.head._takeOutput())
  }
}

/// Which of 6 operations proceeded, and what came of it.
public enum Selected6<A, B, C, D, E, F> {
  /// The first operation proceeded; its output.
  case first(A)
  /// The second operation proceeded; its output.
  case second(B)
  /// The third operation proceeded; its output.
  case third(C)
  /// The fourth operation proceeded; its output.
  case fourth(D)
  /// The fifth operation proceeded; its output.
  case fifth(E)
  /// The sixth operation proceeded; its output.
  case sixth(F)
}

/// Waits until one of the operations can proceed, does it, and tells which: a uniformly random one of those that can. The
/// others are not done.
@inlinable
public func select<
  A: SelectOperation & ~Copyable, B: SelectOperation & ~Copyable, C: SelectOperation & ~Copyable,
  D: SelectOperation & ~Copyable, E: SelectOperation & ~Copyable, F: SelectOperation & ~Copyable
>(
  _ a: consuming A, _ b: consuming B, _ c: consuming C, _ d: consuming D, _ e: consuming E, _ f: consuming F
) -> Selected6<A.Output, B.Output, C.Output, D.Output, E.Output, F.Output> {
  var list =
    SelectList(a, SelectList(b, SelectList(c, SelectList(d, SelectList(e, SelectList(f, SelectEnd()))))))
  switch runSelect(&list) {
  case 0: return .first(list.head._takeOutput())
  case 1: return .second(list.tail.head._takeOutput())
  case 2: return .third(list.tail.tail.head._takeOutput())
  case 3: return .fourth(list.tail.tail.tail.head._takeOutput())
  case 4: return .fifth(list.tail.tail.tail.tail.head._takeOutput())
  default: return .sixth(list.tail.tail.tail.tail.tail.head._takeOutput())
  }
}

/// Which of 7 operations proceeded, and what came of it.
public enum Selected7<A, B, C, D, E, F, G> {
  /// The first operation proceeded; its output.
  case first(A)
  /// The second operation proceeded; its output.
  case second(B)
  /// The third operation proceeded; its output.
  case third(C)
  /// The fourth operation proceeded; its output.
  case fourth(D)
  /// The fifth operation proceeded; its output.
  case fifth(E)
  /// The sixth operation proceeded; its output.
  case sixth(F)
  /// The seventh operation proceeded; its output.
  case seventh(G)
}

/// Waits until one of the operations can proceed, does it, and tells which: a uniformly random one of those that can. The
/// others are not done.
@inlinable
public func select<
  A: SelectOperation & ~Copyable, B: SelectOperation & ~Copyable, C: SelectOperation & ~Copyable,
  D: SelectOperation & ~Copyable, E: SelectOperation & ~Copyable, F: SelectOperation & ~Copyable,
  G: SelectOperation & ~Copyable
>(
  _ a: consuming A, _ b: consuming B, _ c: consuming C, _ d: consuming D, _ e: consuming E, _ f: consuming F,
  _ g: consuming G
) -> Selected7<A.Output, B.Output, C.Output, D.Output, E.Output, F.Output, G.Output> {
  var list =
    SelectList(a, SelectList(b, SelectList(c, SelectList(d, SelectList(e, SelectList(f, SelectList(g, SelectEnd())))))))
  switch runSelect(&list) {
  case 0: return .first(list.head._takeOutput())
  case 1: return .second(list.tail.head._takeOutput())
  case 2: return .third(list.tail.tail.head._takeOutput())
  case 3: return .fourth(list.tail.tail.tail.head._takeOutput())
  case 4: return .fifth(list.tail.tail.tail.tail.head._takeOutput())
  case 5: return .sixth(list.tail.tail.tail.tail.tail.head._takeOutput())
  default: return .seventh(list.tail.tail.tail.tail.tail.tail.head._takeOutput())
  }
}

/// Which of 8 operations proceeded, and what came of it.
public enum Selected8<A, B, C, D, E, F, G, H> {
  /// The first operation proceeded; its output.
  case first(A)
  /// The second operation proceeded; its output.
  case second(B)
  /// The third operation proceeded; its output.
  case third(C)
  /// The fourth operation proceeded; its output.
  case fourth(D)
  /// The fifth operation proceeded; its output.
  case fifth(E)
  /// The sixth operation proceeded; its output.
  case sixth(F)
  /// The seventh operation proceeded; its output.
  case seventh(G)
  /// The eighth operation proceeded; its output.
  case eighth(H)
}

/// Waits until one of the operations can proceed, does it, and tells which: a uniformly random one of those that can. The
/// others are not done.
@inlinable
public func select<
  A: SelectOperation & ~Copyable, B: SelectOperation & ~Copyable, C: SelectOperation & ~Copyable,
  D: SelectOperation & ~Copyable, E: SelectOperation & ~Copyable, F: SelectOperation & ~Copyable,
  G: SelectOperation & ~Copyable, H: SelectOperation & ~Copyable
>(
  _ a: consuming A, _ b: consuming B, _ c: consuming C, _ d: consuming D, _ e: consuming E, _ f: consuming F,
  _ g: consuming G, _ h: consuming H
) -> Selected8<A.Output, B.Output, C.Output, D.Output, E.Output, F.Output, G.Output, H.Output> {
  var list =
    SelectList(
      a,
      SelectList(
        b, SelectList(c, SelectList(d, SelectList(e, SelectList(f, SelectList(g, SelectList(h, SelectEnd()))))))))
  switch runSelect(&list) {
  case 0: return .first(list.head._takeOutput())
  case 1: return .second(list.tail.head._takeOutput())
  case 2: return .third(list.tail.tail.head._takeOutput())
  case 3: return .fourth(list.tail.tail.tail.head._takeOutput())
  case 4: return .fifth(list.tail.tail.tail.tail.head._takeOutput())
  case 5: return .sixth(list.tail.tail.tail.tail.tail.head._takeOutput())
  case 6: return .seventh(list.tail.tail.tail.tail.tail.tail.head._takeOutput())
  default: return .eighth(list.tail.tail.tail.tail.tail.tail.tail.head._takeOutput())
  }
}
