import CApus

/// The executable parts of the ELF images that were loaded when the process started (Go's module list and
/// `moduledataverify`), sorted by address. Reports ask it first where a pc is (`SymbolTable`): that takes no lock, where the
/// dynamic linker's list has one that the thread which failed, or one that never goes on, may hold. It does not know what
/// `dlopen` adds later.
package struct ModuleData {
  /// An executable segment of an image.
  package struct Segment {
    /// The code is at [start, end).
    package let start: UInt
    package let end: UInt
    /// The image, without a thread-local block. What it points to lives as long as the image is loaded.
    package let image: apus_image

    package init(start: UInt, end: UInt, image: apus_image = apus_image()) {
      self.start = start
      self.end = end
      self.image = image
    }
  }

  /// The verdict of `verify`.
  package enum Verdict {
    case sound
    /// The runtime must not start, for this reason.
    case failed(StaticString)
  }

  /// The most segments that are kept.
  package static var capacity: Int { 512 }

  private let segments: UnsafeMutablePointer<Segment>
  /// The number of segments.
  package private(set) var count = 0
  /// The number of images.
  package private(set) var imageCount = 0
  /// False when there were more segments than fit: some pcs are then in no segment.
  package private(set) var isComplete = true
  /// Whether an image gave a segment that ends before it starts.
  private var hasInvertedSegment = false

  /// An empty table. Its memory is never given back: reports need it until the process ends.
  package init() { segments = .allocate(capacity: Self.capacity) }

  /// Collects the loaded images.
  package static func collect() -> ModuleData {
    var table = ModuleData()
    withUnsafeMutablePointer(to: &table) { table in
      _ = apus_each_image(
        { context, path, base, headers, count, _ in
          if headers == nil { return 0 }
          context!.assumingMemoryBound(to: ModuleData.self).pointee
            .add(apus_make_image(path, base, headers, count, nil))
          return 0
        }, table)
    }
    return table
  }

  /// Adds the executable segments among the ELF64 program headers of an image.
  package mutating func add(_ image: apus_image) {
    guard var header = image.headers else { return }
    imageCount += 1
    for _ in 0..<image.header_count {
      let type = header.loadUnaligned(as: UInt32.self)
      let flags = header.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
      if type == 1, flags & 1 != 0 {  // PT_LOAD, PF_X
        let start = image.base &+ header.loadUnaligned(fromByteOffset: 16, as: UInt.self)
        let end = start &+ header.loadUnaligned(fromByteOffset: 40, as: UInt.self)
        insert(Segment(start: start, end: end, image: image))
      }
      header += 56
    }
  }

  /// Inserts where it belongs. Quadratic at worst; a program has a few dozen segments, mostly in order.
  package mutating func insert(_ segment: Segment) {
    if segment.start == segment.end { return }
    if segment.start > segment.end { hasInvertedSegment = true }
    if count == Self.capacity {
      isComplete = false
      return
    }
    var place = count
    while place > 0, segments[place - 1].start > segment.start {
      (segments + place).update(repeating: segments[place - 1], count: 1)
      place -= 1
    }
    (segments + place).initialize(to: segment)
    count += 1
  }

  /// Checks that the segments are disjoint, that the program's entry point is in one of them, and that the two halves of
  /// the runtime belong together.
  ///
  /// - Parameters:
  ///   - entry: the entry point's address (AT_ENTRY); 0 when it is not known, and then not checked.
  ///   - nativeVersion: the APUS_RUNTIME_VERSION of the C half; the other is what this file was compiled with.
  package func verify(entry: UInt, nativeVersion: Int32 = apus_runtime_version()) -> Verdict {
    if nativeVersion != APUS_RUNTIME_VERSION {
      return .failed("the C and the Swift half of the runtime are of different versions")
    }
    if count == 0 { return .failed("no loaded image has code") }
    if hasInvertedSegment { return .failed("a loaded image's code ends before it starts") }
    var index = 1
    while index < count {
      if segments[index - 1].end > segments[index].start { return .failed("the code of two loaded images overlaps") }
      index += 1
    }
    if entry != 0, isComplete, find(entry) == nil { return .failed("the entry point is in no loaded image") }
    return .sound
  }

  /// The segment that `pc` is in, or nil.
  package func find(_ pc: UInt) -> Segment? {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if segments[middle].end <= pc { low = middle + 1 } else { high = middle }
    }
    return low < count && segments[low].start <= pc ? segments[low] : nil
  }

  /// The image whose code is at `pc`: of those that were there when the process began, without a lock; of others, by the
  /// dynamic linker. Where another entry point ran than ours, one of the table's may have been loaded by `dlopen` before the
  /// runtime was used, and be gone. False where there is none.
  static func findImage(at pc: UInt, _ image: inout apus_image) -> Bool {
    if apus_get_sched() != nil, apus_get_initial_sp() != 0, let segment = sched.pointee.modules.find(pc) {
      image = segment.image
      return true
    }
    return apus_find_image(pc, &image)
  }

  /// Segment number `index` in the order of addresses; the caller keeps to `count`.
  package subscript(index: Int) -> Segment {
    precondition(index >= 0 && index < count)
    return segments[index]
  }
}
