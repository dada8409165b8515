import assert from "node:assert/strict";
import { test } from "node:test";
import { orderModules, orderText, parseBuiltinModules } from "./module-order.ts";

/** Dependencies as Debian's 6.1 cloud kernel has them, for what machines need and for the network. */
const stock: Record<string, string[]> = {
  virtio_ring: [],
  virtio: ["virtio_ring"],
  virtio_mmio: ["virtio", "virtio_ring"],
  virtio_console: ["virtio", "virtio_ring"],
  virtio_blk: ["virtio", "virtio_ring"],
  libcrc32c: [],
  erofs: ["libcrc32c"],
  overlay: [],
  failover: [],
  net_failover: ["failover"],
  virtio_net: ["virtio_ring", "virtio", "net_failover"],
};
const depends = (table: Record<string, string[]>) => (name: string) => table[name];

test("orderModules() puts dependencies first and lists what base brings only there", () => {
  const order = orderModules({ depends: depends(stock), builtin: new Set() });
  assert.equal(
    orderText(order),
    [
      "base virtio_ring.ko",
      "base virtio.ko",
      "base virtio_mmio.ko",
      "console virtio_console.ko",
      "blk virtio_blk.ko",
      "fs libcrc32c.ko",
      "fs erofs.ko",
      "fs overlay.ko",
      "net failover.ko",
      "net net_failover.ko",
      "net virtio_net.ko",
      "",
    ].join("\n"),
  );
});

test("orderModules() skips what is built in", () => {
  const builtin = parseBuiltinModules(
    "kernel/drivers/virtio/virtio.ko\nkernel/drivers/virtio/virtio_ring.ko\nkernel/drivers/virtio/virtio-mmio.ko\n",
  );
  const order = orderModules({ depends: depends(stock), builtin });
  assert.deepEqual(
    order.find(({ group }) => group === "base"),
    undefined,
  );
  assert.deepEqual(order[0], { group: "console", name: "virtio_console" });
});

test("orderModules() lists a module under every group that needs it", () => {
  const table = { ...stock, fuse: [], virtiofs: ["fuse", "libcrc32c"] };
  const order = orderModules({ depends: depends(table), builtin: new Set() });
  const groups = order.filter(({ name }) => name === "libcrc32c").map(({ group }) => group);
  assert.deepEqual(groups, ["fs", "virtiofs"]);
});

test("orderModules() leaves out a whole group when one of its modules is missing", () => {
  const { net_failover: _, ...table } = stock;
  const order = orderModules({ depends: depends(table), builtin: new Set() });
  assert.deepEqual(
    order.filter(({ group }) => group === "net"),
    [],
  );
});

test("orderModules() names a needed module that the kernel lacks", () => {
  const { erofs: _, ...table } = stock;
  assert.throws(() => orderModules({ depends: depends(table), builtin: new Set() }), /'erofs'/);
});

test("orderModules() ends when modules depend on each other in a circle", () => {
  const table = { ...stock, virtio_net: ["failover"], failover: ["virtio_net"] };
  const order = orderModules({ depends: depends(table), builtin: new Set() });
  assert.deepEqual(
    order.filter(({ group }) => group === "net"),
    [],
  );
});
