import assert from "node:assert/strict";
import { test } from "node:test";
import type { Agent } from "../agent/requests.ts";
import type { CaptureRequest, EngineMachine } from "../engine/engine.ts";
import { loadComponent } from "../snapshot/state-codec.ts";
import { captureFrozen } from "./capture-frozen.ts";
import { savedMachineCodec } from "./saved-machine.ts";

const options = {
  kind: "snapshot",
  labels: {},
  saved: {
    image: "busybox",
    imageDigest: `sha256:${"0".repeat(64)}`,
    rootfs: "image.erofs",
    defaults: { env: [], workingDir: "/", user: "", entrypoint: [], cmd: [], stopSignal: "SIGTERM" },
  },
} as const;

/** What happens in which order, of a capture that does this. */
async function order(
  capture: (request: CaptureRequest, note: (what: string) => void) => Promise<string>,
  freeze: () => Promise<void> = async () => {},
): Promise<string[]> {
  const events: string[] = [];
  const note = (what: string): void => void events.push(what);
  const agent = {
    freeze: async () => {
      await freeze();
      note("frozen");
    },
    thaw: async () => note("thawed"),
  } as unknown as Agent;
  const guest = { capture: (request: CaptureRequest) => capture(request, note) } as unknown as EngineMachine;
  const main = async () => {
    note("asked for its main command");
    return { argv: ["server"], pid: 7 };
  };
  await captureFrozen({ guest, agent }, { ...options, main }).then(note, ({ message }) => note(message));
  return events;
}

test("processes are frozen while the machine is about to stand still and does, and no longer", async () => {
  const events = await order(async ({ onPausing, onResumed }, note) => {
    note("copied ahead");
    const [saved] = await onPausing();
    assert.deepEqual(saved && loadComponent(savedMachineCodec, saved).main, { argv: ["server"], pid: 7 });
    note("copied");
    onResumed();
    note("written");
    return "id";
  });
  assert.deepEqual(events, [
    ...["copied ahead", "frozen", "asked for its main command", "copied", "thawed", "written", "id"],
  ]);
});

test("processes are thawed when a capture fails after they were frozen, and left alone when it fails before", async () => {
  const fail = async (): Promise<never> => {
    throw new Error("no space");
  };
  const late = await order(async ({ onPausing }) => {
    await onPausing();
    return await fail();
  });
  assert.deepEqual(late, ["frozen", "asked for its main command", "thawed", "no space"]);
  assert.deepEqual(await order(fail), ["no space"]);
});

test("a capture fails when processes cannot be frozen", async () => {
  const events = await order(
    async ({ onPausing }) => {
      await onPausing();
      return "id";
    },
    async () => {
      throw new Error("they do not stop");
    },
  );
  assert.deepEqual(events, ["they do not stop"]);
});
