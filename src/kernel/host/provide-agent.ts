import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { ProgressListener } from "../../progress/progress.ts";
import type { GuestArchitecture } from "../guest-kernel.ts";

export interface ProvideAgentOptions {
  readonly architecture: GuestArchitecture;
  readonly onProgress?: ProgressListener | undefined;
  readonly signal?: AbortSignal | undefined;
}

const machineNames = { x64: "x86_64", arm64: "aarch64" } as const;

/**
 * Path of the agent's binary: `guest/build/<machine>/agent` of this package, built first with the system's compiler
 * when it is missing or older than its sources.
 *
 * @throws SupermachineError AGENT_NOT_BUILT when it cannot be built; the compiler's last words are in `data.output`.
 *
 * @example
 * ```ts
 * const agent = await provideAgent({ architecture: "x64" });
 * ```
 */
export async function provideAgent(options: ProvideAgentOptions): Promise<string> {
  const guest = join(packageRoot(), "guest");
  const machine = machineNames[options.architecture];
  const agent = join(guest, "build", machine, "agent");
  if (isCurrent(agent, join(guest, "agent"))) return agent;
  options.onProgress?.({ phase: "agent", id: "", state: "active" });
  // Most starts need no tool.
  const { lastLines, runTool } = await import("./run-tool.ts");
  const native = process.arch === options.architecture;
  const compiler = native ? "gcc" : `${machine}-linux-gnu-gcc`;
  const built = await runTool(
    ["make", "-C", join(guest, "agent"), `OUT=${dirname(agent)}`, `CC=${process.env["CC"] ?? compiler}`],
    { signal: options.signal, timeoutMs: 5 * 60_000 },
  );
  if (built.status !== 0)
    throw new SupermachineError("AGENT_NOT_BUILT", `The guest agent ${agent} cannot be built`, {
      hint: buildRemedy(
        native ? "gcc, make and libc6-dev" : `make and gcc-${machine.replace("_", "-")}-linux-gnu`,
      ),
      data: { output: lastLines(built.stderr, 10) },
    });
  options.onProgress?.({ phase: "agent", id: "", state: "done" });
  return agent;
}

function buildRemedy(packages: string): string {
  return `Install ${packages}, and check that the folder of this package can be written`;
}

/** Published packages bring the binary and may leave the sources out. */
function isCurrent(agent: string, sources: string): boolean {
  const built = statSync(agent, { throwIfNoEntry: false });
  if (built === undefined) return false;
  if (!existsSync(sources)) return true;
  // Part of every start, so without a detour over other threads.
  return readdirSync(sources).every((name) => statSync(join(sources, name)).mtimeMs <= built.mtimeMs);
}

let root: string | undefined;

function packageRoot(): string {
  root ??= findPackageRoot();
  return root;
}

function findPackageRoot(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder))
    if (existsSync(join(folder, "guest"))) return folder;
  throw new SupermachineError("AGENT_NOT_BUILT", "The folder of this package has no folder 'guest'", {
    hint: "Install the package again",
  });
}
