#!/usr/bin/env python3
"""A model of MutexWord (Sources/Apus/Locks/MutexWord.swift) on a machine with store buffers, searched exhaustively.

What it is for cannot be tested: a release by a plain store is seen late for some nanoseconds, and whoever comes to wait
in them must not sleep for ever. Here each thread's plain store becomes visible at any later moment of its own, as on x86;
an instruction with a lock prefix waits until it has. Every order of steps is tried, with every outcome of what depends on
time: how long somebody spins, whether he has waited for so long that the lock starves, when the lock becomes calm.

    mutex.py THREADS TURNS [without-barrier | without-fence]

Each thread takes and releases the lock so many times. It prints `sound`, or what went wrong and the way there, and then
ends with status 1: two hold the lock, a mark or a count that is not there is taken away, or everybody sleeps.
"""
import sys
from collections import namedtuple

from exploration import demand, report, search

# The bits of `state`.
WATCHED, WOKEN, STARVING, ONE_WAITER = 1, 2, 4, 8

# The lock: `holder`, `state`, the units of `waiters`, who sleeps there in order, and who was given a unit in his sleep.
Lock = namedtuple("Lock", "holder state units queue granted")
# A thread: where it is, its turns left, whether its store of 0 to `holder` is still in its buffer, whether `woken` is its
# own, whether it starves, how often it has spun, what it has read, and whether it has slept.
Thread = namedtuple("Thread", "at turns buffered awake starving spins read slept")

# Where a thread is while the lock is its own.
HOLDING = {"inside", "first look", "plain store", "watched", "calm", "stray", "no stray", "exchange", "give up woken",
           "count out", "count out of sleep"}
# What an instruction with a lock prefix does, so the buffer is empty before it.
LOCKED = {"take", "calm", "no stray", "exchange", "hand over", "take to hand over", "claim", "wake", "take again",
          "give up woken", "set woken", "count in", "trial", "count out", "semaphore", "count out awake",
          "count out of sleep"}


