import { SupermachineError } from "../errors/supermachine-error.ts";

/** Linux's signal numbers; the host's may differ (macOS), so `node:os` can not be asked. */
const numbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
};
/** The last real-time signal. */
const highest = 64;

/**
 * The number of a signal given as 15, "15", "SIGTERM" or "TERM".
 *
 * @throws SupermachineError `INVALID_ARGUMENT`.
 */
export function signalNumber(signal: string | number): number {
  const text = String(signal).toUpperCase();
  const name = text.startsWith("SIG") ? text : `SIG${text}`;
  const number = /^[0-9]{1,2}$/.test(text) ? Number(text) : (realTime(name) ?? own(name));
  if (number === undefined || number < 1 || number > highest)
    throw new SupermachineError("INVALID_ARGUMENT", `There is no signal '${signal}'`, {
      hint: "Use a name such as SIGTERM, or a number from 1 to 64",
    });
  return number;
}

/** "SIGTERM" for 15; numbers without a name become "SIG40". */
export function signalName(number: number): string {
  for (const [name, value] of Object.entries(numbers)) if (value === number) return name;
  return `SIG${number}`;
}

function own(name: string): number | undefined {
  return Object.hasOwn(numbers, name) ? numbers[name] : undefined;
}

/** "SIGRTMIN+3", as systemd images say in their StopSignal. glibc's SIGRTMIN is 34. */
function realTime(name: string): number | undefined {
  const match = /^SIGRT(MIN|MAX)(?:([+-])([0-9]{1,2}))?$/.exec(name);
  if (match === null) return undefined;
  const offset = Number(match[3] ?? 0) * (match[2] === "-" ? -1 : 1);
  const number = (match[1] === "MIN" ? 34 : highest) + offset;
  return number >= 34 && number <= highest ? number : undefined;
}
