/*
 * Control groups. All that is not the agent's runs in groups below one directory: a command's processes can be found
 * whatever became of them, out-of-memory kills are counted, and one write freezes everything (freeze.c). The guest
 * sees this directory as the root of its control groups, so what its own root makes lies below it, too.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
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

pid_t cgroup_clone(int directory, uint64_t flags) {
  struct clone_args arguments = {
      .flags = CLONE_INTO_CGROUP | flags, .exit_signal = SIGCHLD, .cgroup = (uint64_t)directory};
  return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

void cgroup_enter_namespace(void) {
  if (agent.cgroup_namespace >= 0) setns(agent.cgroup_namespace, CLONE_NEWCGROUP);
}

/*
 * The namespace whose root is the directory of the commands. A namespace begins where its maker lives, and moving
 * ourselves there and back costs two RCU grace periods; a short-lived child costs a fork.
 */
static int make_namespace(void) {
  pid_t pid = cgroup_clone(agent.cgroup_dir, CLONE_FILES);
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
