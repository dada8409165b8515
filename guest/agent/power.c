#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

/* Between SIGTERM and SIGKILL. */
#define GRACE_MS 2000

bool power_off_asked = false;

void power_off(void) {
  if (!agent.is_init) exit(0);
  /* What is frozen cannot act on a signal, only be killed by one. */
  if (!is_frozen()) kill(-1, SIGTERM);
  int64_t deadline = now_ms() + (is_frozen() ? 0 : GRACE_MS);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  for (;;) {
    while (waitpid(-1, NULL, WNOHANG) > 0)
      ;
    int64_t left = deadline - now_ms();
    siginfo_t info;
    bool none = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0;
    if (none || left <= 0) break;
    struct timespec wait = {left / 1000, left % 1000 * 1000000};
    sigtimedwait(&children, NULL, &wait);
  }
  kill(-1, SIGKILL);
  sync();
  reboot(RB_POWER_OFF);
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}
