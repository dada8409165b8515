import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "./crc32c.ts";

test("crc32c() gives the check value of CRC-32C once inverted", () => {
  const digits = new TextEncoder().encode("123456789");
  assert.equal((crc32c(0xffff_ffff, digits) ^ 0xffff_ffff) >>> 0, 0xe3069283);
});
