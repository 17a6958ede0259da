// Peer: Hummingbird 2. hbserver -procs N -port P
import Hummingbird
import Logging
import NIOPosix

func arg(_ name: String, _ d: Int) -> Int {
  let a = CommandLine.arguments
  if let i = a.firstIndex(of: name), i + 1 < a.count { return Int(a[i + 1]) ?? d }
  return d
}

let router = Router()
router.get("/") { _, _ -> String in "Hello, World!" }
let group = MultiThreadedEventLoopGroup(numberOfThreads: arg("-procs", 1))
var logger = Logger(label: "hb")
logger.logLevel = .error
let app = Application(
  router: router,
  configuration: .init(address: .hostname("127.0.0.1", port: arg("-port", 18080))),
  eventLoopGroupProvider: .shared(group),
  logger: logger)
try await app.runService()
