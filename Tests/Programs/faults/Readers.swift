import Glibc

/// How many of the process's threads the kernel keeps in a read of `descriptor`.
func readersInKernel(of descriptor: CInt) -> Int {
  #if arch(arm64)
    let read = 63
  #else
    let read = 0
  #endif
  let wanted = "\(read) 0x\(String(descriptor, radix: 16)) "
  guard let directory = opendir("/proc/self/task") else { return 0 }
  defer { closedir(directory) }
  var count = 0
  while let entry = readdir(directory) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    guard let file = fopen("/proc/self/task/\(name)/syscall", "r") else { continue }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    if fgets(&line, 256, file) != nil, strncmp(line, wanted, wanted.utf8.count) == 0 { count += 1 }
  }
  return count
}
