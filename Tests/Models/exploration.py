"""What the models have in common: every situation that steps lead to is looked at once."""
import sys


class Broken(Exception):
    """Something that must not be; `way` has the situations that lead there."""


def demand(holds, complaint):
    if not holds: raise Broken(complaint)


def search(start, steps, check):
    """How many situations there are from `start` on; raises `Broken` with the way to one that must not be.

    `steps` gives the situations that may follow one; `check` is told a situation and whether it is an end.
    """
    before = {start: None}
    todo = [start]
    while todo:
        here = todo.pop()
        try:
            found = list(steps(here))
            check(here, not found)
        except Broken as broken:
            broken.way = []
            while here:
                broken.way.insert(0, here)
                here = before[here]
            raise
        for there in found:
            if there not in before:
                before[there] = here
                todo.append(there)
    return len(before)


def report(explore, describe):
    """Prints what came of `explore`: `sound`, or what went wrong and the way there, and then ends with status 1."""
    try:
        print("sound:", explore(), "situations")
    except Broken as broken:
        print("broken:", broken)
        for situation in broken.way: print(" ", describe(*situation))
        sys.exit(1)
