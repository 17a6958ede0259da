// Programs whose goroutines wait for so long that their stacks are kept elsewhere: one scenario a run, named by the first
// argument, with the number of goroutines behind it. `APUS_SHELVE` makes it happen soon. The tests start them as
// processes of their own and read what is left.
import Apus
import Glibc

let scenario = CommandLine.arguments.dropFirst().first ?? ""
let count = CommandLine.arguments.dropFirst(2).first.flatMap { Int($0) } ?? 100

switch scenario {
case "wake": wake(count)
case "read": readFromOutside(count)
case "write": writeFromOutside(count)
case "write-and-wake": writeWhileWaking(count)
case "write-always": writeAllTheTime(count)
case "collect": collectBeside(count)
case "panic": failBeside(count)
case "processors": changeProcessors(count)
case "receive": receiveIntoStack()
case "fill": countFilled(count)
case "close": closeDescriptor(count)
case "without-input": beginWithoutInput(["apus-shelf", "input"])
case "input": readInput()
case "small": touchWithSmallSignalStack(count)
case "below": lookBelow(count)
case "fork": forkBeside()
case "execute": executeStack()
case "handler": replaceHandler(count)
case "rest": comeToRest(count)
case "together": touchTogether(count)
case "stop": stopMeanwhile(count)
case "halfway": failHalfway(count)
case "masked": beginMasked(["apus-shelf", "read", "\(count)"])
case "handler-later": replaceHandlerLater(count)
case "tell": tellOfThem(count)
case "call": askForShelf(count)
case "wait": waitWithoutShelf(count)
default:
  print("unknown scenario: \(scenario)")
  exit(64)
}
