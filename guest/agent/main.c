#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

struct agent_state agent = {
    .is_init = false, .is_set_up = false, .dev_null = -1, .pts_dir = -1, .modules_dir = -1, .cgroup_dir = -1, .cgroup_namespace = -1};

static int epoll_fd = -1;
/* Counts up with every look at what has happened. */
static uint64_t event_round = 1;

static void children_changed(struct source *source, uint32_t events);
static struct source child_signals = {.fd = -1, .ready = children_changed};

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int watch_level(struct source *source, uint32_t events) {
  source->watched_in = event_round;
  struct epoll_event event = {.events = events, .data.ptr = source};
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, source->fd, &event);
}

int watch(struct source *source, uint32_t events) {
  return watch_level(source, events | EPOLLET);
}

void close_source(struct source *source) {
  if (source->fd < 0) return;
  /* Explicitly: a child that was just forked may still hold the file, and epoll would go on reporting it. */
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
  close(source->fd);
  source->fd = -1;
}

void report(const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  if (length > (int)sizeof line - 2) length = sizeof line - 2;
  line[length++] = '\n';
  if (write(STDERR_FILENO, "agent: ", 7) < 0 || write(STDERR_FILENO, line, (size_t)length) < 0) return;
}

void fatal(const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  report("%s", line);
  /* The end of process 1 is a kernel panic, which the host notices at once. */
  exit(1);
}

/* Descriptors 0 to 3 are what children get; ours must lie above, so that moving them never overwrites one. */
static void occupy_low_descriptors(void) {
  int fd;
  do fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  while (fd >= 0 && fd <= REPORT_FD);
  if (fd < 0) fatal("cannot open /dev/null: %s", strerror(errno));
  agent.dev_null = fd;
}

static void children_changed(struct source *source, uint32_t events) {
  (void)events;
  struct signalfd_siginfo info;
  while (read(source->fd, &info, sizeof info) > 0)
    ;
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) stream_exited(pid, status);
  groups_retry();
}

static void start_loop(void) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  child_signals.fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  if (epoll_fd < 0 || child_signals.fd < 0 || watch(&child_signals, EPOLLIN) < 0)
    fatal("cannot start the event loop: %s", strerror(errno));
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files = {65536, 65536};
  setrlimit(RLIMIT_NOFILE, &files);
  umask(022);
}

static void run_loop(void) {
  for (;;) {
    bool again = pump();
    if (power_off_asked) power_off();
    int64_t now = now_ms(), next = streams_timers(now), look = freeze_timers(now);
    if (look >= 0 && (next < 0 || look < next)) next = look;
    streams_free_dead();
    struct epoll_event events[64];
    int wait = next < 0 ? -1 : next > now ? (int)(next - now) : 0;
    int count = epoll_wait(epoll_fd, events, 64, again || streams_ready() ? 0 : wait);
    event_round++;
    for (int i = 0; i < count; i++) {
      struct source *source = events[i].data.ptr;
      /* An earlier event of this round may have closed it, or closed it and opened another file in its place, which this
       * event knows nothing of; streams are freed only between rounds. */
      if (source->fd >= 0 && source->watched_in < event_round) source->ready(source, events[i].events);
    }
  }
}

/*
 * For tests on any machine, below DIR: `agent --fd N --root DIR` serves an already open stream, `agent --listen PATH
 * --root DIR` one after the other at a Unix socket below DIR. `--cgroup DIR`: an empty directory of a cgroup2.
 */
static void serve(int argc, char **argv) {
  const char *root = NULL;
  int cgroup = -1;
  char where[128] = "";
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--fd") == 0)
      snprintf(where, sizeof where, "fd:%d", fcntl(atoi(argv[i + 1]), F_DUPFD_CLOEXEC, 10));
    else if (strcmp(argv[i], "--root") == 0)
      root = argv[i + 1];
    else if (strcmp(argv[i], "--listen") == 0)
      snprintf(where, sizeof where, "unix:%s", argv[i + 1]);
    else if (strcmp(argv[i], "--cgroup") == 0)
      cgroup = open(argv[i + 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    else
      fatal("unknown option %s", argv[i]);
  }
  if (!root || !where[0]) fatal("usage: agent --fd N --root DIR (or run as process 1)");
  occupy_low_descriptors();
  if (cgroup >= 0) cgroups_use(fcntl(cgroup, F_DUPFD_CLOEXEC, 10));
  agent.pts_dir = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (chroot(root) < 0 || chdir("/") < 0) fatal("cannot enter %s: %s", root, strerror(errno));
  agent.is_set_up = true;
  start_loop();
  open_transport(where);
}

int main(int argc, char **argv) {
  if (getpid() != 1) {
    serve(argc, argv);
  } else {
    agent.is_init = true;
    boot();
    occupy_low_descriptors();
    start_loop();
    char where[64] = "console";
    boot_option("supermachine.agent", where, sizeof where);
    await_root_device();
    open_transport(where);
    /* While the host finds out that we are there. */
    prepare_setup();
  }
  run_loop();
}
