// Calls for the poller and ApusNet. Each function is one call and its errno; the system calls of the hot path go past
// libc's wrappers, which are cancellation points and pay for it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "CApus.h"

_Static_assert(sizeof(apus_vector) == sizeof(struct iovec), "the kernel's vector");
_Static_assert(offsetof(apus_vector, count) == offsetof(struct iovec, iov_len), "the kernel's vector");
_Static_assert(APUS_EPOLLIN == EPOLLIN && APUS_EPOLLPRI == EPOLLPRI && APUS_EPOLLOUT == EPOLLOUT &&
                   APUS_EPOLLERR == EPOLLERR && APUS_EPOLLHUP == EPOLLHUP && APUS_EPOLLRDHUP == EPOLLRDHUP &&
                   APUS_EPOLLET == EPOLLET,
               "the kernel's events");
_Static_assert(APUS_FAMILY_UNIX == AF_UNIX && APUS_FAMILY_V4 == AF_INET && APUS_FAMILY_V6 == AF_INET6,
               "the kernel's families");
_Static_assert(APUS_SOCKET_STREAM == SOCK_STREAM && APUS_SOCKET_DATAGRAM == SOCK_DGRAM, "the kernel's types");

static int64_t outcome(long result) { return result < 0 ? -errno : result; }

int apus_epoll_create(void) { return (int)outcome(epoll_create1(EPOLL_CLOEXEC)); }

