// Requests of other processes: the half of `apus dump PID` and its like that needs the kernel. Who answers is
// ApusRuntime/Attach's business.
//
// A command that wants to look into this process listens at a socket with an abstract name and sends the preemption
// signal, with a number (sigqueue(3)), to the thread called apus-template, which alone of the runtime's own threads does
// not block it. The number is APUS_ATTACH_MAGIC in the upper 16 bits and 48 bits of chance; the name is "apus-attach-" and
// the number in 16 hexadecimal digits. The handler keeps the number and wakes the thread, which connects. Nothing is
// open, listened at or written anywhere before somebody asks.
//
// On the socket, of kind SOCK_SEQPACKET, each message is a byte that says its kind and what belongs to it. The process
// begins with APUS_ATTACH_HELLO, or with APUS_ATTACH_REFUSAL and hangs up. Then each message of the command is a request,
// and the answer is any number of APUS_ATTACH_TEXT and then APUS_ATTACH_END, or APUS_ATTACH_REFUSAL.
#ifndef CAPUS_ATTACH_H
#define CAPUS_ATTACH_H

#include <stddef.h>
#include <stdint.h>

#define APUS_ATTACH_MAGIC 0xa905
/// The socket's name, of the request's number as an unsigned long long: both sides have to form the same.
#define APUS_ATTACH_NAME "apus-attach-%016llx"

/// The kinds of messages.
enum {
  /// The version of all of this follows as text.
  APUS_ATTACH_HELLO = 'h',
  /// A piece of the answer.
  APUS_ATTACH_TEXT = 't',
  /// The answer is whole.
  APUS_ATTACH_END = 'e',
  /// Why there is no answer.
  APUS_ATTACH_REFUSAL = 'r',
};

/// From now on a request makes `*wake` 1 and ends a sleep on that futex. The calling thread takes the preemption signal.
void apus_attach_arm(uint32_t *wake);
/// The number of the request that came last, if it was not taken yet; 0 else.
uint64_t apus_attach_take(void);

/// Connects to whoever has sent the request, if that process is the same user's, or root's: a descriptor, or a negative
/// errno. Waits for nobody.
int apus_attach_connect(uint64_t request);
/// Sends one message: false where it did not arrive within some seconds, or could not. Then no other will either.
_Bool apus_attach_send(int fd, char kind, const void *bytes, size_t count);
/// Waits for a message: how many bytes it has, cut off at `size`. 0: the other side has hung up; a negative errno, of
/// which -EAGAIN means that `timeout_ns` has passed (below zero: no limit). `*passed` is a descriptor that came with it,
/// -1 for none.
ptrdiff_t apus_attach_receive(int fd, void *bytes, size_t size, int64_t timeout_ns, int *passed);
/// Whether the descriptor is that of a file, and not of something for which a writer waits.
_Bool apus_is_file(int fd);

#endif
