/*
 * FREEZE and THAW: between them nothing runs in the guest but the kernel and the agent, so that a copy of the machine
 * that is taken then can be given an identity of its own before any program notices.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent.h"

/* The kernel tells at most every 10 ms that something has changed; we look more often. */
#define LOOK_MS 2

static void look(void);
static void events_changed(struct source *source, uint32_t events);
static struct source cgroup_events = {.fd = -1, .ready = events_changed};
static struct stream *waiting; /* the FREEZE that has no answer yet */
static int64_t deadline, look_at;
static bool frozen;

static int write_freeze(const char *value) {
  int fd = openat(agent.cgroup_dir, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = write(fd, value, 1) == 1 ? 0 : errno;
  close(fd);
  return error;
}

void freeze(struct stream *s, uint32_t timeout_ms) {
  if (agent.cgroup_dir < 0) {
    stream_fail(s, FAIL_SYSTEM, ENOTSUP, "control groups");
    return;
  }
  if (waiting) {
    stream_fail(s, FAIL_REFUSED, 0, "another freeze is under way");
    return;
  }
  cgroup_events.fd = openat(agent.cgroup_dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
  int error = cgroup_events.fd < 0 ? errno : write_freeze("1");
  if (error) {
    close_source(&cgroup_events);
    stream_fail(s, FAIL_SYSTEM, error, "freezing the control group");
    return;
  }
  watch(&cgroup_events, EPOLLPRI);
  waiting = s;
  deadline = now_ms() + timeout_ms;
  look();
}

bool is_frozen(void) {
  return frozen;
}

int thaw(void) {
  struct stream *s = waiting;
  waiting = NULL;
  close_source(&cgroup_events);
  if (s) stream_fail(s, FAIL_CANCELLED, 0, "");
  frozen = false;
  return agent.cgroup_dir < 0 ? 0 : write_freeze("0");
}

void freeze_given_up(struct stream *s) {
  if (s != waiting) return;
  waiting = NULL;
  thaw();
}

int64_t freeze_timers(int64_t now) {
  if (waiting && now >= look_at) look();
  return waiting ? look_at : -1;
}

static bool all_frozen(void) {
  char text[256] = "";
  ssize_t length = pread(cgroup_events.fd, text, sizeof text - 1, 0);
  return length > 0 && strstr(text, "frozen 1") != NULL;
}

static void look(void) {
  struct stream *s = waiting;
  int64_t now = now_ms();
  if (all_frozen()) {
    waiting = NULL;
    close_source(&cgroup_events);
    frozen = true;
    stream_succeed(s);
  } else if (now >= deadline) {
    waiting = NULL;
    thaw();
    stream_fail(s, FAIL_SYSTEM, ETIMEDOUT, "processes that do not stop");
  } else {
    look_at = now + LOOK_MS < deadline ? now + LOOK_MS : deadline;
  }
}

static void events_changed(struct source *source, uint32_t events) {
  (void)source;
  (void)events;
  if (waiting) look();
}
