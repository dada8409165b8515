// Snapshots that were damaged, and snapshots that somebody made up: right in every digest, wrong in what they say. A
// restore is refused with a typed error, or gives a machine that ends like any other; nothing stays behind.
// SUPERMACHINE_FUZZ_SECONDS: how long to try made-up ones.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { chmodSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import type { VmmMachine } from "../../src/engine/vmm/machine.ts";
import { SupermachineError } from "../../src/errors/supermachine-error.ts";
import { encodeState, parseState } from "../../src/hypervisor/state.ts";
import { sha256 } from "../../src/snapshot/host/snapshot-files.ts";
import { snapshotFolder } from "../../src/snapshot/host/snapshot-folders.ts";
import { encodeManifest, parseManifest, type SnapshotManifest } from "../../src/snapshot/manifest.ts";
import type { SavedComponent } from "../../src/snapshot/state-codec.ts";
import { encodeStateFile, parseStateFile } from "../../src/snapshot/state-file.ts";
import { openResources } from "../../src/sys/open-resources.ts";
import type { TransportState } from "../../src/virtio/transport-state.ts";
import { fuzzAsync } from "../fuzz/fuzz.ts";
import { settled } from "./settled.ts";
import { driverKernel, queuePlace } from "./tiny-driver.ts";
import { noKvm, pausedBeyond, request, TinyMachines } from "./tiny-machines.ts";

describe("a snapshot that is not what it was", { skip: noKvm }, () => {
  let tiny: TinyMachines;
  let forge: Forge;
  /** Runs all the time, so that what all machines share is open all the time. */
  let other: VmmMachine;
  before(async () => {
    tiny = new TinyMachines();
    await using machine = tiny.boot(driverKernel("count"), { cpus: 2 });
    const { content } = await pausedBeyond(machine, 0n);
    machine.resume();
    forge = new Forge(tiny, await machine.capture(request("snapshot")), content.length);
    other = tiny.boot(driverKernel("idle"));
    assert.equal(await forge.outcome({}), "killed");
  });
  after(async () => {
    await other.kill();
    tiny[Symbol.dispose]();
  });

  test("is refused for any damaged bit of its manifest or its state, and leaves nothing behind", async () => {
    const open = await settled(openResources);
    const folder = snapshotFolder(tiny.home, forge.id);
    for (const [name, step] of [
      ["manifest.json", 3],
      ["state.bin", 211],
    ] as const) {
      const path = join(folder, name);
      const whole = readFileSync(path);
      chmodSync(path, 0o600);
      for (let at = randomInt(step); at < whole.length; at += step) {
        const damaged = Uint8Array.from(whole);
        damaged[at]! ^= 1 << (at & 7);
        writeFileSync(path, damaged);
        assert.match(await forge.restored(), /^SNAPSHOT_/, `${name} ${at}`);
      }
      writeFileSync(path, whole);
    }
    assert.equal(await forge.restored(), "killed");
    assert.deepEqual(openResources(), open);
  });

  test("is refused or fails for any state of its devices", async () => {
    const open = await settled(openResources);
    await fuzzAsync(
      fc.asyncProperty(
        fc.array(transportChange, { minLength: 1, maxLength: 4 }),
        fc.option(deviceChange, { nil: undefined, freq: 4 }),
        async (transports, device) => {
          await forge.outcome({
            components: (component) => {
              const { id } = component;
              const changes = transports.filter(({ slot }) => id === `virtio-transport/${slot}`);
              if (device?.id === id) return withJson(component, () => device.state);
              return changes.reduce((now, one) => withJson(now, (state) => one.change(state)), component);
            },
          });
          assert.deepEqual(openResources(), open);
        },
      ),
      { share: 0.4 },
    );
  });

  test("is refused or fails for any state of its serial port", async () => {
    const open = await settled(openResources);
    const change = fc.record({ word: fc.nat(40), value: fc.oneof(fc.nat(0x1ff), fc.integer()) });
    await fuzzAsync(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async (changes) => {
        await forge.outcome({
          components: (component) => {
            if (component.id !== "serial") return component;
            const bytes = Uint8Array.from(component.bytes);
            const view = new DataView(bytes.buffer);
            for (const { word, value } of changes) view.setInt32(word * 4, value | 0, true);
            return { ...component, bytes };
          },
        });
        assert.deepEqual(openResources(), open);
      }),
      { share: 0.1 },
    );
  });

  test("is refused or fails for any state of its processors and its interrupt controllers", async () => {
    const open = await settled(openResources);
    const change = fc.record({
      component: fc.constantFrom("vcpu/0", "vcpu/1", "vm"),
      chunk: fc.nat(11),
      how: fc.oneof(
        {
          weight: 6,
          arbitrary: fc.record({
            at: fc.double({ min: 0, max: 1, noNaN: true }),
            bytes: fc.uint8Array({ minLength: 1, maxLength: 16 }),
          }),
        },
        { weight: 1, arbitrary: fc.record({ length: fc.nat(5000) }) },
      ),
    });
    await fuzzAsync(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
        await forge.outcome({
          components: (component) =>
            changes
              .filter((one) => one.component === component.id)
              .reduce((now, { chunk, how }) => withChunk(now, chunk, how), component),
        });
        assert.deepEqual(openResources(), open);
      }),
      { share: 0.4 },
    );
  });

  test("is refused or fails for any shape of the machine in its manifest", async () => {
    const open = await settled(openResources);
    const machine = fc.record({
      cpus: fc.constantFrom(1, 2, 3, 64, 1024),
      slots: fc.array(fc.constantFrom("vsock", "rng", "balloon", "pmem", "", "blk"), { maxLength: 40 }),
    });
    await fuzzAsync(
      fc.asyncProperty(machine, fc.nat(3), async (shape, dropped) => {
        await forge.outcome({
          manifest: (manifest) => ({ ...manifest, machine: { ...manifest.machine, ...shape } }),
          drop: dropped === 0 ? "virtio-transport/3" : undefined,
        });
        assert.deepEqual(openResources(), open);
      }),
      { share: 0.1 },
    );
  });
});