int apus_epoll_add(int epoll, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  return (int)outcome(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

int apus_epoll_delete(int epoll, int fd) { return (int)outcome(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL)); }

// Set once, when the kernel turned out not to have epoll_pwait2 (or a sandbox to refuse it).
static _Atomic int waits_by_milliseconds;

static int64_t wait_for_events(int epoll, struct epoll_event *events, int count, int64_t timeout_ns) {
  int64_t milliseconds = timeout_ns <= 0 ? timeout_ns : (timeout_ns - 1) / 1000000 + 1;
#ifdef SYS_epoll_pwait2
  if (timeout_ns > 0 && !atomic_load_explicit(&waits_by_milliseconds, memory_order_relaxed)) {
    struct timespec t = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    long result = syscall(SYS_epoll_pwait2, epoll, events, count, &t, NULL, (size_t)8);
    if (result >= 0 || (errno != ENOSYS && errno != EPERM)) return outcome(result);
    atomic_store_explicit(&waits_by_milliseconds, 1, memory_order_relaxed);
  }
#endif
  if (milliseconds > 0x7fffffff) milliseconds = 0x7fffffff;
  if (milliseconds < -1) milliseconds = -1;
  return outcome(syscall(SYS_epoll_pwait, epoll, events, count, (int)milliseconds, NULL, (size_t)8));
}

int apus_epoll_wait(int epoll, int64_t timeout_ns, void (*each)(void *, uint32_t, uint64_t), void *context) {
  struct epoll_event events[128];
  int64_t count = wait_for_events(epoll, events, 128, timeout_ns);
  for (int64_t i = 0; i < count; i++) each(context, events[i].events, events[i].data.u64);
  return (int)count;
}

int apus_eventfd(void) { return (int)outcome(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

/// The kernel's form of `address`; its length, or 0 where there is none (a family that is not known, a path too long).
static socklen_t to_kernel(const apus_address *address, struct sockaddr_storage *out) {
  memset(out, 0, sizeof *out);
  switch (address->family) {
    case AF_INET: {
      struct sockaddr_in *v4 = (struct sockaddr_in *)out;
      v4->sin_family = AF_INET;
      v4->sin_port = htons(address->port);
      memcpy(&v4->sin_addr, address->bytes, 4);
      return sizeof *v4;
    }
    case AF_INET6: {
      struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(address->port);
      v6->sin6_scope_id = address->scope;
      memcpy(&v6->sin6_addr, address->bytes, 16);
      return sizeof *v6;
    }
    case AF_UNIX: {
      struct sockaddr_un *local = (struct sockaddr_un *)out;
      size_t length = address->path_length;
      // A path is terminated, an abstract name is not and may fill the field.
      int isAbstract = length > 0 && address->path[0] == 0;
      if (length > sizeof local->sun_path - !isAbstract) return 0;
      local->sun_family = AF_UNIX;
      memcpy(local->sun_path, address->path, length);
      return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (length > 0 && !isAbstract));
    }
    default:
      return 0;
  }
}

static void from_kernel(const struct sockaddr_storage *in, socklen_t length, apus_address *address) {
  // All but the path, which has a length of its own: an accept need not clear a hundred bytes for that.
  memset(address, 0, offsetof(apus_address, path));
  if (length < sizeof(sa_family_t)) return;
  switch (in->ss_family) {
    case AF_INET: {
      const struct sockaddr_in *v4 = (const struct sockaddr_in *)in;
      address->port = ntohs(v4->sin_port);
      memcpy(address->bytes, &v4->sin_addr, 4);
      break;
    }
    case AF_INET6: {
      const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)in;
      address->port = ntohs(v6->sin6_port);
      address->scope = v6->sin6_scope_id;
      memcpy(address->bytes, &v6->sin6_addr, 16);
      break;
    }
    case AF_UNIX: {
      const struct sockaddr_un *local = (const struct sockaddr_un *)in;
      size_t most = length - offsetof(struct sockaddr_un, sun_path);
      if (most > sizeof local->sun_path) most = sizeof local->sun_path;
      if (most > 0 && local->sun_path[0] != 0) most = strnlen(local->sun_path, most);
      address->path_length = (uint16_t)most;
      memcpy(address->path, local->sun_path, most);
      break;
    }
    default:
      return;
  }
  address->family = in->ss_family;
}

int apus_address_parse(const char *text, apus_address *address) {
  memset(address, 0, sizeof *address);
  if (inet_pton(AF_INET, text, address->bytes) == 1) {
    address->family = AF_INET;
    return 0;
  }
  char plain[INET6_ADDRSTRLEN];
  const char *zone = strchr(text, '%');
  size_t length = zone != NULL ? (size_t)(zone - text) : strlen(text);
  if (length >= sizeof plain) return -EINVAL;
  memcpy(plain, text, length);
  plain[length] = 0;
  if (inet_pton(AF_INET6, plain, address->bytes) != 1) return -EINVAL;
  address->family = AF_INET6;
  if (zone == NULL) return 0;
  if (zone[1] == 0) return -EINVAL;
  address->scope = if_nametoindex(zone + 1);
  if (address->scope != 0) return 0;
  for (const char *digit = zone + 1; *digit != 0; digit++) {
    if (!isdigit((unsigned char)*digit) || address->scope > (UINT32_MAX - 9) / 10) return -EINVAL;
    address->scope = address->scope * 10 + (uint32_t)(*digit - '0');
  }
  return 0;
}

int apus_address_text(const apus_address *address, char *text, size_t size) {
  char plain[INET6_ADDRSTRLEN], interface[IF_NAMESIZE];
  if (inet_ntop(address->family, address->bytes, plain, sizeof plain) == NULL) return snprintf(text, size, "?");
  if (address->scope == 0) return snprintf(text, size, "%s", plain);
  if (if_indextoname(address->scope, interface) != NULL) return snprintf(text, size, "%s%%%s", plain, interface);
  return snprintf(text, size, "%s%%%u", plain, address->scope);
}

int apus_resolve(const char *host, apus_address *addresses, int capacity, int *error) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
  *error = 0;
  int result = getaddrinfo(host, NULL, &hints, &list);
  if (result != 0) {
    *error = result == EAI_SYSTEM ? errno : 0;
    return result < 0 ? result : -result;
  }
  int count = 0;
  for (struct addrinfo *each = list; each != NULL && count < capacity; each = each->ai_next) {
    struct sockaddr_storage storage = {0};
    if (each->ai_addrlen > sizeof storage) continue;
    memcpy(&storage, each->ai_addr, each->ai_addrlen);
    from_kernel(&storage, each->ai_addrlen, &addresses[count]);
    if (addresses[count].family != AF_UNSPEC) count++;
  }
  freeaddrinfo(list);
  return count > 0 ? count : EAI_NONAME;
}

const char *apus_resolve_text(int result) { return gai_strerror(result); }

int apus_error_text(int error, char *text, size_t size) {
  // The GNU function: the result need not be in the buffer.
  char buffer[128];
  const char *words = strerror_r(error, buffer, sizeof buffer);
  int length = snprintf(text, size, "%s", words);
  // "Connection refused" within a sentence; "RFS specific error" is an abbreviation.
  if (length > 1 && isupper((unsigned char)text[0]) && !isupper((unsigned char)text[1]))
    text[0] = (char)tolower((unsigned char)text[0]);
  return length < (int)size ? length : (int)size - 1;
}

