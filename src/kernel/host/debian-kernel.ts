import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { GuestArchitecture } from "../guest-kernel.ts";
import { type KernelPackage, parseKernelPackage } from "../package-index.ts";
import { lastLines, runTool } from "./run-tool.ts";

const debianNames = { x64: "amd64", arm64: "arm64" } as const;
const ownKernel = "Or name a kernel of your own with --kernel PATH or SUPERMACHINE_KERNEL";

/**
 * Finds the newest stock cloud kernel that the system's package lists offer.
 *
 * @throws SupermachineError KERNEL_NOT_FOUND when there is no apt, or its lists do not have one.
 */
export async function findDebianKernel(
  architecture: GuestArchitecture,
  signal?: AbortSignal,
): Promise<KernelPackage> {
  const metapackage = debianMetapackage(architecture);
  const shown = await runTool(["apt-cache", "show", "--no-all-versions", metapackage], { signal });
  if (shown.status === undefined)
    throw new SupermachineError("KERNEL_NOT_FOUND", "There is no apt here to fetch a guest kernel with", {
      hint: "Name a kernel with --kernel PATH or SUPERMACHINE_KERNEL; its modules are looked for beside it",
    });
  const found = parseKernelPackage(shown.stdout.toString());
  if (shown.status === 0 && found !== undefined) return found;
  throw new SupermachineError("KERNEL_NOT_FOUND", `The package lists do not have ${metapackage}`, {
    hint: `${await listRemedy(architecture, signal)}. ${ownKernel}`,
    data: { output: lastLines(shown.stderr) },
  });
}

/**
 * Downloads a kernel package into `folder` and unpacks it there; apt checks it against the signed lists. Needs no
 * privileges. Returns the unpacked tree's root.
 *
 * @throws SupermachineError KERNEL_NOT_FOUND with apt's last words.
 */
export async function fetchDebianKernel(
  kernel: KernelPackage,
  options: { architecture: GuestArchitecture; folder: string; signal?: AbortSignal | undefined },
): Promise<string> {
  const { architecture, folder, signal } = options;
  const wanted = `${kernel.name}:${debianNames[architecture]}=${kernel.version}`;
  const tree = join(folder, "tree");
  await mkdir(tree, { recursive: true });
  // As root, apt would download as its user _apt, which may not write here, and warn about it.
  const asOurselves = ["-o", "APT::Sandbox::User=root"];
  const timeoutMs = 10 * 60_000;
  const got = await runTool(["apt-get", ...asOurselves, "--quiet", "download", wanted], {
    cwd: folder,
    timeoutMs,
    signal,
  });
  const archive = (await readdir(folder)).find((name) => name.endsWith(".deb"));
  if (got.status !== 0 || archive === undefined)
    throw new SupermachineError("KERNEL_NOT_FOUND", `Cannot download the guest kernel ${wanted}`, {
      hint: `Check the network and run apt-get update as root. ${ownKernel}`,
      data: { output: lastLines(got.stderr) },
    });
  const unpacked = await runTool(["dpkg-deb", "--extract", join(folder, archive), tree], { signal });
  if (unpacked.status === 0) return tree;
  throw new SupermachineError("KERNEL_NOT_FOUND", `Cannot unpack the guest kernel ${archive}`, {
    hint: /no space left/i.test(unpacked.stderr) ? "Free some disk space" : ownKernel,
    data: { output: lastLines(unpacked.stderr) },
  });
}

function debianMetapackage(architecture: GuestArchitecture): string {
  const name = debianNames[architecture];
  return `linux-image-cloud-${name}:${name}`;
}

/** Why apt does not know the package: no lists at all, a foreign architecture, or a distribution without it. */
async function listRemedy(architecture: GuestArchitecture, signal?: AbortSignal): Promise<string> {
  const name = debianNames[architecture];
  const known = await runTool(["dpkg", "--print-architecture"], { signal });
  const foreign = await runTool(["dpkg", "--print-foreign-architectures"], { signal });
  const architectures = `${known.stdout} ${foreign.stdout}`.split(/\s+/);
  if (!architectures.includes(name)) return `Run as root: dpkg --add-architecture ${name} && apt-get update`;
  return "Run apt-get update as root";
}
