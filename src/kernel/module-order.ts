import { moduleName } from "./module-info.ts";

/**
 * The modules that machines use, by what they are for. Only the outermost are listed: what they depend on is found in
 * the modules themselves, so that the table holds for every kernel version. Needed groups must be there, as modules or
 * built in; the others are left out of kernels that lack them.
 */
export const moduleGroups = {
  base: { modules: ["virtio_mmio"], needed: true },
  pci: { modules: ["virtio_pci"], needed: false },
  console: { modules: ["virtio_console"], needed: true },
  blk: { modules: ["virtio_blk"], needed: true },
  fs: { modules: ["erofs", "overlay"], needed: true },
  rng: { modules: ["virtio_rng"], needed: false },
  net: { modules: ["virtio_net"], needed: false },
  vsock: { modules: ["vmw_vsock_virtio_transport"], needed: false },
  pmem: { modules: ["virtio_pmem", "nd_pmem"], needed: false },
  virtiofs: { modules: ["virtiofs"], needed: false },
  balloon: { modules: ["virtio_balloon"], needed: false },
} as const;

export type ModuleGroup = keyof typeof moduleGroups;

/** One line of `/modules/order`: load `file` when `group` is asked for. */
export interface OrderedModule {
  readonly group: ModuleGroup;
  /** Name of the module, with underscores; its file in the initramfs is `<name>.ko`. */
  readonly name: string;
}

/** The kernel's modules: what each depends on, and which are part of the kernel itself. */
export interface KernelModules {
  depends(name: string): readonly string[] | undefined;
  readonly builtin: ReadonlySet<string>;
}

/**
 * Puts the modules of every group in the order in which they load. Each group is complete, except for what `base`
 * brings (it is always loaded first): a module that two groups need is listed in both.
 *
 * @throws RangeError naming a needed module that the kernel lacks.
 */
export function orderModules(kernel: KernelModules): OrderedModule[] {
  const base = closure("base", kernel);
  const others = (Object.keys(moduleGroups) as ModuleGroup[]).filter((group) => group !== "base");
  return [
    ...base.map((name) => ({ group: "base" as const, name })),
    ...others.flatMap((group) =>
      closure(group, kernel)
        .filter((name) => !base.includes(name))
        .map((name) => ({ group, name })),
    ),
  ];
}

/** The text of `/modules/order`, which the agent reads: a line "group file" per module. */
export function orderText(modules: readonly OrderedModule[]): string {
  return modules.map(({ group, name }) => `${group} ${name}.ko\n`).join("");
}

/** Names in a kernel's `modules.builtin`: one path per line. */
export function parseBuiltinModules(text: string): Set<string> {
  return new Set(
    text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => moduleName(line.trim())),
  );
}

/** Dependencies first. Empty when the kernel lacks a module of a group that is not needed. */
function closure(group: ModuleGroup, kernel: KernelModules): string[] {
  const { modules, needed } = moduleGroups[group];
  const order: string[] = [];
  const visit = (name: string, path: readonly string[]): boolean => {
    if (kernel.builtin.has(name) || order.includes(name)) return true;
    const depends = kernel.depends(name);
    if (depends === undefined || path.includes(name)) {
      if (needed) throw new RangeError(`The kernel has no usable module '${name}', which machines need`);
      return false;
    }
    if (!depends.every((dependency) => visit(dependency, [...path, name]))) return false;
    order.push(name);
    return true;
  };
  return modules.every((name) => visit(name, [])) ? order : [];
}
