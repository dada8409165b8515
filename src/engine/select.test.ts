import assert from "node:assert/strict";
import { test } from "node:test";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { Engine, EngineSupport } from "./engine.ts";
import { selectEngine } from "./select.ts";

const engine = (name: Engine["name"], support: Partial<EngineSupport>): Engine => ({
  name,
  probe: async () => ({ usable: false, isolating: true, network: true, detail: name, ...support }),
  start: () => assert.fail("selecting starts nothing"),
});
const noKvm = engine("vmm", { reason: "There is no /dev/kvm", remedy: "Load kvm_amd" });
const noQemu = engine("qemu", { reason: "QEMU is not installed", remedy: "Install qemu-system-x86" });
const works = engine("qemu", { usable: true });

test("selectEngine() takes the first usable engine, or the named one", async () => {
  assert.equal((await selectEngine("auto", [noKvm, works])).engine, works);
  assert.equal((await selectEngine("qemu", [noKvm, works])).support.usable, true);
});

test("selectEngine() names every engine's reason and remedy when none is usable", async () => {
  await assert.rejects(selectEngine("auto", [noKvm, noQemu]), (error) => {
    assert.ok(error instanceof SupermachineError && error.code === "ENGINE_UNAVAILABLE");
    assert.match(error.message, /vmm: There is no \/dev\/kvm; qemu: QEMU is not installed/);
    assert.match(error.hint ?? "", /Load kvm_amd.*Install qemu-system-x86/);
    return true;
  });
});

test("selectEngine() takes no other engine than the named one", async () => {
  await assert.rejects(selectEngine("vmm", [noKvm, works]), { code: "ENGINE_UNAVAILABLE" });
  await assert.rejects(selectEngine("vmm", [works]), {
    code: "ENGINE_UNAVAILABLE",
    hint: "Choose one of: auto, qemu",
  });
});
