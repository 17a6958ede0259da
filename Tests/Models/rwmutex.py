#!/usr/bin/env python3
"""A model of RWMutexWord (Sources/Apus/Locks/RWMutexWord.swift), searched exhaustively.

Every order of the atomic steps of some writers and readers is tried; `writers`, the lock of the queue, is one that is taken
and released in a step, and a semaphore is the number of its units.

    rwmutex.py WRITERS READERS TURNS [let-in-first]

Each takes and releases the lock so many times. It prints `sound`, or what went wrong and the way there, and then ends with
status 1: two write, one writes while another reads, everybody sleeps, or something is left over in the end. `let-in-first`
has a writer that passes let the readers in before it has counted them for the one that waits, which must be found.
"""
import sys
from collections import namedtuple

from exploration import demand, report, search

PENDING = 1000

# The word's fields, with the units of its two semaphores.
Lock = namedtuple("Lock", "readers writers is_queued leaving writer_turn reader_turn")
# Where somebody is, the turns that are left, and a number that was read.
Thread = namedtuple("Thread", "at turns read")

FREE = Lock(0, False, False, 0, 0, 0)


def steps(lock, me, lets_in_first):
    """What `me` may do next to `lock`: at most one step."""

    def go(at, read=0, turns=me.turns, **changes):
        return lock._replace(**changes), Thread(at, turns, read)

    def over(first, **changes):
        return go("over" if me.turns == 1 else first, turns=me.turns - 1, **changes)

    match me.at:
        # lockForWriting()
        case "pass":
            if lock.readers == 0: return go("writing", readers=-PENDING)
            return go("queue")
        case "queue":
            if not lock.writers: return go("announce", writers=True)
        case "announce":
            present = lock.readers
            next = "wait" if present < 0 else "mark" if present == 0 else "count"
            return go(next, present, readers=present - PENDING)
        case "count":
            leaving = lock.leaving + me.read
            return go("wait" if leaving != 0 else "mark", leaving=leaving)
        case "wait":
            if lock.writer_turn > 0: return go("mark", writer_turn=lock.writer_turn - 1)
        case "mark": return go("writing", is_queued=True)

        # unlockForWriting()
        case "writing": return go("unlock queued" if lock.is_queued else "unlock", is_queued=False)
        case "unlock queued":
            waiting = lock.readers + PENDING
            demand(waiting >= 0, "a writer has announced itself while another had the queue's lock")
            return go("let in queued" if waiting > 0 else "leave queue", waiting, readers=waiting)
        case "let in queued": return go("leave queue", reader_turn=lock.reader_turn + me.read)
        case "leave queue": return over("pass", writers=False)
        case "unlock":
            remaining = lock.readers + PENDING
            if remaining == 0: return over("pass", readers=remaining)
            if remaining > 0: return go("let in", remaining, readers=remaining)
            present = remaining + PENDING
            if present == 0: return go("hand over", readers=remaining)
            return go("let in first" if lets_in_first else "count for other", present, readers=remaining)
        case "hand over": return over("pass", writer_turn=lock.writer_turn + 1)
        case "count for other":
            leaving = lock.leaving + me.read
            if lets_in_first: return over("pass", leaving=leaving)
            return go("let in", me.read, leaving=leaving)
        case "let in first": return go("count for other", me.read, reader_turn=lock.reader_turn + me.read)
        case "let in": return over("pass", reader_turn=lock.reader_turn + me.read)

        # lockForReading() and unlockForReading()
        case "join":
            return go("reading" if lock.readers + 1 > 0 else "wait to read", readers=lock.readers + 1)
        case "wait to read":
            if lock.reader_turn > 0: return go("reading", reader_turn=lock.reader_turn - 1)
        case "reading":
            readers = lock.readers - 1
            if readers >= 0: return over("join", readers=readers)
            return go("leave", readers=readers)
        case "leave":
            if lock.leaving != 1: return over("join", leaving=lock.leaving - 1)
            return go("last to leave", leaving=0)
        case "last to leave": return over("join", writer_turn=lock.writer_turn + 1)
    return None


def check(lock, threads, is_end):
    writing = sum(thread.at in ("mark", "writing", "unlock", "unlock queued") for thread in threads)
    reading = sum(thread.at == "reading" for thread in threads)
    demand(writing < 2, "two write")
    demand(not (writing and reading), "one writes while another reads")
    if is_end:
        demand(all(thread.at == "over" for thread in threads), "everybody sleeps")
        demand(lock == FREE, "something is left over")


def following(lock, threads, lets_in_first):
    """The situations that one step of somebody leads to."""
    for i, thread in enumerate(threads):
        step = steps(lock, thread, lets_in_first)
        if step: yield step[0], threads[:i] + (step[1],) + threads[i + 1:]


def main():
    writers, readers, turns, *changes = sys.argv[1:]
    start = (FREE, (Thread("pass", int(turns), 0),) * int(writers) + (Thread("join", int(turns), 0),) * int(readers))
    lets_in_first = "let-in-first" in changes
    report(
        lambda: search(start, lambda here: following(*here, lets_in_first), lambda here, is_end: check(*here, is_end)),
        lambda lock, threads: f"{tuple(lock)} | {', '.join(thread.at for thread in threads)}")


if __name__ == "__main__":
    main()
