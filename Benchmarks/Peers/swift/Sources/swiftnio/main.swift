// Peer: SwiftNIO. swiftnio echo_server|echo_server_async|tcp_echo|http_server [-procs N] [-port P] [-n SIZE] [-conns C]
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

func arg(_ name: String, _ d: Int) -> Int {
  let a = CommandLine.arguments
  if let i = a.firstIndex(of: name), i + 1 < a.count { return Int(a[i + 1]) ?? d }
  return d
}
let procs = arg("-procs", 1), port = arg("-port", 18080), n = arg("-n", 1000), conns = arg("-conns", 100)

@inline(__always) func now() -> Int {
  var t = timespec()
  clock_gettime(CLOCK_MONOTONIC, &t)
  return t.tv_sec * 1_000_000_000 + t.tv_nsec
}
func hwmKB() -> Int {
  guard let f = fopen("/proc/self/status", "r") else { return 0 }
  defer { fclose(f) }
  var buf = [CChar](repeating: 0, count: 512)
  while fgets(&buf, 512, f) != nil {
    let l = String(cString: buf)
    if l.hasPrefix("VmHWM:") { return Int(l.filter { $0.isNumber }) ?? 0 }
  }
  return 0
}

final class Echo: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer
  func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.write(data, promise: nil) }
  func channelReadComplete(context: ChannelHandlerContext) { context.flush() }
  func errorCaught(context: ChannelHandlerContext, error: Error) { context.close(promise: nil) }
}

final class EchoClient: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer
  let done: EventLoopPromise<[Int]>
  var lat: [Int] = []
  var got = 0, s = 0
  init(_ p: EventLoopPromise<[Int]>) {
    done = p
    lat.reserveCapacity(n)
  }
  func start(_ context: ChannelHandlerContext) {
    got = 0
    s = now()
    var b = context.channel.allocator.buffer(capacity: 64)
    b.writeRepeatingByte(0, count: 64)
    context.writeAndFlush(wrapOutboundOut(b), promise: nil)
  }
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is String { start(context) }
  }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    got += unwrapInboundIn(data).readableBytes
    if got >= 64 {
      lat.append(now() - s)
      if lat.count < n {
        start(context)
      } else {
        done.succeed(lat)
        context.close(promise: nil)
      }
    }
  }
}

final class Hello: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart
  static let body = ByteBuffer(string: "Hello, World!")
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .end = unwrapInboundIn(data) else { return }
    let head = HTTPResponseHead(
      version: .http1_1, status: .ok,
      headers: ["Content-Type": "text/plain; charset=utf-8", "Content-Length": "13"])
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(Hello.body))), promise: nil)
    context.write(wrapOutboundOut(.end(nil)), promise: nil)
  }
  func channelReadComplete(context: ChannelHandlerContext) { context.flush() }
}

let group = MultiThreadedEventLoopGroup(numberOfThreads: procs)
func server() -> ServerBootstrap {
  ServerBootstrap(group: group)
    .serverChannelOption(.backlog, value: 1024)
    .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
    .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
}

switch CommandLine.arguments.dropFirst().first ?? "" {
case "echo_server":
  let c = try server().childChannelInitializer { ch in
    ch.eventLoop.makeCompletedFuture { try ch.pipeline.syncOperations.addHandler(Echo()) }
  }.bind(host: "127.0.0.1", port: port).wait()
  try c.closeFuture.wait()
case "http_server":
  let c = try server().childChannelInitializer { ch in
    ch.eventLoop.makeCompletedFuture {
      try ch.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
      try ch.pipeline.syncOperations.addHandler(Hello())
    }
  }.bind(host: "127.0.0.1", port: port).wait()
  try c.closeFuture.wait()
case "echo_server_async":  // one Task per connection over NIOAsyncChannel
  let s = try await server().bind(host: "127.0.0.1", port: port) { ch in
    ch.eventLoop.makeCompletedFuture {
      try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: ch)
    }
  }
  try await withThrowingDiscardingTaskGroup { g in
    try await s.executeThenClose { inbound in
      for try await c in inbound {
        g.addTask {
          try? await c.executeThenClose { i, o in
            for try await b in i { try await o.write(b) }
          }
        }
      }
    }
  }
case "tcp_echo":
  var chans: [Channel] = []
  var futures: [EventLoopFuture<[Int]>] = []
  for _ in 0..<conns {
    let el = group.next()
    let p = el.makePromise(of: [Int].self)
    let c = try ClientBootstrap(group: el)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelInitializer { ch in
        ch.eventLoop.makeCompletedFuture { try ch.pipeline.syncOperations.addHandler(EchoClient(p)) }
      }.connect(host: "127.0.0.1", port: port).wait()
    chans.append(c)
    futures.append(p.futureResult)
  }
  let t = now()
  for c in chans { c.pipeline.fireUserInboundEventTriggered("go") }
  let all = try futures.flatMap { try $0.wait() }.sorted()
  let d = now() - t
  let ns = Double(d) / Double(n * conns)
  print(
    "tcp_echo \(procs) \(n) \(Int(ns)) \(Int(1e9 / ns)) \(hwmKB()) p50_us=\(all[all.count / 2] / 1000) p99_us=\(all[Int(Double(all.count - 1) * 0.99)] / 1000)"
  )
  exit(0)
default:
  exit(3)
}