interface Changes {
  readonly components?: (component: SavedComponent) => SavedComponent;
  /** Id of a component that is to be missing. */
  readonly drop?: string | undefined;
  readonly manifest?: (manifest: SnapshotManifest) => SnapshotManifest;
}

/** One snapshot, made over again and again; its folder is renamed with every new manifest. */
class Forge {
  id: string;
  readonly #tiny: TinyMachines;
  readonly #shape: { readonly cpus: number; readonly memoryMiB: number };
  readonly #manifest: SnapshotManifest;
  readonly #components: readonly SavedComponent[];

  constructor(tiny: TinyMachines, id: string, memoryBytes: number) {
    this.#tiny = tiny;
    this.id = id;
    this.#shape = { cpus: 2, memoryMiB: memoryBytes / 2 ** 20 };
    const folder = snapshotFolder(tiny.home, id);
    this.#manifest = parseManifest(readFileSync(join(folder, "manifest.json")));
    this.#components = parseStateFile(readFileSync(join(folder, "state.bin")));
  }

  /** What becomes of a snapshot that says this. */
  async outcome({ components = (same) => same, manifest = (same) => same, drop }: Changes): Promise<string> {
    const folder = snapshotFolder(this.#tiny.home, this.id);
    const state = encodeStateFile(this.#components.filter(({ id }) => id !== drop).map(components));
    const changed = manifest({
      ...this.#manifest,
      createdAt: this.#manifest.createdAt + randomInt(2 ** 40),
      state: { length: state.length, digest: sha256(state) },
    });
    const bytes = encodeManifest(changed);
    for (const [name, contents] of [
      ["state.bin", state],
      ["manifest.json", bytes],
    ] as const) {
      rmSync(join(folder, name));
      writeFileSync(join(folder, name), contents);
    }
    this.id = sha256(bytes);
    renameSync(folder, snapshotFolder(this.#tiny.home, this.id));
    return await this.restored(changed.machine);
  }

  /** The code of the error that refuses it, or how its machine ended. */
  async restored(shape: { cpus: number; memoryMiB: number } = this.#shape): Promise<string> {
    try {
      const machine = await this.#tiny.restore(this.id, shape);
      // Every device is looked at once more, and every vCPU runs a little.
      await Promise.race([machine.exited, delay(3)]);
      await machine.kill();
      return (await machine.exited).kind;
    } catch (error) {
      assert.ok(error instanceof SupermachineError, String(error));
      return error.code;
    }
  }
}

const words = fc.oneof(
  fc.constantFrom(0, 1, 0x10_0000, 0x7fff_ffff, 0xffff_ffff, 0xd000_0000, 16 * 2 ** 20 - 16),
  fc.nat({ max: 0xffff_ffff }),
  fc.constantFrom(0, 1, 2, 3).map((slot) => queuePlace(slot, 0).device),
);
const place = fc.tuple(words, fc.constantFrom(0, 0, 0, 0, 1, 0xffff_ffff));
/** One thing about a queue that is another one. */
const queueChange = fc.oneof(
  { weight: 2, arbitrary: fc.record({ size: fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 16), fc.nat(32_768)) }) },
  { weight: 1, arbitrary: fc.record({ ready: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ descriptors: place }) },
  { weight: 2, arbitrary: fc.record({ driver: place }) },
  { weight: 2, arbitrary: fc.record({ device: place }) },
  {
    weight: 3,
    arbitrary: fc.nat(0xffff).map((index) => ({ nextAvailable: index, nextUsed: index })),
  },
  { weight: 1, arbitrary: fc.record({ nextAvailable: fc.nat(0xffff), nextUsed: fc.nat(0xffff) }) },
);

type Json = Record<string, unknown>;

/** One thing about a device's transport that is another one. */
const otherChange = fc.oneof(
  { weight: 1, arbitrary: fc.record({ deviceType: fc.constantFrom(0, 4, 5, 19, 27) }) },
  { weight: 4, arbitrary: fc.record({ status: fc.constantFrom(0, 1, 3, 11, 15, 79, 128, 143, 255, 256) }) },
  { weight: 3, arbitrary: fc.record({ interruptStatus: fc.nat(4), configGeneration: words }) },
  { weight: 1, arbitrary: fc.record({ driverFeatures: fc.tuple(words, fc.constantFrom(0, 1, 0xff)) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      selected: fc.record({
        deviceFeatures: words,
        driverFeatures: words,
        queue: words,
        sharedRegion: words,
      }),
    }),
  },
);

const transportChange = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .record({ slot: fc.nat(3), queue: fc.nat(4), of: queueChange })
      .map(({ slot, queue, of }) => ({
        slot,
        change: (state: Json): Json => {
          const { queues } = state as unknown as TransportState;
          return {
            ...state,
            queues: queues.map((one, number) => (number === queue ? { ...one, ...of } : one)),
          };
        },
      })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ slot: fc.nat(3), of: otherChange })
      .map(({ slot, of }) => ({ slot, change: (state: Json): Json => ({ ...state, ...of }) })),
  },
);

