/*
 * Control groups. All that is not the agent's runs in groups below one directory: a command's processes can be found
 * whatever became of them, out-of-memory kills are counted, and one write freezes everything (freeze.c). The guest
 * sees this directory as the root of its control groups, so what its own root makes lies below it, too.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

/* In the initramfs: out of sight once the image is the root. */
#define MOUNT_POINT "/cgroup"
#define COMMANDS "exec"

static int make_namespace(void);
static void enable_controllers(int directory);

void cgroups_mount(void) {
  mkdir(MOUNT_POINT, 0755);
  /* nsdelegate: from inside the namespace even root neither writes to its top (cgroup.freeze) nor moves us into it. */
  if (mount("cgroup2", MOUNT_POINT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate") < 0) return;
  int root = open(MOUNT_POINT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root >= 0) cgroups_use(root);
}

void cgroups_use(int root) {
  mkdirat(root, COMMANDS, 0755);
  agent.cgroup_dir = openat(root, COMMANDS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (agent.cgroup_dir >= 0) {
    /* First: a group whose controllers are handed on takes no processes itself. */
    agent.cgroup_namespace = make_namespace();
    enable_controllers(root);
    enable_controllers(agent.cgroup_dir);
  }
  close(root);
}

int cgroups_show(const char *at) {
  char source[64];
  if (agent.cgroup_dir < 0) return 0;
  snprintf(source, sizeof source, "/proc/self/fd/%d", agent.cgroup_dir);
  return mount(source, at, NULL, MS_BIND, NULL);
}

static pid_t clone_into(int group, uint64_t flags) {
  struct clone_args arguments = {
      .flags = CLONE_INTO_CGROUP | flags, .exit_signal = SIGCHLD, .cgroup = (uint64_t)group};
  return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

/*
 * The namespace whose root is the directory of the commands. A namespace begins where its maker lives, and moving
 * ourselves there and back costs two RCU grace periods; a short-lived child costs a fork.
 */
static int make_namespace(void) {
  pid_t pid = clone_into(agent.cgroup_dir, CLONE_FILES);
  if (pid == 0) {
    /* With our table of files: what it opens is open here. */
    if (unshare(CLONE_NEWCGROUP) < 0) _exit(0);
    int fd = open("/proc/self/ns/cgroup", O_RDONLY | O_CLOEXEC);
    _exit(fd > 0 && fd < 128 ? fd : 0);
  }
  int status;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 0) return -1;
  return WEXITSTATUS(status);
}

static void enable_controllers(int directory) {
  static const char *const controllers[] = {"+memory", "+pids", "+cpu", "+io"};
  int fd = openat(directory, "cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, "+memory +pids +cpu +io", 22) < 0)
    /* One that the kernel lacks spoils the whole write. */
    for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++)
      if (write(fd, controllers[i], strlen(controllers[i])) < 0) continue;
  close(fd);
}

/* ---- the group of one command */

/* How often a name that somebody in the guest took is passed over. */
#define MAX_TRIES 64

static int open_in(uint64_t number, const char *file, int flags) {
  char name[64];
  snprintf(name, sizeof name, "exec.%llu%s", (unsigned long long)number, file);
  return openat(agent.cgroup_dir, name, flags | O_CLOEXEC);
}

int cgroup_create(uint64_t *number) {
  static uint64_t last;
  char name[64];
  *number = 0;
  if (agent.cgroup_dir < 0) return 0;
  for (int i = 0; i < MAX_TRIES; i++) {
    snprintf(name, sizeof name, "exec.%llu", (unsigned long long)++last);
    if (mkdirat(agent.cgroup_dir, name, 0755) == 0) {
      *number = last;
      return 0;
    }
    if (errno != EEXIST) break;
  }
  return errno;
}

/* Into its group from the start: moving a process later costs an RCU grace period. */
pid_t cgroup_fork(uint64_t number) {
  if (!number) return fork();
  int group = open_in(number, "", O_RDONLY | O_DIRECTORY);
  if (group < 0) return -1;
  pid_t pid = clone_into(group, 0);
  int error = errno;
  if (pid != 0) close(group);
  /* A kernel or a sandbox that does not have clone3 or its control groups. */
  if (pid >= 0 || (error != ENOSYS && error != E2BIG && error != EINVAL && error != EPERM)) {
    errno = error;
    return pid;
  }
  pid = fork();
  if (pid != 0) return pid;
  int members = open_in(number, "/cgroup.procs", O_WRONLY);
  /* No process outside: it would run on while everything is frozen. */
  if (members < 0 || write(members, "0", 1) < 0) _exit(127);
  close(members);
  return 0;
}

void cgroup_enter_namespace(void) {
  if (agent.cgroup_namespace >= 0) setns(agent.cgroup_namespace, CLONE_NEWCGROUP);
}

bool cgroup_had_oom_kill(uint64_t number) {
  char text[512] = "";
  int fd = open_in(number, "/memory.events", O_RDONLY);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  char *count = length > 0 ? strstr(text, "oom_kill ") : NULL;
  return count && strtoul(count + strlen("oom_kill "), NULL, 10) > 0;
}

/* Frozen processes, too. */
bool cgroup_kill(uint64_t number) {
  int fd = open_in(number, "/cgroup.kill", O_WRONLY);
  if (fd < 0) return false;
  bool killed = write(fd, "1", 1) == 1;
  close(fd);
  return killed;
}

/* ---- the end of a group */

/* Groups below a group are the guest's own doing; deeper than this they stay. */
#define MAX_DEPTH 16

/* Groups that background processes still live in; looked at again whenever a process has ended. */
#define MAX_LEFT_OVER 1024
static uint64_t left_over[MAX_LEFT_OVER];
static size_t left_over_count;

static bool is_populated(uint64_t number) {
  char text[256] = "";
  int fd = open_in(number, "/cgroup.events", O_RDONLY);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  return length <= 0 || strstr(text, "populated 0") == NULL;
}

static bool remove_group(int parent, const char *name, int depth) {
  if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno != EBUSY) return true;
  int fd = depth > 0 ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  DIR *groups = fd < 0 ? NULL : fdopendir(fd);
  if (!groups) {
    if (fd >= 0) close(fd);
    return false;
  }
  struct dirent *entry;
  while ((entry = readdir(groups)))
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') remove_group(fd, entry->d_name, depth - 1);
  closedir(groups);
  return unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

static bool cgroup_remove(uint64_t number) {
  char name[64];
  snprintf(name, sizeof name, "exec.%llu", (unsigned long long)number);
  if (unlinkat(agent.cgroup_dir, name, AT_REMOVEDIR) == 0 || errno != EBUSY) return true;
  return !is_populated(number) && remove_group(agent.cgroup_dir, name, MAX_DEPTH);
}

void cgroup_release(uint64_t number) {
  if (!cgroup_remove(number) && left_over_count < MAX_LEFT_OVER) left_over[left_over_count++] = number;
}

void cgroups_retry(void) {
  for (size_t i = 0; i < left_over_count;)
    if (cgroup_remove(left_over[i]))
      left_over[i] = left_over[--left_over_count];
    else
      i++;
}