class Model:
    def __init__(self, threads, turns, without=None):
        self.has_barrier = without != "without-barrier"
        self.has_fence = without != "without-fence"
        thread = Thread("take", turns, False, False, False, 0, 0, False)
        self.start = (Lock(0, 0, 0, (), frozenset()), (thread,) * threads)

    def steps(self, lock, threads, i):
        """What thread `i` may do next: pairs of the lock and the thread, or of the lock and all threads."""
        me = threads[i]
        if me.buffered: yield lock._replace(holder=0), me._replace(buffered=False)
        if me.buffered and me.at in LOCKED: return
        free = me.buffered or lock.holder == 0      # as this thread sees it
        state = lock.state

        def go(at, on=lock, **changes): return on, me._replace(at=at, **changes)

        match me.at:
            # lock()
            case "take":
                if lock.holder == 0: yield go("inside", lock._replace(holder=1))
                else: yield go("try", awake=False, starving=False, spins=0, slept=False)
            case "inside": yield go("first look")

            # lockSlowly()
            case "try": yield go("take again" if free else "look")
            case "take again":
                if lock.holder == 0: yield go("give up woken" if me.awake else "inside", lock._replace(holder=1))
                else: yield go("look")
            case "give up woken":
                demand(state & WOKEN, "somebody's mark that he is awake is gone")
                yield go("inside", lock._replace(state=state - WOKEN), awake=False)
            case "look":
                if not state & STARVING and me.spins < 1:
                    if not me.awake and not state & WOKEN and state >= ONE_WAITER: yield go("set woken", read=state)
                    else: yield go("try", spins=1)
                yield go("count in")
            case "set woken":
                if state == me.read: yield go("try", lock._replace(state=state | WOKEN), awake=True, spins=1, read=0)
                else: yield go("try", spins=1, read=0)
            case "count in":
                demand(not me.awake or state & WOKEN, "somebody's mark that he is awake is gone")
                after = (state | WATCHED) + ONE_WAITER
                if me.awake: after &= ~WOKEN
                if me.starving: after |= STARVING
                next = "trial" if state & WATCHED or not self.has_barrier else "barrier"
                yield go(next, lock._replace(state=after), awake=False)
            case "barrier":
                # That stores become visible one by one is among the other threads' own steps.
                visible = 0 if any(other.buffered for other in threads) else lock.holder
                others = [other._replace(buffered=False) for other in threads]
                others[i] = me._replace(at="trial", buffered=False)
                yield lock._replace(holder=visible), tuple(others)
            case "trial":
                if lock.holder == 0: yield go("count out", lock._replace(holder=1))
                else: yield go("semaphore")
            case "count out":
                demand(state >= ONE_WAITER, "more waiters leave than were counted")
                after = state - ONE_WAITER
                if me.starving: after &= ~STARVING
                yield go("inside", lock._replace(state=after), starving=False)
            case "semaphore":
                if lock.units > 0 and not lock.queue: yield go("awake", lock._replace(units=lock.units - 1))
                else:
                    queue = (i,) + lock.queue if me.slept else lock.queue + (i,)
                    yield go("asleep", lock._replace(queue=queue))
            case "asleep":
                if i in lock.granted: yield go("awake", lock._replace(granted=lock.granted - {i}))
            case "awake":
                yield go("woken up", slept=True, starving=True)
                if not me.starving: yield go("woken up", slept=True)
            case "woken up":
                if state & STARVING:
                    demand(lock.holder == 1, "a lock is handed over that nobody holds")
                    yield go("count out of sleep", read=state)
                else:
                    demand(state & WOKEN, "one is awake without a mark")
                    yield go("count out awake")
            case "count out awake":
                demand(state >= ONE_WAITER, "more waiters leave than were counted")
                yield go("try", lock._replace(state=state - ONE_WAITER), awake=True, spins=0)
            case "count out of sleep":
                demand(state >= ONE_WAITER, "more waiters leave than were counted")
                after = state - ONE_WAITER
                if not me.starving or me.read < 2 * ONE_WAITER: after &= ~STARVING
                yield go("inside", lock._replace(state=after), starving=False, read=0)

            # unlock()
            case "first look": yield go("plain store" if state == 0 else "watched")
            case "plain store": yield go("second look", buffered=True)
            case "second look": yield go("released" if state == 0 else "wake one")
            case "wake one":
                if not self.has_fence or not me.buffered: yield go("look who waits")

            # unlockWatched()
            case "watched":
                if state == WATCHED:
                    yield go("calm")
                    yield go("exchange")
                elif state & STARVING: yield go("hand over")
                else: yield go("stray", read=state)
            case "calm": yield go("exchange", lock._replace(state=0 if state == WATCHED else state))
            case "stray":
                is_stray = me.read & WOKEN and me.read < ONE_WAITER and lock.units > 0 and not lock.queue
                if not is_stray: yield go("exchange", read=0)
                elif not me.buffered: yield go("no stray", lock._replace(units=lock.units - 1), read=0)
            case "no stray": yield go("exchange", lock._replace(state=state - WOKEN))
            case "exchange": yield go("look who waits", lock._replace(holder=0))

            # mustHandOver()
            case "look who waits": yield go("decide", read=state)
            case "decide":
                if me.read < ONE_WAITER or me.read & WOKEN or not free: yield go("released", read=0)
                else: yield go("take to hand over" if me.read & STARVING else "claim")
            case "take to hand over":
                if lock.holder == 0: yield go("watched", lock._replace(holder=1), read=0)
                else: yield go("released", read=0)
            case "claim":
                if state == me.read: yield go("wake", lock._replace(state=state | WOKEN), read=0)
                else: yield go("decide", read=state)
            case "wake" | "hand over":
                if lock.queue:
                    first, rest = lock.queue[0], lock.queue[1:]
                    yield go("released", lock._replace(queue=rest, granted=lock.granted | {first}))
                else: yield go("released", lock._replace(units=lock.units + 1))

            case "released":
                yield go("over" if me.turns == 1 else "take", turns=me.turns - 1, awake=False, starving=False, spins=0,
                         read=0, slept=False)

    def check(self, lock, threads, is_end):
        holders = [thread for thread in threads if thread.at in HOLDING]
        demand(len(holders) < 2, "two hold the lock")
        demand(not holders or lock.holder == 1, "the lock is free and somebody holds it")
        demand(not is_end or all(thread.at == "over" for thread in threads), "everybody sleeps")

    def following(self, lock, threads):
        """The situations that one step of somebody leads to."""
        for i in range(len(threads)):
            for after, changed in self.steps(lock, threads, i):
                if isinstance(changed, Thread): changed = threads[:i] + (changed,) + threads[i + 1:]
                yield after, changed

    def search(self):
        """How many situations there are; raises `Broken` with the way to one that must not be."""
        return search(self.start, lambda here: self.following(*here), lambda here, is_end: self.check(*here, is_end))


def describe(lock, threads):
    marks = "".join(name for bit, name in ((WATCHED, "W"), (WOKEN, "K"), (STARVING, "S")) if lock.state & bit)
    places = ", ".join(thread.at + (" (its store is not visible)" if thread.buffered else "") for thread in threads)
    return f"holder {lock.holder} state {marks or '-'}+{lock.state // ONE_WAITER} units {lock.units} | {places}"


def main():
    threads, turns, *without = sys.argv[1:]
    report(Model(int(threads), int(turns), *without).search, describe)


if __name__ == "__main__":
    main()
