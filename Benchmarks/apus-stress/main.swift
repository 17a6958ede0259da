import Apus
import ApusRuntime
import Glibc

/// Every stress, in the order in which they run when none is named.
let stresses: [Stress] = [
  Stress("spawn-storm", "trees and bursts of goroutines with a random fan-out, every one accounted for", spawnStorm),
  Stress("inout-migration", "yields and channel operations inside inout accesses, nested", inoutMigration),
  Stress("deep-recursion", "recursion to near the end of the stack, with yields at the bottom", deepRecursion),
  Stress("strings", "String, Dictionary and Set work with yields between", strings),
  Stress("json", "Foundation's JSON encoder and decoder on goroutines", json),
  Stress("channels", "pipelines, fan-out and fan-in: no element lost, doubled or overtaken", channels),
  Stress("selects", "sends and receives by select, with timeouts and defaults: each number arrives once", selects),
  Stress("maxprocs", "the number of processors changed under a load of goroutines and channels", maxProcs),
  Stress("timers", "sleeps, timers, tickers and timeouts, while the number of processors changes", timers),
  Stress("timer-channels", "timers and tickers set, stopped and received from by many at once", timerChannels),
  Stress("lock-to-thread", "goroutines locked to their threads beside others that are not", lockToThread),
  Stress("context", "trees of contexts cancelled from everywhere: nobody waits for ever, nothing is kept", contexts),
  Stress("foreign-threads", "threads that are not the runtime's use channels, wait groups and go", foreignThreads),
  Stress("mutex", "a mutex held over yields, channels and other mutexes: never two at a time", mutex),
  Stress("calm-mutex", "a mutex that nobody waits for, and then somebody does: no wake-up lost", calmMutex),
  Stress("rwmutex", "readers and writers of one value: no writer beside anybody", rwMutex),
  Stress("semaphore", "small and large wishes at one semaphore: no unit lost or invented", semaphore),
  Stress("heap", "managed objects that move between tables, stacks, arrays and channels: none is lost", heapPayloads),
  Stress("shelve", "stacks kept elsewhere and written to by others, at any moment: nothing is lost", shelve),
  Stress("hogs", "goroutines stopped inside malloc, print, locks and vector code: nothing is corrupted", hogs),
  Stress("blocking", "sleeps, pipes and child processes, told and untold, beside goroutines that compute", blocking),
  Stress("interruptions", "every call that sleeps, with signals and stopped worlds around it: no EINTR", interruptions),
  Stress("net", "connections and pipes that end in every way, at any moment: no byte lost, nobody left", network),
  Stress("traces", "execution traces that begin and end at any moment, beside most of the others", traces),
  Stress("condition", "bounded buffers of a mutex and two conditions: no wake-up lost", condition),
]

let options = Options(CommandLine.arguments, stresses: stresses)
if options.listsOnly {
  for stress in stresses { print(stress.padded, stress.summary) }
  exit(0)
}

if let procs = options.procs { Runtime.maxProcs = procs }
if let slice = options.slice { Slices.setAll(slice) }
startWatchdog()

var failed = 0
for stress in options.chosen {
  if !stress.perform(seconds: options.seconds, seed: options.seed) { failed += 1 }
  // The lines are to be read while it runs, also from a file.
  fflush(nil)
}
print("\(options.chosen.count - failed) passed, \(failed) failed")
exit(failed == 0 ? 0 : 1)
