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

/// From now on exit() waits for the end of a report that has begun, and so does a return from `main`: the process then ends
/// with the report's status. A report that begins later than that comes too late. 0, or nonzero for want of memory.
int apus_report_guard_exit(void);

/// What libswiftCore has written of a fatal error ("file:line: Fatal error: …"), with a newline at its end; NULL when there
/// is nothing. It is the caller's: of malloc, and not there any more for the next one.
char *apus_take_fatal_message(void);
/// The same for the handler of the trap `signal` at `pc`: NULL where libswiftCore cannot have written why. Checks that the
/// compiler has put into other code than libswiftCore's image trap without a word; what is there is another thread's.
char *apus_take_fatal_message_of(int signal, uintptr_t pc);
/// Finds that image. Called before there are handlers.
void apus_find_fatal_messages(void);
void apus_free(void *memory);

/// Ends the process with `status` if it is still there after `seconds`: the guard of a fatal report that hangs on a
/// lock which the failed code holds. Called again it starts anew, so that a long report lives while it makes progress.
void apus_watchdog(int seconds, int status);

/// Ends the process by SIGABRT, whatever the program does with that signal.
void apus_abort_now(void) __attribute__((noreturn));

/// Calls `body(argument)`. On the reporter's thread, where what failed may hold malloc's lock or have destroyed its heap, a
/// body that takes longer than a second, or faults, is left as it is; false then. It has nothing to clean up.
bool apus_report_try(void (*body)(void *), void *argument);

/// Writes the readable form of a Swift or C++ name to `buffer`, cut off at `size`; the number of bytes, without the
/// terminator. -1 for a name that has no other form. It allocates.
ptrdiff_t apus_demangle(const char *name, size_t length, char *buffer, size_t size);

#endif
