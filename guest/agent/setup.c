/* SETUP: from the initramfs to the image, without running anything of the image. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent.h"

#define LOWER "/lower"
#define SCRATCH "/scratch"
#define UPPER SCRATCH "/upper"
#define WORK SCRATCH "/work"
#define ROOT "/newroot"
#define AWAIT_MS 15000

struct setup {
  struct string_list modules, nameservers, volumes;
  char *root_device, *interface, *address, *gateway;
  bool dax, network;
  struct guest_identity identity;
  uint32_t deadline_ms;
};

/* The step that failed, for the host; set before each step returns an errno. */
static char step[512];

static int failing(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int failing(int error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(step, sizeof step, format, arguments);
  va_end(arguments);
  return error;
}

/* /dev tells when a file appears; /sys does not, and is looked at again and again. */
int wait_for_path(const char *path, int64_t deadline) {
  char directory[256];
  const char *name = strrchr(path, '/');
  if (access(path, F_OK) == 0) return 0;
  snprintf(directory, sizeof directory, "%.*s", name ? (int)(name - path) : 0, path);
  struct pollfd created = {.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .events = POLLIN};
  inotify_add_watch(created.fd, directory, IN_CREATE);
  while (access(path, F_OK) != 0) {
    char events[4096];
    if (now_ms() >= deadline) {
      close(created.fd);
      return ENOENT;
    }
    poll(&created, 1, 1);
    while (read(created.fd, events, sizeof events) > 0)
      ;
  }
  close(created.fd);
  return 0;
}

/*
 * The root device, where the kernel is told of it: in a template it is there before it has an image, which it gets when
 * nobody looks. What the kernel has read of it until then must be forgotten.
 */
void await_root_device(void) {
  char path[64];
  if (!boot_option("supermachine.await", path, sizeof path)) return;
  int error = wait_for_path(path, now_ms() + AWAIT_MS);
  int fd = error ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, BLKFLSBUF, 0) < 0) report("cannot wait for %s: %s", path, strerror(error ? error : errno));
  if (fd >= 0) close(fd);
}

static int load_groups(const struct string_list *groups) {
  char name[256];
  for (uint32_t i = 0; i < groups->count; i++) {
    int error = load_modules(groups->items[i], name, sizeof name);
    if (error) return failing(error, "load module %s", name);
  }
  return 0;
}

/* ---- the root: EROFS below, tmpfs above */

/* The top directory of an overlay shows the attributes of its upper layer. */
static int copy_top_directory(void) {
  struct stat status;
  char names[4096], value[4096];
  if (stat(LOWER, &status) < 0 || chmod(UPPER, status.st_mode & 07777) < 0 ||
      chown(UPPER, status.st_uid, status.st_gid) < 0)
    return errno;
  ssize_t length = listxattr(LOWER, names, sizeof names);
  for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
    ssize_t size = getxattr(LOWER, names + at, value, sizeof value);
    if (size >= 0) setxattr(UPPER, names + at, value, (size_t)size, 0);
  }
  return 0;
}

/* What needs no answers of the host. */
static int make_scratch(void) {
  mkdir(LOWER, 0755);
  mkdir(SCRATCH, 0755);
  mkdir(ROOT, 0755);
  if (mount("tmpfs", SCRATCH, "tmpfs", 0, "mode=755,size=75%") < 0) return failing(errno, "mount a tmpfs");
  if (mkdir(UPPER, 0755) < 0 || mkdir(WORK, 0755) < 0) return failing(errno, "make the overlay's directories");
  open_boot_id(SCRATCH "/boot_id");
  return 0;
}

static int mount_root(const struct setup *setup, int64_t deadline) {
  int error = wait_for_path(setup->root_device, deadline);
  if (error) return failing(error, "wait for %s", setup->root_device);
  while (mount(setup->root_device, LOWER, "erofs", MS_RDONLY, setup->dax ? "dax=always" : NULL) < 0) {
    /* A device node may be there a moment before its driver is ready to open. */
    if ((errno != ENXIO && errno != ENODEV && errno != EBUSY) || now_ms() >= deadline)
      return failing(errno, "mount %s as erofs%s", setup->root_device, setup->dax ? " with dax" : "");
    usleep(100);
  }
  if ((error = copy_top_directory())) return failing(error, "copy the top directory");
  /* redirect_dir lets programs rename the image's directories, metacopy spares a copy for chmod and chown. */
  const char *layers = "lowerdir=" LOWER ",upperdir=" UPPER ",workdir=" WORK;
  char options[256];
  snprintf(options, sizeof options, "%s,redirect_dir=on,metacopy=on", layers);
  if (mount("overlay", ROOT, "overlay", 0, options) < 0 && mount("overlay", ROOT, "overlay", 0, layers) < 0)
    return failing(errno, "mount the overlay");
  return 0;
}

/* A directory at this path, whatever the image has there; a link is replaced, not followed. */
static void require_directory(const char *path, mode_t mode) {
  struct stat status;
  if (lstat(path, &status) == 0 && !S_ISDIR(status.st_mode)) unlink(path);
  mkdir(path, mode);
}

