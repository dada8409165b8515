import { access, constants, mkdir, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { EngineSupport } from "../engine/engine.ts";
import { engines as allEngines } from "../engine/select.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { provideKernel } from "../kernel/host/provide-kernel.ts";
import { Home } from "../storage/home.ts";
import type { EngineName, LookupOptions } from "./types.ts";

/** One thing that was looked at. */
export interface DoctorCheck {
  /** "node", "home", "space", "kvm", "engine", "kernel". */
  readonly name: string;
  /** "warning": works, with a drawback that `detail` names. */
  readonly status: "ok" | "warning" | "failed";
  /** What was found, in one line. */
  readonly detail: string;
  /** What to do about it. */
  readonly remedy?: string;
}

/** What `doctor` found. */
export interface Diagnosis {
  /** True when machines can be started here. */
  readonly ok: boolean;
  /** The engine that "auto" takes, and why. */
  readonly engine?: {
    readonly name: EngineName;
    readonly accelerator: string | undefined;
    readonly why: string;
  };
  readonly engines: readonly ({ readonly name: EngineName } & EngineSupport)[];
  readonly checks: readonly DoctorCheck[];
}

/** Below this an image of some size cannot be pulled and converted. */
const leastFreeBytes = 1024 ** 3;

/**
 * Looks at everything a machine needs, and says what is missing and what to do about it. Never rejects because
 * something is missing. What is fetched or built on first use (the guest kernel, the agent) is fetched and built here,
 * so that the first machine starts fast.
 *
 * @example
 * ```ts
 * import { doctor } from "supermachine";
 *
 * const { ok, checks } = await doctor();
 * for (const { name, status, detail } of checks) console.log(status, name, detail);
 * console.log(ok);
 * ```
 */
export async function doctor(options: LookupOptions = {}): Promise<Diagnosis> {
  const home = new Home(options.home);
  const engines = await Promise.all(
    allEngines.map(async (engine) => ({ name: engine.name, ...(await engine.probe({ home, fresh: true })) })),
  );
  const chosen = engines.find(({ usable }) => usable);
  const checks = [
    nodeCheck(),
    ...(await homeChecks(home)),
    ...(await kvmChecks()),
    ...engines.map(engineCheck),
    await kernelCheck(home),
  ];
  const needed = checks.filter(({ name }) => name !== "kvm" && !name.startsWith("engine "));
  return {
    ok: chosen !== undefined && needed.every(({ status }) => status !== "failed"),
    ...(chosen === undefined
      ? {}
      : { engine: { name: chosen.name, accelerator: chosen.accelerator, why: reasonFor(chosen, engines) } }),
    engines,
    checks,
  };
}

type ProbedEngine = { readonly name: EngineName } & EngineSupport;

function reasonFor(chosen: ProbedEngine, engines: readonly ProbedEngine[]): string {
  const passed = engines.slice(0, engines.indexOf(chosen)).map(({ name, reason }) => `${name}: ${reason}`);
  return passed.length === 0
    ? `${chosen.detail}; it is the first choice`
    : `${chosen.detail}; not usable are: ${passed.join("; ")}`;
}

function nodeCheck(): DoctorCheck {
  return {
    name: "node",
    status: "ok",
    detail: `Node.js ${process.version}, ${process.platform} ${process.arch}`,
  };
}

async function homeChecks(home: Home): Promise<DoctorCheck[]> {
  try {
    await mkdir(home.root, { recursive: true });
    await access(home.root, constants.W_OK);
    const { bavail, bsize } = await statfs(home.root);
    const free = bavail * bsize;
    const enough = free >= leastFreeBytes;
    return [
      { name: "home", status: "ok", detail: home.root },
      {
        name: "space",
        status: enough ? "ok" : "warning",
        detail: `${(free / 1024 ** 3).toFixed(1)} GiB free in ${home.root}`,
        ...(enough
          ? {}
          : { remedy: "Free some with 'supermachine prune -a', or set SUPERMACHINE_HOME to another disk" }),
      },
    ];
  } catch (error) {
    return [
      {
        name: "home",
        status: "failed",
        detail: `${home.root} cannot be written: ${error instanceof Error ? error.message : error}`,
        remedy: `Make ${dirname(home.root)} writable, or set SUPERMACHINE_HOME to a folder that is`,
      },
    ];
  }
}

/** Linux only; on others the engines' own probes say everything. */
async function kvmChecks(): Promise<DoctorCheck[]> {
  if (process.platform !== "linux") return [];
  const path = "/dev/kvm";
  try {
    await access(path, constants.R_OK | constants.W_OK);
    return [{ name: "kvm", status: "ok", detail: `${path} can be opened` }];
  } catch (error) {
    const refused = error instanceof Error && "code" in error && error.code === "EACCES";
    return [
      refused
        ? {
            name: "kvm",
            status: "warning",
            detail: `${path} exists, but this user may not open it`,
            remedy: "Add yourself to its group: sudo usermod -aG kvm $USER, then log in again",
          }
        : {
            name: "kvm",
            status: "warning",
            detail: `There is no ${path}`,
            remedy:
              "Enable virtualisation in the firmware (or nested virtualisation of this virtual machine)",
          },
    ];
  }
}

function engineCheck(engine: ProbedEngine): DoctorCheck {
  const { name, usable, isolating, detail, reason, remedy } = engine;
  return {
    name: `engine ${name}`,
    status: !usable ? "failed" : isolating ? "ok" : "warning",
    detail: reason === undefined ? detail : `${detail}: ${reason}`,
    ...(remedy === undefined ? {} : { remedy }),
  };
}

async function kernelCheck(home: Home): Promise<DoctorCheck> {
  if (!(await canWrite(home.root)))
    return { name: "kernel", status: "failed", detail: "Not looked for: there is no folder to keep it in" };
  const architecture = process.arch === "arm64" ? "arm64" : "x64";
  try {
    const { release, initramfs } = await provideKernel({ home, architecture });
    return {
      name: "kernel",
      status: "ok",
      detail: `Linux ${release}, with the agent, in ${dirname(initramfs)}`,
    };
  } catch (error) {
    const failure = error instanceof SupermachineError ? error : undefined;
    return {
      name: failure?.code === "AGENT_NOT_BUILT" ? "agent" : "kernel",
      status: "failed",
      detail: error instanceof Error ? error.message : String(error),
      ...(failure?.hint === undefined ? {} : { remedy: failure.hint }),
    };
  }
}

async function canWrite(folder: string): Promise<boolean> {
  return await access(folder, constants.W_OK).then(
    () => true,
    () => false,
  );
}
