import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { Home } from "../../storage/home.ts";
import { openResources } from "../../sys/open-resources.ts";
import { rememberUsable } from "./remember-usable-kvm.ts";
import { isKnownUsable, keyOf, kvmFacts } from "./usable-kvm.ts";

// Any device will do: what is remembered is not how it was found out.
const device = "/dev/null";

describe("a usable KVM is remembered", {
  skip: process.platform === "linux" && process.arch === "x64" ? false : "Linux on x86-64 only",
}, () => {
  const folder = mkdtempSync(join(tmpdir(), "usable-kvm-"));
  after(() => rmSync(folder, { recursive: true }));

  test("by the next process, and nothing is left open or unfinished", () => {
    const home = new Home(join(folder, "one"));
    const before = openResources();
    assert.equal(isKnownUsable(home, device), false);
    rememberUsable(home, device);
    assert.equal(isKnownUsable(home, device), true);
    assert.deepEqual(openResources(), before);
    assert.deepEqual(readdirSync(home.temporary), []);
    assert.equal(statSync(home.usableKvm).mode & 0o777, 0o600);
  });

  test("for this device alone, as long as it can be opened and is the same", () => {
    const home = new Home(join(folder, "two"));
    rememberUsable(home, device);
    assert.equal(isKnownUsable(home, "/dev/zero"), false);
    const node = join(folder, "node");
    writeFileSync(node, "");
    rememberUsable(home, node);
    assert.equal(isKnownUsable(home, node), true);
    chmodSync(node, 0o640);
    assert.equal(isKnownUsable(home, node), false);
    rememberUsable(home, node);
    rmSync(node);
    assert.equal(isKnownUsable(home, node), false);
    rememberUsable(home, folder);
    assert.equal(isKnownUsable(home, folder), false, "a folder cannot be opened for writing");
  });

  test("under a key that everything counts for", () => {
    const facts = kvmFacts(device);
    const keys = Object.keys(facts).map((name) => keyOf({ ...facts, [name]: "other" }));
    assert.equal(new Set([...keys, keyOf(facts)]).size, keys.length + 1);
    const names = ["boot", "kernel", "path", "device", "filesystem", "inode", "changed"];
    assert.deepEqual(Object.keys(facts), [...names, "user", "group", "groups", "node", "product"]);
    assert.equal(keyOf(kvmFacts(device)), keyOf(facts));
  });

  test("and a damaged file is as good as none, and is replaced", () => {
    const home = new Home(join(folder, "three"));
    rememberUsable(home, device);
    const good = readFileSync(home.usableKvm, "utf8");
    const damaged = ["", "{", "null", "[]", '"text"', '{"key":1}', good.slice(0, -4), "x".repeat(1 << 20)];
    for (const text of [...damaged, good.replace(/"key":"./, '"key":"-')]) {
      writeFileSync(home.usableKvm, text);
      assert.equal(isKnownUsable(home, device), false, text.slice(0, 100));
    }
    rememberUsable(home, device);
    assert.equal(isKnownUsable(home, device), true);
  });

  test("or not, where the home cannot be written to", () => {
    const home = new Home("/dev/null/nowhere");
    rememberUsable(home, device);
    assert.equal(isKnownUsable(home, device), false);
  });
});
