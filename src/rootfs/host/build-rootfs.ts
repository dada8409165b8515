import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { LocalLayer } from "../../image/image.ts";
import type { ProgressListener } from "../../progress/progress.ts";
import { FileSource } from "../../tar/host/file-source.ts";
import { readTar } from "../../tar/read-tar.ts";
import { writeErofs } from "../erofs/write-erofs.ts";
import { LayeredTree } from "../layers/layered-tree.ts";
import { FileSink } from "./file-sink.ts";
import { unpackLayer } from "./unpack-layer.ts";

/** Everything a conversion needs, as plain data that can be sent to a thread. */
export interface RootfsJob {
  /** Bottom first, each with a path where its uncompressed tar may be put. */
  readonly layers: readonly { readonly layer: LocalLayer; readonly spool: string }[];
  /** File to create. */
  readonly target: string;
  /** 16 bytes that name the content. */
  readonly uuid: Uint8Array;
}

/**
 * Unpacks and checks an image's layers, merges them and writes the EROFS image, which is on the disk when this returns.
 * Blocks its thread while it merges and writes. Memory is needed for names and metadata only.
 */
export async function buildRootfs(job: RootfsJob, onProgress: ProgressListener): Promise<void> {
  const tars = await unpackAll(job.layers, onProgress);
  const sources: FileSource[] = [];
  try {
    const tree = new LayeredTree();
    for (const { layer, path } of tars) {
      const source = new FileSource(path);
      sources.push(source);
      naming(layer, () => tree.apply(readTar(source, source.length)));
    }
    using sink = new FileSink(job.target);
    onProgress({ phase: "convert", id: "", state: "active" });
    const { length } = writeErofs(tree.root, sink, {
      uuid: job.uuid,
      onProgress: (done, total) => onProgress({ phase: "convert", id: "", state: "active", done, total }),
    });
    sink.flush();
    onProgress({ phase: "convert", id: "", state: "done", done: length, total: length });
  } finally {
    for (const source of sources) source[Symbol.dispose]();
  }
}

/** Decoding runs on the thread pool while this thread hashes and writes, so two layers keep two processors busy. */
const concurrentLayers = 2;

interface UnpackedLayer {
  readonly layer: LocalLayer;
  readonly path: string;
}

async function unpackAll(
  layers: RootfsJob["layers"],
  onProgress: ProgressListener,
): Promise<UnpackedLayer[]> {
  const unpacked: UnpackedLayer[] = [];
  // The same layer may be in an image several times, and is unpacked once.
  const distinct = new Map(layers.map((item) => [item.layer.digest, item]));
  const paths = new Map<string, string>();
  const waiting = [...distinct.values()];
  const work = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift())
      paths.set(item.layer.digest, await unpackOne(item, onProgress));
  };
  await Promise.all(Array.from({ length: concurrentLayers }, work));
  for (const { layer } of layers) {
    const path = paths.get(layer.digest);
    if (path !== undefined) unpacked.push({ layer, path });
  }
  return unpacked;
}

async function unpackOne(
  { layer, spool }: RootfsJob["layers"][number],
  onProgress: ProgressListener,
): Promise<string> {
  const event = {
    phase: "unpack",
    id: layer.digest.replace(/^.*:/, "").slice(0, 12),
    total: layer.size,
  } as const;
  onProgress({ ...event, state: "active", done: 0 });
  try {
    const path = await unpackLayer(layer, {
      spool,
      onProgress: (done) => onProgress({ ...event, state: "active", done }),
    });
    onProgress({ ...event, state: "done", done: layer.size });
    return path;
  } catch (error) {
    throw withLayer(layer, error);
  }
}

function naming(layer: LocalLayer, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw withLayer(layer, error);
  }
}

/** Says which layer an invalid archive is. */
function withLayer(layer: LocalLayer, error: unknown): unknown {
  if (!(error instanceof SupermachineError) || error.code !== "ARCHIVE_INVALID") return error;
  const message = error.message.replace(/^The archive/, "It");
  return new SupermachineError("ARCHIVE_INVALID", `Layer ${layer.digest} cannot be unpacked: ${message}`, {
    hint: error.hint,
    cause: error.cause,
    data: { ...error.data, layer: layer.digest },
  });
}
