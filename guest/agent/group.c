/*
 * The control group of each command. A group that is empty again and that nobody has altered is used again: to make one
 * and to take it away costs more than to start the command.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

struct group {
  struct group *next;
  uint64_t number;       /* its name is exec.NUMBER */
  int directory;
  int events, memory_events; /* files that are read again and again; -1: not there */
  int watch;             /* inotify's, which tells when somebody alters the group; -1: nobody would know */
  unsigned long oom_kills; /* that have been told of */
  enum { IN_USE, SPARE, LEFT_OVER } state;
  bool altered;          /* files written, groups made in it, owner changed: not used again */
};

static struct group *groups;
static int changes = -1; /* inotify's descriptor */

#define MAX_SPARE 8
/* How often a name that somebody in the guest took is passed over. */
#define MAX_TRIES 64
/* Groups below a group are the guest's own doing; deeper than this they stay. */
#define MAX_DEPTH 16
/* Groups that background processes still live in; looked at again whenever a process has ended. */
#define MAX_LEFT_OVER 1024

/* ---- whether it has been altered */

static void watch_changes(struct group *group, const char *name) {
  group->watch = -1;
  if (changes < 0) changes = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  /* inotify takes no directory to start from, and /proc is the guest's to mount over. */
  if (changes < 0 || fchdir(agent.cgroup_dir) < 0) return;
  /* Once: who alters it all the time must not keep us busy. */
  uint32_t alterations = IN_CLOSE_WRITE | IN_CREATE | IN_ATTRIB;
  group->watch = inotify_add_watch(changes, name, alterations | IN_ONESHOT | IN_ONLYDIR);
  if (chdir("/") < 0) fatal("cannot return to /: %s", strerror(errno));
}

static void note_changes(void) {
  char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
  ssize_t length;
  while (changes >= 0 && (length = read(changes, events, sizeof events)) > 0)
    for (char *at = events; at < events + length;) {
      const struct inotify_event *event = (const void *)at;
      at += sizeof *event + event->len;
      for (struct group *group = groups; group; group = group->next)
        if (group->watch == event->wd || (event->mask & IN_Q_OVERFLOW)) group->altered = true;
    }
}

static bool has(int file, const char *text) {
  char content[512] = "";
  return pread(file, content, sizeof content - 1, 0) > 0 && strstr(content, text) != NULL;
}

static bool is_populated(const struct group *group) {
  return group->events >= 0 && !has(group->events, "populated 0");
}

static unsigned long count_oom_kills(const struct group *group) {
  char text[512] = "";
  if (group->memory_events < 0 || pread(group->memory_events, text, sizeof text - 1, 0) <= 0) return group->oom_kills;
  const char *count = strstr(text, "oom_kill ");
  return count ? strtoul(count + strlen("oom_kill "), NULL, 10) : group->oom_kills;
}

/* ---- making one, and taking it away */

static int make_directory(char *name, size_t size, uint64_t *number) {
  static uint64_t last;
  for (int i = 0; i < MAX_TRIES; i++) {
    snprintf(name, size, "exec.%llu", (unsigned long long)++last);
    *number = last;
    if (mkdirat(agent.cgroup_dir, name, 0755) == 0) return 0;
    if (errno != EEXIST) break;
  }
  return errno;
}

static struct group *make_group(int *error) {
  char name[64];
  struct group *group = calloc(1, sizeof *group);
  *error = group ? make_directory(name, sizeof name, &group->number) : ENOMEM;
  if (*error) {
    free(group);
    return NULL;
  }
  group->directory = openat(agent.cgroup_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (group->directory < 0) {
    *error = errno;
    unlinkat(agent.cgroup_dir, name, AT_REMOVEDIR);
    free(group);
    return NULL;
  }
  group->events = openat(group->directory, "cgroup.events", O_RDONLY | O_CLOEXEC);
  group->memory_events = openat(group->directory, "memory.events", O_RDONLY | O_CLOEXEC);
  watch_changes(group, name);
  group->next = groups;
  groups = group;
  return group;
}

static bool remove_directory(int parent, const char *name, int depth) {
  if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno != EBUSY) return true;
  int fd = depth > 0 ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  DIR *below = fd < 0 ? NULL : fdopendir(fd);
  if (!below) {
    if (fd >= 0) close(fd);
    return false;
  }
  struct dirent *entry;
  while ((entry = readdir(below)))
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') remove_directory(fd, entry->d_name, depth - 1);
  closedir(below);
  return unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

static void forget(struct group *group) {
  struct group **link = &groups;
  while (*link != group) link = &(*link)->next;
  *link = group->next;
  if (group->watch >= 0) inotify_rm_watch(changes, group->watch);
  close(group->directory);
  if (group->events >= 0) close(group->events);
  if (group->memory_events >= 0) close(group->memory_events);
  free(group);
}

static size_t count(int state) {
  size_t found = 0;
  for (struct group *group = groups; group; group = group->next) found += (int)group->state == state;
  return found;
}

/* Its command is done with it. */
static void put_away(struct group *group) {
  char name[64];
  note_changes();
  bool populated = is_populated(group);
  if (!populated && !group->altered && group->watch >= 0 && count(SPARE) < MAX_SPARE) {
    group->state = SPARE;
    return;
  }
  snprintf(name, sizeof name, "exec.%llu", (unsigned long long)group->number);
  bool gone = !populated && remove_directory(agent.cgroup_dir, name, MAX_DEPTH);
  if (gone || (group->state != LEFT_OVER && count(LEFT_OVER) >= MAX_LEFT_OVER))
    forget(group);
  else
    group->state = LEFT_OVER;
}

/* ---- what the others ask for */

static struct group *take_spare(void) {
  note_changes();
  for (struct group *group = groups, *next; group; group = next) {
    next = group->next;
    if (group->state != SPARE) continue;
    group->state = IN_USE;
    if (!group->altered) return group;
    put_away(group);
  }
  return NULL;
}

int group_take(struct group **taken) {
  int error = 0;
  *taken = NULL;
  if (agent.cgroup_dir < 0) return 0;
  *taken = take_spare();
  if (!*taken) *taken = make_group(&error);
  return error;
}

void group_prepare(void) {
  struct group *group;
  if (group_take(&group) == 0 && group) group_release(group);
}

/* Into its group from the start: moving a process later costs an RCU grace period. */
pid_t group_fork(struct group *group) {
  if (!group) return fork();
  pid_t pid = cgroup_clone(group->directory, 0);
  if (pid >= 0) return pid;
  /* A kernel or a sandbox that does not have clone3 or its control groups. */
  if (errno != ENOSYS && errno != E2BIG && errno != EINVAL && errno != EPERM) return -1;
  pid = fork();
  if (pid != 0) return pid;
  int members = openat(group->directory, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  /* No process outside: it would run on while everything is frozen. */
  if (members < 0 || write(members, "0", 1) < 0) _exit(127);
  close(members);
  return 0;
}

bool group_had_oom_kill(struct group *group) {
  unsigned long before = group->oom_kills;
  group->oom_kills = count_oom_kills(group);
  return group->oom_kills > before;
}

/* Frozen processes, too. */
bool group_kill(const struct group *group) {
  int fd = openat(group->directory, "cgroup.kill", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool killed = write(fd, "1", 1) == 1;
  close(fd);
  return killed;
}

void group_release(struct group *group) {
  put_away(group);
}

void groups_retry(void) {
  for (struct group *group = groups, *next; group; group = next) {
    next = group->next;
    if (group->state == LEFT_OVER && !is_populated(group)) put_away(group);
  }
}
