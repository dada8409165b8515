import { BalloonDevice } from "../../src/devices/balloon/device.ts";
import { BlkDevice } from "../../src/devices/blk/device.ts";
import { ConsoleDevice } from "../../src/devices/console/device.ts";
import { PmemDevice } from "../../src/devices/pmem/device.ts";
import { RngDevice } from "../../src/devices/rng/device.ts";
import { VsockDevice } from "../../src/devices/vsock/device.ts";
import type { VirtioDevice } from "../../src/virtio/device.ts";
import { EchoDevice } from "../../src/virtio/testing/echo-device.ts";

/** One of each device, with a host behind it that does nothing much. */
export const deviceMakers: Readonly<Record<string, () => VirtioDevice>> = {
  echo: () => new EchoDevice(),
  vsock: () => {
    const vsock = new VsockDevice({ guestCid: 3, maxConnections: 8, bufferBytes: 4096 });
    vsock.listen(0, (connection) => void connection.write(Uint8Array.of(1)).catch(() => {}));
    return vsock;
  },
  pmem: () => new PmemDevice({ start: 0x4000_0000, length: 0x20_0000 }),
  blk: () => {
    const disk = new Uint8Array(64 * 512);
    return new BlkDevice({
      backend: {
        length: disk.length,
        readOnly: false,
        id: "disk",
        read: (position, slices) => void slices[0]?.set(disk.subarray(position, position + slices[0].length)),
        write: (position, slices) =>
          void (slices[0] !== undefined && disk.set(slices[0].subarray(0, 512), position)),
        flush: () => {},
        discard: () => {},
        writeZeroes: (position, length) => void disk.fill(0, position, position + length),
      },
    });
  },
  rng: () => new RngDevice({ fill: (bytes) => void bytes.fill(0x5a) }),
  console: () => new ConsoleDevice({ output: () => {} }),
  balloon: () =>
    new BalloonDevice({ ram: [{ start: 0, length: 0x10_0000 }], release: () => true, hostPageSize: 16_384 }),
};
