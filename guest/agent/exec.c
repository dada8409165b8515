#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct exec_request {
  struct string_list argv, env;
  char *cwd, *user;
  bool create_cwd, terminal, input, parked;
  uint16_t columns, rows;
  uint32_t timeout_ms;
};

static int run_command(struct stream *s, const void *context);

int start_exec(struct stream *s, struct reader *request) {
  struct exec_request exec = {.argv = get_strings(request), .env = get_strings(request)};
  exec.cwd = get_string(request);
  exec.create_cwd = get_flag(request);
  exec.user = get_string(request);
  exec.terminal = get_flag(request);
  exec.columns = get_u16(request);
  exec.rows = get_u16(request);
  exec.input = get_flag(request);
  exec.parked = get_flag(request);
  exec.timeout_ms = get_u32(request);
  int error = -1;
  if (exec.parked && !may_start_parked()) {
    error = EAGAIN;
  } else if (reader_done(request) && exec.argv.count > 0) {
    struct child_body body = {.run = run_command,
                              .context = &exec,
                              .input = exec.input,
                              .error_output = true,
                              .use_cgroup = true,
                              .terminal = exec.terminal,
                              .columns = exec.columns,
                              .rows = exec.rows};
    error = start_child(s, &body);
    s->parkable = exec.parked && error == 0;
    if (error == 0 && exec.timeout_ms > 0) s->timeout_at = now_ms() + exec.timeout_ms;
  }
  free(exec.argv.items);
  free(exec.env.items);
  return error;
}

static const char *find_variable(char *const *env, const char *name) {
  size_t length = strlen(name);
  for (; *env; env++)
    if (strncmp(*env, name, length) == 0 && (*env)[length] == '=') return *env + length + 1;
  return NULL;
}

/* execve failed: is the file itself there, so that ENOENT speaks of its interpreter? */
static int failed_command(const char *path, int error) {
  struct stat status;
  if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) error = EISDIR;
  if (error == ENOENT && access(path, F_OK) != 0) return report_failure(FAIL_COMMAND_NOT_FOUND, ENOENT, path);
  if (error == ENOTDIR) return report_failure(FAIL_COMMAND_NOT_FOUND, ENOTDIR, path);
  return report_failure(FAIL_COMMAND_NOT_EXECUTABLE, error, path);
}

/* As a shell does it: the first that can be executed; one that is there but cannot be is the better complaint. */
static int search_and_execute(char **argv, char **env) {
  const char *name = argv[0], *path = find_variable(env, "PATH");
  char blocked[4096] = "";
  int blocked_error = 0;
  if (strchr(name, '/')) {
    execve(name, argv, env);
    if (errno == E2BIG) return report_failure(FAIL_SYSTEM, E2BIG, "arguments and environment");
    return failed_command(name, errno);
  }
  if (!path || !*path) path = DEFAULT_PATH;
  while (*name) {
    char candidate[4096];
    size_t length = strcspn(path, ":");
    int n = snprintf(candidate, sizeof candidate, "%.*s%s%s", (int)length, path, length ? "/" : "./", name);
    if (n > 0 && (size_t)n < sizeof candidate) {
      execve(candidate, argv, env);
      struct stat status;
      int error = errno;
      if (error == E2BIG) return report_failure(FAIL_SYSTEM, E2BIG, "arguments and environment");
      bool there = stat(candidate, &status) == 0 && !S_ISDIR(status.st_mode);
      if (there && !blocked_error) {
        blocked_error = error;
        memcpy(blocked, candidate, sizeof blocked);
      }
      if (there && error != EACCES) break;
    }
    path += length;
    if (!*path++) break;
  }
  return blocked_error ? failed_command(blocked, blocked_error) : report_failure(FAIL_COMMAND_NOT_FOUND, ENOENT, name);
}

static void leave_agent_limits(void) {
  struct rlimit files = {1024, 524288};
  setrlimit(RLIMIT_NOFILE, &files);
}

/* 0 or errno */
static int enter_directory(const char *path, bool create) {
  if (chdir(path) == 0) return 0;
  int error = errno == ENOENT && create ? make_directories(path, 0755) : errno;
  return error || chdir(path) == 0 ? error : errno;
}

static int run_command(struct stream *s, const void *context) {
  (void)s;
  const struct exec_request *exec = context;
  static struct identity identity;
  char missing[256];
  if (agent.is_init) leave_agent_limits();
  if (find_identity(exec->user, &identity, missing, sizeof missing) < 0)
    return report_failure(FAIL_USER_NOT_FOUND, 0, missing);
  const char *cwd = exec->cwd[0] ? exec->cwd : "/";
  /* Before the user changes, as container runtimes do: the image's WorkingDir may be root's alone. */
  int error = enter_directory(cwd, exec->create_cwd);
  if (error) return report_failure(FAIL_WORKING_DIRECTORY, error, cwd);
  if (exec->terminal && fchown(0, identity.uid, (gid_t)-1) < 0) return report_failure(FAIL_SYSTEM, errno, "the terminal");
  if (setgroups(identity.group_count, identity.groups) < 0 || setresgid(identity.gid, identity.gid, identity.gid) < 0 ||
      setresuid(identity.uid, identity.uid, identity.uid) < 0)
    return report_failure(FAIL_SYSTEM, errno, "becoming the user");
  char **env = exec->env.items, home[sizeof identity.home + 8];
  if (!find_variable(env, "HOME")) {
    char **larger = calloc((size_t)exec->env.count + 2, sizeof *larger);
    if (!larger) return report_failure(FAIL_SYSTEM, ENOMEM, "the environment");
    memcpy(larger, env, exec->env.count * sizeof *larger);
    snprintf(home, sizeof home, "HOME=%s", identity.home);
    larger[exec->env.count] = home;
    env = larger;
  }
  return search_and_execute(exec->argv.items, env);
}
