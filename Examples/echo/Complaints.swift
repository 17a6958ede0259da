import Glibc

/// Writes `message` and a newline to standard error.
func complain(_ message: String) {
  let line = Array((message + "\n").utf8)
  _ = write(STDERR_FILENO, line, line.count)
}

/// Says how the program is called and ends it.
func usage() -> Never {
  complain("usage: echo | echo serve PORT | echo load PORT [CONNECTIONS MESSAGES]")
  exit(2)
}