const deviceChange = fc.oneof(
  fc.record({
    id: fc.constant("virtio-vsock"),
    state: fc.record({
      nextLocalPort: fc.oneof(fc.constantFrom(0, 0x4000_0000, 0xffff_fffe, 0xffff_ffff), fc.double()),
    }),
  }),
  fc.record({
    id: fc.constant("virtio-balloon"),
    state: fc.record({ targetPages: words, actualPages: words }),
  }),
  fc.record({ id: fc.constantFrom("virtio-vsock", "virtio-balloon"), state: fc.jsonValue() }),
);

function withJson(component: SavedComponent, change: (state: Json) => unknown): SavedComponent {
  const state = JSON.parse(Buffer.from(component.bytes).toString());
  return { ...component, bytes: new TextEncoder().encode(JSON.stringify(change(state))) };
}

function withChunk(
  component: SavedComponent,
  number: number,
  how: { readonly at: number; readonly bytes: Uint8Array } | { readonly length: number },
): SavedComponent {
  const state = parseState(component.bytes);
  const chunks = new Map(state.chunks);
  const [name = ""] = [...chunks.keys()].slice(number % chunks.size);
  const chunk = Uint8Array.from(chunks.get(name) ?? []);
  if ("length" in how)
    chunks.set(
      name,
      Uint8Array.from({ length: how.length }, (_, at) => chunk[at] ?? 0),
    );
  else {
    const start = Math.floor(how.at * Math.max(0, chunk.length - how.bytes.length));
    chunk.set(how.bytes.subarray(0, chunk.length), start);
    chunks.set(name, chunk);
  }
  return { ...component, bytes: encodeState({ ...state, chunks }) };
}
