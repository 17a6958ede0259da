/// A table in columns.
package struct TextTable {
  private var rows: [[String]]
  private let left: Set<Int>

  /// - Parameter left: The columns that are flush left.
  package init(_ head: [String], left: Set<Int>) {
    rows = [head]
    self.left = left
  }

  package mutating func add(_ row: [String]) { rows.append(row) }

  /// The lines, each with its newline.
  package var text: String {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let cells = row.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return left.contains(column) ? cell + space : space + cell
      }
      var line = cells.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line + "\n"
    }.joined()
  }
}