int apus_socket(int family, int type) { return (int)outcome(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

int apus_bind(int fd, const apus_address *address) {
  struct sockaddr_storage storage;
  socklen_t length = to_kernel(address, &storage);
  return (int)outcome(bind(fd, (struct sockaddr *)&storage, length));
}

// The kernel takes the smaller of this and net.core.somaxconn.
int apus_listen(int fd) { return (int)outcome(listen(fd, 65535)); }

int apus_accept(int fd, apus_address *peer) {
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage;
  long result = syscall(SYS_accept4, fd, &storage, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (result < 0) return -errno;
  from_kernel(&storage, length, peer);
  return (int)result;
}

int apus_connect(int fd, const apus_address *address) {
  struct sockaddr_storage storage;
  socklen_t length = to_kernel(address, &storage);
  return (int)outcome(connect(fd, (struct sockaddr *)&storage, length));
}

int apus_local_address(int fd, apus_address *address) {
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0) return -errno;
  from_kernel(&storage, length, address);
  return 0;
}

int apus_remote_address(int fd, apus_address *address) {
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (getpeername(fd, (struct sockaddr *)&storage, &length) < 0) return -errno;
  from_kernel(&storage, length, address);
  return 0;
}

int apus_shutdown_read(int fd) { return (int)outcome(shutdown(fd, SHUT_RD)); }

int apus_shutdown_write(int fd) { return (int)outcome(shutdown(fd, SHUT_WR)); }

static const struct {
  int level, name;
} options[] = {
    [APUS_OPTION_ERROR] = {SOL_SOCKET, SO_ERROR},
    [APUS_OPTION_REUSE_ADDRESS] = {SOL_SOCKET, SO_REUSEADDR},
    [APUS_OPTION_REUSE_PORT] = {SOL_SOCKET, SO_REUSEPORT},
    [APUS_OPTION_BROADCAST] = {SOL_SOCKET, SO_BROADCAST},
    [APUS_OPTION_V6_ONLY] = {IPPROTO_IPV6, IPV6_V6ONLY},
    [APUS_OPTION_NO_DELAY] = {IPPROTO_TCP, TCP_NODELAY},
    [APUS_OPTION_KEEP_ALIVE] = {SOL_SOCKET, SO_KEEPALIVE},
    [APUS_OPTION_KEEP_IDLE] = {IPPROTO_TCP, TCP_KEEPIDLE},
    [APUS_OPTION_KEEP_INTERVAL] = {IPPROTO_TCP, TCP_KEEPINTVL},
    [APUS_OPTION_LINGER_SECONDS] = {SOL_SOCKET, SO_LINGER},
};

int apus_set_option(int fd, apus_option option, int value) {
  struct linger linger = {.l_onoff = value >= 0, .l_linger = value >= 0 ? value : 0};
  int isLinger = option == APUS_OPTION_LINGER_SECONDS;
  return (int)outcome(setsockopt(fd, options[option].level, options[option].name,
                                 isLinger ? (void *)&linger : (void *)&value, isLinger ? sizeof linger : sizeof value));
}

int apus_get_option(int fd, apus_option option) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, options[option].level, options[option].name, &value, &length) < 0 ? -errno : value;
}

static apus_shelf_presence restore_all(const apus_vector *vectors, int count) {
  apus_shelf_presence found = APUS_SHELF_NO_STACK;
  for (int i = 0; i < count; i++) {
    apus_shelf_presence here = apus_shelf_restore_range(vectors[i].base, vectors[i].count);
    if (here > found) found = here;
  }
  return found;
}

int64_t apus_receive(int fd, void *bytes, size_t count) {
  return outcome(APUS_SHELF_REPEATED(
      syscall(SYS_recvfrom, fd, bytes, count, 0, NULL, NULL), apus_shelf_restore_range(bytes, count)));
}

int64_t apus_send(int fd, const void *bytes, size_t count) {
  return outcome(APUS_SHELF_REPEATED(
      syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL, NULL, 0), apus_shelf_restore_range(bytes, count)));
}

int64_t apus_receive_from(int fd, void *bytes, size_t count, apus_address *from) {
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage;
  // Before the call: a datagram that does not find its place is gone.
  (void)apus_shelf_restore_range(bytes, count);
  long result = APUS_SHELF_REPEATED(
      syscall(SYS_recvfrom, fd, bytes, count, 0, &storage, &length), apus_shelf_restore_range(bytes, count));
  if (result < 0) return -errno;
  from_kernel(&storage, length, from);
  return result;
}

