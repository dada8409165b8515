import { execFile } from "node:child_process";
import { SupermachineError } from "../../errors/supermachine-error.ts";

/** How a tool of the system ended. */
export interface ToolResult {
  /** undefined: there is no such program. */
  readonly status: number | undefined;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface ToolOptions {
  readonly cwd?: string;
  readonly signal?: AbortSignal | undefined;
  /** Default 60,000. */
  readonly timeoutMs?: number;
}

/** Runs a program to its end with untranslated messages; output beyond 64 MiB counts as a failure. */
export async function runTool(
  command: readonly [string, ...string[]],
  options: ToolOptions = {},
): Promise<ToolResult> {
  const [file, ...args] = command;
  return await new Promise((resolve, reject) => {
    const child = execFile(
      file,
      args,
      {
        cwd: options.cwd,
        signal: options.signal,
        timeout: options.timeoutMs ?? 60_000,
        killSignal: "SIGKILL",
        maxBuffer: 64 * 1024 * 1024,
        encoding: "buffer",
        env: { ...process.env, LC_ALL: "C", LANGUAGE: "" },
      },
      (error, stdout, stderr) => {
        if (options.signal?.aborted) return reject(aborted(file, options.signal));
        if (error?.code === "ENOENT") return resolve({ status: undefined, stdout, stderr: "" });
        const status = error === null ? 0 : typeof error.code === "number" ? error.code : 255;
        resolve({ status, stdout, stderr: stderr.toString() || (error?.message ?? "") });
      },
    );
    child.stdin?.end();
  });
}

/** The last lines of what a tool complained, for an error's data. */
export function lastLines(text: string, count = 5): string[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(-count);
}

function aborted(file: string, signal: AbortSignal): SupermachineError {
  return new SupermachineError("ABORTED", `Running ${file} was aborted`, { cause: signal.reason });
}
