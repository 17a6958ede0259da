// What a fatal report needs from below: the right to report, and that it comes to an end.
#ifndef CAPUS_REPORT_H
#define CAPUS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// The exit status of a process that ends in a fatal report, as in Go.
#define APUS_FATAL_STATUS 2
/// How long a report may go without progress.
#define APUS_WATCHDOG_SECONDS 5

/// Makes the caller the process's one reporter and blocks every signal on its thread but those of faults. A second
/// call on the reporting thread (or a fault on it) ends the process with APUS_FATAL_STATUS: the report itself failed.
/// On any other thread it never returns.
void apus_report_claim(void);

/// Ends the process with `status` if it is still there after `seconds`: the guard of a fatal report that hangs on a
/// lock which the failed code holds. Called again it starts anew, so that a long report lives while it makes progress.
void apus_watchdog(int seconds, int status);

/// Ends the process by SIGABRT, whatever the program does with that signal.
void apus_abort_now(void) __attribute__((noreturn));

/// Writes the readable form of a Swift or C++ name to `buffer`, cut off at `size`; the number of bytes, without the
/// terminator. -1 for a name that has no other form.
///
/// It allocates. With `guarded`, on the reporter's thread, a call that hangs for a second or faults is given up, and all
/// later ones at once: what failed may hold malloc's lock or have destroyed its heap.
ptrdiff_t apus_demangle(const char *name, size_t length, char *buffer, size_t size, bool guarded);

#endif
