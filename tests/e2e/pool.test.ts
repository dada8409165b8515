// A pool of real machines: bounded, clean between two uses, and healed when one of them dies.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Machine, Pool, SupermachineError } from "../../src/index.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";

const code = (wanted: string) => (error: unknown) =>
  error instanceof SupermachineError && error.code === wanted;

describe("a pool", () => {
  let home: TestHome;
  let pool: Pool;
  before(() => {
    home = new TestHome();
    pool = new Pool({
      image: testImage("busybox").layout,
      memory: "256MiB",
      network: "none",
      min: 1,
      max: 2,
      onWarning: () => {},
    });
  });
  after(async () => {
    await pool?.close();
    const left = await Machine.list({ all: true });
    await home[Symbol.asyncDispose]();
    assert.deepEqual(left, []);
  });

  test("gives its users machines of their own, and no more than it may have", async () => {
    await using first = await pool.acquire();
    await using second = await pool.acquire();
    assert.notEqual(first.machine.id, second.machine.id);
    await assert.rejects(pool.acquire({ timeoutMs: 100 }), code("POOL_TIMEOUT"));
    const commands = [first, second].map(({ machine }) =>
      machine.shell("touch /tmp/used; hostname", { check: true }),
    );
    const names = (await Promise.all(commands)).map(({ stdout }) => stdout.trim());
    assert.deepEqual(names, [first.machine.id, second.machine.id]);
  });

  test("shows nobody what was done in a machine before", async () => {
    await using lease = await pool.acquire();
    assert.equal(await lease.machine.files.exists("/tmp/used"), false);
    await lease.release("keep");
    assert.throws(() => lease.machine, code("LEASE_ENDED"));
  });

  test("replaces an idle machine that was killed from outside", async () => {
    const lease = await pool.acquire();
    const { id } = lease.machine;
    await lease.release("keep");
    const outside = await Machine.connect(id);
    await outside.kill();
    await using next = await pool.acquire();
    assert.notEqual(next.machine.id, id);
    assert.equal((await next.machine.exec(["echo", "hello"])).stdout, "hello\n");
    const { failures, lastFailure } = pool.stats();
    assert.equal(failures, 1);
    // Noticed by its end, or by a check that was under way.
    assert.match(String(lastFailure), /ended/);
  });
});
