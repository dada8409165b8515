/*
 * RECLAIM: what the kernel has cached and can read or make again is dropped, so that its memory is free, and whoever
 * takes freed memory back from the guest has it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

/* 1: clean pages of files. 2: names and inodes, which a tree that somebody has walked leaves behind as well. */
#define CACHES "3"

static int drop_caches = -1, meminfo = -1;

void open_reclaim(void) {
  drop_caches = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
  meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
  if (drop_caches < 0) report("the caches cannot be dropped: %s", strerror(errno));
}

/* Pages of files but for those that are nowhere else (tmpfs, the initramfs), and what can be made again. In MiB. */
static unsigned long reclaimable(void) {
  static const char *const names[] = {"\nActive(file):", "\nInactive(file):", "\nSReclaimable:"};
  char text[4096] = "";
  unsigned long kib = 0;
  if (pread(meminfo, text, sizeof text - 1, 0) <= 0) return 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *line = strstr(text, names[i]);
    if (line) kib += strtoul(line + strlen(names[i]), NULL, 10);
  }
  return kib / 1024;
}

static int run_reclaim(struct stream *s, const void *context) {
  (void)s;
  (void)context;
  if (write(STDIN_FILENO, CACHES, 1) != 1) return report_failure(FAIL_SYSTEM, errno, "dropping the caches");
  return report_success(NULL);
}

int start_reclaim(struct stream *s, struct reader *request) {
  uint32_t least = get_u32(request);
  if (!reader_done(request)) return -1;
  if (drop_caches < 0) {
    stream_fail(s, FAIL_SYSTEM, ENOTSUP, "dropping the caches");
    return 0;
  }
  if (reclaimable() < least) {
    stream_succeed(s);
    return 0;
  }
  struct child_body body = {.run = run_reclaim, .file = drop_caches};
  return start_child(s, &body);
}
