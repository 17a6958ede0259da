// What the poller and ApusNet ask of the kernel: epoll, sockets, pipes, names. Each function is one call that returns what
// the kernel returned, a negative errno on failure; none waits, except where it says so.
#ifndef CAPUS_NETWORK_H
#define CAPUS_NETWORK_H

#include <stddef.h>
#include <stdint.h>

struct sigaction;

// epoll.
#define APUS_EPOLLIN 0x001u
#define APUS_EPOLLPRI 0x002u
#define APUS_EPOLLOUT 0x004u
#define APUS_EPOLLERR 0x008u
#define APUS_EPOLLHUP 0x010u
#define APUS_EPOLLRDHUP 0x2000u
#define APUS_EPOLLET 0x80000000u

/// A descriptor, closed on exec.
int apus_epoll_create(void);
int apus_epoll_add(int epoll, int fd, uint32_t events, uint64_t data);
int apus_epoll_delete(int epoll, int fd);
/// Waits for at most `timeout_ns` (0: not at all; below zero: without a limit), to the nanosecond where the kernel can
/// (Linux 5.11), else to the next millisecond. Calls `each(context, events, data)` for what came, at most 128 times; how
/// often.
int apus_epoll_wait(int epoll, int64_t timeout_ns, void (*each)(void *context, uint32_t events, uint64_t data),
                    void *context);
/// A counter that can be polled, non-blocking and closed on exec.
int apus_eventfd(void);

// Addresses.
#define APUS_FAMILY_NONE 0
#define APUS_FAMILY_UNIX 1
#define APUS_FAMILY_V4 2
#define APUS_FAMILY_V6 10

/// What a `struct sockaddr_*` says, in one form for all.
typedef struct apus_address {
  uint16_t family;
  /// In the machine's own order of bytes.
  uint16_t port;
  /// Of a link-local IPv6 address: the number of its interface.
  uint32_t scope;
  /// The address in the order of the network: four bytes of them for IPv4.
  uint8_t bytes[16];
  /// A Unix socket's path, or its abstract name behind a zero byte. Not terminated.
  uint16_t path_length;
  char path[108];
} apus_address;

/// An address written as numbers: IPv4 in dotted form, IPv6 as in RFC 4291, perhaps with `%` and an interface. 0, or
/// -EINVAL for what is none (a name to be resolved).
int apus_address_parse(const char *text, apus_address *address);
/// Writes the address, without the port, in the canonical form (RFC 5952) with its interface; the length. 80 bytes are
/// always enough.
int apus_address_text(const apus_address *address, char *text, size_t size);
/// Looks `host` up by getaddrinfo(3), which may wait for long. The number of addresses, in the order of RFC 6724, or a
/// negative number of getaddrinfo's (EAI_...). `*error` is the errno behind EAI_SYSTEM.
int apus_resolve(const char *host, apus_address *addresses, int capacity, int *error);
/// What a negative result of `apus_resolve` means.
const char *apus_resolve_text(int result);
/// What an errno means, in the C locale's words with a small letter; the length.
int apus_error_text(int error, char *text, size_t size);

// Sockets: non-blocking and closed on exec.
#define APUS_SOCKET_STREAM 1
#define APUS_SOCKET_DATAGRAM 2
int apus_socket(int family, int type);
int apus_bind(int fd, const apus_address *address);
int apus_listen(int fd);
/// The peer's address goes to `*peer`.
int apus_accept(int fd, apus_address *peer);
int apus_connect(int fd, const apus_address *address);
int apus_local_address(int fd, apus_address *address);
int apus_remote_address(int fd, apus_address *address);
int apus_shutdown_read(int fd);
int apus_shutdown_write(int fd);

typedef enum apus_option {
  APUS_OPTION_ERROR,
  APUS_OPTION_REUSE_ADDRESS,
  APUS_OPTION_REUSE_PORT,
  APUS_OPTION_BROADCAST,
  APUS_OPTION_V6_ONLY,
  APUS_OPTION_NO_DELAY,
  APUS_OPTION_KEEP_ALIVE,
  /// Seconds.
  APUS_OPTION_KEEP_IDLE,
  APUS_OPTION_KEEP_INTERVAL,
  /// Below zero: no lingering.
  APUS_OPTION_LINGER_SECONDS,
} apus_option;
int apus_set_option(int fd, apus_option option, int value);
/// The option's value, which is not negative, or a negative errno. APUS_OPTION_ERROR's is the pending error.
int apus_get_option(int fd, apus_option option);

// Transfer. No call raises SIGPIPE: those on sockets ask the kernel not to, the others rely on `apus_pipe_guard`.
/// The kernel's `struct iovec`.
typedef struct apus_vector {
  void *base;
  size_t count;
} apus_vector;

int64_t apus_receive(int fd, void *bytes, size_t count);
int64_t apus_send(int fd, const void *bytes, size_t count);
int64_t apus_receive_from(int fd, void *bytes, size_t count, apus_address *from);
int64_t apus_send_to(int fd, const void *bytes, size_t count, const apus_address *to);
int64_t apus_receive_vectors(int fd, const apus_vector *vectors, int count);
int64_t apus_send_vectors(int fd, const apus_vector *vectors, int count);
int64_t apus_read_vectors(int fd, const apus_vector *vectors, int count);
/// write(2) and writev(2), on what need not be a socket.
int64_t apus_write_guarded(int fd, const void *bytes, size_t count);
int64_t apus_write_vectors(int fd, const apus_vector *vectors, int count);

// Pipes and other descriptors.
/// Non-blocking and closed on exec; fds[0] reads.
int apus_pipe(int fds[2]);
/// Sets or clears O_NONBLOCK; 1 when it was set before, 0 when not.
int apus_set_nonblocking(int fd, int on);
int apus_unlink(const char *path);
/// Sees to it that a write of ours to a pipe without a reader fails with EPIPE and does not kill the process. Any other
/// write still raises SIGPIPE, with whatever the program or the system has it do.
///
/// It installs a handler of SIGPIPE where there is none. The handler returns when its thread is inside
/// `apus_write_guarded` or `apus_write_vectors`; else it does what the default is, and the process ends.
void apus_pipe_guard(void);
/// sigaction(2) for SIGPIPE, and for whoever gives the signal back what it did before: where that is the default and writes
/// are guarded, it gets the guard.
int apus_pipe_set_action(const struct sigaction *action, struct sigaction *previous);

#endif