int64_t apus_send_to(int fd, const void *bytes, size_t count, const apus_address *to) {
  struct sockaddr_storage storage;
  socklen_t length = to_kernel(to, &storage);
  return outcome(APUS_SHELF_REPEATED(
      syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL, &storage, length), apus_shelf_restore_range(bytes, count)));
}

int64_t apus_receive_vectors(int fd, const apus_vector *vectors, int count) {
  struct msghdr message = {.msg_iov = (struct iovec *)vectors, .msg_iovlen = (size_t)count};
  (void)restore_all(vectors, count);
  return outcome(APUS_SHELF_REPEATED(
      syscall(SYS_recvmsg, fd, &message, 0), restore_all(vectors, count)));
}

int64_t apus_send_vectors(int fd, const apus_vector *vectors, int count) {
  struct msghdr message = {.msg_iov = (struct iovec *)vectors, .msg_iovlen = (size_t)count};
  return outcome(APUS_SHELF_REPEATED(
      syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL), restore_all(vectors, count)));
}

int64_t apus_read_vectors(int fd, const apus_vector *vectors, int count) {
  return outcome(APUS_SHELF_REPEATED(
      syscall(SYS_readv, fd, vectors, count), restore_all(vectors, count)));
}

// Above zero while the thread writes for ApusNet. The signal of a write without a reader is sent to the thread that
// writes, before the call returns.
static __thread volatile sig_atomic_t is_writing __attribute__((tls_model("initial-exec")));

int64_t apus_write_guarded(int fd, const void *bytes, size_t count) {
  is_writing = 1;
  long result = APUS_SHELF_REPEATED(
      syscall(SYS_write, fd, bytes, count), apus_shelf_restore_range(bytes, count));
  is_writing = 0;
  return outcome(result);
}

int64_t apus_write_vectors(int fd, const apus_vector *vectors, int count) {
  is_writing = 1;
  long result = APUS_SHELF_REPEATED(
      syscall(SYS_writev, fd, vectors, count), restore_all(vectors, count));
  is_writing = 0;
  return outcome(result);
}

int apus_pipe(int fds[2]) { return (int)outcome(pipe2(fds, O_NONBLOCK | O_CLOEXEC)); }

int apus_set_nonblocking(int fd, int on) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0) return -errno;
  return (flags & O_NONBLOCK) != 0;
}

int apus_unlink(const char *path) { return (int)outcome(unlink(path)); }

static void on_pipe(int signal) {
  if (is_writing) return;
  int saved_errno = errno;
  // As if there had been no handler: the signal is blocked until this one returns, and then ends the process.
  struct sigaction fallback = {.sa_handler = SIG_DFL};
  sigaction(SIGPIPE, &fallback, NULL);
  syscall(SYS_tgkill, getpid(), apus_gettid(), signal);
  errno = saved_errno;
}

// Whoever changes what SIGPIPE does has it: so there is no moment between two changes at which a write of ours ends the
// process, and no change undoes another.
static pthread_mutex_t pipe_lock = PTHREAD_MUTEX_INITIALIZER;
// Under pipe_lock: there are writes that must not end the process.
static int pipes_are_guarded;

static const struct sigaction *guarded(const struct sigaction *action) {
  static const struct sigaction guard = {.sa_handler = on_pipe, .sa_flags = SA_RESTART | SA_ONSTACK};
  // A handler of the program's, or its wish to ignore the signal, keeps the process alive as well as ours does.
  int is_default = (action->sa_flags & SA_SIGINFO) == 0 && action->sa_handler == SIG_DFL;
  return pipes_are_guarded && is_default ? &guard : action;
}

void apus_pipe_guard(void) {
  struct sigaction present;
  pthread_mutex_lock(&pipe_lock);
  pipes_are_guarded = 1;
  if (sigaction(SIGPIPE, NULL, &present) == 0) {
    const struct sigaction *wanted = guarded(&present);
    if (wanted != &present) sigaction(SIGPIPE, wanted, NULL);
  }
  pthread_mutex_unlock(&pipe_lock);
}

int apus_pipe_set_action(const struct sigaction *action, struct sigaction *previous) {
  pthread_mutex_lock(&pipe_lock);
  int result = sigaction(SIGPIPE, guarded(action), previous);
  pthread_mutex_unlock(&pipe_lock);
  return result;
}
