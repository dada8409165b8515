import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkout } from "../fixtures/images.ts";

/** Fetched kernels are kept between runs; everything else starts from nothing. */
const fetchedKernels = join(checkout, ".cache", "e2e-kernels");
/** In the test host the checkout is a shared folder; homes lie on its own disk, as a user's would. */
const base =
  process.env["TESTHOST"] === undefined ? join(checkout, ".cache") : join(tmpdir(), "supermachine-e2e");
const kernels = join(base, "e2e-kernels");
/** Templates take a boot each; the homes share them. */
const snapshots = join(base, "e2e-snapshots");

export interface CommandResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A home folder for one test file, and the command line working in it. */
export class TestHome implements AsyncDisposable {
  readonly path: string;
  readonly #children = new Set<ChildProcess>();

  constructor() {
    if (kernels !== fetchedKernels && !existsSync(kernels)) copyKernels();
    mkdirSync(kernels, { recursive: true });
    mkdirSync(snapshots, { recursive: true });
    // Beside the kernels: storing one renames it from the home's folder for unfinished files.
    this.path = mkdtempSync(join(base, "e2e-"));
    symlinkSync(kernels, join(this.path, "kernels"));
    symlinkSync(snapshots, join(this.path, "snapshots"));
    // For the API, which runs in this process.
    process.env["SUPERMACHINE_HOME"] = this.path;
  }

  /** Runs `supermachine ARGS` to its end. */
  async run(
    args: readonly string[],
    options: { input?: string | Uint8Array; env?: NodeJS.ProcessEnv } = {},
  ): Promise<CommandResult> {
    const child = this.start(args, options.env);
    child.stdin?.end(options.input ?? "");
    return await finished(child);
  }

  /** Starts `supermachine ARGS` with pipes. */
  start(args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn(join(checkout, "bin", "supermachine"), args, {
      env: { ...process.env, SUPERMACHINE_HOME: this.path, ...env },
    });
    child.stdin?.on("error", () => {});
    this.#children.add(child);
    child.on("close", () => this.#children.delete(child));
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    const { stdout } = await this.run(["ps", "-a", "-q"]);
    const ids = stdout.split("\n").filter(Boolean);
    if (ids.length > 0) await this.run(["rm", "-f", ...ids]);
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** The test host cannot fetch packages: it takes what the outer machine has fetched. */
function copyKernels(): void {
  mkdirSync(fetchedKernels, { recursive: true });
  cpSync(fetchedKernels, kernels, { recursive: true, verbatimSymlinks: true });
}

/** Collects a child's output and waits for its end. */
export async function finished(child: ChildProcess): Promise<CommandResult> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on("data", (bytes: Buffer) => stdout.push(bytes));
  child.stderr?.on("data", (bytes: Buffer) => stderr.push(bytes));
  return await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) =>
      resolve({
        code,
        signal,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      }),
    );
  });
}
