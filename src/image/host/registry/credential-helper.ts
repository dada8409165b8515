import { spawn } from "node:child_process";
import * as v from "valibot";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { errnoOf } from "../../../errors/system-failure.ts";
import type { CredentialLookup } from "./credentials.ts";

/**
 * Asks `docker-credential-<name>` for the login of one server: the server's name goes to its standard input, a JSON
 * object comes back. A helper that is not installed counts as having nothing, because most images need no login at
 * all; the note says so if it turns out that this one does.
 */
export async function askHelper(
  name: string,
  server: string,
  environment: NodeJS.ProcessEnv,
): Promise<CredentialLookup> {
  const program = `docker-credential-${name}`;
  if (!/^[\w.-]{1,64}$/.test(name)) return { note: `the credential helper's name '${name}' is malformed` };
  let outcome: Outcome;
  try {
    outcome = await run(program, { input: server, environment });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return { note: `'${program}' is configured but not installed` };
    throw helperFailure(program, error instanceof Error ? error.message : String(error));
  }
  if (outcome.exitCode !== 0) {
    // The helpers' own wording for "I have no login for this server"; it is part of their protocol.
    if (outcome.output.includes("credentials not found")) return {};
    throw helperFailure(program, outcome.output.trim().split("\n")[0]?.slice(0, 200) || "it failed");
  }
  const parsed = v.safeParse(schema, parseJson(outcome.output));
  if (!parsed.success) throw helperFailure(program, "its answer is malformed");
  const { Username: username, Secret: secret } = parsed.output;
  if (secret === "") return {};
  if (username === "<token>") return { credentials: { kind: "identity-token", token: secret } };
  return { credentials: { kind: "password", username, password: secret } };
}

/** A helper may ask the user to unlock a keychain. */
const helperTimeoutMs = 60_000;
const maximumOutputLength = 64 * 1024;
const schema = v.object({ Username: v.string(), Secret: v.string() });

interface Outcome {
  readonly exitCode: number | null;
  readonly output: string;
}

function run(
  program: string,
  options: { readonly input: string; readonly environment: NodeJS.ProcessEnv },
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ["get"], {
      env: options.environment,
      stdio: ["pipe", "pipe", "inherit"],
      // Not the `timeout` option: its timer outlives a program that could not be started.
      signal: AbortSignal.timeout(helperTimeoutMs),
      killSignal: "SIGKILL",
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.length > maximumOutputLength) child.kill("SIGKILL");
    });
    // A helper that exits without reading breaks the pipe; its exit code tells more.
    child.stdin.on("error", () => undefined).end(`${options.input}\n`);
    child.on("error", reject);
    child.on("close", (exitCode) => resolve({ exitCode, output }));
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function helperFailure(program: string, detail: string): SupermachineError {
  return new SupermachineError("REGISTRY_AUTH", `Cannot get a login from '${program}': ${detail}`, {
    hint: "Repair the helper, or remove it from Docker's config.json and log in again",
  });
}
