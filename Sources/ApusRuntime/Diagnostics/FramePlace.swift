import CApus

/// Where a function has come to, as the second line of a frame shows it: `file:line`, and, for the function that has the
/// code, the distance from its first instruction. Without debug information the image and the address in it that
/// `addr2line -e IMAGE` takes, and the address itself.
struct FramePlace {
  private let symbol: Symbol
  private let place: SourcePlace?
  private let address: UInt
  private let offset: UInt

  /// `offset`: 0 for a function that was inlined into another.
  init(_ symbol: Symbol, _ place: SourcePlace?, address: UInt, offset: UInt) {
    self.symbol = symbol
    self.place = place
    self.address = address
    self.offset = offset
  }

  func write(to text: inout BoundedText) {
    if let place {
      Self.writePath(of: place, to: &text)
      text.add(":")
      text.add(place.line)
      if offset != 0 {
        text.add(" +")
        text.add(hex: offset)
      }
      return
    }
    if let path = symbol.path {
      text.add(cString: SourcePlace.lastComponent(of: path))
      text.add("+")
      text.add(hex: symbol.imageOffset)
      text.add(" ")
    }
    text.add("pc=")
    text.add(hex: address)
  }

  /// Writes the path of the file, as whole as the debug information has it.
  static func writePath(of place: SourcePlace, to text: inout BoundedText) {
    let slash = CChar(bitPattern: UInt8(ascii: "/"))
    if place.file.pointee != slash {
      if let folder = place.folder {
        if folder.pointee != slash, let directory = place.directory {
          text.add(cString: directory)
          text.add("/")
        }
        text.add(cString: folder)
        text.add("/")
      } else if let directory = place.directory {
        text.add(cString: directory)
        text.add("/")
      }
    }
    text.add(cString: place.file)
  }
}
