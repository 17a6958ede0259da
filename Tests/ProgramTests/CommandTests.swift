#if Tools
  import Foundation
  import Testing

  extension Programs {
    /// The command `apus`, beside real programs.
    @Suite struct Commands {
      @Test func bootDrawsTheStartAndPassesTheRestOn() throws {
        let result = try run(product("apus"), ["boot", product("sieve")])
        #expect(result.status == 0, "\(result)")
        #expect(result.output == (try expectedOutput(ofExample: "sieve")))
        #expect(result.errors.hasPrefix("start-up: "), "\(result)")
        let names = result.errorLines.map { $0.prefix { $0 != " " } }
        #expect(names[1] == "_rt0_amd64_linux" || names[1] == "_rt0_arm64_linux", "\(result)")
        #expect(names.last == "main_main", "\(result)")
        #expect(names.contains("procresize"), "\(result)")
      }

      /// A program that is none of Apus: its status, what it writes, what it reads, and a word about it.
      @Test func bootPassesStatusAndStreamsThrough() throws {
        let script = "read line; echo \"got $line\"; echo oops >&2; exit 7"
        let result = try run(product("apus"), ["boot", "sh", "-c", script], input: "something\n")
        #expect(result.status == 7, "\(result)")
        #expect(result.output == "got something\n", "\(result)")
        #expect(result.errorLines.first == "oops", "\(result)")
        #expect(result.errors.contains("sh has printed no boot trace"), "\(result)")
        let killed = try run(product("apus"), ["boot", "sh", "-c", "kill -TERM $$"])
        #expect(killed.signal == SIGTERM, "\(killed)")
      }

      /// A process that the program has left behind, and that has its standard error, keeps nobody waiting.
      @Test func bootEndsWithTheProgram() throws {
        let result = try run(
          product("apus"), ["boot", "sh", "-c", "sleep 30 >&2 & echo $!"], timeout: .seconds(20))
        if let left = pid_t(result.output.trimmingCharacters(in: .whitespacesAndNewlines)) { kill(left, SIGKILL) }
        #expect(result.status == 0, "\(result)")
        #expect(!result.timedOut, "\(result)")
      }

      @Test func bootNamesWhatCannotBeRun() throws {
        let result = try run(product("apus"), ["boot", "/nowhere/at/all"])
        #expect(result.status == 1, "\(result)")
        #expect(
          result.errors == "Error: /nowhere/at/all: cannot be run: No such file or directory\n", "\(result)")
      }

      @Test func traceSumsUpAndDraws() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "apus-command-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (trace, page) = (folder.appending(path: "trace").path, folder.appending(path: "page.html").path)
        let traced = try run(product("sieve"), environment: inheritedEnvironment(["APUS_TRACE": trace]))
        #expect(traced.status == 0, "\(traced)")
        let result = try run(product("apus"), ["trace", trace, "--html", page])
        #expect(result.status == 0, "\(result)")
        #expect(
          try result.output.contains(
            Regex(#"\n +10  .*closure #1 in sieve\.multiplesRemoved\(of:from:\)\n"#)), "\(result)")
        #expect(result.output.contains("chan receive"), "\(result)")
        #expect(try String(contentsOfFile: page, encoding: .utf8).hasSuffix("</html>\n"))

        let whole = try Data(contentsOf: URL(filePath: trace))
        try whole.dropLast(10).write(to: URL(filePath: trace))
        let cut = try run(product("apus"), ["trace", trace])
        #expect(cut.status == 1, "\(cut)")
        #expect(cut.errors.contains("trace: at byte "), "\(cut)")
        let missing = try run(product("apus"), ["trace", page + ".none"])
        #expect(missing.errors == "Error: \(page).none: No such file or directory\n", "\(missing)")
      }

      @Test(arguments: [[], ["boot"], ["dump"], ["top"], ["trace"]]) func hasHelp(subcommand: [String]) throws {
        let result = try run(product("apus"), subcommand + ["--help"])
        #expect(result.status == 0, "\(result)")
        #expect(result.output.contains("USAGE: apus"), "\(result)")
      }
    }
  }
#endif
