import { SupermachineError } from "../../errors/supermachine-error.ts";

/**
 * How a vCPU thread asks the monitor's thread to do something about a device, and waits until it is done. One mailbox
 * per vCPU, in shared memory: a thread that runs a guest has no event loop that could receive an answer.
 *
 * | word | what | written by |
 * |---|---|---|
 * | 0 | state: idle, asked, answered | both, in that order |
 * | 1 | what is asked, an index into `requestKinds` | vCPU |
 * | 2 | slot of the device | vCPU |
 * | 3 | queue, or offset in the configuration space | vCPU |
 * | 4 | length of the data | vCPU |
 * | 5 | answer: 0 or 1 | monitor |
 * | 6, 7 | 8 bytes of data | vCPU |
 */
const STATE = 0;
const KIND = 1;
const SLOT = 2;
const ARGUMENT = 3;
const LENGTH = 4;
const ANSWER = 5;
const dataOffset = 24;
const maxData = 8;

const IDLE = 0;
const ASKED = 1;
const ANSWERED = 2;

const requestKinds = ["reset", "activate", "stopQueue", "startQueue", "notify", "writeConfig"] as const;

/** How long a vCPU waits for the monitor. Its own work takes microseconds; a program around it may block it. */
const answerDeadlineMs = 60_000;

export const mailboxLength = 32;

export interface DeviceRequest {
  readonly kind: (typeof requestKinds)[number];
  readonly slot: number;
  /** Queue number, or offset for `writeConfig`. */
  readonly argument?: number;
  readonly data?: Uint8Array;
}

/** From the vCPU's thread: asks, wakes the monitor, and returns its answer. Throws TIMEOUT when there is none. */
export function askMonitor(mailbox: SharedArrayBuffer, request: DeviceRequest, wake: () => void): boolean {
  const words = new Int32Array(mailbox);
  const { kind, slot, argument = 0, data = new Uint8Array(0) } = request;
  words[KIND] = requestKinds.indexOf(kind);
  words[SLOT] = slot;
  words[ARGUMENT] = argument;
  words[LENGTH] = Math.min(data.length, maxData);
  new Uint8Array(mailbox, dataOffset).set(data.subarray(0, maxData));
  // Pairs with the load in `answerVcpu`: the words above are visible to whoever sees this.
  Atomics.store(words, STATE, ASKED);
  wake();
  if (Atomics.wait(words, STATE, ASKED, answerDeadlineMs) === "timed-out")
    throw new SupermachineError(
      "TIMEOUT",
      `The monitor did not answer a vCPU's '${kind}' in ${answerDeadlineMs} ms`,
    );
  const answer = Atomics.load(words, ANSWER) === 1;
  Atomics.store(words, STATE, IDLE);
  return answer;
}

/** From the monitor's thread: answers what is asked, if anything is. */
export function answerVcpu(mailbox: SharedArrayBuffer, handle: (request: DeviceRequest) => boolean): void {
  const words = new Int32Array(mailbox);
  // Pairs with the store in `askMonitor`.
  if (Atomics.load(words, STATE) !== ASKED) return;
  const kind = requestKinds[words[KIND] ?? 0] ?? "reset";
  const length = Math.min(words[LENGTH] ?? 0, maxData);
  const data = new Uint8Array(mailbox, dataOffset, length).slice();
  const answer = handle({ kind, slot: words[SLOT] ?? 0, argument: words[ARGUMENT] ?? 0, data });
  Atomics.store(words, ANSWER, answer ? 1 : 0);
  Atomics.store(words, STATE, ANSWERED);
  Atomics.notify(words, STATE);
}
