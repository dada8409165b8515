/**
 * Wraps a command so that its process is killed when the process that starts it dies, however it dies. Linux sends the
 * parent-death signal (prctl(2), PR_SET_PDEATHSIG) that `setpriv` asks for; the shell then looks whether the parent
 * had died before that, and becomes the command. No process is added.
 */
export function withLifeline(command: readonly string[]): [string, ...string[]] {
  const check = '[ "$PPID" = "$0" ] && exec "$@"';
  return ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", check, String(process.pid), ...command];
}
