/* From the kernel's first breath to an agent that can be talked to. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

/* From linux/module.h, which older header packages lack. */
#define COMPRESSED_MODULE 4

static char command_line[4096];

/* With the flags that they keep: SETUP moves them into the image. */
static void mount_early(const char *type, const char *at, unsigned long flags) {
  mkdir(at, 0755);
  if (mount(type, at, type, MS_NOSUID | flags, NULL) < 0 && errno != EBUSY)
    fatal("cannot mount %s on %s: %s", type, at, strerror(errno));
}

static void read_file(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read_full(fd, text, size - 1);
  text[length > 0 ? length : 0] = 0;
  if (fd >= 0) close(fd);
}

bool boot_option(const char *name, char *value, size_t size) {
  bool found = false;
  for (const char *at = command_line; *at;) {
    at += strspn(at, " \n");
    size_t length = strcspn(at, " \n"), prefix = strlen(name);
    if (length > prefix && strncmp(at, name, prefix) == 0 && at[prefix] == '=') {
      snprintf(value, size, "%.*s", (int)(length - prefix - 1), at + prefix + 1);
      found = true;
    }
    at += length;
  }
  return found;
}

static int load_module(const char *name) {
  int fd = openat(agent.modules_dir, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  const char *suffix = strrchr(name, '.');
  bool compressed = suffix && (strcmp(suffix, ".xz") == 0 || strcmp(suffix, ".zst") == 0 || strcmp(suffix, ".gz") == 0);
  int error = syscall(SYS_finit_module, fd, "", compressed ? COMPRESSED_MODULE : 0) < 0 ? errno : 0;
  close(fd);
  return error == EEXIST ? 0 : error;
}

/* Lines of group and file, read once; empty for a kernel that has everything built in. */
static char *module_order(void) {
  static char order[65536];
  static bool known;
  int fd = known || agent.modules_dir < 0 ? -1 : openat(agent.modules_dir, "order", O_RDONLY | O_CLOEXEC);
  known = true;
  if (fd < 0) return order;
  ssize_t length = read_full(fd, order, sizeof order - 1);
  order[length > 0 ? length : 0] = 0;
  close(fd);
  return order;
}

int load_modules(const char *group, char *failed, size_t size) {
  size_t length = strlen(group);
  for (char *line = module_order(); *line; line += strcspn(line, "\n"), line += *line != 0) {
    if (strncmp(line, group, length) != 0 || line[length] != ' ') continue;
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(line + length + 1, "\n"), line + length + 1);
    int error = load_module(name);
    if (error) {
      snprintf(failed, size, "%s", name);
      return error;
    }
    *line = '#'; /* Not once more: the kernel reads the whole file before it finds that it has the module. */
  }
  return 0;
}

static void load_boot_modules(void) {
  char groups[512] = "", failed[256];
  if (!boot_option("supermachine.modules", groups, sizeof groups)) return;
  for (char *rest = groups, *group; (group = strsep(&rest, ","));) {
    int error = *group ? load_modules(group, failed, sizeof failed) : 0;
    if (error) report("cannot load module %s: %s", failed, strerror(error));
  }
}

void boot(void) {
  mount_early("devtmpfs", "/dev", 0);
  /* The kernel found no /dev/console when it started us, so descriptors 0 to 2 are still closed. */
  int console = open("/dev/console", O_RDWR | O_NOCTTY);
  for (int fd = 0; fd < 3 && console >= 0; fd++)
    if (fd != console) dup2(console, fd);
  mount_early("proc", "/proc", MS_NODEV | MS_NOEXEC);
  mount_early("sysfs", "/sys", MS_NODEV | MS_NOEXEC);
  read_file("/proc/cmdline", command_line, sizeof command_line);
  agent.modules_dir = open("/modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  load_boot_modules();
}