/* As switch_root does, so that commands are not in a chroot as far as the kernel can tell (user namespaces work). */
static int enter_root(void) {
  static const char *const kept[] = {"/proc", "/sys", "/dev"};
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
    char path[64];
    snprintf(path, sizeof path, ROOT "%s", kept[i]);
    require_directory(path, 0755);
    /* Moved, not mounted anew: every unmounting costs an RCU grace period. */
    if (mount(kept[i], path, NULL, MS_MOVE, NULL) < 0) return failing(errno, "move %s", kept[i]);
  }
  if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
    return failing(errno, "enter the root");
  return 0;
}

/* ---- what every Linux program expects to find */

struct mount_point {
  const char *type, *at;
  unsigned long flags;
  const char *options;
  bool needed;
};

/* In /dev and /sys, which move with all that is mounted there. */
static const struct mount_point mounts[] = {
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666", true},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", true},
    {"mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
};

static int mount_in_dev(void) {
  for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
    const struct mount_point *m = &mounts[i];
    mkdir(m->at, 0755);
    if (mount(m->type, m->at, m->type, m->flags, m->options) < 0 && m->needed)
      return failing(errno, "mount %s on %s", m->type, m->at);
  }
  static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                         {"/proc/self/fd/0", "/dev/stdin"},
                                         {"/proc/self/fd/1", "/dev/stdout"},
                                         {"/proc/self/fd/2", "/dev/stderr"}};
  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST) return failing(errno, "make %s", links[i][1]);
  agent.pts_dir = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return cgroups_show("/sys/fs/cgroup") < 0 ? failing(errno, "mount the control groups") : 0;
}

/* In the image's own directories. */
static int complete_root(void) {
  require_directory("/run", 0755);
  if (mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0) return failing(errno, "mount tmpfs on /run");
  if (access("/tmp", F_OK) != 0 && mkdir("/tmp", 01777) == 0) chmod("/tmp", 01777);
  return 0;
}

static void write_setting(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  write_all(fd, text, strlen(text));
  close(fd);
}

static void tune_kernel(void) {
  /* As containers have it: ports below 1024 and ping need no privilege. */
  write_setting("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  write_setting("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
}

/* ---- names and addresses */

static void write_name_servers(const struct string_list *servers) {
  char text[4096] = "";
  size_t length = 0;
  for (uint32_t i = 0; i < servers->count && length < sizeof text - 80; i++)
    length += (size_t)snprintf(text + length, 72, "nameserver %.55s\n", servers->items[i]);
  write_etc("resolv.conf", text, 0644);
}

static void write_names(const struct setup *setup) {
  require_directory("/etc", 0755);
  write_identity(&setup->identity, setup->network ? setup->address : NULL);
  if (setup->network) write_name_servers(&setup->nameservers);
}

static int connect_network(const struct setup *setup, int64_t deadline) {
  char path[128];
  if (!setup->network) return 0;
  snprintf(path, sizeof path, "/sys/class/net/%.32s", setup->interface);
  int error = wait_for_path(path, deadline);
  if (error) return failing(error, "wait for network interface %s", setup->interface);
  error = configure_network(setup->interface, setup->address, setup->gateway);
  return error ? failing(error, "give %s address %s", setup->interface, setup->address) : 0;
}

static void make_volumes(const struct string_list *volumes) {
  for (uint32_t i = 0; i < volumes->count; i++) {
    int error = make_directories(volumes->items[i], 0755);
    if (error) report("cannot make volume %s: %s", volumes->items[i], strerror(error));
  }
}

static bool read_setup(struct reader *r, struct setup *setup) {
  setup->modules = get_strings(r);
  setup->root_device = get_string(r);
  setup->dax = get_flag(r);
  read_identity(r, &setup->identity);
  setup->network = get_flag(r);
  if (setup->network) {
    setup->interface = get_string(r);
    setup->address = get_string(r);
    setup->gateway = get_string(r);
    setup->nameservers = get_strings(r);
  }
  setup->volumes = get_strings(r);
  setup->deadline_ms = get_u32(r);
  return reader_done(r);
}

/* The error of what was prepared, and `step` says of which. */
static int prepared;

void prepare_setup(void) {
  cgroups_mount();
  group_prepare();
  bring_up_loopback();
  tune_kernel();
  open_reclaim();
  if ((prepared = make_scratch()) == 0) prepared = mount_in_dev();
}

static int run_setup(const struct setup *setup) {
  int64_t deadline = now_ms() + setup->deadline_ms;
  int error = prepared;
  set_identity(&setup->identity);
  if (error || (error = load_groups(&setup->modules)) || (error = mount_root(setup, deadline)) ||
      (error = enter_root()) || (error = complete_root()))
    return error;
  write_names(setup);
  make_volumes(&setup->volumes);
  return connect_network(setup, deadline);
}

void set_up(struct reader *request, struct writer *result) {
  struct setup setup = {.deadline_ms = 0};
  if (!read_setup(request, &setup)) {
    put_failure(result, FAIL_REFUSED, 0, "the request cannot be read");
  } else {
    int error = run_setup(&setup);
    if (error) {
      put_failure(result, FAIL_SETUP, error, step);
    } else {
      agent.is_set_up = true;
      put_u8(result, OUTCOME_OK);
    }
  }
  free(setup.modules.items);
  free(setup.nameservers.items);
  free(setup.volumes.items);
}
