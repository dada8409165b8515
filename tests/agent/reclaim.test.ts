import assert from "node:assert/strict";
import { test } from "node:test";
import { finish, request, serveAgent, whyNot } from "./serve-agent.ts";

test("an agent that is not a guest's first process drops no caches, and says so", {
  skip: whyNot() ?? false,
}, async () => {
  await using served = await serveAgent();
  await assert.rejects(served.agent.reclaim(1), {
    code: "NATIVE_CALL_FAILED",
    data: { errno: "EOPNOTSUPP", detail: "dropping the caches" },
  });
  assert.equal((await finish(served.agent.exec(request(["echo", "ok"])))).stdout, "ok\n");
});
