import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as abi from "../../abi/kvm.x64.generated.ts";
import { requestName } from "./request-name.ts";

test("requestName() knows every request that is made here", () => {
  const folder = import.meta.dirname;
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(
    (name) => /\.[jt]s$/.test(name) && !name.includes("request-name"),
  );
  const used = new Set(
    files.flatMap((name) => readFileSync(join(folder, name), "utf8").match(/\bKVM_\w+/g) ?? []),
  );
  const known: Readonly<Record<string, unknown>> = abi;
  const requests = [...used].filter((name) => isRequest(known[name]));
  assert.ok(requests.length > 40);
  for (const name of requests) assert.equal(requestName(Number(known[name])), name);
});

test("requestName() gives the number of a request that it does not know", () => {
  assert.equal(requestName(0xaeff), "0xaeff");
});

/** The second byte says it. */
function isRequest(value: unknown): boolean {
  return typeof value === "number" && ((value >> 8) & 0xff) === 0xae;
}
