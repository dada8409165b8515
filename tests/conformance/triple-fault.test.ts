import assert from "node:assert/strict";
import { test } from "node:test";
import { openGuest, skip } from "./guest.ts";

const code = [0x0f, 0x0b]; // ud2, with no interrupt table

test("an exception that cannot be delivered is a triple-fault exit", { skip }, (t) => {
  assert.equal(openGuest(t, { code, mode: "long" }).vcpu().run().kind, "triple-fault");
});
