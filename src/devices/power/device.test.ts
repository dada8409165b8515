import assert from "node:assert/strict";
import { test } from "node:test";
import { PowerPorts } from "./device.ts";
import { KeyboardReset } from "./keyboard-reset.ts";

function rig(): { ports: PowerPorts; events: string[] } {
  const events: string[] = [];
  const ports = new PowerPorts({
    powerOffSleepType: 5,
    resetValue: 1,
    onPowerOff: () => events.push("off"),
    onReset: () => events.push("reset"),
  });
  return { ports, events };
}

test("ACPI 4.8.3.7: the sleep type with the enable bit powers off, each alone does not", () => {
  const { ports, events } = rig();
  for (const value of [5 << 2, 0x20, 0x20 | (3 << 2)]) ports.write(0, Uint8Array.of(value));
  assert.deepEqual(events, []);
  ports.write(0, Uint8Array.of(0x20 | (5 << 2)));
  assert.deepEqual(events, ["off"]);
});

test("ACPI 4.8.3.6: only the reset value in the reset register resets", () => {
  const { ports, events } = rig();
  ports.write(2, Uint8Array.of(0));
  ports.write(2, Uint8Array.of(2));
  ports.write(1, Uint8Array.of(1));
  assert.deepEqual(events, []);
  ports.write(2, Uint8Array.of(1));
  assert.deepEqual(events, ["reset"]);
});

test("ACPI 4.8.3.7: control and status read as zeros", () => {
  const bytes = Uint8Array.of(1, 2, 3);
  rig().ports.read(0, bytes);
  assert.deepEqual(bytes, Uint8Array.of(0, 0, 0));
});

test("the keyboard controller is always ready and resets on 0xfe alone", () => {
  let resets = 0;
  const controller = new KeyboardReset(() => {
    resets++;
  });
  const status = Uint8Array.of(0xff);
  controller.read(0, status);
  assert.deepEqual(status, Uint8Array.of(0));
  controller.write(0, Uint8Array.of(0xd1));
  assert.equal(resets, 0);
  controller.write(0, Uint8Array.of(0xfe));
  assert.equal(resets, 1);
});
