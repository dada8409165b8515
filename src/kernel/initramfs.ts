import { type CpioEntry, writeCpio } from "./cpio.ts";

/** What goes into an initramfs; equal contents give equal bytes. */
export interface InitramfsContent {
  /** The agent's static binary. */
  readonly agent: Uint8Array;
  /** Files of `/modules`: the modules, uncompressed, and `order`, which says in what order they load. */
  readonly modules: ReadonlyMap<string, Uint8Array>;
}

/**
 * Composes the file system that a machine's kernel starts from: the agent as `/init`, the modules with their order in
 * `/modules`, and the mount points that the agent uses. It is not compressed: unpacking costs the guest more
 * than reading, above all under software emulation.
 */
export function composeInitramfs({ agent, modules }: InitramfsContent): Uint8Array {
  const files = [...modules.keys()].sort();
  const entries: CpioEntry[] = [
    { type: "directory", path: "dev", mode: 0o755 },
    // The agent's standard streams, before it has mounted anything.
    { type: "character-device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    { type: "file", path: "init", mode: 0o755, content: agent },
    { type: "directory", path: "modules", mode: 0o755 },
    ...files.map(
      (file): CpioEntry => ({
        type: "file",
        path: `modules/${file}`,
        mode: 0o644,
        content: modules.get(file) ?? new Uint8Array(0),
      }),
    ),
    { type: "directory", path: "newroot", mode: 0o755 },
    { type: "directory", path: "proc", mode: 0o755 },
    { type: "directory", path: "sys", mode: 0o755 },
  ];
  return writeCpio(entries);
}
