/// The encodings of attributes' values (DWARF 5, section 7.5.6; in units with 32-bit offsets).
enum DebugForm {
  static var address: UInt16 { 0x01 }
  static var string: UInt16 { 0x08 }
  static var flag: UInt16 { 0x0c }
  static var signed: UInt16 { 0x0d }
  static var stringOffset: UInt16 { 0x0e }
  static var absoluteReference: UInt16 { 0x10 }
  static var indirect: UInt16 { 0x16 }
  static var sectionOffset: UInt16 { 0x17 }
  static var flagPresent: UInt16 { 0x19 }
  static var stringIndex: UInt16 { 0x1a }
  static var addressIndex: UInt16 { 0x1b }
  static var lineStringOffset: UInt16 { 0x1f }
  static var implicitConstant: UInt16 { 0x21 }
  static var rangeListIndex: UInt16 { 0x23 }

  static func isStringIndex(_ form: UInt16) -> Bool { form == stringIndex || (form >= 0x25 && form <= 0x28) }
  static func isAddressIndex(_ form: UInt16) -> Bool { form == addressIndex || (form >= 0x29 && form <= 0x2c) }
  /// A distance from the unit's beginning, as opposed to the section's.
  static func isUnitReference(_ form: UInt16) -> Bool { form >= 0x11 && form <= 0x15 }

  /// How many bytes a value has; -1 when that depends on the value.
  static func size(_ form: UInt16) -> Int {
    switch form {
    case flagPresent, implicitConstant: 0
    case 0x0b, flag, 0x11, 0x25, 0x29: 1  // data1, ref1, strx1, addrx1
    case 0x05, 0x12, 0x26, 0x2a: 2  // data2, ref2, strx2, addrx2
    case 0x27, 0x2b: 3  // strx3, addrx3
    case 0x06, stringOffset, absoluteReference, 0x13, sectionOffset, 0x1c, 0x1d, lineStringOffset, 0x28, 0x2c, 0x1f20,
      0x1f21:
      4  // data4, ref4, ref_sup4, strp_sup, strx4, addrx4, GNU_ref_alt, GNU_strp_alt
    case address, 0x07, 0x14, 0x20, 0x24: 8  // data8, ref8, ref_sig8, ref_sup8
    case 0x1e: 16  // data16
    default: -1
    }
  }

  /// The sum of the sizes; -1 when it is not fixed.
  static func size(of attributes: UnsafeBufferPointer<DebugAttribute>) -> Int {
    var sum = 0
    for index in 0..<attributes.count {
      let size = size(attributes[index].form)
      if size < 0 { return -1 }
      sum += size
    }
    return sum
  }

  /// Passes over one value.
  static func skip(_ form: UInt16, _ cursor: inout DebugCursor) {
    let size = size(form)
    if size >= 0 {
      cursor.skip(size)
      return
    }
    switch form {
    case 0x03: cursor.skip(Int(cursor.half()))  // block2
    case 0x04: cursor.skip(Int(cursor.word()))  // block4
    case 0x0a: cursor.skip(Int(cursor.byte()))  // block1
    case 0x09, 0x18: cursor.skip(Int(clamping: cursor.unsigned()))  // block, exprloc
    case string: _ = cursor.string()
    case signed, 0x0f, 0x15, stringIndex, addressIndex, 0x22, rangeListIndex: _ = cursor.unsigned()
    case indirect: skip(UInt16(truncatingIfNeeded: cursor.unsigned()), &cursor)
    default: cursor.skip(-1)  // Unknown: nothing after it can be read.
    }
  }
}

/// A value as it is stored. What it means depends on the unit: `DebugUnit` resolves it.
struct DebugValue {
  var form: UInt16
  var number: UInt64 = 0
  /// Of a string that stands in the entry itself.
  var text: UnsafePointer<CChar>?

  /// Reads one value. Blocks and sixteen-byte constants read as 0: nothing that is needed is one.
  init(_ attribute: DebugAttribute, _ cursor: inout DebugCursor) {
    form = attribute.form
    if form == DebugForm.indirect { form = UInt16(truncatingIfNeeded: cursor.unsigned()) }
    let size = DebugForm.size(form)
    switch form {
    case DebugForm.implicitConstant: number = UInt64(bitPattern: attribute.constant)
    case DebugForm.flagPresent: number = 1
    case DebugForm.string: text = cursor.string()
    case DebugForm.signed: number = UInt64(bitPattern: cursor.signed())
    case 0x0f, 0x15, DebugForm.stringIndex, DebugForm.addressIndex, DebugForm.rangeListIndex:
      number = cursor.unsigned()
    case _ where size == 3: number = UInt64(cursor.half()) | UInt64(cursor.byte()) << 16
    case _ where size == 1 || size == 2 || size == 4 || size == 8: number = cursor.number(ofSize: size)
    default: DebugForm.skip(form, &cursor)
    }
  }
}
