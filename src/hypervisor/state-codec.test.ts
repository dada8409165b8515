import assert from "node:assert/strict";
import { test } from "node:test";
import { ComponentSet, saveComponent } from "../snapshot/state-codec.ts";
import { backendStateCodec } from "./state-codec.ts";

test("a processor's state comes back for its own backend and subject, and is refused for others", () => {
  const state = { backend: "kvm", subject: "vcpu", chunks: new Map([["regs", Uint8Array.of(1, 2)]]) };
  const saved = saveComponent(backendStateCodec("kvm", "vcpu"), state, { instance: 0 });
  assert.equal(saved.id, "vcpu/0");
  const take = (backend: string, subject: "vm" | "vcpu") =>
    new ComponentSet([{ ...saved, id: `${subject}/0` }]).take(backendStateCodec(backend, subject), {
      instance: 0,
    });
  assert.deepEqual(take("kvm", "vcpu"), state);
  const refused = (error: unknown): boolean =>
    error instanceof Error && "code" in error && error.code === "SNAPSHOT_INVALID";
  assert.throws(() => take("hvf", "vcpu"), refused);
  assert.throws(() => take("kvm", "vm"), refused);
});
