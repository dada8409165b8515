import type { Digest, ImageConfig, LocalImage } from "../../image/image.ts";
import type { CreationParts } from "../creation-parts.ts";
import { FakeEngine, type FakeEngineOptions } from "./fake-engine.ts";

/** Parts that touch neither network nor virtual machine. */
export interface FakeParts extends CreationParts {
  readonly engine: FakeEngine;
}

export function fakeParts(options: FakeEngineOptions & { image?: Partial<ImageConfig> } = {}): FakeParts {
  const engine = new FakeEngine(options);
  return {
    engine,
    engines: [engine],
    openAgent: engine.openAgent,
    pullImage: async (reference) => fakeImage(reference, options.image),
    prepareRootfs: async () => "/nowhere/rootfs.erofs",
    provideKernel: async () => ({
      image: "/nowhere/vmlinuz",
      initramfs: "/nowhere/initramfs",
      release: "6.1.0-fake",
    }),
    monitorEntry: new URL("./fake-monitor-process.js", import.meta.url),
  };
}

function fakeImage(reference: string, config: Partial<ImageConfig> = {}): LocalImage {
  const digest = `sha256:${"0".repeat(64)}` as Digest;
  return {
    reference,
    manifestDigest: digest,
    configDigest: digest,
    platform: { os: "linux", architecture: "amd64" },
    config: {
      env: ["PATH=/bin", "FROM_IMAGE=1"],
      entrypoint: [],
      cmd: ["echo", "from the image"],
      workingDir: "/work",
      user: "worker",
      stopSignal: "",
      volumes: ["/data"],
      exposedPorts: [],
      labels: {},
      ...config,
    },
    layers: [],
  };
}
